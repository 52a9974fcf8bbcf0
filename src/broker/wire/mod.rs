//! Requests in, responses out: the Kafka protocol over the broker's state.
//!
//! [`connection`] reads frames and calls [`api`], which decodes, calls the handler of the request and
//! encodes its response. Handlers know nothing of bytes or sockets.

mod access;
mod api;
mod configs;
mod connection;
mod consumer_groups;
mod coordinator;
mod describe;
mod elections;
mod fetch;
#[cfg(test)]
mod fuzz;
mod group_admin;
mod groups;
mod hints;
mod metadata;
mod offsets;
mod produce;
mod refusal;
mod sasl;
mod shape;
#[cfg(test)]
mod tests;
mod topics;
mod transaction_admin;
mod transactions;

pub(crate) use api::is_served;
pub(crate) use connection::serve;

use super::{
    cluster::Coordinated,
    log::{AppendError, BatchError, Isolation, Log, ReadError, SequenceError},
    peer::Peer,
    security::Session,
    server::Shared,
    topics::{Partition, TopicError},
};
use kafka_protocol::{
    ResponseError,
    messages::{BrokerId, TopicName},
    protocol::StrBytes,
};
use parking_lot::{Mutex, MutexGuard};
use std::{cmp::Ordering, sync::Arc};

/// What a handler knows besides the request.
pub(crate) struct Context<'a> {
    /// The broker.
    pub(crate) broker: &'a Shared,
    /// Id of the node that the client talks to.
    pub(crate) node: i32,
    /// Version of the request, and of the response.
    pub(crate) version: i16,
    /// `client.id` of the client.
    pub(crate) client_id: &'a str,
    /// Address of the client, as `/127.0.0.1`.
    pub(crate) client_host: &'a str,
    /// The client itself, as far as one can see.
    pub(crate) peer: &'a Arc<Peer>,
    /// How far it has authenticated.
    pub(crate) session: &'a Mutex<Session>,
}

impl Context<'_> {
    /// An error if the client asks the wrong node about a group or a transactional id.
    pub(crate) fn check_coordinator(&self, of: Coordinated<'_>) -> Result<(), ResponseError> {
        if self.coordinates(of) { Ok(()) } else { Err(ResponseError::NotCoordinator) }
    }

    /// True if this node coordinates a group or a transactional id.
    pub(crate) fn coordinates(&self, of: Coordinated<'_>) -> bool {
        self.broker.cluster.coordinator(of) == Some(self.node)
    }

    /// What is wrong with a client's idea of the leader epoch; clients without one say -1.
    pub(crate) fn check_epoch(
        &self,
        partition: &Partition,
        said: i32,
    ) -> Result<(), ResponseError> {
        let replicas = partition.replicas();
        if !replicas.assigned().contains(&self.node) {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        match said.cmp(&replicas.epoch()) {
            Ordering::Less if said >= 0 => Err(ResponseError::FencedLeaderEpoch),
            Ordering::Greater => Err(ResponseError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// The log of a partition, if this node leads it; it does as long as the log is held.
    pub(crate) fn lead<'p>(
        &self,
        partition: &'p Partition,
    ) -> Result<MutexGuard<'p, Log>, ResponseError> {
        partition.log_of_leader(self.node).ok_or(ResponseError::NotLeaderOrFollower)
    }
}

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

fn node_ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
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
            TopicError::Replication(_) => Self::InvalidReplicationFactor,
            TopicError::Assignment(_) => Self::InvalidReplicaAssignment,
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
