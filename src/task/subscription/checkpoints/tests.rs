//! Batches that end in any order, and what the store has of them meanwhile.

use super::*;
use crate::{error::Error, metrics::Metrics, state::MemoryStore};
use proptest::prelude::*;
use std::sync::atomic::AtomicBool;

const LONG: Duration = Duration::from_secs(3600);

fn checkpoints(store: &Arc<MemoryStore>, log: Option<Log>) -> Checkpoints {
    let metrics = Metrics::new().state("s-p0");
    let log = log.map(|log| Box::new(log) as Box<dyn ChangelogWriter>);
    Checkpoints::new(Arc::clone(store) as _, log, LONG, metrics).unwrap()
}

fn put(key: u8, value: u8) -> Delta {
    Delta(vec![(Space::STATE, Writes(vec![(vec![key], Some(vec![value]))]))])
}

/// Offsets that each record goes from and to.
type Logged = Mutex<Vec<(i64, i64)>>;

/// A changelog that can be down.
#[derive(Clone, Default)]
struct Log(Arc<(AtomicBool, Logged)>);

impl ChangelogWriter for Log {
    fn write(&mut self, _: &Delta, from: i64, mark: &Mark) -> Result<i64> {
        if self.0.0.load(Ordering::Acquire) {
            return Err(Error::Stopped);
        }
        let mut written = self.0.1.lock();
        written.push((from, mark.next));
        Ok(written.len() as i64)
    }

    fn settled(&mut self) {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whichever batches are done: the store has what those in front of the first open one wrote, the
    /// newest of each key, and their offset.
    #[test]
    fn the_store_has_whole_batches_in_their_order(
        writes in prop::collection::vec((0..3_u8, any::<u8>()), 1..12),
        done in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let store = Arc::new(MemoryStore::default());
        let state = Arc::new(TaskState::new(Arc::clone(&store) as _));
        let checkpoints = checkpoints(&store, None).telling(Some(Arc::clone(&state)));
        let tracker = Mutex::new(Tracker::default());
        for (at, (key, value)) in (0..).zip(&writes) {
            let ticket = tracker.lock().begin(at * 10, at * 10 + 10);
            state.put(Space::STATE, vec![*key], Some(vec![*value]));
            checkpoints.note(ticket, at * 10 + 10, state.seal(ticket));
        }
        let mut is_done = vec![false; writes.len()];
        for which in done {
            let ticket = which.index(writes.len());
            is_done[ticket] = true;
            tracker.lock().finish(ticket as u64);
            checkpoints.settle(&tracker, true).unwrap();
            let count = is_done.iter().take_while(|done| **done).count();
            let expected = (count > 0).then_some(count as i64 * 10);
            prop_assert_eq!(checkpoints.stored(), expected);
            prop_assert_eq!(store.mark().unwrap().map(|mark| mark.next), expected);
            for key in 0..3 {
                let newest = |writes: &[(u8, u8)]| {
                    writes.iter().rev().find(|one| one.0 == key).map(|one| vec![one.1])
                };
                prop_assert_eq!(store.get(Space::STATE, &[key]).unwrap(), newest(&writes[..count]));
                prop_assert_eq!(state.get(Space::STATE, &[key]).unwrap(), newest(&writes));
            }
        }
    }
}

#[test]
fn with_windows_only_a_batch_that_has_their_changes_is_the_last_one() {
    let store = Arc::new(MemoryStore::default());
    let checkpoints = checkpoints(&store, None).with_windows(true);
    let tracker = Mutex::new(Tracker::default());
    for ticket in 0..3 {
        tracker.lock().begin(ticket, ticket + 1);
        checkpoints.note(ticket.cast_unsigned(), ticket + 1, put(ticket as u8, 0));
        tracker.lock().finish(ticket.cast_unsigned());
    }
    checkpoints.settle(&tracker, true).unwrap();
    assert_eq!(checkpoints.stored(), None);
    checkpoints.take(1, 2, Writes(vec![(b"w".to_vec(), Some(Vec::new()))]));
    checkpoints.settle(&tracker, false).unwrap();
    assert_eq!(checkpoints.stored(), Some(2));
    assert!(store.get(Space::WINDOWS, b"w").unwrap().is_some());
    assert!(store.get(Space::STATE, &[2]).unwrap().is_none());
    checkpoints.finish(3, Writes::default()).unwrap();
    assert!(store.get(Space::STATE, &[2]).unwrap().is_some());
}

#[test]
fn nothing_is_stored_that_the_changelog_has_not() {
    let store = Arc::new(MemoryStore::default());
    let log = Log::default();
    let checkpoints = checkpoints(&store, Some(log.clone()));
    let tracker = Mutex::new(Tracker::default());
    for ticket in 0..2_i64 {
        tracker.lock().begin(ticket, ticket + 1);
        tracker.lock().finish(ticket.cast_unsigned());
        checkpoints.note(ticket.cast_unsigned(), ticket + 1, put(0, ticket as u8));
        log.0.0.store(true, Ordering::Release);
        checkpoints.settle(&tracker, true).unwrap_err();
        assert_eq!(checkpoints.stored(), (ticket > 0).then_some(ticket));
        log.0.0.store(false, Ordering::Release);
        checkpoints.settle(&tracker, true).unwrap();
        assert_eq!(store.mark().unwrap().unwrap().log, ticket + 1);
    }
    assert_eq!(*log.0.1.lock(), [(-1, 1), (1, 2)]);
}
