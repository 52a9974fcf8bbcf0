//! DescribeCluster, DescribeTopicPartitions.

use super::{Context, NO_OPERATIONS, access::Operations, node_ids, text, topic_name};
use crate::broker::{
    cluster::{Endpoint, NodeIds},
    topics::{Partition, TopicError},
};
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeTopicPartitionsRequest,
        DescribeTopicPartitionsResponse,
        describe_cluster_response::DescribeClusterBroker,
        describe_topic_partitions_response::{
            Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
    },
};
use std::collections::BTreeSet;

/// What `endpoint_type` says for brokers; 2 would be controllers.
const BROKERS: i8 = 1;
/// Most partitions in a response, whatever the client asks for.
const MAX_DESCRIBED_PARTITIONS: usize = 2_000;

/// The nodes that are up.
pub(super) fn cluster(
    context: &Context<'_>,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = context.broker;
    let mut response = DescribeClusterResponse::default()
        .with_cluster_id(text(&broker.cluster_id))
        .with_controller_id(BrokerId(broker.cluster.controller()))
        .with_cluster_authorized_operations(
            Operations::CLUSTER.if_asked(request.include_cluster_authorized_operations),
        );
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

/// Topics in the order of their names, as many partitions as the client wants at a time; the cursor
/// says where the next request goes on.
pub(super) fn topic_partitions(
    context: &Context<'_>,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let topics = &context.broker.topics;
    let wants_all = request.topics.is_empty();
    let mut names: BTreeSet<String> = match wants_all {
        true => topics.all().iter().map(|t| t.name.clone()).collect(),
        false => request.topics.iter().map(|t| t.name.to_string()).collect(),
    };
    let (from_topic, from_partition) = match request.cursor {
        None => Default::default(),
        Some(cursor) => {
            let is_asked_for = wants_all || names.contains(&**cursor.topic_name);
            match usize::try_from(cursor.partition_index) {
                Ok(partition) if is_asked_for => (cursor.topic_name.to_string(), partition),
                _ => return wrong_cursor(names),
            }
        }
    };
    names.retain(|name| *name >= from_topic);
    let wanted = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = wanted.clamp(1, MAX_DESCRIBED_PARTITIONS);
    let live = context.broker.cluster.live();
    let mut response = DescribeTopicPartitionsResponse::default();
    let cursor = |name: &str, partition: usize| {
        Cursor::default().with_topic_name(topic_name(name)).with_partition_index(partition as i32)
    };
    for name in &names {
        if left == 0 {
            return response.with_next_cursor(Some(cursor(name, 0)));
        }
        let described = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic_name(name)))
            .with_topic_authorized_operations(Operations::TOPIC.if_asked(true));
        let Some(topic) = topics.get(name) else {
            if !wants_all {
                let error = ResponseError::from(&TopicError::Unknown);
                response.topics.push(described.with_error_code(error.code()));
            }
            continue;
        };
        let first = if *name == from_topic { from_partition } else { 0 };
        let partitions: Vec<_> = (0..)
            .zip(&topic.partitions)
            .skip(first)
            .take(left)
            .map(|(n, p)| describe_partition(n, p, &live))
            .collect();
        let next = first + partitions.len();
        left -= partitions.len();
        response.topics.push(described.with_topic_id(topic.id).with_partitions(partitions));
        if next < topic.partitions.len() {
            return response.with_next_cursor(Some(cursor(name, next)));
        }
    }
    response
}

fn wrong_cursor(names: BTreeSet<String>) -> DescribeTopicPartitionsResponse {
    let topic = |name: String| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_name(Some(topic_name(name)))
            .with_topic_authorized_operations(NO_OPERATIONS)
    };
    DescribeTopicPartitionsResponse::default().with_topics(names.into_iter().map(topic).collect())
}

fn describe_partition(
    number: i32,
    partition: &Partition,
    live: &NodeIds,
) -> DescribeTopicPartitionsResponsePartition {
    let replicas = partition.replicas();
    let error = match replicas.leader() {
        Some(_) => 0,
        None => ResponseError::LeaderNotAvailable.code(),
    };
    let mut down = replicas.assigned().to_vec();
    down.retain(|id| !live.contains(id));
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(number)
        .with_leader_id(BrokerId(replicas.leader().unwrap_or(-1)))
        .with_leader_epoch(replicas.epoch())
        .with_replica_nodes(node_ids(replicas.assigned()))
        .with_isr_nodes(node_ids(replicas.in_sync()))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(node_ids(&down))
}
