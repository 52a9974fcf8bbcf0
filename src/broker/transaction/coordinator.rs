//! All transactional ids, and what their decisions do to the rest of the broker.

use super::{
    init::{Init, Initialized},
    state::{Offsets, Owner, State, Transaction},
};
use crate::broker::{
    group::Committed,
    log::{Marker, Outcome},
};
use kafka_protocol::ResponseError;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// Longest time that a transaction may be open, in ms.
const MAX_TIMEOUT_MS: i32 = 900_000;
/// When something is tried again that failed because of the storage, in ms.
const RETRY_MS: i64 = 1_000;

/// Partitions, by topic.
pub(crate) type OpenOffsets = BTreeMap<String, BTreeSet<i32>>;

/// The rest of the broker. Each call has taken effect when it returns, or has failed.
pub(crate) trait Effects {
    /// Writes down what is known of a transactional id; `None`: the id is forgotten.
    fn note(&self, id: &str, transaction: Option<&Transaction>) -> io::Result<()>;
    /// A producer id that nobody has had.
    fn new_producer_id(&self) -> io::Result<i64>;
    /// Where a partition ends; 0 if it is gone.
    fn end_offset(&self, topic: &str, partition: i32) -> i64;
    /// True if a partition has a marker of the producer that is not in front of `offset`, or is gone.
    fn is_marked(&self, topic: &str, partition: i32, producer_id: i64, offset: i64) -> bool;
    /// Writes a marker.
    fn mark(&self, topic: &str, partition: i32, marker: Marker) -> io::Result<()>;
    /// Commits the offsets of groups and writes down the transaction behind them, in one piece.
    fn complete(&self, id: &str, offsets: &Offsets, transaction: &Transaction) -> io::Result<()>;
}

/// The coordinator of all transactions.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    by_id: BTreeMap<String, Transaction>,
}

impl Coordinator {
    /// With what was known before a restart; [`Coordinator::resume`] is to follow.
    pub(crate) fn new(by_id: BTreeMap<String, Transaction>) -> Self {
        Self { by_id }
    }

    /// Gives effect to every decision that a restart has interrupted, or the storage.
    pub(crate) fn resume(&mut self, effects: &impl Effects, now_ms: i64) {
        let decided = |(id, t): (&String, &Transaction)| t.state.decided().map(|_| id.clone());
        let ids: Vec<String> = self.by_id.iter().filter_map(decided).collect();
        for id in ids {
            self.finish(&id, effects, now_ms);
        }
    }

    /// All transactional ids, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    /// What is known of a transactional id.
    pub(crate) fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    /// A producer becomes the owner of a transactional id; all earlier ones are fenced.
    pub(crate) fn init(
        &mut self,
        id: &str,
        init: Init,
        effects: &impl Effects,
        now_ms: i64,
    ) -> Result<Owner, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if !(1..=MAX_TIMEOUT_MS).contains(&init.timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let known = match self.by_id.get(id) {
            Some(known) => known.clone(),
            None => {
                let producer_id = effects.new_producer_id().map_err(storage)?;
                Transaction::new(producer_id, init.timeout_ms, now_ms)
            }
        };
        let next = match known.init(init, now_ms)? {
            Initialized::Owner(next) => *next,
            Initialized::NeedsProducerId => {
                let producer_id = effects.new_producer_id().map_err(storage)?;
                known.renamed(producer_id, init, now_ms)
            }
            Initialized::AbortFirst => {
                let fenced = known.fenced(|t, p| effects.end_offset(t, p), now_ms);
                self.put(id, fenced, effects)?;
                self.finish(id, effects, now_ms);
                return Err(ResponseError::ConcurrentTransactions);
            }
        };
        let owner = next.owner();
        self.put(id, next, effects)?;
        Ok(owner)
    }

    /// Partitions become part of the owner's transaction, which begins if none is open.
    pub(crate) fn add_partitions(
        &mut self,
        id: &str,
        by: Owner,
        partitions: &[(String, i32)],
        effects: &impl Effects,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        match self.known(id)?.add_partitions(by, partitions, now_ms)? {
            Some(next) => self.put(id, next, effects),
            None => Ok(()),
        }
    }

    /// Offsets of a group may become part of the owner's transaction.
    pub(crate) fn add_group(
        &mut self,
        id: &str,
        by: Owner,
        group: &str,
        effects: &impl Effects,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        match self.known(id)?.add_group(by, group, now_ms)? {
            Some(next) => self.put(id, next, effects),
            None => Ok(()),
        }
    }

    /// Whether records of the owner's transaction may be written to a partition.
    pub(crate) fn check_partition(
        &self,
        id: &str,
        by: Owner,
        topic: &str,
        partition: i32,
    ) -> Result<(), ResponseError> {
        self.known(id)?.check_partition(by, topic, partition)
    }

    /// Whether offsets of a group may be in the owner's transaction.
    pub(crate) fn check_group(
        &self,
        id: &str,
        by: Owner,
        group: &str,
    ) -> Result<(), ResponseError> {
        self.known(id)?.check_group(by, group)
    }

    /// Offsets become part of the owner's transaction.
    pub(crate) fn add_offsets(
        &mut self,
        id: &str,
        by: Owner,
        (group, offsets): (&str, Vec<(String, i32, Committed)>),
        effects: &impl Effects,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let next = self.known(id)?.add_offsets(by, group, offsets, now_ms)?;
        self.put(id, next, effects)
    }

    /// The owner commits or aborts its transaction. Without an error it is decided, even if the
    /// storage keeps the decision from taking effect at once.
    pub(crate) fn end(
        &mut self,
        id: &str,
        by: Owner,
        outcome: Outcome,
        effects: &impl Effects,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let end_offset = |topic: &str, partition| effects.end_offset(topic, partition);
        if let Some(next) = self.known(id)?.end(by, outcome, end_offset, now_ms)? {
            self.put(id, next, effects)?;
            self.finish(id, effects, now_ms);
        }
        Ok(())
    }

    /// Aborts transactions that are open for too long, fences their owners, and forgets ids that
    /// nobody has used for long; the time at which to call this again.
    pub(crate) fn expire(&mut self, effects: &impl Effects, now_ms: i64) -> Option<i64> {
        self.resume(effects, now_ms);
        let is_due = |(id, t): (&String, &Transaction)| {
            t.due_ms().is_some_and(|due| due <= now_ms).then(|| id.clone())
        };
        let due: Vec<String> = self.by_id.iter().filter_map(is_due).collect();
        let mut failed = false;
        for id in due {
            failed |= self.expire_one(&id, effects, now_ms).is_err();
        }
        let next = self.due_ms();
        let is_open = self.by_id.values().any(|t| t.state.decided().is_some());
        let retry = (failed || is_open).then(|| now_ms.saturating_add(RETRY_MS));
        // What has failed is still due; it is not tried again at once.
        [next.map(|due| if failed { due.max(now_ms + RETRY_MS) } else { due }), retry]
            .into_iter()
            .flatten()
            .min()
    }

    fn expire_one(
        &mut self,
        id: &str,
        effects: &impl Effects,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let known = self.known(id)?;
        if known.state == State::Ongoing {
            tracing::info!(transactional_id = id, "transaction aborted: it was open for too long");
            let fenced = known.fenced(|t, p| effects.end_offset(t, p), now_ms);
            self.put(id, fenced, effects)?;
            self.finish(id, effects, now_ms);
        } else {
            effects.note(id, None).map_err(storage)?;
            self.by_id.remove(id);
        }
        Ok(())
    }

    fn due_ms(&self) -> Option<i64> {
        self.by_id.values().filter_map(Transaction::due_ms).min()
    }

    /// When [`Coordinator::expire`] has to look at a transactional id.
    pub(crate) fn due_of(&self, id: &str, now_ms: i64) -> Option<i64> {
        let known = self.by_id.get(id)?;
        match known.state.decided() {
            Some(_) => Some(now_ms.saturating_add(RETRY_MS)),
            None => known.due_ms(),
        }
    }

    /// The partitions for which an open transaction has an offset of a group.
    pub(crate) fn open_offsets(&self, group: &str) -> OpenOffsets {
        let mut open = OpenOffsets::new();
        for (topic, partitions) in
            self.by_id.values().filter_map(|t| t.offsets.get(group)).flatten()
        {
            open.entry(topic.clone()).or_default().extend(partitions.keys());
        }
        open
    }

    /// A topic is gone.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.by_id.values_mut().for_each(|t| t.forget_topic(topic));
    }

    /// A group is gone.
    pub(crate) fn forget_group(&mut self, group: &str) {
        self.by_id.values_mut().for_each(|t| t.forget_group(group));
    }

    fn known(&self, id: &str) -> Result<&Transaction, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        self.by_id.get(id).ok_or(ResponseError::InvalidProducerIdMapping)
    }

    /// Notes a change, then lets it hold.
    fn put(
        &mut self,
        id: &str,
        next: Transaction,
        effects: &impl Effects,
    ) -> Result<(), ResponseError> {
        effects.note(id, Some(&next)).map_err(storage)?;
        self.by_id.insert(id.to_owned(), next);
        Ok(())
    }

    /// Gives effect to a decision, as far as it has none yet. What fails is tried again later: the
    /// decision is noted, and nobody can change it.
    fn finish(&mut self, id: &str, effects: &impl Effects, now_ms: i64) {
        if let Err(error) = self.try_finish(id, effects, now_ms) {
            tracing::error!(transactional_id = id, %error, "cannot end a transaction yet");
        }
    }

    fn try_finish(&mut self, id: &str, effects: &impl Effects, now_ms: i64) -> io::Result<()> {
        let Some(decided) = self.by_id.get(id) else { return Ok(()) };
        let Some(outcome) = decided.state.decided() else { return Ok(()) };
        let Owner { producer_id, epoch: producer_epoch } = decided.owner();
        for (topic, partitions) in &decided.partitions {
            for (&partition, &end) in partitions {
                if !effects.is_marked(topic, partition, producer_id, end) {
                    let marker = Marker { producer_id, producer_epoch, outcome };
                    effects.mark(topic, partition, marker)?;
                }
            }
        }
        let complete = decided.completed(outcome, now_ms);
        let nothing = Offsets::new();
        let offsets = if outcome == Outcome::Commit { &decided.offsets } else { &nothing };
        effects.complete(id, offsets, &complete)?;
        self.by_id.insert(id.to_owned(), complete);
        Ok(())
    }
}

fn storage(error: io::Error) -> ResponseError {
    tracing::error!(%error, "cannot write a transaction down");
    ResponseError::KafkaStorageError
}
