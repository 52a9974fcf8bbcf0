//! Keys of a partition in the order of the keys, although they lie slot by slot.
//!
//! One iterator goes from slot to slot and takes some rows of each; the least key of all of them is
//! next. Memory is bounded by the rows that are taken, whatever the number of keys.

use super::store::Place;
use crate::error::Result;
use crate::state::{Each, slots::placed};
use rocksdb::{BoundColumnFamily, DB, DBRawIterator, ReadOptions};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

/// Rows of all slots that are in memory at a time.
const TAKEN_BYTES: usize = 4 << 20;
/// Least of one slot: a row, and more if it is small.
const LEAST_BYTES: usize = 1 << 10;

type Row = (Vec<u8>, Vec<u8>);

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) prefix: &'a [u8],
    pub(super) after: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// The first key that may be it.
    fn start(self) -> &'a [u8] {
        self.after.filter(|after| *after >= self.prefix).unwrap_or(self.prefix)
    }

    fn is_behind(self, key: &[u8]) -> bool {
        self.after.is_none_or(|after| key > after)
    }
}

/// Calls `each` with every wanted key of `place`; `failed` names an error of the disk.
pub(super) fn scan(
    (db, family, mut options): (&DB, &Arc<BoundColumnFamily<'_>>, ReadOptions),
    place: &Place,
    wanted: Wanted<'_>,
    each: &mut Each<'_>,
    failed: &dyn Fn(&rocksdb::Error) -> crate::error::Error,
) -> Result<()> {
    let slots = place.slots.with(wanted.prefix);
    options.set_iterate_upper_bound(slots.end.to_be_bytes());
    let mut rows = Rows { at: db.raw_iterator_cf_opt(family, options), wanted, failed };
    if slots.len() == 1 {
        return rows.one(slots.start, each);
    }
    rows.many(slots.start, slots.end, each)
}

struct Rows<'a, 'b> {
    at: DBRawIterator<'a>,
    wanted: Wanted<'b>,
    failed: &'b dyn Fn(&rocksdb::Error) -> crate::error::Error,
}

/// What was taken of a slot.
struct Lane {
    slot: u16,
    rows: VecDeque<Row>,
    /// May there be more?
    goes_on: bool,
}

impl Rows<'_, '_> {
    /// The key and value here, if they are wanted and in `slot`.
    fn here(&self, slot: u16) -> Result<Option<(&[u8], &[u8])>> {
        let Some((key, value)) = self.at.item() else {
            self.at.status().map_err(|e| (self.failed)(&e))?;
            return Ok(None);
        };
        let key = key.strip_prefix(&slot.to_be_bytes());
        Ok(key.filter(|key| key.starts_with(self.wanted.prefix)).map(|key| (key, value)))
    }

    fn one(&mut self, slot: u16, each: &mut Each<'_>) -> Result<()> {
        self.at.seek(placed(slot, self.wanted.start()));
        while let Some((key, value)) = self.here(slot)? {
            if self.wanted.is_behind(key) {
                each(key, value)?;
            }
            self.at.next();
        }
        Ok(())
    }

    fn many(&mut self, first: u16, end: u16, each: &mut Each<'_>) -> Result<()> {
        let share = (TAKEN_BYTES / usize::from(end - first)).max(LEAST_BYTES);
        let mut lanes = self.begin(first, end, share)?;
        let mut least: BinaryHeap<_> = (0..lanes.len())
            .filter_map(|at| Some(Reverse((lanes[at].rows.front()?.0.clone(), at))))
            .collect();
        while let Some(Reverse((_, at))) = least.pop() {
            let lane = &mut lanes[at];
            let Some((key, value)) = lane.rows.pop_front() else { continue };
            each(&key, &value)?;
            if lane.rows.is_empty() && lane.goes_on {
                self.at.seek(placed(lane.slot, &key));
                *lane = self.take(lane.slot, Some(&key), share)?;
            }
            if let Some((key, _)) = lane.rows.front() {
                least.push(Reverse((key.clone(), at)));
            }
        }
        Ok(())
    }

    /// The first rows of every slot that has some.
    fn begin(&mut self, first: u16, end: u16, share: usize) -> Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        let mut slot = first;
        while slot < end {
            self.at.seek(placed(slot, self.wanted.start()));
            let lane = self.take(slot, None, share)?;
            if !lane.rows.is_empty() {
                lanes.push(lane);
            } else if let Some(next) = self.slot_here()?
                && next > slot
            {
                slot = next;
                continue;
            } else if !self.at.valid() {
                break;
            }
            slot += 1;
        }
        Ok(lanes)
    }

    fn slot_here(&self) -> Result<Option<u16>> {
        self.at.status().map_err(|e| (self.failed)(&e))?;
        Ok(self.at.key().and_then(|key| key.first_chunk()).map(|slot| u16::from_be_bytes(*slot)))
    }

    /// Rows of `slot` from here on, those behind `last` alone.
    fn take(&mut self, slot: u16, last: Option<&[u8]>, share: usize) -> Result<Lane> {
        let mut lane = Lane { slot, rows: VecDeque::new(), goes_on: false };
        let mut bytes = 0;
        while let Some((key, value)) = self.here(slot)? {
            if bytes >= share {
                lane.goes_on = true;
                break;
            }
            if self.wanted.is_behind(key) && last.is_none_or(|last| key > last) {
                bytes += key.len() + value.len() + 2 * size_of::<Vec<u8>>();
                lane.rows.push_back((key.to_vec(), value.to_vec()));
            }
            self.at.next();
        }
        Ok(lane)
    }
}
