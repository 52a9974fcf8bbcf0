//! ListTransactions, DescribeTransactions, DescribeProducers.

use super::{Context, text, topic_name};
use crate::broker::{
    cluster::Coordinated,
    log::ProducerState as Producer,
    transaction::{State, Transaction},
};
use kafka_protocol::{
    ResponseError,
    messages::{
        DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
        DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse,
        ProducerId, TransactionalId,
        describe_producers_response::{PartitionResponse, ProducerState, TopicResponse},
        describe_transactions_response::{TopicData, TransactionState as Described},
        list_transactions_response::TransactionState as Listed,
    },
};

/// All transactional ids, or those in the wanted states, of the wanted producers, open for so long.
pub(super) fn list_transactions(
    context: &Context<'_>,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let now_ms = context.broker.config.clock.now_ms();
    let (states, producers) = (&request.state_filters, &request.producer_id_filters);
    // Older clients cannot ask for it, and the field then stands for "any".
    let longer_ms = request.duration_filter;
    let is_wanted = |t: &Transaction| {
        let open_ms = t.started_ms.map_or(0, |start| now_ms - start);
        (states.is_empty() || states.iter().any(|s| **s == *t.state.name()))
            && (producers.is_empty() || producers.contains(&ProducerId(t.producer_id)))
            && (longer_ms < 0 || open_ms > longer_ms)
    };
    let mut listed = Vec::new();
    context.broker.transactions.each(|id, transaction| {
        if context.coordinates(Coordinated::Transaction(id)) && is_wanted(transaction) {
            listed.push(
                Listed::default()
                    .with_transactional_id(TransactionalId(text(id)))
                    .with_producer_id(ProducerId(transaction.producer_id))
                    .with_transaction_state(text(transaction.state.name())),
            );
        }
    });
    let unknown = states.iter().filter(|s| !State::NAMES.contains(&&***s)).cloned().collect();
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown)
        .with_transaction_states(listed)
}

/// What there is to know of transactional ids.
pub(super) fn describe_transactions(
    context: &Context<'_>,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let describe = |id: TransactionalId| {
        let found = context
            .check_coordinator(Coordinated::Transaction(&id))
            .and_then(|()| {
                let missing = if id.is_empty() {
                    ResponseError::InvalidRequest
                } else {
                    ResponseError::TransactionalIdNotFound
                };
                context.broker.transactions.look(&id, described).ok_or(missing)
            })
            .unwrap_or_else(|error| Described::default().with_error_code(error.code()));
        found.with_transactional_id(id)
    };
    let described = request.transactional_ids.into_iter().map(describe).collect();
    DescribeTransactionsResponse::default().with_transaction_states(described)
}

fn described(transaction: &Transaction) -> Described {
    let topics = transaction.partitions.iter().map(|(topic, partitions)| {
        let partitions = partitions.keys().copied().collect();
        TopicData::default().with_topic(topic_name(topic)).with_partitions(partitions)
    });
    Described::default()
        .with_transaction_state(text(transaction.state.name()))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.started_ms.unwrap_or(-1))
        .with_producer_id(ProducerId(transaction.producer_id))
        .with_producer_epoch(transaction.epoch)
        .with_topics(topics.collect())
}

/// What partitions know of producers.
pub(super) fn describe_producers(
    context: &Context<'_>,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let describe = |number: &i32| {
            let response = PartitionResponse::default().with_partition_index(*number);
            let producers = context
                .broker
                .topics
                .partition(&topic.name, *number)
                .ok_or(ResponseError::UnknownTopicOrPartition)
                .and_then(|partition| context.lead(&partition).map(|log| log.producers()));
            match producers {
                Ok(producers) => {
                    response.with_active_producers(producers.iter().map(producer).collect())
                }
                Err(error) => response.with_error_code(error.code()),
            }
        };
        let partitions = topic.partition_indexes.iter().map(describe).collect();
        topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    DescribeProducersResponse::default().with_topics(topics)
}

fn producer(producer: &Producer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.producer_id))
        .with_producer_epoch(producer.epoch.into())
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp_ms)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.open_from.unwrap_or(-1))
}
