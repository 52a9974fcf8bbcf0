//! What a task keeps, where it may be found, and how it is brought back before the task begins.

mod archive;

use super::{Worker, exact::identity, group::Group, label, opening::Opening};
use crate::{
    config::{OnGap, SubscriptionConfig},
    engine::{
        halt::{Halt, Reason},
        identity::Identity,
        receipt::{Metadata, Receipt},
    },
    error::{Error, Result},
    kafka::{consumer::GroupOffset, flight::Flight, outgoing::Outgoing, producer::Producer},
    state::{Delta, Mark, SpaceName, Store, TaskName, snapshot::Unit},
    task::{
        changelog::{Changelog, Origin, Places, Source},
        commit::{CommitLog, Ended},
        restore::{
            GapPolicy, Goal, Log, Progress, Recover, Replay, Restore, Snapshots, Sources, Tables,
            bring_back, known_places,
        },
        subscription::ChangelogWriter,
    },
    types::TopicPartition,
};
use archive::FromArchive;
use parking_lot::Mutex;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

/// Longest wait for the acknowledgement of a commit in the changelog.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before a broker that does not answer is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What every task of a subscription, or of the agents, keeps.
#[derive(Clone)]
pub(super) struct Keeping {
    pub(super) owner: String,
    /// Name in messages and metrics.
    pub(super) name: String,
    pub(super) spaces: Vec<SpaceName>,
    pub(super) log: Log,
    pub(super) policy: GapPolicy,
    /// Topics that one task reads.
    inputs: usize,
}

/// The state of one task, and what belongs to it.
pub(super) struct Kept {
    pub(super) store: Arc<dyn Store>,
    pub(super) changelog: Option<Changelog>,
    /// The replay that is to be done before new records count.
    pub(super) replay: Arc<Mutex<Option<Replay>>>,
    pub(super) progress: Arc<Progress>,
    snapshots: Option<Arc<dyn Snapshots>>,
    keeping: Keeping,
    tp: TopicPartition,
    /// The input as it was when the store was opened.
    identity: Identity,
    /// Of which generation its state is, once that is known.
    generation: Arc<AtomicU32>,
}

/// What a group has committed for a partition.
#[derive(Clone, Copy)]
pub(super) struct Committed {
    pub(super) offset: i64,
    /// What stands beside it, if that is ours.
    pub(super) receipt: Option<Receipt>,
}

impl From<GroupOffset> for Committed {
    fn from(one: GroupOffset) -> Self {
        let receipt = Metadata::read(one.offset, &one.metadata).receipt().copied();
        Self { offset: one.offset, receipt }
    }
}

impl Keeping {
    /// That of a subscription with a store, whose tasks read so many topics.
    pub(super) fn of_subscription(
        config: &SubscriptionConfig,
        spaces: Vec<SpaceName>,
        (can_replay, inputs): (bool, usize),
    ) -> Self {
        let names = spaces.iter().map(|space| Arc::from(space.name())).collect();
        let log = config.changelog.as_deref();
        Self {
            owner: config.name.clone(),
            name: config.name.clone(),
            spaces,
            log: log.map_or(Log::None, |topic| Log::Deltas(topic.into(), names)),
            policy: GapPolicy {
                on_gap: config.on_gap,
                halt_if_exceeds: config.halt_if_gap_exceeds,
                can_replay,
            },
            inputs,
        }
    }

    /// That of agents with tables, in the order of their spaces.
    pub(super) fn of_tables(
        owner: &str,
        name: &str,
        spaces: Vec<SpaceName>,
        tables: Tables,
    ) -> Self {
        let policy = GapPolicy { on_gap: OnGap::Replay, halt_if_exceeds: None, can_replay: false };
        let (inputs, log) = (tables.topics.len(), Log::Tables(tables));
        Self { owner: owner.to_owned(), name: name.to_owned(), spaces, log, policy, inputs }
    }

    fn has_several_inputs(&self) -> bool {
        self.inputs > 1
    }

    /// Opens the store of the task that reads `tp`, a topic of so many partitions. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// A halt that says what is wrong with the store.
    pub(super) fn open(
        &self,
        worker: &Worker,
        tp: &TopicPartition,
        partitions: i32,
        opening: &Opening,
    ) -> Result<Kept, Ended> {
        let identity = input(worker, tp, opening)?;
        self.try_open(worker, tp, partitions, (identity, opening)).map_err(halted)
    }

    fn try_open(
        &self,
        worker: &Worker,
        tp: &TopicPartition,
        partitions: i32,
        (identity, opening): (Identity, &Opening),
    ) -> Result<Kept> {
        let partitions = partitions.max(tp.partition + 1);
        let task = TaskName {
            owner: self.owner.clone(),
            topic: tp.topic.to_string(),
            partition: tp.partition,
            partitions,
        };
        let store = worker.stores().open(&task, &self.spaces)?;
        let topic = Arc::clone(&tp.topic);
        let changelog = match &self.log {
            Log::None => None,
            Log::Deltas(log, names) => {
                let source = Source { topic, id: identity.topic.as_deref().map(Arc::from) };
                Some(Changelog::deltas(Arc::clone(log), source, tp.partition, Arc::clone(names)))
            }
            Log::Tables(Tables { tables, .. }) => {
                let topics = tables.iter().map(|one| (one.space, Arc::clone(&one.topic))).collect();
                Some(Changelog::keys(topics, topic, tp.partition))
            }
        };
        let generation = Arc::default();
        Ok(Kept {
            store,
            changelog,
            replay: Arc::default(),
            progress: Arc::clone(&opening.progress),
            snapshots: self.snapshots(worker, &task, (&identity, &generation)),
            keeping: self.clone(),
            tp: tp.clone(),
            identity,
            generation,
        })
    }

    fn snapshots(
        &self,
        worker: &Worker,
        task: &TaskName,
        (identity, generation): (&Identity, &Arc<AtomicU32>),
    ) -> Option<Arc<dyn Snapshots>> {
        let snapshots = worker.snapshots()?;
        let staging =
            worker.config.state_dir.as_deref().map_or_else(std::env::temp_dir, PathBuf::from);
        Some(Arc::new(FromArchive {
            archive: snapshots.archive().clone(),
            unit: Unit {
                app: worker.config.app_id.clone(),
                name: task.owner.clone(),
                topic: task.topic.clone(),
                partition: task.partition,
            },
            identity: identity.clone(),
            generation: Arc::clone(generation),
            partitions: task.partitions,
            spaces: self.spaces.clone(),
            staging: staging.join("restoring"),
            runtime: tokio::runtime::Handle::current(),
        }))
    }
}

fn halted(error: Error) -> Ended {
    Ended::Halted(Halt::of(Reason::StoreFailed).because(error.to_string()))
}

/// Which input `tp` is now. Blocks until a broker says; [`Ended::Gone`] once nobody wants to know.
fn input(worker: &Worker, tp: &TopicPartition, opening: &Opening) -> Result<Identity, Ended> {
    while !opening.gate.is_closed() {
        match identity(worker.logs(), tp) {
            Ok(found) => return Ok(found),
            Err(error) => tracing::warn!(target: "turbine.state", "{tp}: {error}; trying again"),
        }
        opening.gate.wait(RETRY_PAUSE);
    }
    Err(Ended::Gone)
}

/// What the group has committed for `tp`. Blocks until a broker says; [`Ended::Gone`] once nobody wants to
/// know.
pub(super) fn committed(
    group: &Group,
    tp: &TopicPartition,
    opening: &Opening,
) -> Result<Option<Committed>, Ended> {
    while !opening.gate.is_closed() {
        let member = group.member.get();
        match member.map(|member| member.committed(std::slice::from_ref(tp))) {
            Some(Ok(mut found)) => return Ok(found.pop().map(Committed::from)),
            Some(Err(error)) => {
                tracing::warn!(target: "turbine.state", "{tp}: {error}; trying again");
            }
            None => {}
        }
        opening.gate.wait(RETRY_PAUSE);
    }
    Err(Ended::Gone)
}

impl Kept {
    fn sources(&self) -> Sources {
        let (tp, snapshots) = (self.tp.clone(), self.snapshots.clone());
        let topic_id = self.identity.topic.as_deref().map(Arc::from);
        Sources { tp, snapshots, log: self.keeping.log.clone(), topic_id }
    }

    /// What closes the gap of an exactly-once task.
    pub(super) fn recover(&self, worker: &Worker, opening: &Opening) -> Recover {
        let gate = Arc::clone(&opening.gate);
        Recover {
            logs: Arc::clone(worker.logs()),
            store: Arc::clone(&self.store),
            sources: self.sources(),
            progress: Arc::clone(&self.progress),
            is_wanted: Arc::new(move || !gate.is_closed()),
            generation: Arc::clone(&self.generation),
            policy: self.keeping.policy,
            metrics: worker.metrics.gaps(&label(&self.keeping.name, &self.tp)),
            changelog: self.changelog.clone(),
            replay: Arc::clone(&self.replay),
        }
    }

    /// How far the changelogs of tables are in the store, if that is known. Blocks, where nothing is in it, for a
    /// broker that says which topics these are.
    pub(super) fn places(&self, worker: &Worker) -> Option<Places> {
        let Log::Tables(tables) = &self.keeping.log else { return None };
        let restore = Restore {
            logs: worker.logs(),
            store: &*self.store,
            progress: &self.progress,
            is_wanted: &|| true,
        };
        known_places(&restore, tables)
    }

    /// What an exactly-once task writes to the changelog, in its transactions.
    pub(super) fn log_records(&self) -> Option<Box<dyn CommitLog>> {
        self.changelog.clone().map(|changelog| Box::new(changelog) as _)
    }

    /// What an at-least-once task of a subscription writes to the changelog.
    pub(super) fn log_writer(&self, worker: &Worker) -> Option<Box<dyn ChangelogWriter>> {
        let (changelog, producer) = (self.changelog.clone()?, Arc::clone(worker.producer()));
        Some(Box::new(Writer { changelog, producer }))
    }

    /// A state that nothing was found of begins anew, and its changelog says so.
    fn begin_log(&self) -> Result<()> {
        if let Some(changelog) = &self.changelog
            && self.store.mark()?.is_none()
        {
            changelog.begins_with(Origin::Nothing);
        }
        Ok(())
    }

    /// As [`Kept::begin_log`], of an exactly-once task.
    pub(super) fn begin_exact(&self) -> Result<(), Ended> {
        self.begin_log().map_err(halted)
    }

    /// Brings the state of an at-least-once task back as far as it can be found; where reading begins, none if
    /// nothing was ever committed. `committed` is what the group has, `again` the one that windows in memory
    /// begin at if nothing is found. Blocks until a broker answers.
    pub(super) fn bring_back(
        &self,
        worker: &Worker,
        beside: Option<Committed>,
        again: Option<i64>,
        opening: &Opening,
    ) -> Result<Option<i64>, Ended> {
        let committed = beside.map(|one| one.offset);
        let goal = committed.map(|to| Goal { to, token: 0, hash: 0, is_exact: false });
        let sources = self.sources();
        let is_wanted = || !opening.gate.is_closed();
        let restore = Restore {
            logs: worker.logs(),
            store: &*self.store,
            progress: &self.progress,
            is_wanted: &is_wanted,
        };
        self.check_identity(committed)?;
        if self.begins_anew(beside).map_err(halted)? {
            return Ok(committed);
        }
        loop {
            if !is_wanted() {
                return Err(Ended::Gone);
            }
            match bring_back(&restore, &sources, goal)
                .and_then(|mark| Ok((mark, self.begin_log().and_then(|()| self.note_identity())?)))
            {
                // Windows in memory are read again from there.
                Ok((None, ())) if again.is_some() => return Ok(again),
                // Each input is looked at by itself.
                Ok((mark, ())) if self.keeping.has_several_inputs() => {
                    return Ok(mark.map(|mark| mark.next));
                }
                Ok((mark, ())) => return self.check_input(worker, mark, committed),
                Err(Error::Stopped) => return Err(Ended::Gone),
                Err(error) if error.act() == crate::error::Act::Retry => {
                    tracing::warn!(target: "turbine.state", "{}: {error}; trying again", self.tp);
                    opening.gate.wait(RETRY_PAUSE);
                }
                Err(error) => return Err(halted(error)),
            }
        }
    }

    /// Of which generation the state is; 0 before any reset.
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Forgets a state that was reset on another machine; true if nothing in front of the committed offset counts.
    fn begins_anew(&self, committed: Option<Committed>) -> Result<bool> {
        let known = self.store.note()?.and_then(|note| Identity::from_note(&note));
        let known = known.map(|known| known.generation);
        let receipt = committed.and_then(|one| one.receipt);
        let now = receipt.map(|receipt| receipt.generation).or(known);
        self.generation.store(now.unwrap_or(0), Ordering::Relaxed);
        // A commit of before there was any reset, or of other software, proves nothing.
        let is_void = receipt.is_some_and(|one| one.generation != 0)
            && known.is_some_and(|known| Some(known) != now);
        if is_void && self.store.mark()?.is_some() {
            tracing::warn!(
                target: "turbine.state",
                "{} {}: the state on this machine is of before a reset and is forgotten", self.keeping.name, self.tp
            );
            self.store.clear()?;
        }
        let begins = self.store.mark()?.is_none() && receipt.is_some_and(|one| one.is_beginning());
        if begins {
            self.begin_log()?;
            self.note_identity()?;
        }
        Ok(begins)
    }

    /// A state that is here must be one of this input.
    fn check_identity(&self, committed: Option<i64>) -> Result<(), Ended> {
        let known = || Ok((self.store.mark()?, self.store.note()?));
        let (mark, note) = known().map_err(halted)?;
        let known = note.and_then(|note| Identity::from_note(&note)).filter(|_| mark.is_some());
        match known.and_then(|known| known.refuses(&self.identity)) {
            Some(reason) => {
                let local = mark.map(|mark| mark.next);
                Err(Ended::Halted(Halt { local, committed, ..Halt::of(reason) }))
            }
            None => Ok(()),
        }
    }

    fn note_identity(&self) -> Result<()> {
        let known = self.store.note()?.and_then(|note| Identity::from_note(&note));
        let now = Identity { generation: self.generation(), ..self.identity.clone() };
        let now = now.or(known.clone());
        if known.as_ref() == Some(&now) { Ok(()) } else { self.store.set_note(&now.to_note()) }
    }

    /// The records that come next must be there.
    fn check_input(
        &self,
        worker: &Worker,
        mark: Option<Mark>,
        committed: Option<i64>,
    ) -> Result<Option<i64>, Ended> {
        let at = mark.map(|mark| mark.next);
        let Some(first) = at.or_else(|| committed.map(|_| 0)) else { return Ok(None) };
        // Whether records are gone shows again when they are read.
        let Ok(bounds) = worker.logs().bounds(&self.tp) else { return Ok(at.or(committed)) };
        if at.is_none() {
            worker.metrics.state(&label(&self.keeping.name, &self.tp)).missing.inc();
        }
        if first >= bounds.start || bounds.start == bounds.end {
            self.tell_of_nothing(at, committed, "the topic is read again from its beginning");
            return Ok(Some(first.max(bounds.start)));
        }
        if at.is_none() || self.keeping.policy.on_gap == OnGap::Accept {
            self.tell_of_nothing(
                at,
                committed,
                "its beginning is gone from the topic too, so it begins empty",
            );
            return Ok(Some(at.unwrap_or(bounds.start).max(committed.unwrap_or(bounds.start))));
        }
        let halt = Halt::of(Reason::InputTruncated);
        let log = Some((bounds.start, bounds.end));
        Err(Ended::Halted(Halt { local: at, committed, log, ..halt }))
    }

    fn tell_of_nothing(&self, at: Option<i64>, committed: Option<i64>, then: &str) {
        if let (None, Some(committed)) = (at, committed) {
            tracing::error!(
                target: "turbine.state",
                "{} {}: no state on this machine although offset {committed} is committed, and neither \
                 changelog nor snapshot has it; {then}", self.keeping.name, self.tp
            );
        }
    }
}

/// Writes commits outside of transactions.
struct Writer {
    changelog: Changelog,
    producer: Arc<Producer>,
}

impl ChangelogWriter for Writer {
    fn write(&mut self, delta: &Delta, from: i64, mark: &Mark) -> Result<i64> {
        let records = self.changelog.records(delta, from, mark)?;
        let (landed, wait) = mpsc::channel();
        let flight = Flight::new(move |result| {
            // Who has waited for too long does not listen any more.
            let _ = landed.send(result);
        });
        let mut last = None;
        for record in &records {
            let out = Outgoing {
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                partition: Some(record.partition),
                timestamp_ms: None,
                headers: &record.headers,
            };
            let answer = Arc::default();
            last = Some(Arc::clone(&answer));
            if let Err(error) = self.producer.send(&record.topic, &out, Some(&flight), Some(answer))
            {
                flight.failed_whole(error);
                break;
            }
        }
        flight.seal();
        let late = || Error::State("the changelog was not written in time".into());
        wait.recv_timeout(WRITE_TIMEOUT).map_err(|_| late())??;
        let last = last.and_then(|answer| answer.get()).transpose()?;
        Ok(last.map_or(-1, |receipt| receipt.offset + 1))
    }

    fn settled(&mut self) {
        self.changelog.settled();
    }
}
