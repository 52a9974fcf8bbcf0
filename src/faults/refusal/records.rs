//! Requests about the records of partitions.

use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeProducersRequest,
    DescribeProducersResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
    ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest,
    ProduceResponse,
    delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
    describe_producers_response::{PartitionResponse, TopicResponse},
    fetch_response::{FetchableTopicResponse, PartitionData},
    list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
    offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
    produce_response::{PartitionProduceResponse, TopicProduceResponse},
};

/// First version of Fetch whose response has an error of its own.
const FETCH_WITH_ERROR: i16 = 7;

/// None if the client waits for no response.
pub(super) fn produce(request: ProduceRequest, code: i16) -> Option<ProduceResponse> {
    if request.acks == 0 {
        return None;
    }
    let partition = |index| {
        PartitionProduceResponse::default()
            .with_index(index)
            .with_error_code(code)
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
    };
    let topics = request.topic_data.into_iter().map(|topic| {
        TopicProduceResponse::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partition_responses(
                topic.partition_data.iter().map(|p| partition(p.index)).collect(),
            )
    });
    Some(ProduceResponse::default().with_responses(topics.collect()))
}

pub(super) fn fetch(request: FetchRequest, version: i16, code: i16) -> FetchResponse {
    if request.topics.is_empty() && version >= FETCH_WITH_ERROR {
        // A session: the broker knows the partitions, the request does not name them.
        return FetchResponse::default().with_error_code(code);
    }
    let partition = |number| {
        PartitionData::default()
            .with_partition_index(number)
            .with_error_code(code)
            .with_high_watermark(-1)
            .with_records(Some(bytes::Bytes::new()))
    };
    let topics = request.topics.into_iter().map(|topic| {
        FetchableTopicResponse::default()
            .with_topic(topic.topic)
            .with_topic_id(topic.topic_id)
            .with_partitions(topic.partitions.iter().map(|p| partition(p.partition)).collect())
    });
    FetchResponse::default().with_responses(topics.collect())
}

pub(super) fn list_offsets(request: ListOffsetsRequest, _: i16, code: i16) -> ListOffsetsResponse {
    let partition = |number| {
        ListOffsetsPartitionResponse::default().with_partition_index(number).with_error_code(code)
    };
    let topics = request.topics.into_iter().map(|topic| {
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(
            topic.partitions.iter().map(|p| partition(p.partition_index)).collect(),
        )
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

pub(super) fn offset_for_leader_epoch(
    request: OffsetForLeaderEpochRequest,
    _: i16,
    code: i16,
) -> OffsetForLeaderEpochResponse {
    let partition = |number| EpochEndOffset::default().with_partition(number).with_error_code(code);
    let topics = request.topics.into_iter().map(|topic| {
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic)
            .with_partitions(topic.partitions.iter().map(|p| partition(p.partition)).collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

pub(super) fn delete_records(
    request: DeleteRecordsRequest,
    _: i16,
    code: i16,
) -> DeleteRecordsResponse {
    let partition = |number| {
        DeleteRecordsPartitionResult::default()
            .with_partition_index(number)
            .with_low_watermark(-1)
            .with_error_code(code)
    };
    let topics = request.topics.into_iter().map(|topic| {
        DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(
            topic.partitions.iter().map(|p| partition(p.partition_index)).collect(),
        )
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

pub(super) fn describe_producers(
    request: DescribeProducersRequest,
    _: i16,
    code: i16,
) -> DescribeProducersResponse {
    let partition =
        |number| PartitionResponse::default().with_partition_index(number).with_error_code(code);
    let topics = request.topics.into_iter().map(|topic| {
        TopicResponse::default()
            .with_name(topic.name)
            .with_partitions(topic.partition_indexes.into_iter().map(partition).collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}
