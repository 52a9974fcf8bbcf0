//! One transactional id: who owns it, and where its transaction stands.

use crate::broker::{group::Committed, log::Outcome};
use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// "None", for epochs.
pub(super) const NO_EPOCH: i16 = -1;

/// How long a transactional id is known that nobody uses, in ms.
const EXPIRATION_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// There was none of this owner yet.
    Empty,
    /// It is open.
    Ongoing,
    /// It will be committed, whatever happens.
    PrepareCommit,
    /// It will be aborted, whatever happens.
    PrepareAbort,
    /// It is committed, and there is no other yet.
    CompleteCommit,
    /// It is aborted, and there is no other yet.
    CompleteAbort,
}

impl State {
    /// All names that clients may ask for, also of states that no transaction here ever shows.
    pub(crate) const NAMES: [&str; 8] = [
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "PrepareEpochFence",
        "Dead",
    ];

    /// The name that clients know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// What was decided, while it does not yet hold everywhere.
    pub(super) fn decided(self) -> Option<Outcome> {
        match self {
            Self::PrepareCommit => Some(Outcome::Commit),
            Self::PrepareAbort => Some(Outcome::Abort),
            _ => None,
        }
    }
}

/// An instance of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its producer id.
    pub(crate) producer_id: i64,
    /// Its epoch.
    pub(crate) epoch: i16,
}

/// Offsets that count if the transaction is committed, by group, topic and partition.
pub(crate) type Offsets = BTreeMap<String, BTreeMap<String, BTreeMap<i32, Committed>>>;

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// Producer id of its owner.
    pub(crate) producer_id: i64,
    /// Epoch of its owner; -1 before the first.
    pub(crate) epoch: i16,
    /// Producer id before the last change of the owner's, -1 if another producer may not claim it.
    pub(super) last_producer_id: i64,
    /// Epoch before the last change of the owner's, -1 if another producer may not claim it.
    pub(super) last_epoch: i16,
    /// How long a transaction may be open, in ms.
    pub(crate) timeout_ms: i32,
    /// Where its transaction stands.
    pub(crate) state: State,
    /// When the newest transaction began, in ms since the Unix epoch.
    pub(crate) started_ms: Option<i64>,
    /// When it was last changed, in ms since the Unix epoch.
    pub(super) updated_ms: i64,
    /// What may have records of the open transaction, by topic; for each partition its end when the
    /// transaction was decided.
    pub(crate) partitions: BTreeMap<String, BTreeMap<i32, i64>>,
    /// Groups whose offsets may be in the open transaction.
    pub(super) groups: BTreeSet<String>,
    /// Offsets in the open transaction.
    pub(super) offsets: Offsets,
}

impl Transaction {
    /// An id that nobody owns yet.
    pub(super) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            epoch: NO_EPOCH,
            last_producer_id: -1,
            last_epoch: NO_EPOCH,
            timeout_ms,
            state: State::Empty,
            started_ms: None,
            updated_ms: now_ms,
            partitions: BTreeMap::new(),
            groups: BTreeSet::new(),
            offsets: Offsets::new(),
        }
    }

    /// Who owns it.
    pub(super) fn owner(&self) -> Owner {
        Owner { producer_id: self.producer_id, epoch: self.epoch }
    }

    /// Refuses all but the owner.
    fn check_owner(&self, by: Owner) -> Result<(), ResponseError> {
        if by.producer_id != self.producer_id {
            Err(ResponseError::InvalidProducerIdMapping)
        } else if by.epoch != self.epoch {
            Err(ResponseError::ProducerFenced)
        } else {
            Ok(())
        }
    }

    /// Refuses all but the owner, and the owner too while a decision does not yet hold everywhere.
    fn check_free(&self, by: Owner) -> Result<(), ResponseError> {
        self.check_owner(by)?;
        match self.state.decided() {
            Some(_) => Err(ResponseError::ConcurrentTransactions),
            None => Ok(()),
        }
    }

    /// The same with a transaction that is open.
    fn ongoing(&self, now_ms: i64) -> Self {
        let mut next = self.clone();
        if self.state != State::Ongoing {
            next.state = State::Ongoing;
            next.started_ms = Some(now_ms);
        }
        next.updated_ms = now_ms;
        next
    }

    /// Partitions become part of the transaction; `None` if they are already.
    pub(super) fn add_partitions(
        &self,
        by: Owner,
        partitions: &[(String, i32)],
        now_ms: i64,
    ) -> Result<Option<Self>, ResponseError> {
        self.check_free(by)?;
        let has = |(topic, partition): &(String, i32)| self.has_partition(topic, *partition);
        if self.state == State::Ongoing && partitions.iter().all(has) {
            return Ok(None);
        }
        let mut next = self.ongoing(now_ms);
        for (topic, partition) in partitions {
            next.partitions.entry(topic.clone()).or_default().insert(*partition, 0);
        }
        Ok(Some(next))
    }

    /// Offsets of a group may become part of the transaction; `None` if they may already.
    pub(super) fn add_group(
        &self,
        by: Owner,
        group: &str,
        now_ms: i64,
    ) -> Result<Option<Self>, ResponseError> {
        self.check_free(by)?;
        if self.state == State::Ongoing && self.groups.contains(group) {
            return Ok(None);
        }
        let mut next = self.ongoing(now_ms);
        next.groups.insert(group.to_owned());
        Ok(Some(next))
    }

    /// Whether records of the transaction may be written to a partition.
    pub(super) fn check_partition(
        &self,
        by: Owner,
        topic: &str,
        partition: i32,
    ) -> Result<(), ResponseError> {
        self.check_free(by)?;
        let is_added = self.state == State::Ongoing && self.has_partition(topic, partition);
        is_added.then_some(()).ok_or(ResponseError::InvalidTxnState)
    }

    /// Whether offsets of a group may be in the transaction.
    pub(super) fn check_group(&self, by: Owner, group: &str) -> Result<(), ResponseError> {
        self.check_free(by)?;
        let is_added = self.state == State::Ongoing && self.groups.contains(group);
        is_added.then_some(()).ok_or(ResponseError::InvalidTxnState)
    }

    /// Offsets become part of the transaction.
    pub(super) fn add_offsets(
        &self,
        by: Owner,
        group: &str,
        offsets: Vec<(String, i32, Committed)>,
        now_ms: i64,
    ) -> Result<Self, ResponseError> {
        self.check_group(by, group)?;
        let mut next = self.ongoing(now_ms);
        let of_group = next.offsets.entry(group.to_owned()).or_default();
        for (topic, partition, committed) in offsets {
            of_group.entry(topic).or_default().insert(partition, committed);
        }
        Ok(next)
    }

    /// The owner ends the transaction; `None` if it has ended so already. `end_offset` tells where a
    /// partition ends, which is where its marker will be or come behind.
    pub(super) fn end(
        &self,
        by: Owner,
        outcome: Outcome,
        end_offset: impl Fn(&str, i32) -> i64,
        now_ms: i64,
    ) -> Result<Option<Self>, ResponseError> {
        self.check_owner(by)?;
        match (self.state, outcome) {
            (State::Ongoing, _) => Ok(Some(self.decided(outcome, end_offset, now_ms))),
            (State::CompleteCommit, Outcome::Commit) | (State::CompleteAbort, Outcome::Abort) => {
                Ok(None)
            }
            (State::PrepareCommit, Outcome::Commit) | (State::PrepareAbort, Outcome::Abort) => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// The transaction is to be aborted, and its owner is fenced. If nobody takes its place, it may
    /// come back as its own successor.
    pub(super) fn fenced(&self, end_offset: impl Fn(&str, i32) -> i64, now_ms: i64) -> Self {
        let mut next = self.decided(Outcome::Abort, end_offset, now_ms);
        next.epoch += 1;
        // The owner may ask what became of it and go on; a successor gets yet another epoch.
        next.last_epoch = self.epoch;
        next
    }

    fn decided(
        &self,
        outcome: Outcome,
        end_offset: impl Fn(&str, i32) -> i64,
        now_ms: i64,
    ) -> Self {
        let mut next = self.clone();
        next.state = match outcome {
            Outcome::Commit => State::PrepareCommit,
            Outcome::Abort => State::PrepareAbort,
        };
        next.updated_ms = now_ms;
        for (topic, partitions) in &mut next.partitions {
            for (partition, end) in partitions {
                *end = end_offset(topic, *partition);
            }
        }
        next
    }

    /// What was decided holds everywhere.
    pub(super) fn completed(&self, outcome: Outcome, now_ms: i64) -> Self {
        let mut next = Self::new(self.producer_id, self.timeout_ms, now_ms);
        next.epoch = self.epoch;
        (next.last_producer_id, next.last_epoch) = (self.last_producer_id, self.last_epoch);
        next.started_ms = self.started_ms;
        next.state = match outcome {
            Outcome::Commit => State::CompleteCommit,
            Outcome::Abort => State::CompleteAbort,
        };
        next
    }

    /// When the time has come to abort it (Ongoing), or to forget the id (nothing is open).
    pub(super) fn due_ms(&self) -> Option<i64> {
        match self.state {
            State::Ongoing => {
                self.started_ms.map(|start| start.saturating_add(i64::from(self.timeout_ms)))
            }
            State::PrepareCommit | State::PrepareAbort => None,
            _ => Some(self.updated_ms.saturating_add(EXPIRATION_MS)),
        }
    }

    fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.partitions.get(topic).is_some_and(|p| p.contains_key(&partition))
    }

    /// A topic is gone: nobody can read on from an offset of it.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.offsets.values_mut().for_each(|topics| drop(topics.remove(topic)));
    }

    /// A group is gone, and what it would have committed.
    pub(crate) fn forget_group(&mut self, group: &str) {
        self.offsets.remove(group);
    }
}
