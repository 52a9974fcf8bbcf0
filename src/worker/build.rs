//! From declarations to groups: who reads what, and how a task begins.

use super::{
    Worker,
    agents::agents_spawn,
    epochs::Epochs,
    events::Event,
    exact::ledger_parts,
    group::{Group, Queued, Spawn},
    joined::{self, Right},
    label,
    opening::{Job, Opening},
    parts::Parts,
    restoring::{Keeping, Kept, committed},
    stages::stage_spawn,
    task::Task,
    together,
};
use crate::{
    codec::{DecodeOptions, format::Decoders, json::SharedSchema},
    config::{AgentConfig, Format, Guarantee, OnError, StartAt, SubscriptionConfig},
    engine::{
        halt::{Halt, Reason},
        horizon::Point,
    },
    error::Result,
    kafka::{consumer::Attached, queue::PartitionQueue},
    state::Store,
    task::{
        commit::{Ended, Ledger},
        restore::Progress,
        shelf::Shelf,
        sink::Sink,
        status::Status,
        subscription::{
            self, ChangelogWriter, Exact, Held, Replaying, Silence, Source, event_time::EventClock,
        },
        trailing::{QUIET, Trailing},
        watch::watch,
    },
    types::TopicPartition,
};
use arrow::datatypes::SchemaRef;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, Weak, atomic::AtomicBool},
    time::Duration,
};
use tokio::runtime::Handle;

/// Most bytes of records in one batch or chunk, whatever the rows.
const BATCH_BYTES: usize = 8 << 20;
/// Least, so that a small budget still moves.
const LEAST_BATCH_BYTES: usize = 64 << 10;

/// A group to join.
pub(super) struct Plan {
    pub(super) group: Group,
    /// Must its members know when they are at the end of a partition?
    pub(super) tells_ends: bool,
    /// Are its offsets committed in transactions?
    pub(super) is_exact: bool,
    pub(super) topics: Vec<String>,
    /// Partitions of all topics that are read, the attached ones among them.
    pub(super) partitions: usize,
    /// Where it begins without offsets.
    pub(super) start_at: StartAt,
}

/// One group for each subscription, one for all agents that share an id.
pub(super) fn groups(
    worker: &Arc<Worker>,
    runtime: &Handle,
    epochs: &Arc<Epochs>,
    known: &BTreeMap<String, usize>,
) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    let start_at = worker.config.start_at;
    for config in &worker.config.repartitions {
        let spawn = stage_spawn(worker, runtime, config, known)?;
        let group = group(worker, runtime, config.to.clone(), None, spawn);
        let (topics, tells_ends) = (vec![config.topic.clone()], config.event_time.is_some());
        let is_exact = config.guarantee == Guarantee::ExactlyOnce;
        let partitions = count(known, &topics);
        plans.push(Plan { group, tells_ends, is_exact, topics, partitions, start_at });
    }
    for config in &worker.config.subscriptions {
        let attached = joined::attached(config, known)?;
        let (spawn, resumes) = subscription_spawn(worker, runtime, config, known)?;
        let mut group = group(worker, runtime, config.group.clone(), None, spawn);
        group.resumes = resumes;
        let idle_close = config.event_time.as_ref().and_then(|time| time.idle_close_ms);
        // Sides of a join wait for each other as long as there is something to read.
        let tells_ends = idle_close.is_some() || !attached.0.is_empty();
        let topics = config.topics.clone();
        // What was written on before its group has joined is not to be missed.
        let start_at = if config.is_repartitioned { StartAt::Earliest } else { start_at };
        let is_exact = config.guarantee == Guarantee::ExactlyOnce;
        let right = joined::right(config).map(|side| &side.topic);
        let partitions = count(known, topics.iter().chain(right));
        group.attached = attached;
        plans.push(Plan { group, tells_ends, is_exact, topics, partitions, start_at });
    }
    let mut agents: BTreeMap<&str, Vec<&AgentConfig>> = BTreeMap::new();
    for config in &worker.config.agents {
        agents.entry(&config.group).or_default().push(config);
    }
    for (id, configs) in agents {
        let topics: BTreeSet<_> = configs.iter().flat_map(|c| c.topics.iter().cloned()).collect();
        let attached = together::attached(&worker.config.copartitioned, &topics, known);
        let spawn = agents_spawn(worker, runtime, &configs, epochs, known);
        let epochs = Some(Arc::clone(epochs));
        let mut group = group(worker, runtime, id.to_owned(), epochs, spawn);
        let partitions = count(known, &topics);
        let is_lead = |topic: &String| attached.topics().all(|other| other != topic);
        let topics = topics.into_iter().filter(is_lead).collect();
        group.attached = attached;
        let is_exact = configs.iter().any(|one| one.guarantee == Guarantee::ExactlyOnce);
        plans.push(Plan { group, tells_ends: false, is_exact, topics, partitions, start_at });
    }
    Ok(plans)
}

/// Partitions of `topics`, one at least.
fn count<'a>(
    known: &BTreeMap<String, usize>,
    topics: impl IntoIterator<Item = &'a String>,
) -> usize {
    topics.into_iter().filter_map(|topic| known.get(topic)).sum::<usize>().max(1)
}

fn group(
    worker: &Worker,
    runtime: &Handle,
    id: String,
    epochs: Option<Arc<Epochs>>,
    spawn: Spawn,
) -> Group {
    Group {
        id,
        runtime: runtime.clone(),
        openings: worker.openings.clone(),
        events: Arc::clone(&worker.events),
        metrics: Arc::clone(&worker.metrics),
        epochs,
        drain_timeout: Duration::from_millis(worker.config.drain_timeout_ms),
        commit_interval: Duration::from_millis(worker.config.commit_interval_ms.max(1)),
        spawn,
        attached: Attached::default(),
        resumes: false,
        me: Weak::new(),
        member: OnceLock::new(),
        tasks: Mutex::default(),
        has_joined: AtomicBool::new(false),
        killed: AtomicBool::new(false),
        hanging: Mutex::default(),
        committing: Mutex::default(),
        ending: Mutex::new(false),
        ended: Condvar::new(),
        again: Mutex::default(),
        restored: Mutex::default(),
    }
}

pub(super) fn batch_bytes(worker: &Worker) -> usize {
    (worker.config.fetch_buffer_bytes / 8).clamp(LEAST_BATCH_BYTES, BATCH_BYTES)
}

pub(super) fn status(worker: &Worker, name: &str, tp: TopicPartition) -> Status {
    let metrics = worker.metrics.task(&label(name, &tp));
    let (events, owner) = (Arc::clone(&worker.events), name.to_owned());
    let on_failure = Box::new(move |tp: &TopicPartition, reason: &str, halt: Option<&Halt>| {
        let (name, partition, reason) = (owner.clone(), tp.clone(), reason.to_owned());
        if halt.is_some_and(|halt| halt.reason == Reason::GapTooLarge) {
            let (name, partition, reason) = (name.clone(), partition.clone(), reason.clone());
            events.put(Event::Fatal { name, partition, reason });
        }
        events.put(Event::Failed { name, partition, reason });
    });
    Status::new(tp, name.to_owned(), metrics, on_failure)
}

pub(super) fn schema_of(worker: &Worker, subscription: &str) -> Option<SchemaRef> {
    worker.schemas.lock().get(subscription).cloned()
}

/// What reads values of `format`, the second part of which says whether tombstones are rows of nulls.
pub(super) fn decoders(
    worker: &Worker,
    name: &str,
    schema: Option<SchemaRef>,
    (format, tombstones_as_nulls): (Format, bool),
) -> Result<Decoders> {
    let options = DecodeOptions { tombstones_as_nulls };
    let learned = Arc::new(SharedSchema::new(name, worker.metrics.schema_widened.clone()));
    Decoders::new(format, schema, learned, options, worker.registry.clone())
}

fn subscription_spawn(
    worker: &Arc<Worker>,
    runtime: &Handle,
    config: &SubscriptionConfig,
    known: &BTreeMap<String, usize>,
) -> Result<(Spawn, bool)> {
    let schema = schema_of(worker, &config.name);
    let format = (config.value_format.clone(), config.tombstones_as_nulls);
    let decoders = decoders(worker, &config.name, schema.clone(), format)?;
    let right = Right::new(worker, config)?;
    let schemas = [schema, right.as_ref().and_then(|right| right.schema.clone())];
    let parts = Parts::new(worker, config, schemas, known)?;
    let shelf = Arc::clone(worker.shelf(&config.name)?);
    let (weak, config) = (Arc::downgrade(worker), config.clone());
    let resumes = parts.resumes();
    let (known, keeping) = (known.clone(), parts.keeping());
    let runtime = runtime.clone();
    let recipe = Arc::new(Recipe { config, runtime, decoders, right, parts, shelf });
    let is_exact = recipe.config.guarantee == Guarantee::ExactlyOnce;
    let spawn: Spawn = Box::new(move |group, (tp, queue), sides, point| {
        let worker = weak.upgrade().expect("a worker leaves its groups before it goes");
        if !is_exact && keeping.is_none() {
            return recipe.begin(&worker, tp, queue, Begin { point, ..Begin::default() });
        }
        let name = recipe.config.name.clone();
        let status = status(&worker, &name, tp.clone());
        if recipe.right.is_some() && sides.is_empty() {
            return recipe.alone(&worker, status);
        }
        let label = label(&name, &tp);
        let progress = Progress::new(label.clone(), worker.metrics.restore(&label));
        let partitions = known.get(&*tp.topic).and_then(|&count| i32::try_from(count).ok());
        let (group, recipe, keeping) = (Arc::clone(group), Arc::clone(&recipe), keeping.clone());
        let mut sides = sides;
        let job: Job = Box::new(move |opening| {
            let keep = |keeping: &Keeping| {
                keeping.open(&worker, &tp, partitions.unwrap_or_default(), opening)
            };
            let kept = keeping.as_ref().map(keep).transpose()?;
            if let (Some(kept), Some(side)) = (&kept, sides.pop()) {
                recipe.open_joined(&worker, &group, [(tp, queue), side], kept, opening)
            } else if is_exact {
                recipe.open_exact(&worker, &group, tp, queue, kept, opening)
            } else {
                recipe.open(&worker, &group, (tp, queue), point, kept, opening)
            }
        });
        Task::Opening(Opening::new(status, progress, job))
    });
    // A task that promises exactly once finds that out by itself.
    Ok((spawn, resumes && !is_exact))
}

/// What every task of a subscription is made from.
pub(super) struct Recipe {
    pub(super) config: SubscriptionConfig,
    pub(super) runtime: Handle,
    pub(super) decoders: Decoders,
    /// The other topic, of a join.
    pub(super) right: Option<Right>,
    pub(super) parts: Parts,
    pub(super) shelf: Arc<Shelf<subscription::Job>>,
}

/// What a task begins with.
#[derive(Default)]
pub(super) struct Begin {
    pub(super) point: Option<Point>,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) changelog: Option<Box<dyn ChangelogWriter>>,
    pub(super) exact: Option<Exact>,
    /// The other input of a join, and where both begin.
    pub(super) side: Option<(Queued, Vec<i64>)>,
}

impl Recipe {
    /// An at-least-once task whose state is brought back first.
    fn open(
        &self,
        worker: &Arc<Worker>,
        group: &Group,
        (tp, queue): (TopicPartition, PartitionQueue),
        point: Option<Point>,
        kept: Option<Kept>,
        opening: &Opening,
    ) -> Result<(Task, Option<i64>), Ended> {
        let committed = committed(group, &tp, opening)?;
        let mut begin = Begin { point, ..Begin::default() };
        let mut begins = None;
        if let Some(kept) = &kept {
            let again = begin.point.map(|point| point.offset);
            begins = kept.bring_back(worker, committed, again, opening)?;
            begin.store = Some(Arc::clone(&kept.store));
            begin.changelog = kept.log_writer(worker);
        }
        let task = self.begin(worker, tp, queue, begin);
        if let Some(kept) = &kept {
            task.status().note_generation(kept.generation());
        }
        let begins = task.starts_at().or(begins);
        Ok((task, begins))
    }

    /// An exactly-once task: finds out what is committed, and brings its state there.
    fn open_exact(
        &self,
        worker: &Arc<Worker>,
        group: &Arc<Group>,
        tp: TopicPartition,
        queue: PartitionQueue,
        kept: Option<Kept>,
        opening: &Opening,
    ) -> Result<(Task, Option<i64>), Ended> {
        let name = &self.config.name;
        let mut parts = ledger_parts(worker, group, &tp, name, Some(name), &opening.gate);
        if let Some(kept) = &kept {
            parts.store = Some(Arc::clone(&kept.store));
            parts.log = kept.log_records();
            parts.catch_up = Box::new(kept.recover(worker, opening));
        }
        let (ledger, live) = Ledger::boot(parts)?;
        let point = live.receipt.map(|receipt| receipt.point);
        let point = point.filter(|point| !point.is_plain());
        let replay = kept.as_ref().and_then(|kept| *kept.replay.lock());
        let begins = replay.map(|replay| replay.from.unwrap_or(0));
        let mut exact = Exact { ledger, at: live.at, begins, replaying: None };
        let mut begin = Begin { point, ..Begin::default() };
        if let Some(kept) = kept {
            if replay.is_none() {
                kept.begin_exact()?;
            }
            let replaying = |replay| Replaying::new(replay, Arc::clone(&kept.store));
            exact.replaying = replay.map(replaying);
            begin.store = Some(kept.store);
        }
        let task = self.begin(worker, tp, queue, Begin { exact: Some(exact), ..begin });
        if let Some(at) = live.at {
            task.status().note_committed(at);
        }
        let begins = task.starts_at();
        Ok((task, begins))
    }

    /// Begins the task of one partition.
    pub(super) fn begin(
        &self,
        worker: &Arc<Worker>,
        tp: TopicPartition,
        queue: PartitionQueue,
        begin: Begin,
    ) -> Task {
        let Self { config, runtime, parts, shelf, .. } = self;
        let Begin { point, store, changelog, exact, side } = begin;
        let status = status(worker, &config.name, tp.clone());
        let clock = worker.clock.clone();
        let (side, inputs) = side.map(|side| joined::inputs(&tp, side)).unzip();
        let (held, events) = match parts.open(worker, &status.tp, point, store, changelog) {
            Ok((held, events)) => {
                let feeding = parts.feeding(&status.tp);
                (Held { exact, inputs, feeding, ..held }, events)
            }
            Err(error) => {
                status.fail(&error.to_string());
                let held = Held { exact, inputs, ..Held::default() };
                let task = subscription::Shared::new(status, config.clone(), clock, held);
                return Task::Subscription(task, Arc::clone(shelf));
            }
        };
        let task = subscription::Shared::new(status, config.clone(), clock, held);
        match self.sources(worker, &task, ((tp, queue), side), events) {
            Ok((sources, sink)) => {
                let run = runtime.spawn(subscription::read(sources, sink));
                watch(runtime, Arc::clone(&task), run, |task| &task.status);
            }
            Err(error) => task.status.fail(&error.to_string()),
        }
        Task::Subscription(task, Arc::clone(shelf))
    }

    /// What reads the inputs of `task`, and what writes its outputs.
    fn sources(
        &self,
        worker: &Worker,
        task: &Arc<subscription::Shared>,
        ((tp, queue), side): (Queued, Option<Queued>),
        events: Option<EventClock>,
    ) -> Result<(Vec<Source>, Sink)> {
        let Self { config, decoders, parts, shelf, .. } = self;
        let plan = parts.plan(worker, &label(&config.name, &tp))?.map(Arc::new);
        let dead_letters = config.dlq.clone().filter(|_| config.on_error == OnError::Dlq);
        let (producer, metrics) = (Arc::clone(&worker.producer), Arc::clone(&worker.metrics));
        let sink = Sink::new(producer, metrics, parts.gates()?, dead_letters);
        let watermark = events.as_ref().and_then(EventClock::watermark);
        let quiet = if task.commits_each() { QUIET } else { Duration::ZERO };
        let source = Source {
            task: Arc::clone(task),
            tp,
            is_repartitioned: config.is_repartitioned,
            reading: None,
            queue,
            decoder: decoders.decoder()?,
            shelf: Arc::clone(shelf),
            batch_bytes: batch_bytes(worker),
            events,
            dedup: parts.dedup(),
            plan,
            silence: Silence::new(parts.idle_close(), worker.clock.now(), watermark),
            trailing: Trailing::after(quiet),
        };
        let sources = match side {
            Some(side) => self.both(worker, source, side)?,
            None => vec![source],
        };
        Ok((sources, sink))
    }
}
