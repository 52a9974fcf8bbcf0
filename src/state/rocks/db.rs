//! The instance: opened once a process, locked, and set aside when it is damaged.

use super::{
    failure::{self, Failures},
    guard::{self, Guard},
    options::Budget,
    store::{Place, RocksStore, Turn},
};
use crate::error::{Error, Result};
use crate::failpoints::failpoint;
use crate::state::{
    Store,
    lock::Lock,
    names::{self, SpaceName, TaskName},
    slots::Slots,
};
use parking_lot::Mutex;
use rocksdb::{BoundColumnFamily, DB, ErrorKind, Options, WriteBatch, WriteOptions};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Column family of the marks, by task.
pub(super) const MARKS: &str = "mark";
/// Column family of the pending commits, by task.
pub(super) const PENDING: &str = "pending";
/// Column family of what was declared when state was written first.
pub(super) const DECLARED: &str = "default";
/// Inside the state directory.
pub(super) const DATA: &str = "rocksdb";
/// In front of the names of directories that were set aside.
const ASIDE: &str = "damaged-";

/// How state is opened.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// Memory for blocks, indexes and write buffers of all tasks, in bytes.
    pub memory_bytes: usize,
    /// Who opens it, for the message to another process.
    pub app_id: String,
    /// How long to wait for an owner who is on its way out.
    pub wait: Duration,
}

/// All state of a worker process on disk.
///
/// # Guarantees
///
/// * One process has it at a time.
/// * Damage is an error, never a wrong value. What is damaged when it is opened is set aside, and the
///   state begins empty: [`StateDb::set_aside`] says so.
/// * Memory for blocks and write buffers stays within the budget.
#[derive(Clone)]
pub struct StateDb {
    pub(super) instance: Arc<Instance>,
    /// By owner, topic, partition.
    pub(super) turns: Arc<Mutex<HashMap<Vec<u8>, Arc<Turn>>>>,
    pub(super) aside: Option<PathBuf>,
}

/// RocksDB, and what goes with it.
pub(super) struct Instance {
    pub(super) db: DB,
    pub(super) failures: Failures,
    pub(super) budget: Budget,
    /// None of who only reads.
    pub(super) guard: Option<Guard>,
    /// Released last.
    pub(super) _lock: Lock,
}

impl Instance {
    pub(super) fn family(&self, name: &str) -> Result<Arc<BoundColumnFamily<'_>>> {
        let found = self.db.cf_handle(name);
        found.ok_or_else(|| Error::State(format!("the state has no column family {name:?}")))
    }

    pub(super) fn write(&self, batch: WriteBatch, options: &WriteOptions) -> Result<()> {
        self.failures.check()?;
        failpoint!("store::writes", |text| Err(self.failures.latch(&text)));
        self.db.write_opt(batch, options).map_err(|e| self.failures.write(&e))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.guard.is_some() {
            self.db.cancel_all_background_work(true);
        }
        // Looks once more, before another process may have the directory.
        self.guard = None;
    }
}

impl StateDb {
    /// Opens the state in `directory`, or begins it. What is damaged is set aside.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] while another process has it; [`Error::Io`] or [`Error::State`] if it cannot be
    /// opened.
    pub fn open(directory: &Path, options: &StateOptions) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|e| failed("creating", directory, &e))?;
        let lock = Lock::take(directory, &options.app_id, options.wait)?;
        let data = directory.join(DATA);
        let budget = Budget::new(options.memory_bytes);
        let (db, aside) = match open(&data, &budget) {
            Ok(db) => (db, None),
            Err(Opening::Failed(error)) => return Err(error),
            Err(Opening::Damaged(what)) => {
                let aside = set_aside(directory, &data, &what)?;
                (open(&data, &budget).map_err(Opening::into_error)?, Some(aside))
            }
        };
        let guard = Guard::new(&data).map_err(|e| failed("watching", &data, &e))?;
        let (failures, guard) = (Failures::new(&data), Some(guard));
        let instance = Arc::new(Instance { db, failures, budget, guard, _lock: lock });
        Ok(Self { instance, turns: Arc::default(), aside })
    }

    /// Has state been begun in `directory`?
    #[must_use]
    pub fn is_in(directory: &Path) -> bool {
        directory.join(DATA).join("CURRENT").exists()
    }

    /// Where the state is that was found damaged at the start, if there was some.
    #[must_use]
    pub fn set_aside(&self) -> Option<&Path> {
        self.aside.as_deref()
    }

    /// Memory in use for blocks, indexes and write buffers, in bytes.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.instance.budget.used_bytes()
    }

    /// Writes everything that is in memory into files.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if it cannot be written.
    pub fn flush(&self) -> Result<()> {
        let names = DB::list_cf(&Options::default(), self.instance.db.path());
        for name in names.map_err(|e| self.instance.failures.read(&e))? {
            let flushed = self.instance.db.flush_cf(&self.instance.family(&name)?);
            flushed.map_err(|e| self.instance.failures.write(&e))?;
        }
        Ok(())
    }

    /// The state of `task` with `spaces`, which [`crate::state::Space`] counts. Who had it before writes no
    /// more.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a name that cannot be one, and if the topic had another number of partitions
    /// when the state was written; [`Error::State`] if the disk fails.
    pub fn store(&self, task: &TaskName, spaces: &[SpaceName]) -> Result<Arc<dyn Store>> {
        task.check()?;
        let places = spaces.iter().map(|space| self.place(task, space)).collect::<Result<_>>()?;
        self.declare(task, spaces)?;
        let record_key = record_key(task);
        let turn = Arc::clone(self.turns.lock().entry(record_key.clone()).or_default());
        let number = turn.next();
        let instance = Arc::clone(&self.instance);
        let written_bytes = AtomicU64::default();
        Ok(Arc::new(RocksStore { instance, turn, number, record_key, places, written_bytes }))
    }

    /// Makes the column family of `space`, if it is not there.
    fn place(&self, task: &TaskName, space: &SpaceName) -> Result<Place> {
        names::check("space of state", &space.name)?;
        let family = format!("{}/{}/{}", task.owner, space.name, task.topic);
        // Two tasks of one owner begin at the same time.
        let _turns = self.turns.lock();
        if self.instance.db.cf_handle(&family).is_none() {
            self.instance.failures.check()?;
            let made = self.instance.db.create_cf(&family, &self.instance.budget.space());
            made.map_err(|e| self.instance.failures.write(&e))?;
        }
        Ok(Place { name: space.name.clone(), family, slots: Slots::new(task, space.layout) })
    }
}

/// Key of a task's records.
fn record_key(task: &TaskName) -> Vec<u8> {
    let partition = task.partition.to_be_bytes();
    [task.owner.as_bytes(), task.topic.as_bytes(), &partition].join(&0)
}

/// Why RocksDB was not opened.
enum Opening {
    Damaged(String),
    Failed(Error),
}

impl Opening {
    fn into_error(self) -> Error {
        match self {
            Self::Damaged(what) => Error::State(what),
            Self::Failed(error) => error,
        }
    }
}

fn open(data: &Path, budget: &Budget) -> Result<DB, Opening> {
    if let Some(what) = failure::noted(data) {
        return Err(Opening::Damaged(what));
    }
    guard::check(data).map_err(Opening::Damaged)?;
    let failed = |error: rocksdb::Error| match error.kind() {
        // An argument that is not valid comes from files here: the options are always the same.
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotFound => {
            Opening::Damaged(error.into_string())
        }
        _ if error.as_ref().contains("No such file") => Opening::Damaged(error.into_string()),
        _ => Opening::Failed(Error::State(format!(
            "the state in {} cannot be opened ({error}): see that the disk has room, works, and may be written",
            data.display()
        ))),
    };
    let options = budget.instance();
    let mut families = if data.join("CURRENT").exists() {
        DB::list_cf(&options, data).map_err(failed)?
    } else if is_begun(data) {
        return Err(Opening::Damaged("the file CURRENT is missing".into()));
    } else {
        Vec::new()
    };
    for own in [DECLARED, MARKS, PENDING] {
        if !families.iter().any(|name| name == own) {
            families.push(own.to_owned());
        }
    }
    let families = families.iter().map(|name| budget.descriptor(name));
    DB::open_cf_descriptors(&options, data, families).map_err(failed)
}

/// True if there has been state: without it, RocksDB would begin anew in silence.
fn is_begun(data: &Path) -> bool {
    let names = fs::read_dir(data).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("MANIFEST-") || name.ends_with(".sst")
    })
}

/// Moves damaged data out of the way; of several, the newest are kept.
fn set_aside(directory: &Path, data: &Path, what: &str) -> Result<PathBuf> {
    let older = fs::read_dir(directory).into_iter().flatten().flatten();
    for old in older.filter(|old| old.file_name().to_string_lossy().starts_with(ASIDE)) {
        let _ = fs::remove_dir_all(old.path());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let aside = directory.join(format!("{ASIDE}{}", now.as_millis()));
    fs::rename(data, &aside).map_err(|e| failed("setting aside", data, &e))?;
    tracing::error!(
        target: "turbine.state",
        "the state in {} is damaged ({what}): it is now in {}, and all its partitions are restored from changelog, \
         snapshot or input",
        data.display(),
        aside.display()
    );
    Ok(aside)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format!("state: {what} {}", path.display()), error)
}
