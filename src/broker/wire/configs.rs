//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use super::{Context, text};
use crate::broker::{
    cluster::default_factor,
    topic_config::{Kind, SETTINGS, Setting, TopicConfig},
    topics::TopicError,
};
use kafka_protocol::{
    ResponseError,
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, alter_configs_response,
        create_topics_response::CreatableTopicConfigs,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::{
            DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
        },
        incremental_alter_configs_request::AlterableConfig,
        incremental_alter_configs_response,
    },
    protocol::StrBytes,
};
use std::collections::BTreeMap;

/// Kinds of resources.
mod resource {
    pub(super) const TOPIC: i8 = 2;
    pub(super) const BROKER: i8 = 4;
}

/// Who has set a value.
mod source {
    pub(super) const TOPIC: i8 = 1;
    pub(super) const BROKER: i8 = 4;
    pub(super) const DEFAULT: i8 = 5;
}

type Refused = (ResponseError, String);

/// What a topic or the broker is set to.
pub(super) fn describe_configs(
    context: &Context<'_>,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let mut results = Vec::with_capacity(request.resources.len());
    for wanted in &request.resources {
        let result = DescribeConfigsResult::default()
            .with_resource_type(wanted.resource_type)
            .with_resource_name(wanted.resource_name.clone());
        results.push(match describe(context, wanted, request.include_synonyms) {
            Ok(configs) => result.with_configs(configs),
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(Some(text(message)))
            }
        });
    }
    DescribeConfigsResponse::default().with_results(results)
}

fn describe(
    context: &Context<'_>,
    wanted: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    let mut configs = match wanted.resource_type {
        resource::TOPIC => {
            let topic =
                context.broker.topics.get(&wanted.resource_name).ok_or_else(|| {
                    ((&TopicError::Unknown).into(), TopicError::Unknown.to_string())
                })?;
            let entry = |s: &Setting| topic_entry(context.version, &topic.config, s, synonyms);
            SETTINGS.iter().map(entry).collect::<Vec<_>>()
        }
        resource::BROKER => {
            check_broker(context, &wanted.resource_name)?;
            broker_configs(context)
        }
        other => {
            let message = format!("this broker has no settings for resources of kind {other}");
            return Err((ResponseError::InvalidRequest, message));
        }
    };
    if let Some(keys) = wanted.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
        configs.retain(|config| keys.contains(&config.name));
    }
    Ok(configs)
}

fn topic_entry(
    version: i16,
    config: &TopicConfig,
    setting: &Setting,
    synonyms: bool,
) -> DescribeConfigsResourceResult {
    let set = config.set().get(setting.name);
    let from = if set.is_some() { source::TOPIC } else { source::DEFAULT };
    let value = config.value(setting);
    let entry = entry(version, setting.name, value, setting.kind, from);
    if !synonyms {
        return entry;
    }
    let synonym = |value: &str, from| {
        DescribeConfigsSynonym::default()
            .with_name(text(setting.name))
            .with_value(Some(text(value)))
            .with_source(from)
    };
    let mut all: Vec<_> = set.map(|value| synonym(value, source::TOPIC)).into_iter().collect();
    all.push(synonym(setting.default, source::DEFAULT));
    entry.with_synonyms(all)
}

fn broker_configs(context: &Context<'_>) -> Vec<DescribeConfigsResourceResult> {
    let config = &context.broker.config;
    let keep = config.retention_bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
    let copies = default_factor(context.broker.cluster.nodes());
    let rows = [
        ("auto.create.topics.enable", config.auto_create_topics.to_string(), Kind::Bool),
        ("broker.id", context.node.to_string(), Kind::Int),
        ("default.replication.factor", copies.to_string(), Kind::Int),
        ("group.min.session.timeout.ms", config.min_session_timeout_ms.to_string(), Kind::Int),
        ("log.retention.bytes", keep, Kind::Long),
        ("message.max.bytes", "1048588".to_owned(), Kind::Int),
        ("num.partitions", config.default_partitions.to_string(), Kind::Int),
        ("socket.request.max.bytes", config.max_request_bytes.to_string(), Kind::Int),
    ];
    rows.iter()
        .map(|(name, value, kind)| {
            entry(context.version, name, value, *kind, source::BROKER).with_read_only(true)
        })
        .collect()
}

fn entry(
    version: i16,
    name: &str,
    value: &str,
    kind: Kind,
    from: i8,
) -> DescribeConfigsResourceResult {
    let entry = DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(from);
    if version >= 3 { entry.with_config_type(kind as i8) } else { entry }
}

/// The settings of a topic that was made, for the response.
pub(super) fn created(config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let entry = |setting: &Setting| {
        let set = config.set().contains_key(setting.name);
        CreatableTopicConfigs::default()
            .with_name(text(setting.name))
            .with_value(Some(text(config.value(setting))))
            .with_config_source(if set { source::TOPIC } else { source::DEFAULT })
    };
    SETTINGS.iter().map(entry).collect()
}

/// Replaces what is set for topics.
pub(super) fn alter_configs(
    context: &Context<'_>,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for wanted in request.resources {
        let (kind, name) = (wanted.resource_type, wanted.resource_name);
        let values = wanted.configs.into_iter();
        let set = values
            .filter_map(|c| Some((c.name.to_string(), c.value?.to_string())))
            .collect::<BTreeMap<_, _>>();
        let result = alter(context, kind, &name, request.validate_only, |_| Ok(set));
        let response = alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(kind)
            .with_resource_name(name);
        responses.push(match result {
            Ok(()) => response,
            Err((error, message)) => {
                response.with_error_code(error.code()).with_error_message(Some(text(message)))
            }
        });
    }
    AlterConfigsResponse::default().with_responses(responses)
}

/// Changes some of what is set for topics.
pub(super) fn incremental_alter_configs(
    context: &Context<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for wanted in request.resources {
        let (kind, name) = (wanted.resource_type, wanted.resource_name);
        let change = |set| wanted.configs.iter().try_fold(set, apply);
        let result = alter(context, kind, &name, request.validate_only, change);
        let response = incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(kind)
            .with_resource_name(name);
        responses.push(match result {
            Ok(()) => response,
            Err((error, message)) => {
                response.with_error_code(error.code()).with_error_message(Some(text(message)))
            }
        });
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn alter(
    context: &Context<'_>,
    kind: i8,
    name: &StrBytes,
    validate_only: bool,
    change: impl FnOnce(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String>,
) -> Result<(), Refused> {
    if kind != resource::TOPIC {
        let message = "only the settings of topics can be changed".to_owned();
        return Err((ResponseError::InvalidRequest, message));
    }
    let refused = |error: TopicError| ((&error).into(), error.to_string());
    let topics = &context.broker.topics;
    let topic = topics.get(name);
    // Of a wrong value and a missing topic Kafka names the value.
    let before = topic.as_ref().map(|topic| topic.config.set().clone()).unwrap_or_default();
    let config = change(before)
        .and_then(TopicConfig::new)
        .map_err(|message| (ResponseError::InvalidConfig, message))?;
    if topic.is_none() {
        return Err(refused(TopicError::Unknown));
    }
    if validate_only {
        return Ok(());
    }
    topics.configure(name, config).map_err(refused)?;
    context.broker.upkeep.look();
    Ok(())
}

/// One step of an incremental change.
fn apply(
    mut set: BTreeMap<String, String>,
    step: &AlterableConfig,
) -> Result<BTreeMap<String, String>, String> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let name = step.name.to_string();
    let setting =
        Setting::find(&name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
    if step.config_operation == DELETE {
        set.remove(&name);
        return Ok(set);
    }
    let value = step.value.as_ref().ok_or_else(|| format!("{name} has no value"))?.to_string();
    if step.config_operation == SET {
        set.insert(name, value);
        return Ok(set);
    }
    if setting.kind != Kind::List {
        return Err(format!("{name} is not a list"));
    }
    let before = set.get(&name).map_or(setting.default, String::as_str);
    let mut words: Vec<&str> = before.split(',').filter(|w| !w.is_empty()).collect();
    words.retain(|word| !value.split(',').any(|w| w == *word));
    match step.config_operation {
        APPEND => words.extend(value.split(',')),
        SUBTRACT => {}
        other => return Err(format!("operation {other} on {name} is unknown")),
    }
    let joined = words.join(",");
    set.insert(name, joined);
    Ok(set)
}

/// A node knows its own settings only; clients ask the node that they mean.
fn check_broker(context: &Context<'_>, name: &str) -> Result<(), Refused> {
    if name.is_empty() || name == context.node.to_string() {
        return Ok(());
    }
    let message = format!("Unexpected broker id, expected {}, but received {name}", context.node);
    Err((ResponseError::InvalidRequest, message))
}
