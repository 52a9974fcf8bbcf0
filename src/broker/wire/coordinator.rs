//! FindCoordinator.

use super::{Context, text};
use crate::broker::cluster::{Coordinated, Endpoint};
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, FindCoordinatorRequest, FindCoordinatorResponse,
        find_coordinator_response::Coordinator,
    },
    protocol::StrBytes,
};

/// First version that asks for several coordinators at once.
const BATCHED: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The node of a group or of a transactional id.
pub(super) fn find_coordinator(
    context: &Context<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let find = |id: &str| find(context, request.key_type, id);
    if context.version >= BATCHED {
        let coordinator = |key: StrBytes| {
            let found = find(&key);
            let coordinator = Coordinator::default().with_key(key);
            match found {
                Ok(node) => coordinator
                    .with_node_id(BrokerId(node.id))
                    .with_host(text(&node.host))
                    .with_port(node.port.into()),
                Err((error, message)) => coordinator
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(error.code())
                    .with_error_message(Some(text(message))),
            }
        };
        let coordinators = request.coordinator_keys.into_iter().map(coordinator).collect();
        return FindCoordinatorResponse::default().with_coordinators(coordinators);
    }
    let response = FindCoordinatorResponse::default();
    match find(&request.key) {
        Ok(node) => response
            .with_node_id(BrokerId(node.id))
            .with_host(text(&node.host))
            .with_port(node.port.into()),
        Err((error, message)) => {
            let response =
                response.with_node_id(BrokerId(-1)).with_port(-1).with_error_code(error.code());
            if context.version >= 1 {
                response.with_error_message(Some(text(message)))
            } else {
                response
            }
        }
    }
}

fn find<'a>(
    context: &Context<'a>,
    kind: i8,
    id: &str,
) -> Result<&'a Endpoint, (ResponseError, &'static str)> {
    let of = match kind {
        GROUP => Coordinated::Group(id),
        TRANSACTION => Coordinated::Transaction(id),
        _ => {
            let message = "this broker coordinates consumer groups and transactions only";
            return Err((ResponseError::InvalidRequest, message));
        }
    };
    let cluster = &context.broker.cluster;
    let node = cluster.coordinator(of).and_then(|id| cluster.endpoint(id));
    node.ok_or((ResponseError::CoordinatorNotAvailable, "The coordinator is not available."))
}
