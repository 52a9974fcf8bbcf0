//! One worker process: its groups, their tasks, one producer.
//!
//! | thread | started by | ends | does |
//! | --- | --- | --- | --- |
//! | `turbine-core-*` (tokio) | [`Worker::start`] | when the worker is dropped | tasks: poll, decode, encode, produce |
//! | `turbine-group-*` | each group | [`Worker::join`] | heartbeats, rebalances |
//! | `turbine-commit-*` | each group | [`Worker::join`] | commits offsets |
//! | `turbine-state` | [`Worker::start`] | by itself | opens the state of the last run |
//! | `turbine-producer` | the producer | when it is dropped | acknowledgements |
//! | `turbine-stage` | the producer | when it is dropped | hands over what was sent one by one |
//!
//! Python threads and event loops take work from the shelves and mailboxes, and never block these.

pub mod cuts;
pub mod epochs;
pub mod events;
pub mod group;
mod growth;
pub mod partitions;
pub mod snapshots;
pub mod stores;
pub mod task;
pub mod view;
pub mod visits;
pub mod wake;

mod agents;
mod build;
mod committers;
mod exact;
mod found;
mod globals;
mod joined;
mod look;
pub mod opening;
mod parts;
mod positions;
mod reopening;
mod restoring;
mod stages;
mod together;
mod trimming;

use crate::{
    clock::Clock,
    codec::registry::{Registry, RegistryMetrics},
    config::WorkerConfig,
    error::{Error, Result},
    kafka::{
        admin::Admin,
        consumer::{GroupConsumer, Membership},
        log_reader::Logs,
        producer::Producer,
    },
    metrics::Metrics,
    task::{agent::Mailbox, commit::Turns, shelf::Shelf, subscription::Job},
    types::TopicPartition,
};
use arrow::datatypes::SchemaRef;
use epochs::Epochs;
use events::{Event, Events};
use found::Found;
use globals::Globals;
use group::Group;
use parking_lot::Mutex;
use partitions::Partitions;
use snapshots::Snapshots;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use stores::Stores;
use tokio::runtime::{Builder, Runtime};
use wake::WakeFd;

/// Longest wait for the first answer of a broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the last snapshots may take although the time to stop is over.
const LEAST_LAST_SNAPSHOT: Duration = Duration::from_secs(1);
/// How long a commit on its way may keep a worker from being killed.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);

/// The value of the metric label `worker`.
#[must_use]
pub fn label(name: &str, tp: &TopicPartition) -> String {
    format!("{name}-p{}", tp.partition)
}

/// See the module.
pub struct Worker {
    pub(crate) config: WorkerConfig,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    producer: Arc<Producer>,
    registry: Option<Arc<Registry>>,
    stores: Stores,
    logs: Arc<Logs>,
    runtime: Mutex<Option<Runtime>>,
    snapshots: Option<Arc<Snapshots>>,
    wake: Arc<WakeFd>,
    events: Arc<Events>,
    shelves: HashMap<String, Arc<Shelf<Job>>>,
    mailboxes: HashMap<String, Vec<Arc<Mailbox>>>,
    pub(crate) partitions: Partitions,
    found: Found,
    schemas: Mutex<HashMap<String, SchemaRef>>,
    groups: Mutex<Vec<Arc<Group>>>,
    committers: Mutex<Vec<JoinHandle<()>>>,
    commits: Turns,
    openings: Turns,
    stopping: AtomicBool,
}

impl Worker {
    /// A worker that has not contacted anybody; its producer connects in the background. Rows wait for
    /// more rows as long as `clock` says; every other time is that of the machine.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for settings that librdkafka refuses.
    pub fn new(config: WorkerConfig, clock: Clock) -> Result<Arc<Self>> {
        let wake = Arc::new(WakeFd::new()?);
        let waker = || -> crate::task::shelf::Wake {
            let wake = Arc::clone(&wake);
            Arc::new(move || wake.signal())
        };
        let shelves =
            config.subscriptions.iter().map(|s| (s.name.clone(), Arc::new(Shelf::new(waker()))));
        let mailboxes = config.agents.iter().map(|a| {
            let instances = (0..a.concurrency.max(1)).map(|_| Arc::new(Mailbox::new(waker())));
            (a.name.clone(), instances.collect())
        });
        let runtime = Builder::new_multi_thread()
            .thread_name("turbine-core")
            .enable_all()
            .build()
            .map_err(|e| Error::io("starting the core's threads", &e))?;
        let metrics = Metrics::new();
        let producer = Producer::new(
            &config.brokers,
            &config.kafka,
            config.produce_buffer_bytes,
            metrics.acknowledged.clone(),
        )?;
        let answers = RegistryMetrics {
            answered: metrics.registry_answered.clone(),
            failed: metrics.registry_failed.clone(),
        };
        let registry = config.schema_registry.as_ref();
        let registry = registry.map(|r| Registry::new(r, answers).map(Arc::new)).transpose()?;
        let snapshots = Snapshots::new(&config, runtime.handle(), metrics.snapshots.clone())?;
        Ok(Arc::new(Self {
            producer,
            registry,
            stores: Stores::new(&config, snapshots.clone()),
            snapshots,
            logs: Arc::new(Logs::new(
                config.brokers.clone(),
                config.kafka.clone(),
                format!("{}-restore", config.app_id),
            )),
            shelves: shelves.collect(),
            mailboxes: mailboxes.collect(),
            metrics,
            runtime: Mutex::new(Some(runtime)),
            events: Arc::new(Events::new(Arc::clone(&wake), config.tells_commits)),
            wake,
            partitions: Partitions::default(),
            found: Found::default(),
            schemas: Mutex::default(),
            groups: Mutex::default(),
            committers: Mutex::default(),
            commits: Turns::for_commits(),
            openings: Turns::for_openings(),
            stopping: AtomicBool::new(false),
            config,
            clock,
        }))
    }

    /// The producer that agents send with.
    #[must_use]
    pub fn producer(&self) -> &Arc<Producer> {
        &self.producer
    }

    /// Where its tasks keep state.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Where changelogs are read.
    #[must_use]
    pub(crate) fn logs(&self) -> &Arc<Logs> {
        &self.logs
    }

    /// The descriptor that wakes the front end.
    #[must_use]
    pub fn wake(&self) -> &Arc<WakeFd> {
        &self.wake
    }

    /// What happened since the last call.
    pub fn events(&self) -> Vec<Event> {
        self.events.take()
    }

    /// The schema of a subscription's input, before [`Worker::start`]; without one it is inferred.
    pub fn set_schema(&self, subscription: &str, schema: SchemaRef) {
        self.schemas.lock().insert(subscription.to_owned(), schema);
    }

    /// Where a subscription's batches wait.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a name that was not declared.
    pub fn shelf(&self, subscription: &str) -> Result<&Arc<Shelf<Job>>> {
        let missing = || Error::Config(format!("no subscription is called {subscription}"));
        self.shelves.get(subscription).ok_or_else(missing)
    }

    /// Where rows for instance `index` of an agent wait.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an agent or instance that was not declared.
    pub fn mailbox(&self, agent: &str, index: usize) -> Result<&Arc<Mailbox>> {
        let missing = || Error::Config(format!("no agent is called {agent}[{index}]"));
        self.mailboxes.get(agent).and_then(|m| m.get(index)).ok_or_else(missing)
    }

    /// Joins the groups. Blocks until a broker has answered.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when none answers, [`Error::Config`] for a wrong declaration.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        crate::failpoints::arm_from_env()?;
        self.open_state()?;
        let admin = Admin::new(&self.config.brokers, &self.config.kafka)?;
        let known = admin.list_topics(CONNECT_TIMEOUT)?;
        let handle = match &*self.runtime.lock() {
            Some(runtime) => runtime.handle().clone(),
            None => return Err(Error::Stopped),
        };
        trimming::begin(self, self.snapshots.as_ref(), &handle)?;
        growth::begin(self, &handle);
        // In front of the groups: agents are to find everything.
        let _ = self.partitions.globals.set(Globals::begin(self, &admin)?);
        let epochs = Arc::new(Epochs::new(Arc::clone(&self.producer)));
        let plans = build::groups(self, &handle, &epochs, &known)?;
        let all: usize = plans.iter().map(|plan| plan.partitions).sum();
        let name = self.config.keeps_state().then(|| self.stores.member_name()).flatten();
        for plan in plans {
            let partitions = plan.partitions;
            let group = Arc::new_cyclic(|me| Group { me: me.clone(), ..plan.group });
            // A pattern that nothing fits yet has nothing to wait for.
            group.has_joined.store(plan.topics.is_empty(), Ordering::Release);
            self.groups.lock().push(Arc::clone(&group));
            let member = GroupConsumer::join(
                &Membership {
                    brokers: &self.config.brokers,
                    user: &self.config.kafka,
                    group: &group.id,
                    topics: &plan.topics,
                    attached: &group.attached,
                    start_at: plan.start_at,
                    partitions,
                    buffer_bytes: self.config.fetch_buffer_bytes * partitions / all.max(1),
                    tells_ends: plan.tells_ends,
                    is_exact: plan.is_exact,
                    name: name.as_deref(),
                },
                // Weak: the member belongs to the group, and nothing would ever end them both.
                Arc::new(group::Watch(Arc::downgrade(&group))),
            )?;
            // Set once, here.
            let _ = group.member.set(member);
            let committer = std::thread::Builder::new()
                .name(format!("turbine-commit-{}", group.id))
                .spawn(move || group.commit_until_left())
                .map_err(|e| Error::io("starting a commit thread", &e))?;
            self.committers.lock().push(committer);
        }
        Ok(())
    }

    /// Opens the state of the last run while the groups are joined: reading its log takes a while.
    fn open_state(self: &Arc<Self>) -> Result<()> {
        if !self.config.keeps_state() {
            return Ok(());
        }
        let worker = Arc::downgrade(self);
        let open = move || {
            if let Some(worker) = worker.upgrade() {
                worker.stores.open_early();
            }
        };
        let thread = std::thread::Builder::new().name("turbine-state".into()).spawn(open);
        thread.map(drop).map_err(|e| Error::io("starting the thread that opens the state", &e))
    }

    /// Stops polling; what handlers have can still complete. Returns at once.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.groups.lock().iter().for_each(|group| group.drain());
        self.shelves.values().for_each(|shelf| shelf.close());
        self.mailboxes.values().flatten().for_each(|mailbox| mailbox.close());
    }

    /// Waits until handlers are done and their offsets committed, at most `timeout`; what hangs.
    pub fn join(&self, timeout: Duration) -> Vec<String> {
        self.stop();
        if let Some(snapshots) = self.snapshots.as_ref().filter(|_| !self.is_killed()) {
            snapshots.hold();
        }
        let deadline = Instant::now() + timeout;
        let groups: Vec<_> = self.groups.lock().drain(..).collect();
        let (left_one, leaving) = mpsc::channel();
        for (index, group) in groups.iter().enumerate() {
            let (group, left_one) = (Arc::clone(group), left_one.clone());
            std::thread::spawn(move || {
                group.leave();
                // Nobody listens any more once the time is over.
                let _ = left_one.send(index);
            });
        }
        drop(left_one);
        let mut remaining: BTreeSet<usize> = (0..groups.len()).collect();
        let mut hanging = Vec::new();
        while !remaining.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(index) = leaving.recv_timeout(left) else { break };
            remaining.remove(&index);
            hanging.append(&mut groups[index].hanging.lock());
        }
        hanging
            .extend(remaining.iter().map(|&i| format!("group {} has not been left", groups[i].id)));
        let left = deadline.saturating_duration_since(Instant::now());
        let unsent = self.producer.flush(left.max(Duration::from_millis(100)));
        if unsent > 0 {
            hanging.push(format!("{unsent} sent records have no acknowledgement"));
        }
        if hanging.is_empty() {
            for committer in self.committers.lock().drain(..) {
                // It has been told to end; one that panicked has logged why.
                let _ = committer.join();
            }
        }
        self.last_snapshots(deadline);
        self.end_globals();
        self.stores.close();
        if let Some(runtime) = self.runtime.lock().take() {
            if remaining.is_empty() {
                runtime.shutdown_background();
            } else {
                // A group that still leaves waits for its handlers on this runtime.
                std::thread::spawn(move || {
                    let _ = leaving.iter().take(remaining.len()).count();
                    runtime.shutdown_background();
                });
            }
        }
        hanging
    }

    /// The snapshots of the tasks that are watched.
    #[must_use]
    pub fn snapshots(&self) -> Option<&Arc<Snapshots>> {
        self.snapshots.as_ref()
    }

    fn is_killed(&self) -> bool {
        self.groups.lock().iter().any(|group| group.killed.load(Ordering::Acquire))
    }

    /// Takes the last snapshots of the tasks that have ended.
    fn last_snapshots(&self, deadline: Instant) {
        let handle = self.runtime.lock().as_ref().map(|runtime| runtime.handle().clone());
        let (Some(snapshots), Some(handle)) = (&self.snapshots, handle) else { return };
        let left = deadline.saturating_duration_since(Instant::now()).max(LEAST_LAST_SNAPSHOT);
        if !handle.block_on(snapshots.finish(left)) {
            tracing::warn!(
                target: "turbine.worker",
                "the last snapshots were not complete after {} s; older ones are there",
                left.as_secs()
            );
        }
    }

    /// Lets go of everything: nothing more is committed.
    pub fn kill(&self) {
        for group in self.groups.lock().iter() {
            group.killed.store(true, Ordering::Release);
            group.tasks().iter().for_each(task::Task::abandon);
        }
        self.stop();
        self.end_globals();
        self.producer.purge();
        // Whoever is cut off from the coordinator with a commit on its way cannot end for a minute.
        let groups: Vec<_> = self.groups.lock().clone();
        for group in groups {
            drop(group.committing.try_lock_for(COMMIT_PATIENCE));
        }
    }

    fn end_globals(&self) {
        if let Some(globals) = self.partitions.globals.get() {
            globals.end();
        }
    }

    /// The agent's code is over: every partition that it reads stops.
    pub fn agent_failed(&self, agent: &str, reason: &str) {
        for task in self.groups.lock().iter().flat_map(|group| group.tasks()) {
            if let task::Task::Agents(shared, _) = &task
                && shared.lanes().any(|lane| lane.agent == agent)
            {
                shared.status.fail(reason);
            }
        }
    }

    /// Every task of this moment.
    fn tasks(&self) -> BTreeMap<(String, TopicPartition), (String, task::Task)> {
        let groups = self.groups.lock();
        groups
            .iter()
            .flat_map(|group| group.tasks().into_iter().map(|task| (group.id.clone(), task)))
            .map(|(id, task)| {
                let status = task.status();
                ((status.name.clone(), status.tp.clone()), (id, task))
            })
            .collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}
