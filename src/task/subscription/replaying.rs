//! Records that the handler sees again: its state is made again, what it gives out is compared.
//!
//! # Guarantees
//!
//! * Nothing of a replay is written to Kafka.
//! * The state is at the committed offset with exactly the outputs that are there, or the partition halts.
//! * A crash in the middle goes on where it was.

use crate::{
    engine::halt::{Halt, Reason},
    state::{Delta, Mark, Store},
    task::{commit::Commit, restore::Replay},
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// See the module.
pub struct Replaying {
    plan: Replay,
    store: Arc<dyn Store>,
    hash: Mutex<u64>,
    is_over: AtomicBool,
}

impl Replaying {
    /// One at its beginning.
    #[must_use]
    pub fn new(plan: Replay, store: Arc<dyn Store>) -> Self {
        Self { hash: Mutex::new(plan.hash), plan, store, is_over: AtomicBool::new(false) }
    }

    /// Offset where it ends; none once it has.
    pub fn until(&self) -> Option<i64> {
        (!self.is_over.load(Ordering::Acquire)).then_some(self.plan.to.next)
    }

    /// Is a batch that ends in front of `next` one that was seen before?
    #[must_use]
    pub fn has(&self, next: i64) -> bool {
        next <= self.plan.to.next
    }

    /// Takes what the handler made of records that it has seen before.
    pub(super) fn take(&self, commit: &Commit) -> Result<(), Halt> {
        let hash = {
            let mut hash = self.hash.lock();
            *hash = hash.wrapping_add(commit.outputs.hash());
            *hash
        };
        if commit.next >= self.plan.to.next {
            return self.end(&commit.delta);
        }
        self.write(&commit.delta, Mark { next: commit.next, token: 0, hash, log: -1 })
    }

    /// The last record is through: compares, and lets the state be where it is committed.
    pub(super) fn end(&self, delta: &Delta) -> Result<(), Halt> {
        if self.until().is_none() {
            return Ok(());
        }
        let (found, to) = (*self.hash.lock(), self.plan.to);
        if found != to.hash {
            let detail = format!(
                "the outputs from offset {} up to {} have the hash {found:016x}, those that were written {:016x}",
                self.plan.from.unwrap_or(0),
                to.next,
                to.hash
            );
            let halt = Halt::of(Reason::ReplayDiverged).because(detail);
            return Err(Halt { local: self.plan.from, committed: Some(to.next), ..halt });
        }
        self.write(delta, to)?;
        self.is_over.store(true, Ordering::Release);
        tracing::info!(
            target: "turbine.state",
            "the replay up to offset {} gave what was written: from here on everything counts", to.next
        );
        Ok(())
    }

    fn write(&self, delta: &Delta, mark: Mark) -> Result<(), Halt> {
        let written = self.store.commit(delta, mark);
        written.map_err(|error| Halt::of(Reason::StoreFailed).because(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        state::{MemoryStore, Space, Writes},
        task::commit::{Outbound, Output},
    };

    fn commit(next: i64, value: &str) -> Commit {
        let record = Outbound { value: Some(value.to_owned().into()), ..Outbound::default() };
        let output = Output::Record { topic: "t".into(), record, told: None };
        let writes = Writes(vec![(b"k".to_vec(), Some(value.into()))]);
        let delta = Delta(vec![(Space::STATE, writes)]);
        Commit { next, delta, outputs: vec![output].into(), ..Commit::default() }
    }

    fn replaying(written: &[&str]) -> Replaying {
        let all: Vec<_> = written.iter().map(|value| commit(0, value)).collect();
        let hash = all.iter().fold(5_u64, |hash, commit| hash.wrapping_add(commit.outputs.hash()));
        let to = Mark { next: 30, token: 7, hash, log: -1 };
        let plan = Replay { from: Some(10), hash: 5, to };
        Replaying::new(plan, Arc::new(MemoryStore::default()))
    }

    #[test]
    fn the_same_outputs_bring_the_state_to_the_commit() {
        let replaying = replaying(&["a", "b"]);
        assert_eq!(replaying.until(), Some(30));
        replaying.take(&commit(20, "a")).unwrap();
        assert_eq!(replaying.store.mark().unwrap().unwrap().next, 20);
        replaying.take(&commit(30, "b")).unwrap();
        assert_eq!(replaying.store.mark().unwrap(), Some(replaying.plan.to));
        assert_eq!(replaying.store.get(Space::STATE, b"k").unwrap().unwrap(), b"b");
        assert_eq!(replaying.until(), None);
    }

    #[test]
    fn other_outputs_halt_in_front_of_the_commit() {
        let replaying = replaying(&["a", "b"]);
        replaying.take(&commit(20, "a")).unwrap();
        let halt = replaying.take(&commit(30, "c")).unwrap_err();
        assert_eq!(
            (halt.reason, halt.local, halt.committed),
            (Reason::ReplayDiverged, Some(10), Some(30))
        );
        assert_eq!(replaying.store.mark().unwrap().unwrap().next, 20);
    }

    #[test]
    fn a_replay_whose_last_records_are_gone_ends_behind_them() {
        let replaying = replaying(&["a"]);
        replaying.take(&commit(28, "a")).unwrap();
        replaying.end(&Delta::default()).unwrap();
        assert_eq!(replaying.store.mark().unwrap(), Some(replaying.plan.to));
    }
}
