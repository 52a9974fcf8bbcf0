//! Rows of the left with the newest row of the right at or before their time.
//!
//! A row of the left waits until the watermark has passed its time and the grace: by then every version of
//! the right that it may ask for is there. Of the versions at or before the horizon, the watermark less the
//! grace, only the newest of a key is kept: no row of the left that is still taken asks for an older one.

use super::{
    book::{Kept, Place},
    core::{Arrived, Core, Due},
    output::Cell,
    spec::{How, Side},
};
use crate::window::keys::Group;

/// A row of the left is answered; versions in front of one of the right are forgotten.
const SETTLE: u8 = 0;
/// A version is older than the tolerance.
const EXPIRE: u8 = 1;

/// See the module.
pub(super) struct AsOf {
    tolerance_ms: Option<i64>,
    grace_ms: i64,
    how: How,
}

impl AsOf {
    /// One whose versions may be `tolerance_ms` old.
    pub(super) fn new(tolerance_ms: Option<i64>, grace_ms: i64, how: How) -> Self {
        Self { tolerance_ms, grace_ms, how }
    }

    fn end(&self, time: i64) -> i64 {
        time.saturating_add(self.grace_ms)
    }

    /// When a version of this time is too old for every row to come: behind the answer to the last row
    /// that may ask for it.
    fn expiry(&self, time: i64) -> Option<i64> {
        let end = self.end(time).saturating_add(1);
        self.tolerance_ms.map(|tolerance| end.saturating_add(tolerance))
    }

    pub(super) fn arrive(&self, core: &mut Core, Arrived { feed, row, time }: Arrived<'_>) {
        let is_late = match feed.side {
            Side::Left => core.is_past(self.end(time)),
            Side::Right => self.expiry(time).is_some_and(|expiry| core.is_past(expiry)),
        };
        if is_late {
            return core.reject(row);
        }
        let group = core.book.group(&feed.keys, row);
        if feed.side == Side::Right && self.is_superseded(core, group, time) {
            return core.reject(row);
        }
        let place = core.book.insert(feed.side, group, (time, feed.rows.row(row), false));
        self.schedule(core, place);
    }

    /// Is there a version of a later time that every row of the left to come would take instead?
    fn is_superseded(&self, core: &Core, group: Group, time: i64) -> bool {
        let versions = core.book.of(Side::Right, group);
        let next = versions.partition_point(|version| version.time <= time);
        versions.get(next).is_some_and(|next| core.is_past(self.end(next.time)))
    }

    pub(super) fn schedule(&self, core: &mut Core, place: Place) {
        core.schedule(self.end(place.time), place, SETTLE);
        if place.side == Side::Right
            && let Some(expiry) = self.expiry(place.time)
        {
            core.schedule(expiry, place, EXPIRE);
        }
    }

    pub(super) fn on_due(&self, core: &mut Core, due: Due) {
        match (due.place.side, due.step) {
            (Side::Left, _) => self.answer(core, due.place),
            (Side::Right, SETTLE) => forget_before(core, due.place),
            (Side::Right, _) => drop(core.book.remove(due.place)),
        }
    }

    fn answer(&self, core: &mut Core, place: Place) {
        let Some(left) = core.book.remove(place) else { return };
        let versions = core.book.of(Side::Right, place.group);
        let behind = versions.partition_point(|version| version.time <= place.time);
        let is_young = |version: &&Kept| {
            self.tolerance_ms.is_none_or(|tolerance| place.time - version.time <= tolerance)
        };
        let found = behind.checked_sub(1).and_then(|at| versions.get(at)).filter(is_young);
        let right = found.map(|version| core.pairs.keep(&version.row));
        match right {
            Some(right) => {
                let left = core.pairs.keep(&left.row);
                core.pairs.push(place.group, [left, right], Some(place.time));
                core.counters.matched_rows += 1;
            }
            None if self.how.pads(Side::Left) => {
                let cell: Cell = core.pairs.keep(&left.row);
                core.pad(Side::Left, place.group, cell, Some(place.time));
            }
            None => {}
        }
    }
}

/// Forgets the versions of a key in front of one that all rows to come take instead.
fn forget_before(core: &mut Core, place: Place) {
    let is_before = |one: &Kept| (one.time, one.seq) < (place.time, place.seq);
    while let Some(first) =
        core.book.of(place.side, place.group).front().filter(|one| is_before(one))
    {
        let old = Place { seq: first.seq, time: first.time, ..place };
        core.book.remove(old);
    }
}
