//! What an operator sees of the state on disk, and how he has it forgotten.

use super::{
    db::{DECLARED, MARKS, PENDING, StateDb},
    record,
    store::note_key,
};
use crate::error::{Error, Result};
use crate::state::{Mark, TaskName};
use rocksdb::{DB, IteratorMode, WriteBatch, WriteOptions};

/// One task that keeps state here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLook {
    /// Whose it is.
    pub task: TaskName,
    /// What its content has seen; none: its content counts as nothing.
    pub mark: Option<Mark>,
    /// A commit that is not decided: where it begins, and the mark it would leave.
    pub pending: Option<(i64, Mark)>,
    /// What was noted about the content as a whole.
    pub note: Option<Vec<u8>>,
}

impl StateDb {
    /// Every task that has committed something here, or is about to.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if the disk fails or a record is damaged.
    pub fn tasks(&self) -> Result<Vec<TaskLook>> {
        let mut keys = std::collections::BTreeSet::new();
        for family in [MARKS, PENDING] {
            let family = self.instance.family(family)?;
            for entry in self.instance.db.iterator_cf(&family, IteratorMode::Start) {
                keys.insert(entry.map_err(|e| self.instance.failures.read(&e))?.0);
            }
        }
        keys.iter().filter_map(|key| self.look(key).transpose()).collect()
    }

    fn look(&self, key: &[u8]) -> Result<Option<TaskLook>> {
        let Some((owner, topic, partition)) = parse(key) else { return Ok(None) };
        let damaged = |why: &str| {
            Error::State(format!("the record of {owner} on {topic}[{partition}]: {why}"))
        };
        let mark = self.record(MARKS, key)?;
        let mark = mark.map(|bytes| record::decode_mark(&bytes)).transpose().map_err(damaged)?;
        let pending = self.record(PENDING, key)?;
        let pending = pending.map(|bytes| record::decode_undecided(&bytes)).transpose();
        let partitions = self.record(DECLARED, &declared_key(&owner, &topic))?;
        let partitions = partitions.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        let pending = pending.map_err(damaged)?;
        let task = TaskName { owner, topic, partition, partitions: partitions.unwrap_or(0) };
        let note = self.record(DECLARED, &note_key(key))?;
        Ok(Some(TaskLook { task, mark, pending, note }))
    }

    /// Notes what is true of a task's content as a whole, as [`crate::state::Store::set_note`] does.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if the disk fails.
    pub fn set_note(&self, owner: &str, topic: &str, partition: i32, note: &[u8]) -> Result<()> {
        let key = [owner.as_bytes(), topic.as_bytes(), &partition.to_be_bytes()].join(&0);
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.instance.family(DECLARED)?, note_key(&key), note);
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.instance.write(batch, &options)
    }

    fn record(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.instance.db.get_cf(&self.instance.family(family)?, key);
        found.map_err(|e| self.instance.failures.read(&e))
    }

    /// Forgets where a task's content comes from: at its next start it is built anew.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if the disk fails.
    pub fn forget(&self, owner: &str, topic: &str, partition: i32) -> Result<()> {
        let key = [owner.as_bytes(), topic.as_bytes(), &partition.to_be_bytes()].join(&0);
        let mut batch = WriteBatch::default();
        for family in [MARKS, PENDING] {
            batch.delete_cf(&self.instance.family(family)?, &key);
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.instance.write(batch, &options)
    }

    /// Removes all that an owner keeps for a topic, of every partition.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if the disk fails.
    pub fn remove(&self, owner: &str, topic: &str) -> Result<()> {
        for look in self.tasks()? {
            if look.task.owner == owner && look.task.topic == topic {
                self.forget(owner, topic, look.task.partition)?;
            }
        }
        let (begins, ends) = (format!("{owner}/"), format!("/{topic}"));
        let options = self.instance.budget.instance();
        let families = DB::list_cf(&options, self.instance.db.path());
        let families = families.map_err(|e| self.instance.failures.read(&e))?;
        for family in families.iter().filter(|f| f.starts_with(&begins) && f.ends_with(&ends)) {
            self.instance.db.drop_cf(family).map_err(|e| self.instance.failures.write(&e))?;
        }
        self.undeclare(&[owner.as_bytes(), topic.as_bytes()].join(&0))
    }

    /// Forgets what was declared and noted under `names`.
    fn undeclare(&self, names: &[u8]) -> Result<()> {
        let declared = self.instance.family(DECLARED)?;
        let mut batch = WriteBatch::default();
        for entry in self.instance.db.iterator_cf(&declared, IteratorMode::Start) {
            let (key, _) = entry.map_err(|e| self.instance.failures.read(&e))?;
            let mut parts = key.splitn(2, |byte| *byte == 0);
            let rest = parts.nth(1).and_then(|rest| rest.strip_prefix(names));
            if rest.is_some_and(|rest| rest.is_empty() || rest[0] == 0) {
                batch.delete_cf(&declared, &key);
            }
        }
        self.instance.write(batch, &WriteOptions::default())
    }
}

fn declared_key(owner: &str, topic: &str) -> Vec<u8> {
    [b"partitions", owner.as_bytes(), topic.as_bytes()].join(&0)
}

/// The parts of a key of records.
fn parse(key: &[u8]) -> Option<(String, String, i32)> {
    let (names, partition) = key.split_last_chunk::<4>()?;
    let names = std::str::from_utf8(names.strip_suffix(&[0])?).ok()?;
    let (owner, topic) = names.split_once('\0')?;
    Some((owner.to_owned(), topic.to_owned(), i32::from_be_bytes(*partition)))
}
