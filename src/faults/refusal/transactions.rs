//! Requests about producers and transactions.

pub(super) use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, EndTxnResponse, ListTransactionsResponse,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    add_partitions_to_txn_response::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
    },
    describe_transactions_response::TransactionState,
    txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic},
};

/// First version of AddPartitionsToTxn whose response has an error of its own.
const ADD_PARTITIONS_WITH_ERROR: i16 = 4;

pub(super) fn no_producer_id() -> InitProducerIdResponse {
    InitProducerIdResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
}

pub(super) fn add_partitions(
    request: AddPartitionsToTxnRequest,
    version: i16,
    code: i16,
) -> AddPartitionsToTxnResponse {
    let response = AddPartitionsToTxnResponse::default();
    if version >= ADD_PARTITIONS_WITH_ERROR {
        return response.with_error_code(code);
    }
    let partition = |number| {
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(number)
            .with_partition_error_code(code)
    };
    let topics = request.v3_and_below_topics.into_iter().map(|topic| {
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name)
            .with_results_by_partition(topic.partitions.into_iter().map(partition).collect())
    });
    response.with_results_by_topic_v3_and_below(topics.collect())
}

pub(super) fn offset_commit(
    request: TxnOffsetCommitRequest,
    _: i16,
    code: i16,
) -> TxnOffsetCommitResponse {
    let partition = |number| {
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(number)
            .with_error_code(code)
    };
    let topics = request.topics.into_iter().map(|topic| {
        TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(
            topic.partitions.iter().map(|p| partition(p.partition_index)).collect(),
        )
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn describe(
    request: DescribeTransactionsRequest,
    _: i16,
    code: i16,
) -> DescribeTransactionsResponse {
    let state = |id| TransactionState::default().with_transactional_id(id).with_error_code(code);
    DescribeTransactionsResponse::default()
        .with_transaction_states(request.transactional_ids.into_iter().map(state).collect())
}
