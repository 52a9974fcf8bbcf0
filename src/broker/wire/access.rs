//! What clients may do: everything. DescribeAcls, CreateAcls and DeleteAcls are answered as by a Kafka
//! without an authorizer.

use super::{Context, text};
use kafka_protocol::{
    ResponseError,
    messages::{
        CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
        DescribeAclsRequest, DescribeAclsResponse, create_acls_response::AclCreationResult,
        delete_acls_response::DeleteAclsFilterResult,
    },
};

const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// What can be done with a kind of thing, as bits by the numbers that clients know.
#[derive(Clone, Copy)]
pub(super) struct Operations(i32);

impl Operations {
    /// With a topic: read, write, create, delete, alter, describe, both for its settings.
    pub(super) const TOPIC: Self = Self(0b1101_1111_1000);
    /// With a group: read, delete, describe, describe and alter its settings.
    pub(super) const GROUP: Self = Self(0b1101_0100_1000);
    /// With the cluster: create, alter, describe, act as a broker, describe and alter settings, write
    /// idempotently.
    pub(super) const CLUSTER: Self = Self(0b1_1111_1010_0000);

    /// All of them, if the client has asked; otherwise the number that stands for that.
    pub(super) fn if_asked(self, is_asked: bool) -> i32 {
        if is_asked { self.0 } else { super::NO_OPERATIONS }
    }
}

/// No rules.
pub(super) fn describe_acls(_: &Context<'_>, _: DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse::default()
        .with_error_code(ResponseError::SecurityDisabled.code())
        .with_error_message(Some(text(NO_AUTHORIZER)))
}

/// Refused: a rule would have no effect.
pub(super) fn create_acls(_: &Context<'_>, request: CreateAclsRequest) -> CreateAclsResponse {
    let refused = |_| {
        AclCreationResult::default()
            .with_error_code(ResponseError::SecurityDisabled.code())
            .with_error_message(Some(text(NO_AUTHORIZER)))
    };
    CreateAclsResponse::default().with_results(request.creations.into_iter().map(refused).collect())
}

/// Refused: there are no rules.
pub(super) fn delete_acls(_: &Context<'_>, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = |_| {
        DeleteAclsFilterResult::default()
            .with_error_code(ResponseError::SecurityDisabled.code())
            .with_error_message(Some(text(NO_AUTHORIZER)))
    };
    DeleteAclsResponse::default()
        .with_filter_results(request.filters.into_iter().map(refused).collect())
}
