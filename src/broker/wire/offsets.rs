//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use super::Context;
use crate::broker::{
    log::{Isolation, Log},
    storage::Note,
};
use kafka_protocol::{
    ResponseError,
    messages::{
        DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
    },
};

/// Timestamps that mean something else.
mod special {
    /// Behind the newest record.
    pub(super) const LATEST: i64 = -1;
    /// The oldest record.
    pub(super) const EARLIEST: i64 = -2;
    /// The record with the largest timestamp.
    pub(super) const MAX_TIMESTAMP: i64 = -3;
}

/// Offsets by time.
pub(super) fn list_offsets(
    context: &Context<'_>,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = super::isolation(request.isolation_level);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let answer = |p: &kafka_protocol::messages::list_offsets_request::ListOffsetsPartition| {
            let response =
                ListOffsetsPartitionResponse::default().with_partition_index(p.partition_index);
            let found = context.broker.topics.partition(&topic.name, p.partition_index);
            let result = match found {
                Some(partition) => context
                    .check_epoch(&partition, p.current_leader_epoch)
                    .and_then(|()| context.lead(&partition))
                    .and_then(|log| {
                        let (offset, timestamp) = list_offset(&log, p.timestamp, isolation)?;
                        Ok((offset, timestamp, log.leader_epoch()))
                    }),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            match result {
                Ok((offset, timestamp, epoch)) => {
                    let response = response.with_offset(offset).with_timestamp(timestamp);
                    let has_epoch = context.version >= 4 && offset >= 0;
                    if has_epoch { response.with_leader_epoch(epoch) } else { response }
                }
                Err(error) => {
                    response.with_error_code(error.code()).with_offset(-1).with_timestamp(-1)
                }
            }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// Offset and timestamp; -1 and -1 if no record that the client may see is late enough.
fn list_offset(
    log: &Log,
    timestamp: i64,
    isolation: Isolation,
) -> Result<(i64, i64), ResponseError> {
    let found = match timestamp {
        special::LATEST => return Ok((log.end_for(isolation), -1)),
        special::EARLIEST => return Ok((log.start_offset(), -1)),
        special::MAX_TIMESTAMP => log.latest_in_time(),
        time if time >= 0 => log.first_since(time),
        _ => return Err(ResponseError::UnsupportedVersion),
    };
    match found {
        Ok(found) => {
            let seen = found.filter(|record| record.offset < log.end_for(isolation));
            Ok(seen.map_or((-1, -1), |record| (record.offset, record.timestamp_ms)))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot search the log");
            Err(ResponseError::KafkaStorageError)
        }
    }
}

/// Where the records of a leader epoch end.
pub(super) fn offset_for_leader_epoch(
    context: &Context<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let response = EpochEndOffset::default().with_partition(wanted.partition);
            let Some(partition) = context.broker.topics.partition(&topic.topic, wanted.partition)
            else {
                let error = ResponseError::UnknownTopicOrPartition.code();
                partitions.push(response.with_error_code(error));
                continue;
            };
            let end = context
                .check_epoch(&partition, wanted.current_leader_epoch)
                .and_then(|()| context.lead(&partition))
                .map(|log| log.end_of_epoch(wanted.leader_epoch).unwrap_or((-1, -1)));
            partitions.push(match end {
                Ok((epoch, end)) => response.with_leader_epoch(epoch).with_end_offset(end),
                Err(error) => response.with_error_code(error.code()),
            });
        }
        topics.push(
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic)
                .with_partitions(partitions),
        );
    }
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

/// Gives up the records in front of an offset; -1 means all that there are.
pub(super) fn delete_records(
    context: &Context<'_>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let result = delete_before(context, &topic.name, wanted.partition_index, wanted.offset);
            let response = DeleteRecordsPartitionResult::default()
                .with_partition_index(wanted.partition_index);
            partitions.push(match result {
                Ok(start) => response.with_low_watermark(start),
                Err(error) => response.with_low_watermark(-1).with_error_code(error.code()),
            });
        }
        topics.push(
            DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

fn delete_before(
    context: &Context<'_>,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let topic = context.broker.topics.get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let found = topic.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let mut log = context.lead(found)?;
    if topic.policy.only_compacts() {
        return Err(ResponseError::PolicyViolation);
    }
    let offset = if offset == -1 { log.end_offset() } else { offset };
    if offset < 0 || offset > log.end_offset() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let note = Note::Start { topic: topic.id, partition, offset };
    let done = context.broker.storage.note(&[note]).and_then(|()| log.delete_before(offset));
    done.map_err(|error| {
        tracing::error!(%error, "cannot delete records");
        ResponseError::KafkaStorageError
    })
}
