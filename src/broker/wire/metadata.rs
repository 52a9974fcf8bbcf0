//! Metadata.

use super::{Context, NO_OPERATIONS, access::Operations, node_ids, text, topic_name};
use crate::broker::{
    cluster::{Endpoint, NodeIds},
    topic_config::TopicConfig,
    topics::{Partition, Topic, TopicError},
};
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, MetadataRequest, MetadataResponse,
        metadata_request::MetadataRequestTopic,
        metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
    },
};
use std::sync::Arc;

/// The cluster and the topics asked for, which are made on the way if they may be.
pub(super) fn metadata(context: &Context<'_>, request: MetadataRequest) -> MetadataResponse {
    let may_create = context.broker.config.auto_create_topics
        && (context.version < 4 || request.allow_auto_topic_creation);
    describe_cluster(context, &request, may_create)
}

/// The same, but no topic is made.
pub(super) fn without_creation(
    context: &Context<'_>,
    request: &MetadataRequest,
) -> MetadataResponse {
    describe_cluster(context, request, false)
}

fn describe_cluster(
    context: &Context<'_>,
    request: &MetadataRequest,
    may_create: bool,
) -> MetadataResponse {
    let broker = context.broker;
    let topics = match &request.topics {
        Some(wanted) if context.version > 0 || !wanted.is_empty() => {
            wanted.iter().map(|topic| wanted_topic(context, topic, may_create)).collect()
        }
        _ => broker.topics.all().iter().map(|t| describe(context, t)).collect(),
    };
    let node = |node: Endpoint| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(node.id))
            .with_host(text(node.host))
            .with_port(node.port.into())
    };
    let mut response = MetadataResponse::default()
        .with_brokers(broker.cluster.live_endpoints().into_iter().map(node).collect())
        .with_controller_id(BrokerId(broker.cluster.controller()))
        .with_topics(topics);
    if context.version >= 2 {
        response.cluster_id = Some(text(&broker.cluster_id));
    }
    if (8..=10).contains(&context.version) {
        response.cluster_authorized_operations =
            Operations::CLUSTER.if_asked(request.include_cluster_authorized_operations);
    }
    if request.include_topic_authorized_operations {
        for topic in response.topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = Operations::TOPIC.if_asked(true);
        }
    }
    response
}

fn wanted_topic(
    context: &Context<'_>,
    wanted: &MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    let topics = &context.broker.topics;
    let Some(name) = &wanted.name else {
        return match topics.by_id(wanted.topic_id) {
            Some(topic) => describe(context, &topic),
            None => MetadataResponseTopic::default()
                .with_error_code(ResponseError::UnknownTopicId.code())
                .with_topic_id(wanted.topic_id)
                .with_topic_authorized_operations(NO_OPERATIONS),
        };
    };
    match get_or_create(context, name, may_create) {
        Ok(topic) => describe(context, &topic),
        Err(error) => {
            let response = MetadataResponseTopic::default()
                .with_error_code(ResponseError::from(&error).code())
                .with_name(Some(name.clone()));
            if context.version >= 8 {
                response.with_topic_authorized_operations(NO_OPERATIONS)
            } else {
                response
            }
        }
    }
}

fn get_or_create(
    context: &Context<'_>,
    name: &str,
    may_create: bool,
) -> Result<Arc<Topic>, TopicError> {
    let topics = &context.broker.topics;
    if let Some(topic) = topics.get(name) {
        return Ok(topic);
    }
    if !may_create {
        return Err(TopicError::Unknown);
    }
    let partitions = context.broker.config.default_partitions;
    match topics.create(name, partitions, TopicConfig::default()) {
        // Another client was faster.
        Err(TopicError::Exists(_)) => topics.get(name).ok_or(TopicError::Unknown),
        other => other,
    }
}

fn describe(context: &Context<'_>, topic: &Topic) -> MetadataResponseTopic {
    let (version, live) = (context.version, context.broker.cluster.live());
    let partitions = (0..).zip(&topic.partitions);
    let mut response =
        MetadataResponseTopic::default().with_name(Some(topic_name(&topic.name))).with_partitions(
            partitions.map(|(n, p)| describe_partition(version, n, p, &live)).collect(),
        );
    if version >= 8 {
        response.topic_authorized_operations = NO_OPERATIONS;
    }
    if version >= 10 {
        response.topic_id = topic.id;
    }
    response
}

fn describe_partition(
    version: i16,
    number: i32,
    partition: &Partition,
    live: &NodeIds,
) -> MetadataResponsePartition {
    let replicas = partition.replicas();
    let mut response = MetadataResponsePartition::default()
        .with_partition_index(number)
        .with_leader_id(BrokerId(replicas.leader().unwrap_or(-1)))
        .with_replica_nodes(node_ids(replicas.assigned()))
        .with_isr_nodes(node_ids(replicas.in_sync()));
    if replicas.leader().is_none() {
        response.error_code = ResponseError::LeaderNotAvailable.code();
    }
    if version >= 5 {
        let mut down = replicas.assigned().to_vec();
        down.retain(|id| !live.contains(id));
        response.offline_replicas = node_ids(&down);
    }
    if version >= 7 {
        response.leader_epoch = replicas.epoch();
    }
    response
}
