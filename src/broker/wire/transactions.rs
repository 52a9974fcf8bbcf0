//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn.

use super::{Context, code, groups::MAX_METADATA_BYTES};
use crate::broker::{
    cluster::Coordinated,
    group::Committed,
    log::Outcome,
    transaction::{Init, Owner},
};
use kafka_protocol::{
    ResponseError,
    messages::{
        AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
        AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
        InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
        add_partitions_to_txn_response::{
            AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
        },
        txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic},
        txn_offset_commit_response::{
            TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
        },
    },
};

/// The error in the words of clients that know only one for a fenced producer: those that ask in
/// versions below `first`.
fn fenced_as(version: i16, first: i16) -> impl Fn(ResponseError) -> ResponseError {
    move |error| match error {
        ResponseError::ProducerFenced if version < first => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}

fn owner(ProducerId(producer_id): ProducerId, epoch: i16) -> Owner {
    Owner { producer_id, epoch }
}

/// A producer id that nobody has had, or the next epoch of a transactional id.
pub(super) fn init_producer_id(
    context: &Context<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let given = match init(context, &request) {
        Ok(given) => given,
        Err(error) => {
            return InitProducerIdResponse::default()
                .with_error_code(fenced_as(context.version, 4)(error).code())
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1);
        }
    };
    InitProducerIdResponse::default()
        .with_producer_id(ProducerId(given.producer_id))
        .with_producer_epoch(given.epoch)
}

fn init(context: &Context<'_>, request: &InitProducerIdRequest) -> Result<Owner, ResponseError> {
    let broker = context.broker;
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        // One says who the producer is, the other does not.
        (-1, _) | (_, -1) => return Err(ResponseError::InvalidRequest),
        (producer_id, epoch) => Some(Owner { producer_id, epoch }),
    };
    match &request.transactional_id {
        Some(id) => {
            context.check_coordinator(Coordinated::Transaction(id))?;
            let timeout_ms = request.transaction_timeout_ms;
            broker.transactions.init(id, Init { timeout_ms, expected })
        }
        None => match broker.producer_ids.next() {
            Ok(producer_id) => Ok(Owner { producer_id, epoch: 0 }),
            Err(error) => {
                tracing::error!(%error, "cannot give out a producer id");
                Err(ResponseError::KafkaStorageError)
            }
        },
    }
}

/// Partitions become part of a transaction: all of them, or none.
pub(super) fn add_partitions(
    context: &Context<'_>,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let broker = context.broker;
    let exists = |topic: &str, partition| broker.topics.partition(topic, partition).is_some();
    let topics = request.v3_and_below_topics;
    let wanted: Vec<(String, i32)> = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.to_string(), *p)))
        .collect();
    let all_exist = wanted.iter().all(|(topic, partition)| exists(topic, *partition));
    let id = &request.v3_and_below_transactional_id;
    let result = if all_exist {
        let by = owner(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
        context
            .check_coordinator(Coordinated::Transaction(id))
            .and_then(|()| broker.transactions.add_partitions(id, by, &wanted))
            .map_err(fenced_as(context.version, 2))
    } else {
        Err(ResponseError::OperationNotAttempted)
    };
    let topics = topics.into_iter().map(|topic| {
        let partition = |&number: &i32| {
            let result = if exists(&topic.name, number) {
                result
            } else {
                Err(ResponseError::UnknownTopicOrPartition)
            };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(number)
                .with_partition_error_code(code(result))
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name)
            .with_results_by_partition(partitions)
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

/// Offsets of a group may become part of a transaction.
pub(super) fn add_offsets(
    context: &Context<'_>,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let result = if request.group_id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        let by = owner(request.producer_id, request.producer_epoch);
        let id = &request.transactional_id;
        context
            .check_coordinator(Coordinated::Transaction(id))
            .and_then(|()| context.broker.transactions.add_group(id, by, &request.group_id))
    };
    let result = result.map_err(fenced_as(context.version, 2));
    AddOffsetsToTxnResponse::default().with_error_code(code(result))
}

/// Offsets become part of a transaction, if the group agrees.
pub(super) fn commit_offsets(
    context: &Context<'_>,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let broker = context.broker;
    let (id, group) = (&*request.transactional_id, &*request.group_id);
    let by = owner(request.producer_id, request.producer_epoch);
    // Clients know one error of this request for a fenced producer.
    let version = context.version;
    let fenced = move |error| match fenced_as(0, 1)(error) {
        // A producer that knows the word may abort and go on.
        ResponseError::InvalidTxnState if version >= 4 => ResponseError::TransactionAbortable,
        error => error,
    };
    let exists = |topic: &str, number| broker.topics.partition(topic, number).is_some();
    let any = |t: &TxnOffsetCommitRequestTopic| {
        t.partitions.iter().any(|p| exists(&t.name, p.partition_index))
    };
    let mut allowed = if !request.topics.iter().any(any) {
        // Kafka looks for the partitions first, and asks the group only about those it finds.
        Ok(())
    } else if group.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else if !context.coordinates(Coordinated::Group(group)) {
        Err(ResponseError::NotCoordinator)
    } else {
        let in_transaction = broker.transactions.check_group(id, by, group).map_err(&fenced);
        // The consumer whose offsets they are may have lost its partitions.
        let member = (&*request.member_id, request.group_instance_id.as_deref());
        let generation = request.generation_id;
        in_transaction
            .and_then(|()| broker.groups.may_commit_in_transaction(group, member, generation))
    };
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let number = partition.partition_index;
            let result = if exists(&topic.name, number) {
                allowed.and_then(|()| committed(partition))
            } else {
                Err(ResponseError::UnknownTopicOrPartition)
            };
            partitions.push((number, result.as_ref().map(|_| ()).map_err(|e| *e)));
            if let Ok(committed) = result {
                offsets.push((topic.name.to_string(), number, committed));
            }
        }
        topics.push((topic.name.clone(), partitions));
    }
    if !offsets.is_empty() {
        let added = broker.transactions.add_offsets(id, by, group, offsets);
        allowed = added.map_err(&fenced);
    }
    let topic = |(name, partitions): (_, Vec<(i32, Result<(), ResponseError>)>)| {
        let partition = |(number, result): (i32, Result<(), ResponseError>)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(number)
                .with_error_code(code(result.and(allowed)))
        };
        let partitions = partitions.into_iter().map(partition).collect();
        TxnOffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions)
    };
    TxnOffsetCommitResponse::default().with_topics(topics.into_iter().map(topic).collect())
}

fn committed(partition: &TxnOffsetCommitRequestPartition) -> Result<Committed, ResponseError> {
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default().to_owned();
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let (offset, leader_epoch) = (partition.committed_offset, partition.committed_leader_epoch);
    Ok(Committed { offset, leader_epoch, metadata })
}

/// A transaction is committed or aborted.
pub(super) fn end(context: &Context<'_>, request: EndTxnRequest) -> EndTxnResponse {
    let by = owner(request.producer_id, request.producer_epoch);
    let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
    let id = &request.transactional_id;
    let result = context
        .check_coordinator(Coordinated::Transaction(id))
        .and_then(|()| context.broker.transactions.end(id, by, outcome));
    EndTxnResponse::default().with_error_code(code(result.map_err(fenced_as(context.version, 2))))
}
