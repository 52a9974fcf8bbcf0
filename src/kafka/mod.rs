//! Kafka, and the only place that names librdkafka.
//!
//! * [`consumer`]: one member of a consumer group, with a queue for each partition.
//! * [`log_reader`]: one partition from an offset to its end, outside of groups.
//! * [`feed`]: all partitions of a topic, outside of groups, without an end.
//! * [`messages`]: fetched records, in the client library's own memory.
//! * [`producer`]: the idempotent producer, and flights: sets of records that are acknowledged together.
//! * [`transaction`]: what a producer with a transactional id does beside that.
//! * [`admin`]: topics and offsets. [`TopicIdentity`]: which topic it is.
//!
//! # Not here
//!
//! What the records mean (`codec`), which offsets are safe to commit (`engine`).

pub mod admin;
pub mod answer;
mod attached;
pub mod consumer;
mod delivery;
pub mod feed;
pub mod flight;
mod groups;
mod hold;
mod identity;
pub mod log_reader;
mod members;
pub mod messages;
mod nobody;
mod nudge;
mod offsets;
pub mod outgoing;
pub mod producer;
pub mod queue;
mod raw;
mod reached;
mod returning;
mod rows;
pub mod settings;
mod spread;
mod stage;
mod topic_settings;
pub mod transaction;
mod trouble;

pub use identity::TopicIdentity;

use crate::error::{Act, Error};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

/// Turns the client library's error into ours, saying what was being done.
pub(crate) fn failed(what: impl Into<String>, err: &KafkaError) -> Error {
    if let KafkaError::ClientConfig(_, reason, key, value) = err {
        return Error::Config(format!("kafka setting {key}={value}: {reason}"));
    }
    let what = what.into();
    match err.rdkafka_error_code() {
        Some(code) => failed_code(what, code),
        None => {
            Error::Kafka { what, code: "CLIENT".into(), message: err.to_string(), act: Act::Stop }
        }
    }
}

/// As [`failed`], from a bare code.
pub(crate) fn failed_code(what: impl Into<String>, code: RDKafkaErrorCode) -> Error {
    use RDKafkaErrorCode as C;
    let act = match code {
        C::AllBrokersDown
        | C::BrokerTransportFailure
        | C::OperationTimedOut
        | C::RequestTimedOut
        | C::MessageTimedOut
        | C::QueueFull
        | C::CoordinatorLoadInProgress
        | C::CoordinatorNotAvailable
        | C::NotCoordinator
        | C::LeaderNotAvailable
        | C::NotLeaderForPartition
        | C::WaitingForCoordinator
        | C::RebalanceInProgress
        | C::UnknownTopicOrPartition
        | C::UnknownTopic
        | C::UnknownPartition => Act::Retry,
        C::UnknownMemberId | C::IllegalGeneration | C::FencedInstanceId | C::Fenced => Act::Fence,
        C::MessageSizeTooLarge | C::InvalidArgument => Act::Caller,
        _ => Act::Stop,
    };
    Error::Kafka { what: what.into(), code: format!("{code:?}"), message: code.to_string(), act }
}

/// Passes a line of the client library's log on; `level` is syslog's.
pub(crate) fn log(level: i32, facility: &str, text: &str) {
    // Each client gets the settings of all: that a producer has no use for a consumer's is no news.
    // A failed connection comes again as an error of the client, which is logged there.
    if matches!(facility, "CONFWARN" | "FAIL" | "BGQUEUE") {
        tracing::debug!(target: "turbine.kafka", "{text}");
        return;
    }
    match level {
        ..=3 => tracing::error!(target: "turbine.kafka", "{facility}: {text}"),
        4 => tracing::warn!(target: "turbine.kafka", "{facility}: {text}"),
        5 | 6 => tracing::info!(target: "turbine.kafka", "{facility}: {text}"),
        _ => tracing::debug!(target: "turbine.kafka", "{facility}: {text}"),
    }
}
