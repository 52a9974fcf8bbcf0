//! FindCoordinator and InitProducerId.

use super::{Context, NODE_ID, text};
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest,
        InitProducerIdResponse, ProducerId, find_coordinator_response::Coordinator,
    },
};

/// First version that asks for several coordinators at once.
const BATCHED: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The one node, for every group.
pub(super) fn find_coordinator(
    context: &Context<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let found = match request.key_type {
        GROUP => Ok(()),
        TRANSACTION => Err((
            ResponseError::TransactionalIdAuthorizationFailed,
            "this broker has no transactions",
        )),
        _ => Err((ResponseError::InvalidRequest, "this broker has consumer groups only")),
    };
    let (host, port) = (text(&context.broker.host), i32::from(context.broker.port));
    if context.version >= BATCHED {
        let coordinator = |key| {
            let coordinator = Coordinator::default().with_key(key);
            match found {
                Ok(()) => coordinator
                    .with_node_id(BrokerId(NODE_ID))
                    .with_host(host.clone())
                    .with_port(port),
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
    match found {
        Ok(()) => response.with_node_id(BrokerId(NODE_ID)).with_host(host).with_port(port),
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

/// A producer id that nobody has had.
pub(super) fn init_producer_id(
    context: &Context<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refused = |error: ResponseError| {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    };
    if request.transactional_id.is_some() {
        return refused(ResponseError::TransactionalIdAuthorizationFailed);
    }
    match context.broker.producer_ids.next() {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id)),
        Err(error) => {
            tracing::error!(%error, "cannot give out a producer id");
            refused(ResponseError::KafkaStorageError)
        }
    }
}
