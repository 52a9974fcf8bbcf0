//! Watermarks: the time before which no more rows are expected.
//!
//! # Guarantees
//!
//! * The watermark of a row is that of the rows before it in its partition, so whether a row is late
//!   never depends on how rows were cut into batches.
//! * Watermarks never go back.

use arrow::array::{Array, Int64Array};
use std::collections::BTreeMap;

/// The watermark before the first row.
pub const NONE: i64 = i64::MIN;

/// Watermark of one partition, with a bounded out-of-orderness: the highest event time so far, less
/// the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    bound_ms: i64,
    current: i64,
}

impl Watermark {
    /// One before its first row. Rows may be `bound_ms` behind the newest without being late.
    #[must_use]
    pub fn new(bound_ms: i64) -> Self {
        Self { bound_ms: bound_ms.max(0), current: NONE }
    }

    /// Goes on from a watermark that was reached before.
    pub fn restore(&mut self, watermark_ms: i64) {
        self.current = self.current.max(watermark_ms);
    }

    /// The watermark behind all rows seen, in ms; [`NONE`] before the first.
    #[must_use]
    pub fn current(&self) -> i64 {
        self.current
    }

    /// The watermark before each of the next rows; a row without a time leaves it as it is.
    pub fn before(&mut self, times: &Int64Array) -> Int64Array {
        let mut before = Vec::with_capacity(times.len());
        for (row, time) in times.values().iter().enumerate() {
            before.push(self.current);
            if times.is_valid(row) {
                self.current = self.current.max(time.saturating_sub(self.bound_ms));
            }
        }
        before.into()
    }
}

#[derive(Clone, Copy, Debug)]
struct Source {
    watermark: i64,
    idle: bool,
}

/// Watermark of several sources: the lowest of those that are not idle. If all are, nothing is to be
/// waited for and the highest counts, whichever fell silent first.
#[derive(Clone, Debug)]
pub struct Combined {
    sources: BTreeMap<i32, Source>,
    current: i64,
}

impl Default for Combined {
    fn default() -> Self {
        Self { sources: BTreeMap::new(), current: NONE }
    }
}

impl Combined {
    /// The combined watermark, in ms; it stays where it is when a source comes that is behind it.
    #[must_use]
    pub fn current(&self) -> i64 {
        self.current
    }

    /// Makes a source known, so that the others wait for it.
    pub fn add(&mut self, source: i32) {
        self.sources.entry(source).or_insert(Source { watermark: NONE, idle: false });
    }

    /// A source has reached `watermark_ms`, and is not idle.
    pub fn reach(&mut self, source: i32, watermark_ms: i64) {
        self.add(source);
        if let Some(found) = self.sources.get_mut(&source) {
            found.watermark = found.watermark.max(watermark_ms);
            found.idle = false;
        }
        self.settle();
    }

    /// A source is silent; the others no longer wait for it.
    pub fn idle(&mut self, source: i32) {
        if let Some(found) = self.sources.get_mut(&source) {
            found.idle = true;
        }
        self.settle();
    }

    /// A source is gone.
    pub fn remove(&mut self, source: i32) {
        self.sources.remove(&source);
        self.settle();
    }

    fn settle(&mut self) {
        let active = self.sources.values().filter(|source| !source.idle);
        let lowest = active.map(|source| source.watermark).min();
        let highest = || self.sources.values().map(|source| source.watermark).max();
        self.current = self.current.max(lowest.or_else(highest).unwrap_or(NONE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_is_judged_by_the_rows_before_it() {
        let mut watermark = Watermark::new(10);
        let times = Int64Array::from(vec![Some(100), Some(50), None, Some(120), Some(115)]);
        assert_eq!(watermark.before(&times).values(), &[NONE, 90, 90, 90, 110]);
        assert_eq!(watermark.current(), 110);
    }

    #[test]
    fn an_idle_source_does_not_hold_the_others_back() {
        let mut combined = Combined::default();
        combined.add(0);
        combined.reach(1, 100);
        assert_eq!(combined.current(), NONE, "source 0 has shown nothing yet");
        combined.idle(0);
        assert_eq!(combined.current(), 100);
        combined.reach(0, 40);
        assert_eq!(combined.current(), 100, "it never goes back");
        combined.reach(1, 200);
        assert_eq!(combined.current(), 100, "source 0 is at 40 and not idle");
        combined.idle(1);
        combined.idle(0);
        assert_eq!(combined.current(), 200);
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_watermark_of_a_row(
            times in prop::collection::vec(prop::option::of(any::<i64>()), 0..60),
            cut in 0_usize..60,
            bound in any::<i64>(),
        ) {
            let cut = cut.min(times.len());
            let whole = Watermark::new(bound).before(&Int64Array::from(times.clone()));
            let mut parts = Watermark::new(bound);
            let mut found = Vec::new();
            for part in [&times[..cut], &times[cut..]] {
                found.extend(parts.before(&Int64Array::from(part.to_vec())).values().iter().copied());
            }
            prop_assert_eq!(whole.values().to_vec(), found.clone());
            prop_assert!(found.is_sorted());
        }
    }
}
