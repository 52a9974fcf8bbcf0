//! Global tables: all partitions of a table's changelog, on every worker.
//!
//! A worker writes the partitions that it has, as of any table. Beside that it reads the whole changelog,
//! outside of the group, so that every worker has every key.
//!
//! # Guarantees
//!
//! * No agent begins before everything is there that was in the changelog when the worker started.
//! * Only what is committed comes. What comes later is there as soon as it is read: [`Global::places`] says how
//!   far that is.
//! * A changelog that was deleted and made anew is read from its beginning, and nothing old stays.
//!
//! # Not here
//!
//! The disk: the copy is in memory, and read again at each start. Which part of a table is asked: see
//! [`super::partitions`].

use super::{Worker, view::AssignmentView};
use crate::{
    error::{Act, Error, Result},
    kafka::{
        admin::Admin,
        feed::{Feed, Place},
    },
    state::{Delta, Mark, MemoryStore, Space, SpaceName, Store, TaskName, Writes, inspect::Opened},
    task::{
        status::State,
        tables::{Page, page_of, space},
    },
};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Longest wait for records before it is looked whether the worker ends.
const WAIT: Duration = Duration::from_millis(200);
/// Pause behind an error of the broker.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a topic that was just made may be unknown.
const MADE_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the list of topics.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How often a start that waits says how far it is.
const TELL: Duration = Duration::from_secs(5);
/// The only space of a copy.
const ROWS: Space = Space(0);

/// The copy of one table.
pub(super) struct Global {
    name: String,
    topic: Arc<str>,
    parts: Vec<Arc<MemoryStore>>,
    progress: Mutex<Progress>,
    restored: Condvar,
}

#[derive(Default)]
struct Progress {
    places: Vec<Place>,
    is_restored: bool,
    failed: Option<Error>,
}

/// The copies of a worker.
#[derive(Default)]
pub(super) struct Globals {
    tables: BTreeMap<Space, Arc<Global>>,
    ended: Arc<AtomicBool>,
}

impl Globals {
    /// Reads the changelogs of the global tables of `worker`, each in a thread of its own. Blocks until all is
    /// there.
    ///
    /// # Errors
    ///
    /// If a changelog is missing or cannot be read.
    pub(super) fn begin(worker: &Worker, admin: &Admin) -> Result<Self> {
        let mut found = Self::default();
        for (index, table) in worker.config.tables.iter().enumerate().filter(|(_, t)| t.is_global) {
            let topic: Arc<str> = table.changelog.as_str().into();
            let feed = open(worker, admin, &topic)?;
            let global = Arc::new(Global::new(table.name.clone(), topic, feed.places().len()));
            found.tables.insert(space(index), Arc::clone(&global));
            let ended = Arc::clone(&found.ended);
            std::thread::Builder::new()
                .name(format!("turbine-global-{}", table.name))
                .spawn(move || global.follow(feed, &ended))
                .map_err(|e| Error::io("starting the thread of a global table", &e))?;
        }
        found.tables.values().try_for_each(|global| global.wait(&worker.stopping))?;
        Ok(found)
    }

    pub(super) fn of(&self, space: Space) -> Option<&Arc<Global>> {
        self.tables.get(&space)
    }

    /// Reads no more; what is there stays.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Partition by partition, for who looks at the worker.
    pub(super) fn opened(&self, app_id: &str) -> Vec<Opened> {
        let of = |global: &Arc<Global>| global.opened(app_id);
        self.tables.values().flat_map(of).collect()
    }

    /// How far each partition is, in the form of assignments.
    pub(super) fn followed(&self, app_id: &str) -> Vec<AssignmentView> {
        let of = |global: &Arc<Global>| global.followed(app_id);
        self.tables.values().flat_map(of).collect()
    }
}

/// Begins to read `topic`, which may have been made a moment ago.
fn open(worker: &Worker, admin: &Admin, topic: &Arc<str>) -> Result<Feed> {
    let deadline = Instant::now() + MADE_LIMIT;
    loop {
        let known = admin.list_topics(ASK_LIMIT)?.get(&**topic).copied().unwrap_or_default();
        let partitions = i32::try_from(known).unwrap_or(i32::MAX);
        match worker.logs().feed(topic, partitions) {
            Ok(feed) if partitions > 0 => return Ok(feed),
            Ok(_) if Instant::now() > deadline => {
                return Err(Error::Config(format!(
                    "the changelog {topic} of a global table does not exist: create it, or let the app create it \
                     with topic_allow_declare=True"
                )));
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            _ => std::thread::sleep(WAIT),
        }
    }
}

impl Drop for Globals {
    fn drop(&mut self) {
        self.end();
    }
}

impl Global {
    fn new(name: String, topic: Arc<str>, partitions: usize) -> Self {
        let parts = (0..partitions).map(|_| Arc::default()).collect();
        Self { name, topic, parts, progress: Mutex::default(), restored: Condvar::new() }
    }

    /// How many partitions there are.
    pub(super) fn len(&self) -> i32 {
        i32::try_from(self.parts.len()).unwrap_or(i32::MAX)
    }

    pub(super) fn get(&self, partition: i32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.part(partition).map_or(Ok(None), |part| part.get(ROWS, key))
    }

    /// As [`crate::task::tables::Tables::page`].
    pub(super) fn page(&self, partition: i32, after: Option<&[u8]>, limit: usize) -> Result<Page> {
        self.part(partition)
            .map_or_else(|| Ok(Page::default()), |part| page_of(&**part, ROWS, after, limit))
    }

    pub(super) fn count(&self, partition: i32) -> Result<usize> {
        let mut count = 0;
        if let Some(part) = self.part(partition) {
            part.scan(ROWS, &[], &mut |_, _| {
                count += 1;
                Ok(())
            })?;
        }
        Ok(count)
    }

    fn part(&self, partition: i32) -> Option<&Arc<MemoryStore>> {
        self.parts.get(usize::try_from(partition).ok()?)
    }

    /// Blocks until all is there that was there at the beginning.
    fn wait(&self, stopping: &AtomicBool) -> Result<()> {
        let mut progress = self.progress.lock();
        while !progress.is_restored {
            if let Some(error) = progress.failed.take() {
                return Err(error);
            }
            if stopping.load(Ordering::Acquire) {
                return Err(Error::Stopped);
            }
            if self.restored.wait_for(&mut progress, TELL).timed_out() {
                let left = progress.places.iter().map(|place| place.end - place.position);
                tracing::info!(
                    target: "turbine.state",
                    "the global table {} is read: {} records of {} are left", self.name, left.sum::<i64>(), self.topic
                );
            }
        }
        Ok(())
    }

    fn follow(&self, mut feed: Feed, ended: &AtomicBool) {
        while !ended.load(Ordering::Acquire) {
            let mut writes: Vec<Writes> = self.parts.iter().map(|_| Writes::default()).collect();
            let read = feed.read(WAIT, &mut |partition, key, value| {
                if let (Some(writes), Some(key)) = (writes.get_mut(partition), key) {
                    writes.0.push((key.to_vec(), value.map(<[u8]>::to_vec)));
                }
                Ok(())
            });
            self.take(writes, &feed);
            self.forget(&feed.begun_anew());
            if let Err(error) = read {
                tracing::warn!(target: "turbine.state", "the global table {}: {error}; trying again", self.name);
                let is_fatal = error.act() != Act::Retry;
                let mut progress = self.progress.lock();
                if is_fatal && !progress.is_restored {
                    progress.failed = Some(error);
                    self.restored.notify_all();
                    return;
                }
                drop(progress);
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn take(&self, writes: Vec<Writes>, feed: &Feed) {
        for ((part, writes), place) in self.parts.iter().zip(writes).zip(feed.places()) {
            let mark = Mark { next: place.position, token: 0, hash: 0, log: -1 };
            if !writes.0.is_empty() || part.mark().ok().flatten() != Some(mark) {
                // Memory takes everything.
                let _ = part.commit(&Delta(vec![(ROWS, writes)]), mark);
            }
        }
        let mut progress = self.progress.lock();
        progress.places.clear();
        progress.places.extend_from_slice(feed.places());
        if !progress.is_restored && feed.is_restored() {
            progress.is_restored = true;
            self.restored.notify_all();
        }
    }

    /// Forgets `partitions`: their log was deleted and made anew, and is read again.
    fn forget(&self, partitions: &[usize]) {
        for part in partitions.iter().filter_map(|&partition| self.parts.get(partition)) {
            // Memory takes everything.
            let _ = part.clear();
        }
        if !partitions.is_empty() {
            tracing::warn!(
                target: "turbine.state",
                "the global table {}: {} was made anew, partitions {partitions:?} are read from their beginning",
                self.name,
                self.topic
            );
        }
    }

    fn opened(&self, app_id: &str) -> Vec<Opened> {
        let opened = |(partition, part): (i32, &Arc<MemoryStore>)| Opened {
            task: TaskName {
                owner: app_id.to_owned(),
                topic: self.topic.to_string(),
                partition,
                partitions: self.len(),
            },
            spaces: vec![SpaceName::by_key(&self.name)],
            store: Arc::clone(part) as Arc<dyn Store>,
        };
        (0..).zip(&self.parts).map(opened).collect()
    }

    fn followed(&self, app_id: &str) -> Vec<AssignmentView> {
        let progress = self.progress.lock();
        let view = |(partition, place): (i32, &Place)| AssignmentView {
            name: self.name.clone(),
            group: app_id.to_owned(),
            topic: self.topic.to_string(),
            partition,
            state: if progress.is_restored { "global" } else { State::Restoring.as_str() },
            committed: None,
            position: Some(place.position),
            end: Some(place.end),
            in_flight: 0,
            error: None,
            halt: None,
            restoring: None,
        };
        (0..).zip(&progress.places).map(view).collect()
    }
}
