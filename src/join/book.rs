//! The rows that a join keeps: by key, and those of a key by time.
//!
//! # Guarantees
//!
//! * Rows of a key are in the order of their times, and rows of one time in the order of their arrival.
//! * What [`Book::changes`] has written is all that a store needs to have the same rows.

use super::{persist, spec::Side};
use crate::{
    error::Result,
    state::Writes,
    window::keys::{Group, KeyRows, Keys},
};
use std::collections::VecDeque;

/// Memory of a row beside its bytes, roughly.
const ROW_BYTES: usize = size_of::<Kept>() + 16;

/// A row that is kept.
pub(super) struct Kept {
    /// Its event time, in ms.
    pub(super) time: i64,
    /// Its place in the order of arrival on both sides.
    pub(super) seq: u64,
    /// Has it had a match?
    pub(super) is_matched: bool,
    /// Does the store have it?
    is_stored: bool,
    /// Its columns without the key.
    pub(super) row: Box<[u8]>,
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) time: i64,
    pub(super) side: Side,
    pub(super) group: Group,
}

/// See the module.
pub(super) struct Book {
    /// The keys that have rows.
    pub(super) keys: Keys,
    sides: [Vec<VecDeque<Kept>>; 2],
    /// Is it of interest whether rows of a side have had a match?
    is_marked: [bool; 2],
    /// Of its keys in the store.
    tag: Vec<u8>,
    /// Rows that have arrived.
    pub(super) seq: u64,
    emptied: Vec<Group>,
    added: Vec<Place>,
    /// Entries of the store that are to be removed, or to be added without a value.
    altered: Writes,
    count: usize,
    bytes: usize,
}

impl Book {
    /// One without rows; of which sides it notes matches.
    pub(super) fn new(keys: Keys, tag: Vec<u8>, is_marked: [bool; 2]) -> Self {
        Self {
            keys,
            sides: [Vec::new(), Vec::new()],
            is_marked,
            tag,
            seq: 0,
            emptied: Vec::new(),
            added: Vec::new(),
            altered: Writes::default(),
            count: 0,
            bytes: 0,
        }
    }

    /// The group of a row.
    #[inline]
    pub(super) fn group(&mut self, rows: &KeyRows, row: usize) -> Group {
        let (group, is_new) = self.keys.group(rows, row, 0);
        if is_new {
            self.make_room(group);
        }
        group
    }

    fn make_room(&mut self, group: Group) {
        for side in &mut self.sides {
            if side.len() <= group as usize {
                side.resize_with(group as usize + 1, VecDeque::new);
            }
        }
        self.emptied.push(group);
    }

    /// The rows of a key, oldest first.
    #[inline]
    pub(super) fn of(&self, side: Side, group: Group) -> &VecDeque<Kept> {
        &self.sides[side.at()][group as usize]
    }

    /// Keeps a row.
    pub(super) fn insert(&mut self, side: Side, group: Group, kept: (i64, &[u8], bool)) -> Place {
        let (time, row, is_matched) = kept;
        let place = Place { seq: self.seq, time, side, group };
        let is_matched = is_matched && self.is_marked[side.at()];
        self.seq += 1;
        self.put(
            place,
            Kept { time, seq: place.seq, is_matched, is_stored: false, row: row.into() },
        );
        self.added.push(place);
        place
    }

    fn put(&mut self, place: Place, kept: Kept) {
        self.count += 1;
        self.bytes += kept.row.len();
        let rows = &mut self.sides[place.side.at()][place.group as usize];
        match rows.back() {
            Some(last) if (last.time, last.seq) > (kept.time, kept.seq) => {
                let at = rows.partition_point(|row| (row.time, row.seq) < (kept.time, kept.seq));
                rows.insert(at, kept);
            }
            _ => rows.push_back(kept),
        }
    }

    fn find(&self, place: Place) -> Option<usize> {
        let rows = self.sides[place.side.at()].get(place.group as usize)?;
        let is = |row: &Kept| row.seq == place.seq;
        if rows.front().is_some_and(is) {
            return Some(0);
        }
        let at = rows.partition_point(|row| (row.time, row.seq) < (place.time, place.seq));
        rows.get(at).is_some_and(is).then_some(at)
    }

    /// Forgets a row; none if it is gone already.
    pub(super) fn remove(&mut self, place: Place) -> Option<Kept> {
        let at = self.find(place)?;
        let kept = self.sides[place.side.at()][place.group as usize].remove(at)?;
        self.count -= 1;
        self.bytes -= kept.row.len();
        if kept.is_stored {
            let key = persist::row_key(&self.tag, &self.keys, place);
            if kept.is_matched {
                self.altered.0.push((persist::mark_key(&key), None));
            }
            self.altered.0.push((key, None));
        }
        if Side::BOTH.iter().all(|&side| self.of(side, place.group).is_empty()) {
            self.emptied.push(place.group);
        }
        Some(kept)
    }

    /// Calls `each` with the rows of a key from `first` to `last`, in ms; they have a match now.
    #[inline]
    pub(super) fn matches(
        &mut self,
        side: Side,
        group: Group,
        (first, last): (i64, i64),
        mut each: impl FnMut(&Kept),
    ) -> bool {
        let rows = &mut self.sides[side.at()][group as usize];
        let start = match rows.front() {
            Some(row) if row.time >= first => 0,
            _ => rows.partition_point(|row| row.time < first),
        };
        let mut is_any = false;
        for row in rows.range_mut(start..).take_while(|row| row.time <= last) {
            is_any = true;
            if !row.is_matched && self.is_marked[side.at()] {
                row.is_matched = true;
                if row.is_stored {
                    let place = Place { seq: row.seq, time: row.time, side, group };
                    let key = persist::row_key(&self.tag, &self.keys, place);
                    self.altered.0.push((persist::mark_key(&key), Some(Vec::new())));
                }
            }
            each(row);
        }
        is_any
    }

    /// Gives the numbers of keys without rows back. Whoever still wants to read their keys does it before.
    pub(super) fn settle(&mut self) {
        let mut emptied = std::mem::take(&mut self.emptied);
        emptied.sort_unstable();
        emptied.dedup();
        emptied.retain(|&group| Side::BOTH.iter().all(|&side| self.of(side, group).is_empty()));
        for &group in &emptied {
            self.keys.remove(group);
            for side in &mut self.sides {
                side[group as usize] = VecDeque::new();
            }
        }
        self.keys.recycle(&emptied);
    }

    /// Appends what has changed since the last call.
    pub(super) fn changes(&mut self, writes: &mut Writes) {
        writes.0.append(&mut self.altered.0);
        for place in std::mem::take(&mut self.added) {
            let Some(at) = self.find(place) else { continue };
            let kept = &mut self.sides[place.side.at()][place.group as usize][at];
            kept.is_stored = true;
            let key = persist::row_key(&self.tag, &self.keys, place);
            if kept.is_matched {
                writes.0.push((persist::mark_key(&key), Some(Vec::new())));
            }
            let value = persist::row_value(&self.keys, place.group, &kept.row);
            writes.0.push((key, Some(value)));
        }
    }

    /// Takes a row from the store: whose it is, the key as it was saved, is it matched, the row.
    ///
    /// # Errors
    ///
    /// If the key is none of these columns.
    pub(super) fn load(
        &mut self,
        (side, time, seq): (Side, i64, u64),
        key: &[u8],
        is_matched: bool,
        row: &[u8],
    ) -> Result<Place> {
        let (group, is_new) = self.keys.load(key, 0)?;
        if is_new {
            self.make_room(group);
        }
        let place = Place { seq, time, side, group };
        self.put(place, Kept { time, seq, is_matched, is_stored: true, row: row.into() });
        Ok(place)
    }

    /// Rows that are kept.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes held, roughly.
    pub(super) fn memory(&self) -> usize {
        self.keys.memory() + self.bytes + self.count * ROW_BYTES
    }
}
