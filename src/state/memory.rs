//! A store that lives as long as its process.

use super::{Each, WindowStore, Writes};
use crate::error::Result;
use std::collections::BTreeMap;

/// Ordered keys in memory; nothing of it survives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    pub(super) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) next: Option<i64>,
}

impl MemoryStore {
    /// Applies what [`WindowStore::commit`] takes; says by how many bytes the content has grown.
    pub(super) fn apply(&mut self, writes: &Writes, next: i64) -> i64 {
        let mut grown = 0;
        for (key, value) in &writes.0 {
            let size = |value: &Vec<u8>| i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
            let before = match value {
                Some(value) => {
                    grown += size(value);
                    self.rows.insert(key.clone(), value.clone())
                }
                None => self.rows.remove(key),
            };
            grown -= before.as_ref().map_or(0, size);
        }
        self.next = Some(next);
        grown
    }
}

impl WindowStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        let from = self.rows.range(prefix.to_vec()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).try_for_each(|(k, v)| each(k, v))
    }

    fn commit(&mut self, writes: &Writes, next: i64) -> Result<()> {
        self.apply(writes, next);
        Ok(())
    }

    fn next(&self) -> Option<i64> {
        self.next
    }
}
