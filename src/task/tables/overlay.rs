//! Writes of one partition that are not in its store yet.

use crate::state::{Delta, Space, Writes};
use std::{collections::BTreeMap, sync::Arc};

/// What a key costs beside its bytes, about.
const ENTRY_BYTES: usize = 96;

/// A value, or that there is none any more.
pub type Change = Option<Vec<u8>>;

/// Writes between two cuts, the newest of each key.
#[derive(Debug, Default)]
pub struct Layer {
    spaces: Vec<BTreeMap<Vec<u8>, Change>>,
    bytes: usize,
}

impl Layer {
    fn put(&mut self, space: Space, key: &[u8], change: Change) {
        let index = usize::from(space.0);
        if self.spaces.len() <= index {
            self.spaces.resize_with(index + 1, BTreeMap::new);
        }
        let size = |change: &Change| change.as_ref().map_or(0, Vec::len);
        self.bytes += size(&change);
        if let Some(known) = self.spaces[index].get_mut(key) {
            self.bytes -= size(known);
            *known = change;
        } else {
            self.bytes += key.len() + ENTRY_BYTES;
            self.spaces[index].insert(key.to_vec(), change);
        }
    }

    fn get(&self, space: Space, key: &[u8]) -> Option<&Change> {
        self.spaces.get(usize::from(space.0))?.get(key)
    }

    /// True if nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spaces.iter().all(BTreeMap::is_empty)
    }

    /// The writes, as a store takes them.
    #[must_use]
    pub fn delta(&self) -> Delta {
        let mut delta = Delta::default();
        for (index, changes) in self.spaces.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            let space = Space(u16::try_from(index).expect("an app has few tables"));
            let writes = changes.iter().map(|(key, change)| (key.clone(), change.clone()));
            delta.push(space, Writes(writes.collect()));
        }
        delta
    }
}

/// The layers above the store: one that is written to, and one on its way into the store.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    open: Layer,
    sealed: Option<Arc<Layer>>,
}

impl Overlay {
    pub(super) fn put(&mut self, space: Space, key: &[u8], change: Change) {
        self.open.put(space, key, change);
    }

    /// What was written last; none if that is the store's to say.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Option<&Change> {
        self.open.get(space, key).or_else(|| self.sealed.as_ref()?.get(space, key))
    }

    /// Bytes of what is written to.
    pub(super) fn open_bytes(&self) -> usize {
        self.open.bytes
    }

    /// Takes the writes so far; they are seen until [`Overlay::applied`].
    pub(super) fn seal(&mut self) -> Arc<Layer> {
        let layer = Arc::new(std::mem::take(&mut self.open));
        self.sealed = Some(Arc::clone(&layer));
        layer
    }

    /// What was sealed is in the store.
    pub(super) fn applied(&mut self) {
        self.sealed = None;
    }

    /// The writes behind `after`, at most `limit` of each layer, and up to where nothing is left out.
    pub(super) fn page(&self, space: Space, after: Option<&[u8]>, limit: usize) -> Changes {
        use std::ops::Bound::{Excluded, Unbounded};
        let (mut all, mut end) = (BTreeMap::new(), None);
        for layer in self.sealed.as_deref().into_iter().chain([&self.open]) {
            let Some(changes) = layer.spaces.get(usize::from(space.0)) else { continue };
            let from = after.map_or(Unbounded, Excluded);
            let mut range = changes.range::<[u8], _>((from, Unbounded));
            let mut last = None;
            for (key, change) in range.by_ref().take(limit) {
                all.insert(key.clone(), change.clone());
                last = Some(key);
            }
            if range.next().is_some() {
                end = nearest(end, last.cloned());
            }
        }
        (all, end)
    }
}

/// Changes by key, and the key behind which they are not complete; none: they are.
pub(super) type Changes = (BTreeMap<Vec<u8>, Change>, Option<Vec<u8>>);

/// The nearer of two ends.
pub(super) fn nearest(one: Option<Vec<u8>>, other: Option<Vec<u8>>) -> Option<Vec<u8>> {
    one.into_iter().chain(other).min()
}
