//! DescribeCluster.

use super::{Context, NO_OPERATIONS, NODE_ID, text};
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, DescribeClusterRequest, DescribeClusterResponse,
        describe_cluster_response::DescribeClusterBroker,
    },
};

/// What `endpoint_type` says for brokers; 2 would be controllers.
const BROKERS: i8 = 1;

/// The one node.
pub(super) fn cluster(
    context: &Context<'_>,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = context.broker;
    let mut response = DescribeClusterResponse::default()
        .with_cluster_id(text(&broker.cluster_id))
        .with_controller_id(BrokerId(NODE_ID))
        .with_cluster_authorized_operations(NO_OPERATIONS);
    if context.version >= 1 && request.endpoint_type != BROKERS {
        response.error_code = ResponseError::UnsupportedEndpointType.code();
        response.error_message = Some(text("this listener has brokers only"));
        return response;
    }
    let node = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(text(&broker.host))
        .with_port(broker.port.into());
    response.brokers = vec![node];
    response
}
