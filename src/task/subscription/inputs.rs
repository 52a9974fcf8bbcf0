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
//! * A batch waits until the other input has one too, or is at its end; the one with the earlier records goes
//!   first. So rows meet what was written before them, and no more than a batch waits for the side behind.

use crate::{
    engine::inputs::{KEY, Positions},
    state::Writes,
    types::TopicPartition,
};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// An input that has given nothing for so long, and is not at its end, is not waited for any more: its broker may
/// be gone.
const PATIENCE: Duration = Duration::from_secs(30);

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
    next: Vec<Next>,
}

/// What comes next of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nobody knows, since then.
    Unknown(Instant),
    /// Records with timestamps from the first to the last of these, in ms.
    Batch(i64, i64),
    /// Nothing.
    End,
}

impl Inputs {
    /// Inputs that begin at these offsets; the first one leads.
    #[must_use]
    pub fn new(tps: Vec<TopicPartition>, begins: Vec<i64>) -> Arc<Self> {
        let inner = Inner {
            at: begins.clone(),
            past: [(begins.iter().sum(), begins.clone())].into(),
            next: vec![Next::Unknown(Instant::now()); tps.len()],
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

    /// Input `which` has records of these timestamps, from the first to the last, in ms.
    pub(super) fn offer(&self, which: usize, (first, last): (i64, i64)) {
        self.set(which, Next::Batch(first, last));
    }

    /// What input `which` has offered is through.
    pub(super) fn taken(&self, which: usize) {
        self.set(which, Next::Unknown(Instant::now()));
    }

    /// Input `which` has nothing more to read.
    pub(super) fn ended(&self, which: usize) {
        self.set(which, Next::End);
    }

    fn set(&self, which: usize, next: Next) {
        let before = std::mem::replace(&mut self.inner.lock().next[which], next);
        if before != next {
            self.moved.notify_waiters();
        }
    }

    /// May input `which` go on with what it has offered? Of two batches that overlap in time the one goes on of
    /// the input that `goes_first`.
    pub(super) fn may_go(&self, which: usize, goes_first: bool) -> bool {
        let inner = self.inner.lock();
        let Next::Batch(first, last) = inner.next[which] else { return true };
        let mut others = inner.next.iter().enumerate().filter(|(index, _)| *index != which);
        others.all(|(_, other)| match *other {
            Next::End => true,
            Next::Unknown(since) => since.elapsed() >= PATIENCE,
            Next::Batch(_, until) if goes_first => first <= until,
            Next::Batch(from, _) => from > last,
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
    fn a_batch_waits_for_the_other_input_until_that_has_one_or_is_at_its_end() {
        let inputs = inputs();
        inputs.offer(0, (100, 200));
        assert!(!inputs.may_go(0, false), "nobody knows what the other one has");
        inputs.offer(1, (50, 60));
        assert!(!inputs.may_go(0, false) && inputs.may_go(1, true), "it was written before");
        inputs.taken(1);
        assert!(!inputs.may_go(0, false), "there may be more of it");
        inputs.offer(1, (150, 300));
        assert!(!inputs.may_go(0, false) && inputs.may_go(1, true), "they overlap");
        inputs.offer(1, (201, 300));
        assert!(inputs.may_go(0, false) && !inputs.may_go(1, true), "it was written later");
        inputs.ended(1);
        assert!(inputs.may_go(0, false));
    }

    proptest! {
        /// However the inputs take turns: numbers grow without holes, each is made of the offsets that there
        /// were, and of two batches one may go on.
        #[test]
        fn numbers_are_those_of_the_offsets(
            steps in prop::collection::vec((0..2_usize, 1..20_i64, 0..50_i64, 0..9_i64), 0..40), cut in 0..40_usize,
        ) {
            let inputs = inputs();
            let (mut at, mut number) = ([10, 5], 15);
            for (step, (which, by, from, length)) in steps.into_iter().enumerate() {
                at[which] += by;
                let (first, next) = inputs.advance(which, at[which]);
                prop_assert_eq!((first, next), (number, number + by));
                number = next;
                prop_assert_eq!(inputs.of(number), Some(at.to_vec()));
                inputs.offer(which, (from, from + length));
                inputs.offer(1 - which, (20, 25));
                prop_assert!(inputs.may_go(0, true) != inputs.may_go(1, false));
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
