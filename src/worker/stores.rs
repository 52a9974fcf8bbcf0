//! The stores of a worker: opened when something keeps state, and found again by who looks at them.
//!
//! # Guarantees
//!
//! * A worker without state touches no directory.
//! * Who asks for a store of a task that is open gets a new one; the old one writes no more (on disk).

use super::snapshots::{Snapshots, Subject};
use crate::{
    config::{StoreKind, WorkerConfig},
    error::{Error, Result},
    state::{
        MemberName, MemoryStore, SpaceName, StateDb, StateOptions, Store, TaskName, inspect::Opened,
    },
};
use parking_lot::Mutex;
use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

/// How long a worker waits for the one before it to let go of the directory.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// See the module.
pub struct Stores {
    kind: StoreKind,
    directory: Option<String>,
    options: StateOptions,
    db: Mutex<Db>,
    open: Mutex<Vec<Known>>,
    /// Held as long as anybody may be a member under it.
    name: Mutex<Option<MemberName>>,
    snapshots: Option<Arc<Snapshots>>,
}

#[derive(Default)]
struct Db {
    open: Option<StateDb>,
    is_closed: bool,
}

struct Known {
    task: TaskName,
    spaces: Vec<SpaceName>,
    store: Weak<dyn Store>,
}

impl Stores {
    /// Those that `config` declares, with `snapshots` of them; nothing is opened yet.
    #[must_use]
    pub fn new(config: &WorkerConfig, snapshots: Option<Arc<Snapshots>>) -> Self {
        let (memory_bytes, app_id) = (config.state_memory_bytes, config.app_id.clone());
        Self {
            kind: config.store,
            directory: config.state_dir.clone(),
            options: StateOptions { memory_bytes, app_id, wait: LOCK_WAIT },
            db: Mutex::default(),
            open: Mutex::default(),
            name: Mutex::default(),
            snapshots,
        }
    }

    /// The store of `task`. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// What [`StateDb::open`] and [`StateDb::store`] return; [`Error::Config`] without a state_dir.
    pub fn open(&self, task: &TaskName, spaces: &[SpaceName]) -> Result<Arc<dyn Store>> {
        let store = match self.kind {
            StoreKind::Memory => Arc::new(MemoryStore::default()),
            StoreKind::Rocksdb => self.db()?.store(task, spaces)?,
        };
        if let Some(snapshots) = &self.snapshots {
            snapshots.watch(Subject::of(&self.options.app_id, task, spaces, &store))?;
        }
        let mut open = self.open.lock();
        open.retain(|known| known.task != *task && known.store.strong_count() > 0);
        let (task, spaces) = (task.clone(), spaces.to_vec());
        open.push(Known { task, spaces, store: Arc::downgrade(&store) });
        Ok(store)
    }

    /// Opens what is on the disk already, so that no task has to wait for it. Blocks. Where that fails, it
    /// is tried again with the first task, which says why.
    pub fn open_early(&self) {
        let directory = self.directory.as_deref().map(Path::new);
        let is_there = directory.is_some_and(StateDb::is_in);
        if self.kind == StoreKind::Rocksdb && is_there {
            let _ = self.db();
        }
    }

    /// By which name groups know whoever has the directory; none without one, and while it has another owner. Blocks
    /// for the disk.
    pub fn member_name(&self) -> Option<String> {
        let directory = self.directory.as_deref().filter(|_| self.kind == StoreKind::Rocksdb)?;
        let mut name = self.name.lock();
        if name.is_none() {
            *name = MemberName::take(Path::new(directory));
        }
        name.as_ref().map(|name| name.as_str().to_owned())
    }

    /// Lets go of the directory, once the last task has let go of its store.
    pub fn close(&self) {
        self.open.lock().clear();
        self.name.lock().take();
        *self.db.lock() = Db { open: None, is_closed: true };
    }

    /// What is open, in the order of owners, topics and partitions.
    #[must_use]
    pub fn all(&self) -> Vec<Opened> {
        let open = self.open.lock();
        let alive = open.iter().filter_map(|Known { task, spaces, store }| {
            let store = store.upgrade()?;
            Some(Opened { task: task.clone(), spaces: spaces.clone(), store })
        });
        let mut all: Vec<_> = alive.collect();
        let order =
            |one: &Opened| (one.task.owner.clone(), one.task.topic.clone(), one.task.partition);
        all.sort_by_key(order);
        all
    }

    fn db(&self) -> Result<StateDb> {
        let mut db = self.db.lock();
        if db.is_closed {
            return Err(Error::Stopped);
        }
        if let Some(db) = &db.open {
            return Ok(db.clone());
        }
        let missing = || Error::Config("state needs a directory: set state_dir".into());
        let directory = self.directory.as_ref().ok_or_else(missing)?;
        let opened = StateDb::open(Path::new(directory), &self.options)?;
        Ok(db.open.insert(opened).clone())
    }
}
