//! What the inputs of a subscription's task have in common, where it has two.
//!
//! Each is read by a loop of its own. What the rest of the task calls an offset is one number for both, the
//! sum of their offsets: see [`crate::engine::inputs`].
//!
//! # Guarantees
//!
//! * Batches of all inputs get their numbers, and go through the plan, one after the other: whoever does that
//!   holds [`Inputs::turn`].
//! * For each number that may be committed the offsets that it is made of are known until that has happened.
//! * An input that is further in event time waits for the others, as long as they have something to read: the
//!   memory that waits for the side that is behind is that of a batch.

use crate::{
    engine::inputs::{KEY, Positions},
    state::Writes,
    types::TopicPartition,
    window::watermark::NONE,
};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// An input that has given nothing for so long, although there is something, is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub struct Inputs {
    tps: Vec<TopicPartition>,
    /// Where each began.
    begins: Vec<i64>,
    inner: Mutex<Inner>,
    turn: Mutex<()>,
    /// Told when an input may go on that has waited.
    pub(super) moved: Notify,
}

struct Inner {
    /// Offset behind everything begun, of each input.
    at: Vec<i64>,
    /// The same for each number that is not committed, and the last one that is.
    past: BTreeMap<i64, Vec<i64>>,
    reading: Vec<Reading>,
}

/// How far an input is read.
struct Reading {
    watermark: i64,
    is_at_end: bool,
    since: Instant,
}

impl Inputs {
    /// Inputs that begin at these offsets; the first one leads.
    #[must_use]
    pub fn new(tps: Vec<TopicPartition>, begins: Vec<i64>) -> Arc<Self> {
        let reading = || Reading { watermark: NONE, is_at_end: false, since: Instant::now() };
        let inner = Inner {
            at: begins.clone(),
            past: [(begins.iter().sum(), begins.clone())].into(),
            reading: tps.iter().map(|_| reading()).collect(),
        };
        Arc::new(Self {
            tps,
            begins,
            inner: Mutex::new(inner),
            turn: Mutex::default(),
            moved: Notify::new(),
        })
    }

    /// Whoever has it begins a batch and takes it through the plan.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// The number in front of everything.
    pub(super) fn begin(&self) -> i64 {
        self.begins.iter().sum()
    }

    /// Each partition, and where it began.
    #[must_use]
    pub fn begins(&self) -> Vec<(TopicPartition, i64)> {
        self.tps.iter().cloned().zip(self.begins.iter().copied()).collect()
    }

    /// Offset behind everything begun of input `which`.
    pub(super) fn at(&self, which: usize) -> i64 {
        self.inner.lock().at[which]
    }

    /// Begins records up to offset `next` of input `which`; the numbers in front of them and behind.
    pub(super) fn advance(&self, which: usize, next: i64) -> (i64, i64) {
        let mut inner = self.inner.lock();
        let first = inner.at.iter().sum();
        inner.at[which] = inner.at[which].max(next);
        let (number, at) = (inner.at.iter().sum(), inner.at.clone());
        inner.past.insert(number, at);
        (first, number)
    }

    /// The offsets that `number` is made of; none once a later one is committed.
    pub(super) fn of(&self, number: i64) -> Option<Vec<i64>> {
        self.inner.lock().past.get(&number).cloned()
    }

    /// What is committed with `number`; nothing in front of it is asked for again.
    #[must_use]
    pub fn upto(&self, number: i64) -> Option<Vec<(TopicPartition, i64)>> {
        let found = self.of(number).map(|each| self.tps.iter().cloned().zip(each).collect());
        self.forget(number);
        found
    }

    /// Each partition, and how far it is done for good.
    #[must_use]
    pub fn done(&self) -> Vec<(TopicPartition, i64)> {
        let first = self.inner.lock().past.values().next().cloned().unwrap_or_default();
        self.tps.iter().cloned().zip(first).collect()
    }

    /// Each partition, and the offset behind everything begun.
    #[must_use]
    pub fn fetched(&self) -> Vec<(TopicPartition, i64)> {
        let at = self.inner.lock().at.clone();
        self.tps.iter().cloned().zip(at).collect()
    }

    /// What a store gets with the commit of `number`.
    pub(super) fn writes(&self, number: i64) -> Writes {
        let topics = self.tps.iter().map(|tp| Arc::clone(&tp.topic));
        let found = self.of(number).map(|each| Positions(topics.zip(each).collect()).to_bytes());
        Writes(found.map(|bytes| (KEY.to_vec(), Some(bytes))).into_iter().collect())
    }

    /// Everything in front of `number` is committed.
    pub(super) fn forget(&self, number: i64) {
        let mut inner = self.inner.lock();
        if inner.past.contains_key(&number) {
            inner.past = inner.past.split_off(&number);
        }
    }

    /// Input `which` has been read up to `watermark`, and to its end if `is_at_end`.
    pub(super) fn note(&self, which: usize, watermark: Option<i64>, is_at_end: bool) {
        let mut inner = self.inner.lock();
        let one = &mut inner.reading[which];
        let watermark = one.watermark.max(watermark.unwrap_or(NONE));
        let is_news = watermark > one.watermark || is_at_end && !one.is_at_end;
        *one = Reading { watermark, is_at_end, since: Instant::now() };
        drop(inner);
        if is_news {
            self.moved.notify_waiters();
        }
    }

    /// Is input `which` to wait for another one that is behind in time and has something to read? Of two that
    /// are equally far the one goes on that `goes_first`.
    pub(super) fn must_wait(&self, which: usize, goes_first: bool) -> bool {
        let inner = self.inner.lock();
        let own = inner.reading[which].watermark;
        let is_behind =
            |other: &Reading| other.watermark < own || (other.watermark == own && !goes_first);
        let mut others = inner.reading.iter().enumerate().filter(|(index, _)| *index != which);
        others.any(|(_, other)| {
            !other.is_at_end && is_behind(other) && other.since.elapsed() < PATIENCE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inputs() -> Arc<Inputs> {
        let tps = ["a", "b"].map(|topic| TopicPartition::new(topic, 0));
        Inputs::new(tps.to_vec(), vec![10, 5])
    }

    #[test]
    fn the_input_that_is_ahead_waits_until_the_other_has_nothing_to_read() {
        let inputs = inputs();
        assert!(!inputs.must_wait(0, true) && inputs.must_wait(1, false), "one begins");
        inputs.note(0, Some(100), false);
        assert!(inputs.must_wait(0, true) && !inputs.must_wait(1, false));
        inputs.note(1, Some(100), false);
        assert!(!inputs.must_wait(0, true) && inputs.must_wait(1, false), "one of two goes first");
        inputs.note(0, Some(200), false);
        inputs.note(1, Some(100), true);
        assert!(!inputs.must_wait(0, true), "the other has nothing more");
    }

    proptest! {
        /// However the inputs take turns: numbers grow without holes, each is made of the offsets that there
        /// were, and at any time one of the inputs may go on.
        #[test]
        fn numbers_are_those_of_the_offsets(
            steps in prop::collection::vec((0..2_usize, 1..20_i64, 0..50_i64), 0..40), cut in 0..40_usize,
        ) {
            let inputs = inputs();
            let (mut at, mut number) = ([10, 5], 15);
            for (step, (which, by, watermark)) in steps.into_iter().enumerate() {
                at[which] += by;
                let (first, next) = inputs.advance(which, at[which]);
                prop_assert_eq!((first, next), (number, number + by));
                number = next;
                prop_assert_eq!(inputs.of(number), Some(at.to_vec()));
                inputs.note(which, Some(watermark), false);
                prop_assert!(!(inputs.must_wait(0, true) && inputs.must_wait(1, false)));
                if step == cut {
                    inputs.forget(number);
                    prop_assert_eq!(inputs.of(15), None);
                    let written = inputs.writes(number).0.pop().and_then(|(_, bytes)| bytes);
                    let found = written.and_then(|bytes| Positions::of_bytes(&bytes));
                    prop_assert_eq!(found.and_then(|found| found.number()), Some(number));
                }
            }
        }
    }
}
