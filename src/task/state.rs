//! The state of one task as its handlers see it: what is stored, and on top of it what is not yet.
//!
//! # Guarantees
//!
//! * A read sees every write before it, also those whose batch is not committed yet.
//! * What is written after a savepoint can be taken back, and leaves no trace.

use crate::{
    engine::tracker::Ticket,
    error::Result,
    state::{Delta, Space, Store, Writes},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
type Layer = HashMap<Space, Changes>;
/// What a key had in the open layer before it was written.
type Undo = (Space, Vec<u8>, Option<Option<Vec<u8>>>);

/// See the module.
pub struct TaskState {
    store: Arc<dyn Store>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Writes of the batch in hand.
    open: Layer,
    undo: Vec<Undo>,
    /// Writes of batches on their way to the store, oldest first.
    sealed: VecDeque<(Ticket, Arc<Layer>)>,
}

/// A place that writes can be taken back to.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint(usize);

impl TaskState {
    /// State as it is in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, inner: Mutex::default() }
    }

    /// Where it is kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let known = self.inner.lock().find(space, key);
        known.map_or_else(|| self.store.get(space, key), Ok)
    }

    /// Gives `key` a value, or removes it.
    pub fn put(&self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) {
        let mut inner = self.inner.lock();
        let before = inner.open.entry(space).or_default().insert(key.clone(), value);
        inner.undo.push((space, key, before));
    }

    /// Where writes can be taken back to until the batch is sealed.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.inner.lock().undo.len())
    }

    /// Takes back every write since `savepoint`.
    pub fn rollback(&self, savepoint: Savepoint) {
        let mut inner = self.inner.lock();
        while inner.undo.len() > savepoint.0 {
            let Some((space, key, before)) = inner.undo.pop() else { return };
            let changes = inner.open.entry(space).or_default();
            match before {
                Some(value) => changes.insert(key, value),
                None => changes.remove(&key),
            };
        }
    }

    /// Ends the batch `ticket`: what it has written, to be committed. It stays visible until
    /// [`TaskState::applied`].
    pub fn seal(&self, ticket: Ticket) -> Delta {
        let mut inner = self.inner.lock();
        inner.undo.clear();
        let layer = Arc::new(std::mem::take(&mut inner.open));
        let mut delta = Delta::default();
        let mut spaces: Vec<_> = layer.keys().copied().collect();
        spaces.sort_unstable();
        for space in spaces {
            let writes = layer[&space].iter().map(|(key, value)| (key.clone(), value.clone()));
            delta.push(space, Writes(writes.collect()));
        }
        if !delta.is_empty() {
            inner.sealed.push_back((ticket, layer));
        }
        delta
    }

    /// The writes of all batches up to `ticket` are in the store.
    pub fn applied(&self, ticket: Ticket) {
        let mut inner = self.inner.lock();
        while inner.sealed.front().is_some_and(|(sealed, _)| *sealed <= ticket) {
            inner.sealed.pop_front();
        }
    }

    /// Calls `each` with every key that begins with `prefix` and its value, in the order of the keys.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or what `each` returns.
    pub fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        each: &mut crate::state::Each<'_>,
    ) -> Result<()> {
        let mut over = self.inner.lock().changes(space, prefix).into_iter().peekable();
        self.store.scan(space, prefix, &mut |key, value| {
            while let Some((_, fresh)) = over.next_if(|(fresh, _)| fresh.as_slice() < key) {
                if let Some((at, fresh)) = fresh {
                    each(&at, &fresh)?;
                }
            }
            match over.next_if(|(fresh, _)| fresh.as_slice() == key) {
                Some((_, Some((at, fresh)))) => each(&at, &fresh),
                Some((_, None)) => Ok(()),
                None => each(key, value),
            }
        })?;
        over.filter_map(|(_, fresh)| fresh).try_for_each(|(at, fresh)| each(&at, &fresh))
    }
}

impl Inner {
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.open).chain(self.sealed.iter().rev().map(|(_, layer)| &**layer))
    }

    fn find(&self, space: Space, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.layers().find_map(|layer| layer.get(&space)?.get(key)).cloned()
    }

    /// Everything that is not in the store yet, the newest of each key; without a value it is removed.
    fn changes(&self, space: Space, prefix: &[u8]) -> Vec<(Vec<u8>, Option<(Vec<u8>, Vec<u8>)>)> {
        let mut all = BTreeMap::new();
        let layers: Vec<_> = self.layers().collect();
        for changes in layers.into_iter().rev().filter_map(|layer| layer.get(&space)) {
            let from = changes.range(prefix.to_vec()..);
            for (key, value) in from.take_while(|(key, _)| key.starts_with(prefix)) {
                all.insert(key.clone(), value.clone().map(|value| (key.clone(), value)));
            }
        }
        all.into_iter().collect()
    }
}
