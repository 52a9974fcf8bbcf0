//! Requests in, responses out: the Kafka protocol over the broker's state.
//!
//! [`connection`] reads frames and calls [`api`], which decodes, calls the handler of the request and
//! encodes its response. Handlers know nothing of bytes or sockets.

mod api;
mod configs;
mod connection;
mod coordinator;
mod describe;
mod fetch;
mod group_admin;
mod groups;
mod metadata;
mod offsets;
mod produce;
mod shape;
#[cfg(test)]
mod tests;
mod topics;

pub(crate) use connection::serve;

use super::{
    log::{AppendError, BatchError, Isolation, ReadError, SequenceError},
    peer::Peer,
    server::Shared,
    topics::TopicError,
};
use kafka_protocol::{ResponseError, messages::TopicName, protocol::StrBytes};
use std::sync::Arc;

/// What a handler knows besides the request.
pub(crate) struct Context<'a> {
    /// The broker.
    pub(crate) broker: &'a Shared,
    /// Version of the request, and of the response.
    pub(crate) version: i16,
    /// `client.id` of the client.
    pub(crate) client_id: &'a str,
    /// Address of the client, as `/127.0.0.1`.
    pub(crate) client_host: &'a str,
    /// The client itself, as far as one can see.
    pub(crate) peer: &'a Arc<Peer>,
}

/// Id of the one node of the cluster.
pub(crate) const NODE_ID: i32 = 1;
/// "Not asked for", in fields that tell what a client may do.
const NO_OPERATIONS: i32 = i32::MIN;

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn topic_name(name: impl Into<String>) -> TopicName {
    TopicName(text(name))
}

/// What a client means by its isolation level.
fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

impl From<&TopicError> for ResponseError {
    fn from(error: &TopicError) -> Self {
        match error {
            TopicError::Exists(_) => Self::TopicAlreadyExists,
            TopicError::Unknown => Self::UnknownTopicOrPartition,
            TopicError::Name(_) => Self::InvalidTopicException,
            TopicError::Partitions(_) => Self::InvalidPartitions,
            TopicError::Io(_) => Self::KafkaStorageError,
        }
    }
}

impl From<&BatchError> for ResponseError {
    fn from(error: &BatchError) -> Self {
        match error {
            BatchError::Magic(_) => Self::UnsupportedForMessageFormat,
            BatchError::Short | BatchError::Length(_) | BatchError::Crc => Self::CorruptMessage,
            BatchError::Counts { .. } | BatchError::Trailing(_) | BatchError::Fields(_) => {
                Self::InvalidRecord
            }
        }
    }
}

impl From<&AppendError> for ResponseError {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::Sequence(SequenceError::StaleEpoch { .. }) => Self::InvalidProducerEpoch,
            AppendError::Sequence(SequenceError::OutOfOrder { .. }) => {
                Self::OutOfOrderSequenceNumber
            }
            AppendError::NotInTransaction | AppendError::OutsideTransaction => {
                Self::InvalidTxnState
            }
            AppendError::TooLarge { .. } => Self::MessageTooLarge,
            AppendError::Ahead { .. } => Self::InvalidTimestamp,
            AppendError::NoKey(_) => Self::InvalidRecord,
            AppendError::Damaged(_) => Self::CorruptMessage,
            AppendError::Io(_) => Self::KafkaStorageError,
        }
    }
}

impl From<&ReadError> for ResponseError {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::OutOfRange { .. } => Self::OffsetOutOfRange,
            ReadError::Io(_) => Self::KafkaStorageError,
        }
    }
}
