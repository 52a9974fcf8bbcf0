//! Snapshots of a worker's tasks: when they are taken, by whom, and what is told of them.
//!
//! # Guarantees
//!
//! * Nothing here stops a task: a snapshot reads a frozen view on a thread of its own, a few at a time, and
//!   an object store that fails or hangs is counted and tried again.
//! * A task is over for its snapshots when nobody else has its store any more.
//! * A task that is watched is claimed at once: a worker that had it before completes no snapshot that is
//!   preferred to one of this worker.
//!
//! # Not here
//!
//! What a snapshot is ([`crate::state::snapshot`]), and restoring one (the task's start).

mod taker;

use crate::{
    config::WorkerConfig,
    error::{Error, Result},
    metrics::SnapshotMetrics,
    state::{
        Mark, SpaceName, Store, TaskName,
        snapshot::{Archive, Retention, Unit},
    },
};
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};
use taker::Taker;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};

/// Snapshots that are taken at a time.
const AT_A_TIME: usize = 2;

/// When a snapshot is due, and how many stay.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest time between two, if anything changes.
    pub interval: Duration,
    /// So many bytes written since the last make one due.
    pub bytes: u64,
    /// Longest time that one may take.
    pub deadline: Duration,
    /// Which stay.
    pub retention: Retention,
}

impl Settings {
    fn of(config: &WorkerConfig) -> Self {
        let interval = Duration::from_millis(config.snapshot_interval_ms.max(1));
        Self {
            interval,
            bytes: config.snapshot_bytes.max(1),
            deadline: interval.max(Duration::from_secs(600)),
            retention: Retention { keep: config.snapshot_keep.max(1), ..Retention::default() },
        }
    }
}

/// Told what a complete snapshot covers: how far in the input, and how far in the changelog. Those that need
/// not stay are gone by then.
pub type OnComplete = Box<dyn Fn(&Unit, &Mark) + Send + Sync>;

/// Whose store it is that is watched.
pub struct Subject {
    /// Names the snapshots.
    pub unit: Unit,
    /// Partitions of the topic; 0 if that is not known.
    pub partitions: i32,
    /// The store's spaces, by their place.
    pub spaces: Vec<SpaceName>,
    /// The store; when nobody else has it any more, no further snapshot is taken.
    pub store: Weak<dyn Store>,
}

impl Subject {
    /// That of a task as the worker opens its store.
    #[must_use]
    pub fn of(app_id: &str, task: &TaskName, spaces: &[SpaceName], store: &Arc<dyn Store>) -> Self {
        Self {
            unit: Unit {
                app: app_id.to_owned(),
                name: task.owner.clone(),
                topic: task.topic.clone(),
                partition: task.partition,
            },
            partitions: task.partitions,
            spaces: spaces.to_vec(),
            store: Arc::downgrade(store),
        }
    }
}

/// The tasks that are watched.
pub struct Snapshots {
    archive: Archive,
    settings: Settings,
    owner: String,
    runtime: Handle,
    slots: Semaphore,
    metrics: SnapshotMetrics,
    takers: Mutex<BTreeMap<Unit, Arc<Taker>>>,
    on_complete: Mutex<Vec<OnComplete>>,
    /// A clone lives as long as a task takes a last snapshot.
    ending: Mutex<Option<mpsc::Sender<()>>>,
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

/// One line of `/snapshots`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotView {
    /// Subscription, or what stands for the agents.
    pub name: String,
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// `waiting`, `running`, `failing` or `fenced`.
    pub state: &'static str,
    /// The newest one of this worker.
    pub snapshot: Option<String>,
    /// Input offset of it: the next record to read.
    pub next: Option<i64>,
    /// When it was complete, in ms since 1970.
    pub completed_ms: Option<i64>,
    /// Rows in it.
    pub rows: u64,
    /// Bytes uploaded for it.
    pub uploaded_bytes: u64,
    /// Bytes that were there already.
    pub skipped_bytes: u64,
    /// Attempts that have failed since the start of the task.
    pub failures: u64,
    /// Why the last attempt failed; none if it did not.
    pub error: Option<String>,
    /// Number of the last snapshot that was asked for.
    pub asked: u64,
    /// Number of the last one that was answered, with a snapshot, or with `error`.
    pub answered: u64,
}

impl Snapshots {
    /// Those of `config`; none without a `checkpoint_url`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: the URL cannot be used; the sentence says what to write.
    pub fn new(
        config: &WorkerConfig,
        runtime: &Handle,
        metrics: SnapshotMetrics,
    ) -> Result<Option<Arc<Self>>> {
        let Some(url) = config.checkpoint_url.as_deref() else { return Ok(None) };
        let archive = Archive::open(url)?;
        Ok(Some(Self::over(archive, Settings::of(config), runtime, metrics)))
    }

    /// Those of one archive.
    #[must_use]
    pub fn over(
        archive: Archive,
        settings: Settings,
        runtime: &Handle,
        metrics: SnapshotMetrics,
    ) -> Arc<Self> {
        let (ending, ended) = mpsc::channel(1);
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "unknown host".into());
        Arc::new(Self {
            archive,
            settings,
            owner: format!("process {} of {host}", std::process::id()),
            runtime: runtime.clone(),
            slots: Semaphore::new(AT_A_TIME),
            metrics,
            takers: Mutex::default(),
            on_complete: Mutex::default(),
            ending: Mutex::new(Some(ending)),
            ended: tokio::sync::Mutex::new(ended),
        })
    }

    /// Where they are.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Takes snapshots of a task from now on, until its store goes.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: one of its names cannot be a folder.
    pub fn watch(self: &Arc<Self>, subject: Subject) -> Result<()> {
        let shelf = self.archive.of(&subject.unit)?;
        let unit = subject.unit.clone();
        let taker = Arc::new(Taker::new(subject, shelf));
        self.takers.lock().insert(unit, Arc::clone(&taker));
        self.runtime.spawn(taker.run(Arc::downgrade(self)));
        Ok(())
    }

    /// Tells `told` of every snapshot that is complete, from now on.
    pub fn on_complete(&self, told: OnComplete) {
        self.on_complete.lock().push(told);
    }

    /// Asks for a snapshot of every task; how many there are.
    pub fn ask(&self) -> usize {
        let takers = self.takers.lock();
        takers.values().for_each(|taker| taker.ask());
        takers.len()
    }

    /// Every task that is watched.
    #[must_use]
    pub fn views(&self) -> Vec<SnapshotView> {
        self.takers.lock().values().map(|taker| taker.view()).collect()
    }

    /// What is wrong with them, for people.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let views = self.views().into_iter();
        let trouble = |view: SnapshotView| {
            let error = view.error?;
            Some(format!("{} {}[{}]: no snapshot: {error}", view.name, view.topic, view.partition))
        };
        views.filter_map(trouble).collect()
    }

    /// Keeps every store from now on, for a last snapshot when its task is over.
    pub fn hold(&self) {
        self.takers.lock().values().for_each(|taker| taker.hold());
    }

    /// Takes a last snapshot of every store that is held, and lets go of them; at most `timeout`. Are they
    /// complete?
    pub async fn finish(&self, timeout: Duration) -> bool {
        if let Some(ending) = self.ending.lock().take() {
            self.takers.lock().values().for_each(|taker| taker.finish(&ending));
        }
        let mut ended = self.ended.lock().await;
        tokio::time::timeout(timeout, ended.recv()).await.is_ok()
    }

    fn tell(&self, unit: &Unit, mark: &Mark) {
        self.on_complete.lock().iter().for_each(|told| told(unit, mark));
    }

    fn forget(&self, taker: &Arc<Taker>) {
        let mut takers = self.takers.lock();
        // The partition may be back already, with another taker.
        if takers.get(taker.unit()).is_some_and(|known| Arc::ptr_eq(known, taker)) {
            takers.remove(taker.unit());
            self.metrics.forget(&taker.label());
        }
    }
}

/// Why there is nothing to ask for.
#[must_use]
pub fn switched_off() -> Error {
    Error::Config(
        "this worker takes no snapshots: set checkpoint_url (TURBINE_CHECKPOINT_URL), as file:///var/lib/snapshots or s3://bucket/prefix".into(),
    )
}

#[cfg(test)]
mod tests;
