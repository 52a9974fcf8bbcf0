//! The watermark of a join: the lower one of its sides.

use super::spec::Side;
use crate::window::watermark::NONE;

/// Watermarks of both sides, and the one that rows are judged by. It never goes back.
///
/// One side may be read long before the other, as after a stop: rows wait for those of the side that is
/// behind, instead of being late because the other was quicker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    sides: [i64; 2],
    idle: [bool; 2],
    current: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { sides: [NONE; 2], idle: [false; 2], current: NONE }
    }
}

impl Clock {
    /// What rows are judged by, in ms.
    pub(super) fn current(&self) -> i64 {
        self.current
    }

    /// `side` has reached `watermark_ms`, and is not idle.
    #[inline]
    pub(super) fn reach(&mut self, side: Side, watermark_ms: i64) {
        let at = side.at();
        self.sides[at] = self.sides[at].max(watermark_ms);
        self.idle[at] = false;
        self.settle();
    }

    /// What `side` has reached, in ms, and whether it is idle.
    pub(super) fn of(&self, side: Side) -> (i64, bool) {
        (self.sides[side.at()], self.idle[side.at()])
    }

    /// `side` is silent: the other does not wait for it.
    pub(super) fn idle(&mut self, side: Side) {
        self.idle[side.at()] = true;
        self.settle();
    }

    fn settle(&mut self) {
        let [left, right] = self.sides;
        let lowest = match self.idle {
            [false, false] => left.min(right),
            [false, true] => left,
            [true, false] => right,
            [true, true] => left.max(right),
        };
        self.current = self.current.max(lowest);
    }

    /// As numbers, for the store.
    pub(super) fn save(&self) -> [i64; 4] {
        let idle = i64::from(self.idle[0]) | i64::from(self.idle[1]) << 1;
        [self.sides[0], self.sides[1], idle, self.current]
    }

    /// What [`Clock::save`] gave.
    pub(super) fn load([left, right, idle, current]: [i64; 4]) -> Self {
        Self { sides: [left, right], idle: [idle & 1 != 0, idle & 2 != 0], current }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_is_behind_counts_until_it_is_silent() {
        let mut clock = Clock::default();
        clock.reach(Side::Left, 100);
        assert_eq!(clock.current(), NONE, "the right has shown nothing yet");
        clock.reach(Side::Right, 40);
        assert_eq!(clock.current(), 40);
        clock.idle(Side::Right);
        assert_eq!(clock.current(), 100);
        clock.reach(Side::Right, 50);
        assert_eq!(clock.current(), 100, "it never goes back");
        assert_eq!(Clock::load(clock.save()), clock);
    }
}
