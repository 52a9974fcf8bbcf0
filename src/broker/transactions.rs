//! All transactions: the coordinator of [`super::transaction`] behind a lock, and its clock.
//!
//! Locks are taken in this order: the coordinator, then a log or the groups. So the answer whether a
//! partition belongs to a transaction holds until the batch that asked for it is in the log.

use super::{
    group::Committed,
    groups::Groups,
    log::{Marker, Outcome},
    producer_ids::ProducerIds,
    storage::{Note, Storage},
    topics::Topics,
    transaction::{Coordinator, Effects, Init, Offsets, OpenOffsets, Owner, Transaction},
    upkeep::Upkeep,
};
use crate::clock::Clock;
use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// What transactions have an effect on.
pub(crate) struct Surroundings {
    /// Topics and their logs.
    pub(crate) topics: Arc<Topics>,
    /// Consumer groups.
    pub(crate) groups: Arc<Groups>,
    /// Ids for producers.
    pub(crate) producer_ids: Arc<ProducerIds>,
    /// What happens to logs in time.
    pub(crate) upkeep: Arc<Upkeep>,
    /// Where notes are kept.
    pub(crate) storage: Arc<Storage>,
    /// The broker's time.
    pub(crate) clock: Clock,
}

/// All transactions.
pub(crate) struct Transactions {
    around: Surroundings,
    inner: Mutex<Inner>,
    /// Something is due earlier than the clock believes.
    earlier: Notify,
}

struct Inner {
    coordinator: Coordinator,
    /// What the clock sleeps for, in ms since the Unix epoch.
    alarm_ms: Option<i64>,
}

impl Transactions {
    /// With what was known before a restart; decisions that it has interrupted take effect.
    pub(crate) fn open(around: Surroundings, known: BTreeMap<String, Transaction>) -> Self {
        let mut coordinator = Coordinator::new(known);
        coordinator.resume(&around, around.clock.now_ms());
        around.end_orphans(&coordinator);
        let inner = Mutex::new(Inner { coordinator, alarm_ms: None });
        Self { around, inner, earlier: Notify::new() }
    }

    /// Works on a transactional id.
    fn with<R>(&self, id: &str, work: impl FnOnce(&mut Coordinator, &Surroundings, i64) -> R) -> R {
        let mut inner = self.inner.lock();
        let now_ms = self.around.clock.now_ms();
        let result = work(&mut inner.coordinator, &self.around, now_ms);
        let due = inner.coordinator.due_of(id, now_ms);
        if due.is_some_and(|due| inner.alarm_ms.is_none_or(|alarm| due < alarm)) {
            inner.alarm_ms = due;
            self.earlier.notify_one();
        }
        result
    }

    /// A producer becomes the owner of a transactional id; all earlier ones are fenced.
    pub(crate) fn init(&self, id: &str, init: Init) -> Result<Owner, ResponseError> {
        self.with(id, |coordinator, around, now_ms| coordinator.init(id, init, around, now_ms))
    }

    /// Partitions become part of the owner's transaction.
    pub(crate) fn add_partitions(
        &self,
        id: &str,
        by: Owner,
        partitions: &[(String, i32)],
    ) -> Result<(), ResponseError> {
        self.with(id, |coordinator, around, now_ms| {
            coordinator.add_partitions(id, by, partitions, around, now_ms)
        })
    }

    /// Offsets of a group may become part of the owner's transaction.
    pub(crate) fn add_group(&self, id: &str, by: Owner, group: &str) -> Result<(), ResponseError> {
        self.with(id, |coordinator, around, now_ms| {
            coordinator.add_group(id, by, group, around, now_ms)
        })
    }

    /// Whether offsets of a group may be in the owner's transaction.
    pub(crate) fn check_group(
        &self,
        id: &str,
        by: Owner,
        group: &str,
    ) -> Result<(), ResponseError> {
        self.inner.lock().coordinator.check_group(id, by, group)
    }

    /// Offsets become part of the owner's transaction.
    pub(crate) fn add_offsets(
        &self,
        id: &str,
        by: Owner,
        group: &str,
        offsets: Vec<(String, i32, Committed)>,
    ) -> Result<(), ResponseError> {
        self.with(id, |coordinator, around, now_ms| {
            coordinator.add_offsets(id, by, (group, offsets), around, now_ms)
        })
    }

    /// Does `work` if a partition belongs to the owner's transaction, and meanwhile it cannot end.
    pub(crate) fn within<R>(
        &self,
        id: &str,
        by: Owner,
        (topic, partition): (&str, i32),
        work: impl FnOnce() -> R,
    ) -> Result<R, ResponseError> {
        let inner = self.inner.lock();
        inner.coordinator.check_partition(id, by, topic, partition)?;
        Ok(work())
    }

    /// The owner commits or aborts its transaction.
    pub(crate) fn end(&self, id: &str, by: Owner, outcome: Outcome) -> Result<(), ResponseError> {
        self.with(id, |coordinator, around, now_ms| {
            coordinator.end(id, by, outcome, around, now_ms)
        })
    }

    /// The partitions for which an open transaction has an offset of a group.
    pub(crate) fn open_offsets(&self, group: &str) -> OpenOffsets {
        self.inner.lock().coordinator.open_offsets(group)
    }

    /// A topic is gone.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.inner.lock().coordinator.forget_topic(topic);
    }

    /// A group is gone.
    pub(crate) fn forget_group(&self, group: &str) {
        self.inner.lock().coordinator.forget_group(group);
    }

    /// Looks at a transactional id.
    pub(crate) fn look<R>(&self, id: &str, look: impl FnOnce(&Transaction) -> R) -> Option<R> {
        self.inner.lock().coordinator.get(id).map(look)
    }

    /// Looks at every transactional id.
    pub(crate) fn each(&self, mut look: impl FnMut(&str, &Transaction)) {
        self.inner.lock().coordinator.iter().for_each(|(id, transaction)| look(id, transaction));
    }

    /// Lets time pass for the transactions; never returns.
    pub(crate) async fn run_clock(&self) {
        loop {
            let (due_ms, now_ms) = self.expire();
            match due_ms {
                Some(due_ms) => {
                    let wait = Duration::from_millis((due_ms - now_ms).max(0).unsigned_abs());
                    tokio::select! {
                        () = self.around.clock.sleep(wait) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    /// When the next thing is due, and what time it is, in ms since the Unix epoch.
    fn expire(&self) -> (Option<i64>, i64) {
        let mut inner = self.inner.lock();
        let now_ms = self.around.clock.now_ms();
        inner.alarm_ms = inner.coordinator.expire(&self.around, now_ms);
        (inner.alarm_ms, now_ms)
    }
}

impl Surroundings {
    /// Aborts, in the logs, transactions that the coordinator does not know: the machine has crashed,
    /// and the notes of the last second are lost while records are not.
    fn end_orphans(&self, coordinator: &Coordinator) {
        let open: HashSet<(i64, &str, i32)> = coordinator
            .iter()
            .flat_map(|(_, t)| {
                t.partitions.iter().flat_map(|(topic, partitions)| {
                    partitions.keys().map(|p| (t.producer_id, topic.as_str(), *p))
                })
            })
            .collect();
        for topic in self.topics.all() {
            for (number, partition) in (0..).zip(&topic.partitions) {
                let producers = partition.log.lock().producers();
                for producer in producers.iter().filter(|p| p.open_from.is_some()) {
                    let producer_id = producer.producer_id;
                    if open.contains(&(producer_id, topic.name.as_str(), number)) {
                        continue;
                    }
                    tracing::warn!(topic = %topic.name, partition = number, producer_id, "transaction of no coordinator aborted");
                    let (producer_epoch, outcome) = (producer.epoch, Outcome::Abort);
                    let marker = Marker { producer_id, producer_epoch, outcome };
                    if let Err(error) = self.mark(&topic.name, number, marker) {
                        tracing::error!(%error, "cannot abort it");
                    }
                }
            }
        }
    }
}

fn note(id: &str, transaction: Option<&Transaction>) -> Note {
    Note::Transaction { id: id.to_owned(), transaction: transaction.cloned().map(Box::new) }
}

impl Effects for Surroundings {
    fn note(&self, id: &str, transaction: Option<&Transaction>) -> io::Result<()> {
        if self.storage.is_durable() { self.storage.note(&[note(id, transaction)]) } else { Ok(()) }
    }

    fn new_producer_id(&self) -> io::Result<i64> {
        self.producer_ids.next()
    }

    fn end_offset(&self, topic: &str, partition: i32) -> i64 {
        self.topics.partition(topic, partition).map_or(0, |p| p.log.lock().end_offset())
    }

    fn is_marked(&self, topic: &str, partition: i32, producer_id: i64, offset: i64) -> bool {
        let found = self.topics.partition(topic, partition);
        found.is_none_or(|p| p.log.lock().is_marked_since(producer_id, offset))
    }

    fn mark(&self, topic: &str, partition: i32, marker: Marker) -> io::Result<()> {
        // A topic that is gone needs no marker.
        let Some(topic) = self.topics.get(topic) else { return Ok(()) };
        let Some(found) = topic.partition(partition) else { return Ok(()) };
        {
            let mut log = found.log.lock();
            log.mark(marker, topic.policy, self.clock.now_ms())?;
            self.upkeep.note_change(&topic, &log);
        }
        found.wake();
        self.storage.written();
        self.upkeep.memory.keep_bound(&self.topics);
        Ok(())
    }

    fn complete(&self, id: &str, offsets: &Offsets, transaction: &Transaction) -> io::Result<()> {
        self.groups.commit_all(offsets, note(id, Some(transaction)))
    }
}
