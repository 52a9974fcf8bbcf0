//! Metadata.

use super::{Context, NO_OPERATIONS, NODE_ID, text, topic_name};
use crate::broker::{
    topic_config::TopicConfig,
    topics::{Topic, TopicError},
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
    let broker = context.broker;
    let may_create = broker.config.auto_create_topics
        && (context.version < 4 || request.allow_auto_topic_creation);
    let topics = match &request.topics {
        Some(wanted) if context.version > 0 || !wanted.is_empty() => {
            wanted.iter().map(|topic| wanted_topic(context, topic, may_create)).collect()
        }
        _ => broker.topics.all().iter().map(|t| describe(context.version, t)).collect(),
    };
    let node = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(text(&broker.host))
        .with_port(broker.port.into());
    let mut response = MetadataResponse::default()
        .with_brokers(vec![node])
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics);
    if context.version >= 2 {
        response.cluster_id = Some(text(&broker.cluster_id));
    }
    if (8..=10).contains(&context.version) {
        response.cluster_authorized_operations = NO_OPERATIONS;
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
            Some(topic) => describe(context.version, &topic),
            None => MetadataResponseTopic::default()
                .with_error_code(ResponseError::UnknownTopicId.code())
                .with_topic_id(wanted.topic_id)
                .with_topic_authorized_operations(NO_OPERATIONS),
        };
    };
    match get_or_create(context, name, may_create) {
        Ok(topic) => describe(context.version, &topic),
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

fn describe(version: i16, topic: &Topic) -> MetadataResponseTopic {
    let partition = |(number, partition): (usize, &Arc<crate::broker::topics::Partition>)| {
        let response = MetadataResponsePartition::default()
            .with_partition_index(number as i32)
            .with_leader_id(BrokerId(NODE_ID))
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)]);
        if version >= 7 {
            response.with_leader_epoch(partition.log.lock().leader_epoch())
        } else {
            response
        }
    };
    let mut response = MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_partitions(topic.partitions.iter().enumerate().map(partition).collect());
    if version >= 8 {
        response.topic_authorized_operations = NO_OPERATIONS;
    }
    if version >= 10 {
        response.topic_id = topic.id;
    }
    response
}
