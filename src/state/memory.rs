//! A store that lives as long as its process.
//!
//! # Guarantees
//!
//! * Those of [`Store`], as long as the process lives: nothing of it survives.
//!
//! # Not here
//!
//! A budget: everything is in memory, and as long as a frozen view is looked at, what changes is there
//! twice.

use super::{Delta, Each, Frozen, Mark, Pending, Space, Store, Writes};
use crate::error::Result;
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: RwLock<Inner>,
    written_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    content: Content,
    pending: Option<Pending>,
    note: Option<Vec<u8>>,
}

/// Shared with the views of it; the first write beside a view copies the space that it changes.
#[derive(Clone, Debug, Default)]
struct Content {
    spaces: HashMap<Space, Arc<Rows>>,
    mark: Option<Mark>,
}

impl Content {
    fn write(&mut self, delta: &Delta) {
        for (space, writes) in &delta.0 {
            write(Arc::make_mut(self.spaces.entry(*space).or_default()), writes);
        }
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let Some(rows) = self.spaces.get(&space) else { return Ok(()) };
        let from = after.filter(|after| *after >= prefix);
        let from = from.map_or(Bound::Included(prefix), Bound::Excluded);
        let rows = rows.range::<[u8], _>((from, Bound::Unbounded));
        rows.take_while(|(key, _)| key.starts_with(prefix)).try_for_each(|(k, v)| each(k, v))
    }
}

fn write(rows: &mut Rows, writes: &Writes) {
    for (key, value) in &writes.0 {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

impl MemoryStore {
    fn take(&self, content: &mut Content, delta: &Delta, mark: Mark) {
        content.write(delta);
        content.mark = Some(mark);
        self.written_bytes.fetch_add(delta.content_bytes(), Ordering::Relaxed);
    }
}

impl Store for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let inner = self.inner.read_recursive();
        Ok(inner.content.spaces.get(&space).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan_after(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        // `each` may come back for more, also while a writer waits.
        self.inner.read_recursive().content.scan(space, prefix, after, each)
    }

    fn mark(&self) -> Result<Option<Mark>> {
        Ok(self.inner.read().content.mark)
    }

    fn commit(&self, delta: &Delta, mark: Mark) -> Result<()> {
        self.take(&mut self.inner.write().content, delta, mark);
        Ok(())
    }

    fn prepare(&self, pending: &Pending) -> Result<()> {
        self.inner.write().pending = Some(pending.clone());
        Ok(())
    }

    fn pending(&self) -> Result<Option<Pending>> {
        Ok(self.inner.read().pending.clone())
    }

    fn apply(&self, pending: &Pending) -> Result<()> {
        let mut inner = self.inner.write();
        if pending.follows(inner.content.mark) {
            self.take(&mut inner.content, &pending.delta, pending.mark);
        }
        inner.pending = None;
        Ok(())
    }

    fn discard(&self) -> Result<()> {
        self.inner.write().pending = None;
        Ok(())
    }

    fn load(&self, delta: &Delta) -> Result<()> {
        self.inner.write().content.write(delta);
        Ok(())
    }

    fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    fn note(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.inner.read().note.clone())
    }

    fn set_note(&self, note: &[u8]) -> Result<()> {
        self.inner.write().note = Some(note.to_vec());
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        *self.inner.write() = Inner::default();
        Ok(())
    }

    fn freeze(&self, look: &mut dyn FnMut(&dyn Frozen) -> Result<()>) -> Result<()> {
        let content = self.inner.read().content.clone();
        look(&content)
    }
}

impl Frozen for Content {
    fn mark(&self) -> Result<Option<Mark>> {
        Ok(self.mark)
    }

    fn scan(&self, space: Space, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        Self::scan(self, space, prefix, None, each)
    }
}
