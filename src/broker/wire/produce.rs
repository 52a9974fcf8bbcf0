//! Produce.

use super::{Context, connection::Fault, hints::Hints};
use crate::broker::{
    cluster::Endpoint,
    log::{AppendError, Appended, BatchHeader, ProducedBatch, SequenceError},
    transaction::Owner,
};
use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, ProduceRequest, ProduceResponse,
        produce_response::{
            BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
            TopicProduceResponse,
        },
    },
};

/// `acks` of a client that wants its records on every replica that is in sync.
const ALL: i16 = -1;

/// Why records were not taken.
struct Refused {
    error: ResponseError,
    /// For people.
    message: String,
    /// The records that are at fault, counted from 0; empty if it is the whole batch.
    records: Vec<i32>,
    /// Where the log starts; -1 if the mistake was seen before anybody looked there.
    log_start: i64,
}

/// First version that is told where the leader is.
const HINTS: i16 = 10;

/// Appends records; no response if the client wants none.
pub(super) fn produce(
    context: &Context<'_>,
    request: ProduceRequest,
) -> Result<Option<ProduceResponse>, Fault> {
    let acks_known = matches!(request.acks, -1..=1);
    let transactional_id = request.transactional_id.as_ref().map(|id| &***id);
    let mut failure = None;
    let mut hints = Hints::default();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let result = if acks_known {
                let place = (&**topic.name, data.index);
                append(context, (request.acks, transactional_id), place, data.records)
            } else {
                Err(refused(ResponseError::InvalidRequiredAcks, "acks"))
            };
            if let Err(Refused { error, message, .. }) = &result {
                tracing::debug!(topic = &**topic.name, partition = data.index, %message, "refused");
                failure.get_or_insert(*error);
            }
            let mut response = partition_response(context.version, data.index, result);
            if context.version >= HINTS
                && response.error_code != 0
                && let Some(found) = context.broker.topics.partition(&topic.name, data.index)
                && let Some((leader, epoch)) = hints.leader(&found, response.error_code)
            {
                response.current_leader =
                    LeaderIdAndEpoch::default().with_leader_id(leader).with_leader_epoch(epoch);
            }
            partitions.push(response);
        }
        responses.push(
            TopicProduceResponse::default()
                .with_name(topic.name)
                .with_partition_responses(partitions),
        );
    }
    match (request.acks, failure) {
        // The client waits for no response: a closed connection is how it learns of a failure.
        (0, Some(error)) => Err(Fault::malformed(format!("produce without acks failed: {error}"))),
        (0, None) => Ok(None),
        _ => {
            let endpoint = |node: &Endpoint| {
                NodeEndpoint::default()
                    .with_node_id(BrokerId(node.id))
                    .with_host(super::text(&node.host))
                    .with_port(node.port.into())
            };
            let endpoints = hints.endpoints(context).into_iter().map(endpoint).collect();
            let response = ProduceResponse::default().with_responses(responses);
            Ok(Some(response.with_node_endpoints(endpoints)))
        }
    }
}

fn refused(error: ResponseError, message: impl ToString) -> Refused {
    Refused { error, message: message.to_string(), records: Vec::new(), log_start: -1 }
}

/// What Kafka tells only after a look at the records, or at what the producer wrote before.
fn is_seen_in_log(error: &AppendError) -> bool {
    use AppendError::{Ahead, NoKey, OutsideTransaction, Sequence};
    matches!(error, Sequence(_) | NoKey(_) | Ahead { .. } | OutsideTransaction)
}

impl Refused {
    fn by_log(error: AppendError, batch: &BatchHeader, log_start: i64) -> Self {
        let mut refused = refused((&error).into(), &error);
        // An old epoch of a transaction is the coordinator's finding, on Kafka.
        let stale = matches!(error, AppendError::Sequence(SequenceError::StaleEpoch { .. }));
        if is_seen_in_log(&error) && !(stale && batch.is_transactional()) {
            refused.log_start = log_start;
        }
        if let AppendError::NoKey(records) = error {
            refused.records = records;
        }
        refused
    }
}

/// What a producer is told whose batch belongs to no transaction, in words that all clients know.
fn not_in_transaction(error: ResponseError) -> Refused {
    let error = match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        // It is to try again, and does for this error.
        ResponseError::ConcurrentTransactions => ResponseError::NotEnoughReplicas,
        error => error,
    };
    refused(error, "the partition does not belong to a transaction of the producer")
}

fn append(
    context: &Context<'_>,
    (acks, transactional_id): (i16, Option<&str>),
    (topic, number): (&str, i32),
    records: Option<Bytes>,
) -> Result<(Appended, i64), Refused> {
    let unknown = || refused(ResponseError::UnknownTopicOrPartition, "no such partition");
    let topic = context.broker.topics.get(topic).ok_or_else(unknown)?;
    let partition = topic.partition(number).ok_or_else(unknown)?;
    let records = records.ok_or_else(|| refused(ResponseError::InvalidRecord, "no records"))?;
    let batch = ProducedBatch::new(records).map_err(|e| refused((&e).into(), e))?;
    if batch.header.is_transactional() && transactional_id.is_none() {
        let error = ResponseError::TransactionalIdAuthorizationFailed;
        return Err(refused(error, "the request names no transactional id"));
    }
    let now_ms = context.broker.config.clock.now_ms();
    let append = |may_begin: bool| {
        let mut log =
            context.lead(partition).map_err(|e| refused(e, "this node does not lead it"))?;
        if acks == ALL && !topic.has_enough_replicas(partition) {
            return Err(refused(ResponseError::NotEnoughReplicas, "too few replicas are in sync"));
        }
        let appended = if may_begin {
            log.begin(&batch, topic.policy, now_ms)
        } else {
            log.append(&batch, topic.policy, now_ms)
        };
        if appended.is_ok() {
            context.broker.note_change(&topic, &log);
        }
        let start = log.start_offset();
        match appended {
            Ok(appended) => Ok(Some((appended, start))),
            Err(AppendError::NotInTransaction) if !may_begin => Ok(None),
            Err(error) => Err(Refused::by_log(error, &batch.header, start)),
        }
    };
    let appended = match (append(false)?, transactional_id) {
        // The first of its transaction here: the coordinator says whether it belongs to one.
        (None, Some(id)) => {
            let BatchHeader { producer_id, producer_epoch: epoch, .. } = batch.header;
            let by = Owner { producer_id, epoch };
            let place = (topic.name.as_str(), number);
            let within = context.broker.transactions.within(id, by, place, || append(true));
            within.map_err(not_in_transaction)??
        }
        (appended, _) => appended,
    };
    let (appended, start) =
        appended.ok_or_else(|| not_in_transaction(ResponseError::InvalidTxnState))?;
    if !appended.is_duplicate {
        partition.wake();
        context.broker.storage.written();
        context.broker.upkeep.memory.keep_bound(&context.broker.topics);
    }
    Ok((appended, start))
}

fn partition_response(
    version: i16,
    index: i32,
    result: Result<(Appended, i64), Refused>,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok((appended, start)) => {
            let response = response
                .with_base_offset(appended.base_offset)
                .with_log_append_time_ms(appended.log_append_time_ms.unwrap_or(-1));
            if version >= 5 { response.with_log_start_offset(start) } else { response }
        }
        Err(Refused { error, message, records, log_start }) => {
            let mut response = response
                .with_error_code(error.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1);
            if version >= 5 {
                response.log_start_offset = log_start;
            }
            if version >= 8 {
                let record = |number| {
                    BatchIndexAndErrorMessage::default()
                        .with_batch_index(number)
                        .with_batch_index_error_message(Some(super::text(&message)))
                };
                let records: Vec<_> = records.into_iter().map(record).collect();
                response.with_record_errors(records).with_error_message(Some(super::text(message)))
            } else {
                response
            }
        }
    }
}
