//! Fetch, with waiting for enough records.
//!
//! Fetch sessions are declined: the session id of every response is 0, and clients then send all
//! their partitions in every request.

use super::{Context, hints::Hints, text};
use crate::broker::{
    cluster::Endpoint,
    log::{Aborted, Isolation, Log, ReadError},
    topics::{Partition, Topic, Waiter},
};
use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, FetchRequest, FetchResponse, ProducerId, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::{
            AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
            PartitionData,
        },
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// First version that names topics by their ids.
const TOPIC_IDS: i16 = 13;

/// First version that is told where the leader is.
const HINTS: i16 = 16;
/// First version that may read from followers.
const FROM_FOLLOWERS: i16 = 11;

/// What one look at the logs has given.
struct Look {
    responses: Vec<FetchableTopicResponse>,
    bytes: usize,
    has_error: bool,
    hints: Hints,
}

/// Reads records, and waits for them if there are too few.
pub(super) async fn fetch(context: &Context<'_>, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 && request.session_epoch > 0 {
        let error = ResponseError::FetchSessionIdNotFound.code();
        return FetchResponse::default().with_error_code(error);
    }
    let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let mut found = look(context, &request);
    if found.bytes < enough && !found.has_error && request.max_wait_ms > 0 {
        let waiter = Waiter::new(partitions(context, &request));
        loop {
            found = look(context, &request);
            if found.bytes >= enough || found.has_error {
                break;
            }
            if timeout_at(deadline, waiter.changed()).await.is_err() {
                found = look(context, &request);
                break;
            }
        }
    }
    let response = FetchResponse::default().with_responses(found.responses);
    let endpoint = |node: &Endpoint| {
        NodeEndpoint::default()
            .with_node_id(BrokerId(node.id))
            .with_host(text(&node.host))
            .with_port(node.port.into())
    };
    response.with_node_endpoints(found.hints.endpoints(context).into_iter().map(endpoint).collect())
}

fn topic(context: &Context<'_>, wanted: &FetchTopic) -> Option<Arc<Topic>> {
    if context.version >= TOPIC_IDS {
        context.broker.topics.by_id(wanted.topic_id)
    } else {
        context.broker.topics.get(&wanted.topic)
    }
}

fn partitions(context: &Context<'_>, request: &FetchRequest) -> Vec<Arc<Partition>> {
    let mut found = Vec::new();
    for wanted in &request.topics {
        if let Some(topic) = topic(context, wanted) {
            let numbers = wanted.partitions.iter().map(|p| p.partition);
            found.extend(numbers.filter_map(|p| topic.partition(p).cloned()));
        }
    }
    found
}

fn look(context: &Context<'_>, request: &FetchRequest) -> Look {
    let mut look =
        Look { responses: Vec::new(), bytes: 0, has_error: false, hints: Hints::default() };
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
    let isolation = super::isolation(request.isolation_level);
    for wanted in &request.topics {
        let topic = topic(context, wanted);
        let mut partitions = Vec::with_capacity(wanted.partitions.len());
        for partition in &wanted.partitions {
            let left = max_bytes.saturating_sub(look.bytes);
            let mut data = match topic.as_ref().and_then(|t| t.partition(partition.partition)) {
                Some(found) => read(context, found, partition, (left, look.bytes == 0), isolation),
                None => failed(partition, unknown(context, topic.is_some())),
            };
            if context.version >= HINTS
                && data.error_code != 0
                && let Some(found) = topic.as_ref().and_then(|t| t.partition(partition.partition))
                && let Some((leader, epoch)) = look.hints.leader(found, data.error_code)
            {
                data.current_leader =
                    LeaderIdAndEpoch::default().with_leader_id(leader).with_leader_epoch(epoch);
            }
            look.bytes += data.records.as_ref().map_or(0, Bytes::len);
            look.has_error |= data.error_code != 0;
            partitions.push(data);
        }
        let (name, id) = if context.version >= TOPIC_IDS {
            (TopicName::default(), wanted.topic_id)
        } else {
            (wanted.topic.clone(), Uuid::nil())
        };
        look.responses.push(
            FetchableTopicResponse::default()
                .with_topic(name)
                .with_topic_id(id)
                .with_partitions(partitions),
        );
    }
    look
}

fn unknown(context: &Context<'_>, has_topic: bool) -> ResponseError {
    if context.version >= TOPIC_IDS && !has_topic {
        ResponseError::UnknownTopicId
    } else {
        ResponseError::UnknownTopicOrPartition
    }
}

fn failed(wanted: &FetchPartition, error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_partition_index(wanted.partition)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_records(Some(Bytes::new()))
}

/// Reads a partition; a reader of committed records gets only those that it may see, so that
/// `min_bytes` does not end its waiting before there are some.
fn read(
    context: &Context<'_>,
    partition: &Partition,
    wanted: &FetchPartition,
    (left, at_least_one): (usize, bool),
    isolation: Isolation,
) -> PartitionData {
    let log = match context.check_epoch(partition, wanted.current_leader_epoch) {
        Err(error) => return failed(wanted, error),
        Ok(()) if context.version >= FROM_FOLLOWERS => partition.log_of_replica(context.node),
        Ok(()) => partition.log_of_leader(context.node),
    };
    let Some(log) = log else { return failed(wanted, ResponseError::NotLeaderOrFollower) };
    let limit = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
    let (records, aborted) =
        match records(&log, wanted.fetch_offset, limit, at_least_one, isolation) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "fetch refused");
                return failed(wanted, (&error).into());
            }
        };
    let data = PartitionData::default()
        .with_partition_index(wanted.partition)
        .with_aborted_transactions(aborted)
        .with_records(Some(records))
        .with_high_watermark(log.end_offset())
        .with_last_stable_offset(log.last_stable_offset());
    if context.version >= 5 { data.with_log_start_offset(log.start_offset()) } else { data }
}

type Records = (Bytes, Option<Vec<AbortedTransaction>>);

fn records(
    log: &Log,
    offset: i64,
    max_bytes: usize,
    at_least_one: bool,
    isolation: Isolation,
) -> Result<Records, ReadError> {
    let transaction = |aborted: Aborted| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(aborted.producer_id))
            .with_first_offset(aborted.first_offset)
    };
    match isolation {
        Isolation::ReadUncommitted => {
            log.read(offset, max_bytes, at_least_one).map(|records| (records, None))
        }
        Isolation::ReadCommitted => {
            let (records, aborted) = log.read_committed(offset, max_bytes, at_least_one)?;
            Ok((records, Some(aborted.into_iter().map(transaction).collect())))
        }
    }
}
