//! The state of one task as its handlers see it: what is stored, and on top of it what is not yet.
//!
//! # Guarantees
//!
//! * A read sees every write before it, also those whose batch is not committed yet.
//! * What is written after a savepoint can be taken back, and leaves no trace.
//! * A read looks at two maps and then at the store, however many batches wait for their commit.

use crate::{
    engine::tracker::Ticket,
    error::{Error, Result},
    state::{Delta, Each, Space, Store, Writes},
};
use parking_lot::Mutex;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, VecDeque, btree_map::Entry, btree_map::Range},
    iter::Peekable,
    ops::ControlFlow,
    sync::Arc,
};

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
/// Changes of sealed batches, the newest of each key, with the batch that made it.
type Sealed = BTreeMap<Vec<u8>, (Ticket, Option<Vec<u8>>)>;
/// What a key had in the open layer before it was written.
type Undo = (Space, Vec<u8>, Option<Option<Vec<u8>>>);
/// Takes a key and its value, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// See the module.
pub struct TaskState {
    store: Arc<dyn Store>,
    inner: Mutex<Inner>,
}

/// Keys of one space.
type Written = (Space, Vec<Vec<u8>>);

#[derive(Default)]
struct Inner {
    /// Writes of the batch in hand.
    open: HashMap<Space, Changes>,
    undo: Vec<Undo>,
    /// Only what follows a savepoint in the middle of a batch needs to be undone one by one.
    undoes: bool,
    sealed: HashMap<Space, Sealed>,
    /// Batches on their way to the store, oldest first, and the keys that they wrote.
    waiting: VecDeque<(Ticket, Vec<Written>)>,
}

/// A place that writes can be taken back to.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint(Option<usize>);

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
        let known = self.inner.lock().find(space, key).map(|value| value.map(<[u8]>::to_vec));
        known.map_or_else(|| self.store.get(space, key), Ok)
    }

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn get_many(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut found = Vec::with_capacity(keys.len());
        let (mut missing, mut places) = (Vec::new(), Vec::new());
        {
            let inner = self.inner.lock();
            for (place, key) in keys.iter().enumerate() {
                match inner.find(space, key) {
                    Some(value) => found.push(value.map(<[u8]>::to_vec)),
                    None => {
                        found.push(None);
                        missing.push(*key);
                        places.push(place);
                    }
                }
            }
        }
        if !missing.is_empty() {
            let stored = self.store.get_many(space, &missing)?;
            places.into_iter().zip(stored).for_each(|(place, value)| found[place] = value);
        }
        Ok(found)
    }

    /// Gives `key` a value, or removes it.
    pub fn put(&self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.inner.lock().put(space, key, value);
    }

    /// [`TaskState::put`] for each.
    pub fn put_many(
        &self,
        space: Space,
        writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) {
        let mut inner = self.inner.lock();
        writes.into_iter().for_each(|(key, value)| inner.put(space, key, value));
    }

    /// Where writes can be taken back to until the batch is sealed.
    pub fn savepoint(&self) -> Savepoint {
        let mut inner = self.inner.lock();
        if inner.open.is_empty() {
            return Savepoint(None);
        }
        inner.undoes = true;
        Savepoint(Some(inner.undo.len()))
    }

    /// Takes back every write since `savepoint`.
    pub fn rollback(&self, savepoint: Savepoint) {
        let mut inner = self.inner.lock();
        let Some(length) = savepoint.0 else { return inner.forget_open() };
        while inner.undo.len() > length {
            let Some((space, key, before)) = inner.undo.pop() else { return };
            let changes = inner.open.entry(space).or_default();
            match before {
                Some(value) => changes.insert(key, value),
                None => changes.remove(&key),
            };
        }
    }

    /// Takes back everything that is not sealed.
    pub fn discard(&self) {
        self.inner.lock().forget_open();
    }

    /// Ends the batch `ticket`: what it has written, to be committed. It stays visible until
    /// [`TaskState::applied`].
    pub fn seal(&self, ticket: Ticket) -> Delta {
        let mut inner = self.inner.lock();
        let mut open: Vec<_> = inner.open.drain().filter(|(_, some)| !some.is_empty()).collect();
        inner.forget_open();
        open.sort_unstable_by_key(|(space, _)| *space);
        let (mut delta, mut keys) = (Delta::default(), Vec::new());
        for (space, changes) in open {
            keys.push((space, changes.keys().cloned().collect()));
            let sealed = inner.sealed.entry(space).or_default();
            let mut writes = Vec::with_capacity(changes.len());
            for (key, value) in changes {
                writes.push((key.clone(), value.clone()));
                sealed.insert(key, (ticket, value));
            }
            delta.push(space, Writes(writes));
        }
        if !keys.is_empty() {
            inner.waiting.push_back((ticket, keys));
        }
        delta
    }

    /// The writes of all batches up to `ticket` are in the store.
    pub fn applied(&self, ticket: Ticket) {
        let mut inner = self.inner.lock();
        let Inner { waiting, sealed, .. } = &mut *inner;
        while waiting.front().is_some_and(|(at, _)| *at <= ticket) {
            let Some((at, keys)) = waiting.pop_front() else { return };
            for (space, keys) in keys {
                let Some(changes) = sealed.get_mut(&space) else { continue };
                for key in keys {
                    if let Entry::Occupied(entry) = changes.entry(key)
                        && entry.get().0 <= at
                    {
                        entry.remove();
                    }
                }
            }
        }
    }

    /// Calls `each` with every key that begins with `prefix` and its value, in the order of the keys.
    /// `each` must not use this state.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or what `each` returns.
    pub fn scan(&self, space: Space, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        self.visit(space, prefix, &mut |key, value| {
            each(key, value).map(|()| ControlFlow::Continue(()))
        })
    }

    /// As [`TaskState::scan`], until `visit` breaks.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or what `visit` returns.
    pub fn visit(&self, space: Space, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        let inner = self.inner.lock();
        let mut over = inner.changes(space, prefix);
        let mut is_over = false;
        let mut go = |key: &[u8], value: &[u8]| -> Result<bool> {
            is_over = visit(key, value)?.is_break();
            Ok(!is_over)
        };
        let scanned = self.store.scan(space, prefix, &mut |key, value| {
            while let Some((fresh, change)) = over.next_before(key) {
                if let Some(change) = change
                    && !go(fresh, change)?
                {
                    return Err(Error::Stopped);
                }
            }
            let goes_on = match over.next_at(key) {
                Some(Some(change)) => go(key, change)?,
                Some(None) => true,
                None => go(key, value)?,
            };
            if goes_on { Ok(()) } else { Err(Error::Stopped) }
        });
        match scanned {
            Err(Error::Stopped) if is_over => return Ok(()),
            other => other?,
        }
        while let Some((key, change)) = over.next() {
            if let Some(change) = change
                && visit(key, change)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

impl Inner {
    fn put(&mut self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) {
        let changes = self.open.entry(space).or_default();
        if self.undoes {
            let before = changes.insert(key.clone(), value);
            self.undo.push((space, key, before));
        } else {
            changes.insert(key, value);
        }
    }

    fn forget_open(&mut self) {
        self.open.clear();
        self.undo.clear();
        self.undoes = false;
    }

    fn find(&self, space: Space, key: &[u8]) -> Option<Option<&[u8]>> {
        if let Some(value) = self.open.get(&space).and_then(|changes| changes.get(key)) {
            return Some(value.as_deref());
        }
        self.sealed.get(&space)?.get(key).map(|(_, value)| value.as_deref())
    }

    /// Everything that is not in the store yet, the newest of each key.
    fn changes<'a>(&'a self, space: Space, prefix: &'a [u8]) -> Merged<'a> {
        let from = || prefix.to_vec()..;
        let open = self.open.get(&space).map(|changes| changes.range(from()).peekable());
        let sealed = self.sealed.get(&space).map(|changes| changes.range(from()).peekable());
        Merged { prefix, open, sealed }
    }
}

type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// What is left of a map, from some key on.
type Rest<'a, V> = Peekable<Range<'a, Vec<u8>, V>>;

/// Changes of two maps in the order of their keys; without a value a key is removed.
struct Merged<'a> {
    prefix: &'a [u8],
    open: Option<Rest<'a, Option<Vec<u8>>>>,
    sealed: Option<Rest<'a, (Ticket, Option<Vec<u8>>)>>,
}

impl<'a> Merged<'a> {
    fn heads(&mut self) -> (Option<&'a Vec<u8>>, Option<&'a Vec<u8>>) {
        let prefix = self.prefix;
        let open = self.open.as_mut().and_then(Peekable::peek).map(|(key, _)| *key);
        let sealed = self.sealed.as_mut().and_then(Peekable::peek).map(|(key, _)| *key);
        (open.filter(|key| key.starts_with(prefix)), sealed.filter(|key| key.starts_with(prefix)))
    }

    fn peek(&mut self) -> Option<&'a [u8]> {
        match self.heads() {
            (Some(open), Some(sealed)) => Some(open.min(sealed)),
            (open, sealed) => open.or(sealed).map(Vec::as_slice),
        }
    }

    fn next(&mut self) -> Option<Change<'a>> {
        let order = match self.heads() {
            (Some(open), Some(sealed)) => open.cmp(sealed),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let mut sealed = || self.sealed.as_mut()?.next();
        if order == Ordering::Greater {
            return sealed().map(|(key, (_, value))| (key.as_slice(), value.as_deref()));
        }
        if order == Ordering::Equal {
            sealed();
        }
        let (key, value) = self.open.as_mut()?.next()?;
        Some((key.as_slice(), value.as_deref()))
    }

    fn next_before(&mut self, key: &[u8]) -> Option<Change<'a>> {
        if self.peek()? < key { self.next() } else { None }
    }

    fn next_at(&mut self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        if self.peek()? == key { self.next().map(|(_, value)| value) } else { None }
    }
}

#[cfg(test)]
mod tests;
