//! CreateTopics, DeleteTopics, CreatePartitions.

use super::{Context, configs, text};
use crate::broker::{cluster::Layout, topic_config::TopicConfig, topics::TopicError};
use kafka_protocol::{
    ResponseError,
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
        CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
        create_partitions_request::CreatePartitionsAssignment,
        create_partitions_response::CreatePartitionsTopicResult,
        create_topics_request::CreatableTopic, create_topics_response::CreatableTopicResult,
        delete_topics_request::DeleteTopicState, delete_topics_response::DeletableTopicResult,
    },
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Why a topic was not made or changed: the code, and a sentence for people.
struct Refused(ResponseError, String);

impl From<TopicError> for Refused {
    fn from(error: TopicError) -> Self {
        Self((&error).into(), error.to_string())
    }
}

/// What a topic that was made looks like.
struct Created {
    id: Uuid,
    partitions: i32,
    replication: i16,
    config: TopicConfig,
}

/// Makes topics.
pub(super) fn create_topics(
    context: &Context<'_>,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut times = HashMap::new();
    request.topics.iter().for_each(|t| *times.entry(t.name.clone()).or_insert(0) += 1);
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let created = if times[&topic.name] > 1 {
            Err(Refused(ResponseError::InvalidRequest, "Duplicate topic name.".into()))
        } else {
            create(context, topic, request.validate_only)
        };
        results.push(created_response(context.version, topic, created));
    }
    results.dedup_by(|a, b| a.name == b.name);
    CreateTopicsResponse::default().with_topics(results)
}

fn create(
    context: &Context<'_>,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<Created, Refused> {
    // Of several mistakes Kafka names the one in the name, then in the settings, then in the layout.
    context.broker.topics.check_new_name(&topic.name)?;
    let config = |c: &kafka_protocol::messages::create_topics_request::CreatableTopicConfig| {
        let value = c.value.as_ref().ok_or_else(|| format!("{} has no value", &*c.name))?;
        Ok((c.name.to_string(), value.to_string()))
    };
    let config = topic
        .configs
        .iter()
        .map(config)
        .collect::<Result<_, String>>()
        .and_then(TopicConfig::new)
        .map_err(|message| Refused(ResponseError::InvalidConfig, message))?;
    let layout = layout(context, topic)?;
    let placed = context.broker.topics.check_new(&topic.name, &layout)?;
    let id = if validate_only {
        Uuid::nil()
    } else {
        context.broker.topics.create(&topic.name, layout, config.clone())?.id
    };
    let replication = placed.first().map_or(0, |nodes| nodes.len() as i16);
    Ok(Created { id, partitions: placed.len() as i32, replication, config })
}

/// The partitions that a client wants, and on which nodes.
fn layout(context: &Context<'_>, topic: &CreatableTopic) -> Result<Layout, Refused> {
    const DEFAULT: i32 = -1;
    let invalid = |error, message: &str| Err(Refused(error, message.to_owned()));
    let (partitions, factor) = (topic.num_partitions, topic.replication_factor);
    if topic.assignments.is_empty() {
        let factor = (i32::from(factor) != DEFAULT).then_some(factor);
        let partitions = match partitions {
            DEFAULT => context.broker.config.default_partitions,
            count => count,
        };
        return Ok(Layout::Spread { partitions, factor });
    }
    if i32::from(factor) != DEFAULT {
        return invalid(
            ResponseError::InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        );
    }
    if partitions != DEFAULT {
        return invalid(
            ResponseError::InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        );
    }
    let given: BTreeMap<i32, Vec<i32>> = topic
        .assignments
        .iter()
        .map(|a| (a.partition_index, a.broker_ids.iter().map(|id| id.0).collect()))
        .collect();
    if given.len() != topic.assignments.len() {
        return invalid(
            ResponseError::InvalidReplicaAssignment,
            "Found multiple manual partition assignments for one partition.",
        );
    }
    if given.keys().zip(0..).any(|(number, expected)| *number != expected) {
        return invalid(
            ResponseError::InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        );
    }
    Ok(Layout::Given(given.into_values().collect()))
}

fn created_response(
    version: i16,
    topic: &CreatableTopic,
    created: Result<Created, Refused>,
) -> CreatableTopicResult {
    let mut response = CreatableTopicResult::default().with_name(topic.name.clone());
    match created {
        Ok(created) => {
            if version >= 5 {
                response.num_partitions = created.partitions;
                response.replication_factor = created.replication;
                response.configs = Some(configs::created(&created.config));
            }
            if version >= 7 {
                response.topic_id = created.id;
            }
        }
        Err(Refused(error, message)) => {
            response.error_code = error.code();
            response.error_message = Some(text(message));
            if version >= 5 {
                response.num_partitions = -1;
                response.replication_factor = -1;
                response.configs = Some(Vec::new());
            }
        }
    }
    response
}

/// Deletes topics, with what groups have committed for them.
pub(super) fn delete_topics(
    context: &Context<'_>,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState::default().with_name(Some(name));
    let wanted = if context.version >= 6 {
        request.topics
    } else {
        request.topic_names.into_iter().map(by_name).collect()
    };
    let mut responses = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let mut response = DeletableTopicResult::default();
        match delete(context, &topic) {
            Ok((name, id)) => {
                response.name = Some(super::topic_name(name));
                if context.version >= 6 {
                    response.topic_id = id;
                }
            }
            Err(Refused(error, message)) => {
                response.name = topic.name;
                response.error_code = error.code();
                if context.version >= 5 {
                    response.error_message = Some(text(message));
                }
                if context.version >= 6 {
                    response.topic_id = topic.topic_id;
                }
            }
        }
        responses.push(response);
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

fn delete(context: &Context<'_>, wanted: &DeleteTopicState) -> Result<(String, Uuid), Refused> {
    let broker = context.broker;
    let name = match &wanted.name {
        Some(name) => name.to_string(),
        None => match broker.topics.by_id(wanted.topic_id) {
            Some(topic) => topic.name.clone(),
            None => {
                let message = "This server does not host this topic ID.".to_owned();
                return Err(Refused(ResponseError::UnknownTopicId, message));
            }
        },
    };
    let topic = broker.topics.delete(&name)?;
    broker.groups.forget_topic(&name);
    broker.transactions.forget_topic(&name);
    Ok((name, topic.id))
}

/// Gives topics more partitions.
pub(super) fn create_partitions(
    context: &Context<'_>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let nodes = |a: CreatePartitionsAssignment| a.broker_ids.iter().map(|id| id.0).collect();
        let given = topic.assignments.map(|all| all.into_iter().map(nodes).collect());
        let topics = &context.broker.topics;
        let grown = topics.grow(&topic.name, topic.count, given, request.validate_only);
        let response = CreatePartitionsTopicResult::default().with_name(topic.name);
        results.push(match grown {
            Ok(()) => response,
            Err(error) => response
                .with_error_code(ResponseError::from(&error).code())
                .with_error_message(Some(text(error.to_string()))),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}
