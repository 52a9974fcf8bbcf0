//! DescribeCluster.

use super::{Context, NO_OPERATIONS, text};
use crate::broker::cluster::Endpoint;
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, DescribeClusterRequest, DescribeClusterResponse,
        describe_cluster_response::DescribeClusterBroker,
    },
};

/// What `endpoint_type` says for brokers; 2 would be controllers.
const BROKERS: i8 = 1;

/// The nodes that are up.
pub(super) fn cluster(
    context: &Context<'_>,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = context.broker;
    let mut response = DescribeClusterResponse::default()
        .with_cluster_id(text(&broker.cluster_id))
        .with_controller_id(BrokerId(broker.cluster.controller()))
        .with_cluster_authorized_operations(NO_OPERATIONS);
    if context.version >= 1 && request.endpoint_type != BROKERS {
        response.error_code = ResponseError::UnsupportedEndpointType.code();
        response.error_message = Some(text("this listener has brokers only"));
        return response;
    }
    let node = |node: Endpoint| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(node.id))
            .with_host(text(node.host))
            .with_port(node.port.into())
    };
    response.brokers = broker.cluster.live_endpoints().into_iter().map(node).collect();
    response
}
