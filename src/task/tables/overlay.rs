//! Writes of one partition that are not in its store yet.

use crate::state::{Delta, Space, Writes};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What a key costs beside its bytes, about.
const ENTRY_BYTES: usize = 96;

/// A value, or that there is none any more.
pub type Change = Option<Vec<u8>>;

/// Without an order, which only few ask for: agents look keys up for every record.
type Newest = HashMap<Vec<u8>, Change, ahash::RandomState>;

/// Writes between two cuts, the newest of each key.
#[derive(Debug, Default)]
pub struct Layer {
    spaces: Vec<Newest>,
    bytes: usize,
}

impl Layer {
    fn put(&mut self, space: Space, key: &[u8], change: Change) {
        let index = usize::from(space.0);
        if self.spaces.len() <= index {
            self.spaces.resize_with(index + 1, Newest::default);
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
        self.spaces.iter().all(HashMap::is_empty)
    }

    /// The writes as a store takes them, in the order of their keys.
    #[must_use]
    pub fn delta(&self) -> Delta {
        let mut delta = Delta::default();
        for (index, changes) in self.spaces.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            let space = Space(u16::try_from(index).expect("an app has few tables"));
            let writes = changes.iter().map(|(key, change)| (key.clone(), change.clone()));
            let mut writes: Vec<_> = writes.collect();
            writes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            delta.push(space, Writes(writes));
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
        let (mut all, mut end) = (BTreeMap::new(), None);
        for layer in self.sealed.as_deref().into_iter().chain([&self.open]) {
            let Some(changes) = layer.spaces.get(usize::from(space.0)) else { continue };
            let is_behind = |key: &&Vec<u8>| after.is_none_or(|after| key.as_slice() > after);
            let mut keys: Vec<_> = changes.keys().filter(is_behind).collect();
            if keys.len() > limit {
                keys.select_nth_unstable(limit.saturating_sub(1));
                keys.truncate(limit);
                end = nearest(end, keys.last().map(|&key| key.clone()));
            }
            all.extend(keys.into_iter().map(|key| (key.clone(), changes[key].clone())));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: Space = Space(1);

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, Option<u8>),
        Seal,
        Applied,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let put = (0..20_u8, prop::option::of(any::<u8>())).prop_map(|(k, v)| Step::Put(k, v));
        prop::collection::vec(
            prop_oneof![8 => put, 1 => Just(Step::Seal), 1 => Just(Step::Applied)],
            0..60,
        )
    }

    /// An overlay after `steps`, and what it is to say: the open writes over the sealed ones.
    fn after(steps: &[Step]) -> (Overlay, BTreeMap<Vec<u8>, Change>) {
        let (mut overlay, mut sealed, mut open) =
            (Overlay::default(), BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    let change = value.map(|value| vec![value]);
                    overlay.put(TABLE, &[*key], change.clone());
                    open.insert(vec![*key], change);
                }
                Step::Seal => {
                    let layer = overlay.seal();
                    sealed = std::mem::take(&mut open);
                    let written = layer.delta().0.into_iter().map(|(_, writes)| writes.0);
                    assert!(written.flatten().eq(sealed.clone()), "in the order of the keys");
                }
                Step::Applied => {
                    overlay.applied();
                    sealed.clear();
                }
            }
        }
        sealed.append(&mut open);
        (overlay, sealed)
    }

    proptest! {
        #[test]
        fn it_says_what_was_written_last(steps in steps()) {
            let (overlay, wanted) = after(&steps);
            for key in 0..20_u8 {
                prop_assert_eq!(overlay.get(TABLE, &[key]), wanted.get(&vec![key]));
                prop_assert_eq!(overlay.get(Space(0), &[key]), None);
            }
        }

        #[test]
        fn pages_have_every_key_once_and_in_order(steps in steps(), limit in 1..8_usize) {
            let (overlay, wanted) = after(&steps);
            let (mut found, mut behind) = (Vec::new(), None::<Vec<u8>>);
            loop {
                let (page, end) = overlay.page(TABLE, behind.as_deref(), limit);
                let is_before = |key: &Vec<u8>| end.as_ref().is_none_or(|end| key <= end);
                found.extend(page.into_iter().filter(|(key, _)| is_before(key)));
                behind = end;
                if behind.is_none() {
                    break;
                }
            }
            prop_assert!(found.into_iter().eq(wanted));
        }
    }
}
