//! What was declared when state was written first: partitions, and how spaces are laid out.

use super::db::{DECLARED, StateDb};
use crate::error::{Error, Result};
use crate::state::{SpaceName, TaskName};
use rocksdb::{Direction, IteratorMode, WriteBatch, WriteOptions};

/// First part of keys: owner and topic follow.
pub(super) const PARTITIONS: &[u8] = b"partitions";
/// First part of keys: owner, topic and space follow.
pub(super) const LAYOUT: &[u8] = b"layout";

impl StateDb {
    /// Remembers the number of partitions and how spaces are laid out, or checks them.
    pub(super) fn declare(&self, task: &TaskName, spaces: &[SpaceName]) -> Result<()> {
        let names = [task.owner.as_bytes(), task.topic.as_bytes()];
        let now = task.partitions.to_string();
        if let Some(known) =
            self.declare_one(&[&[PARTITIONS], &names[..]].concat(), now.as_bytes())?
        {
            return Err(self.other_partitions(task, &String::from_utf8_lossy(&known)));
        }
        for space in spaces {
            let key = [&[LAYOUT], &names[..], &[space.name.as_bytes()]].concat();
            if self.declare_one(&key, space.layout.word().as_bytes())?.is_some() {
                return Err(Error::Config(format!(
                    "the state {} of {} was written with another layout of its keys: build it anew with `turbine reset`",
                    space.name, task.owner
                )));
            }
        }
        Ok(())
    }

    /// What was declared before, if it is something else.
    fn declare_one(&self, key: &[&[u8]], now: &[u8]) -> Result<Option<Vec<u8>>> {
        let family = self.instance.family(DECLARED)?;
        let key = key.join(&0);
        let known = self.instance.db.get_cf(&family, &key);
        match known.map_err(|e| self.instance.failures.read(&e))? {
            Some(known) => Ok(Some(known).filter(|known| known != now)),
            None => {
                let mut batch = WriteBatch::default();
                batch.put_cf(&family, key, now);
                self.instance.write(batch, &WriteOptions::default())?;
                Ok(None)
            }
        }
    }

    fn other_partitions(&self, task: &TaskName, known: &str) -> Error {
        Error::Config(format!(
            "the state of {} in {} was written when topic {} had {known} partitions, now it has {}: its keys are \
             elsewhere now. Build it anew from the topic with `turbine reset`, or give the topic its {known} \
             partitions back",
            task.owner,
            self.instance.db.path().display(),
            task.topic,
            task.partitions
        ))
    }

    /// Names and values of what was declared under `kind`.
    pub(super) fn declared(&self, kind: &[u8]) -> Result<Vec<(Vec<String>, Vec<u8>)>> {
        let family = self.instance.family(DECLARED)?;
        let prefix = [kind, &[0]].concat();
        let mut found = Vec::new();
        for row in
            self.instance.db.iterator_cf(&family, IteratorMode::From(&prefix, Direction::Forward))
        {
            let (key, value) = row.map_err(|e| self.instance.failures.read(&e))?;
            let Some(names) = key.strip_prefix(prefix.as_slice()) else { break };
            let names = names.split(|byte| *byte == 0);
            let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
            found.push((names.collect(), value.into_vec()));
        }
        Ok(found)
    }
}
