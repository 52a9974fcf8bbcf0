//! Rows of two streams whose times are near each other.
//!
//! A row is kept until the watermark has passed the last time that a match of it can have, and the grace.
//! Then it is given without a match, if it had none and that was asked for, and forgotten. A row that comes
//! so late that it would be forgotten at once is late. As in Kafka Streams since 3.1, but for the clock:
//! there the newer side moves the time of both.

use super::{
    book::Place,
    core::{Arrived, Core, Due},
    output::Cell,
    spec::{How, Side},
};

/// See the module.
pub(super) struct Interval {
    /// How far a match may be in front of a row of the left and of the right, in ms.
    before: [i64; 2],
    /// How far behind.
    after: [i64; 2],
    grace_ms: i64,
    how: How,
}

impl Interval {
    /// Matches have `left - before <= right <= left + after`.
    pub(super) fn new(before_ms: i64, after_ms: i64, grace_ms: i64, how: How) -> Self {
        Self { before: [before_ms, after_ms], after: [after_ms, before_ms], grace_ms, how }
    }

    /// The last watermark that a row of this time can match under.
    fn end(&self, side: Side, time: i64) -> i64 {
        time.saturating_add(self.after[side.at()]).saturating_add(self.grace_ms)
    }

    pub(super) fn arrive(&self, core: &mut Core, Arrived { feed, row, time }: Arrived<'_>) {
        let side = feed.side;
        if core.is_past(self.end(side, time)) {
            return core.reject(row);
        }
        let group = core.book.group(&feed.keys, row);
        let first = time.saturating_sub(self.before[side.at()]);
        let last = time.saturating_add(self.after[side.at()]);
        let (pairs, now) = (&mut core.pairs, Cell::Now(row as u32));
        let before = pairs.len();
        let is_matched = core.book.matches(side.other(), group, (first, last), |other| {
            let kept = pairs.keep(&other.row);
            let cells = if side == Side::Left { [now, kept] } else { [kept, now] };
            pairs.push(group, cells, Some(time.max(other.time)));
        });
        core.counters.matched_rows += (core.pairs.len() - before) as u64;
        let place = core.book.insert(side, group, (time, feed.rows.row(row), is_matched));
        self.schedule(core, place);
    }

    pub(super) fn schedule(&self, core: &mut Core, place: Place) {
        core.schedule(self.end(place.side, place.time), place, 0);
    }

    pub(super) fn on_due(&self, core: &mut Core, due: Due) {
        let Some(kept) = core.book.remove(due.place) else { return };
        if !kept.is_matched && self.how.pads(due.place.side) {
            let cell = core.pairs.keep(&kept.row);
            core.pad(due.place.side, due.place.group, cell, Some(kept.time));
        }
    }
}
