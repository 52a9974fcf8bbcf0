//! Which slots have changed since the store was last told, and under which names it knows them.

use crate::{state::Writes, window::aggregate::Slot};

/// Changes that the store does not know yet.
#[derive(Default)]
pub(super) struct Tracking {
    touched: Vec<bool>,
    list: Vec<Slot>,
    /// For each slot the key that the store has it under.
    known: Vec<Option<Vec<u8>>>,
    gone: Vec<Vec<u8>>,
}

impl Tracking {
    #[inline]
    pub(super) fn touch(&mut self, slot: Slot) {
        let at = slot as usize;
        if self.touched.len() <= at {
            self.touched.resize(at + 1, false);
            self.known.resize(at + 1, None);
        }
        if !std::mem::replace(&mut self.touched[at], true) {
            self.list.push(slot);
        }
    }

    /// The slot is given up; what it holds is of no interest.
    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(touched) = self.touched.get_mut(slot as usize) {
            *touched = false;
        }
        if let Some(key) = self.known.get_mut(slot as usize).and_then(Option::take) {
            self.gone.push(key);
        }
    }

    /// The store has `slot` under `key`.
    pub(super) fn know(&mut self, slot: Slot, key: Vec<u8>) {
        self.touch(slot);
        self.known[slot as usize] = Some(key);
    }

    /// The same without any slot; what the store is still to forget stays.
    pub(super) fn without_slots(self) -> Self {
        Self { gone: self.gone, ..Self::default() }
    }

    /// Nothing has changed.
    pub(super) fn settle(&mut self) {
        for slot in self.list.drain(..) {
            self.touched[slot as usize] = false;
        }
    }

    /// Adds the changes to `writes`; `entry` gives the key and value of a slot that is still there.
    pub(super) fn take(
        &mut self,
        writes: &mut Writes,
        entry: impl Fn(Slot) -> Option<(Vec<u8>, Vec<u8>)>,
    ) {
        // What is gone comes first: a window of the same name may have been opened again.
        writes.0.extend(self.gone.drain(..).map(|key| (key, None)));
        let mut changed = Vec::with_capacity(self.list.len());
        for slot in std::mem::take(&mut self.list) {
            if !std::mem::take(&mut self.touched[slot as usize]) {
                continue;
            }
            if let Some((key, value)) = entry(slot) {
                self.known[slot as usize] = Some(key.clone());
                changed.push((key, Some(value)));
            }
        }
        changed.sort_unstable();
        writes.0.extend(changed);
    }
}
