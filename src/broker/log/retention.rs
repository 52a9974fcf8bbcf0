//! What a log gives up: batches that are too old, that are too many, or that memory has no room for.
//!
//! # Guarantees
//!
//! * Batches go from the front, whole, and never from an open transaction on.
//! * Age alone takes the newest batch, too; a bound on bytes never does.

use super::{Entry, Log, LogPolicy};
use std::io;

/// How long a batch stays at least whose timestamps are too old already when it comes: Kafka, too,
/// looks at the age of its logs only every five minutes.
const GRACE_MS: i64 = 300_000;
/// What a batch in memory needs besides its bytes.
pub(super) const BATCH_OVERHEAD: u64 = 160;

impl Entry {
    /// The last moment at which the batch is not too old; `None` if it has no timestamp.
    fn keep_until_ms(&self, retention_ms: i64) -> Option<i64> {
        let age = self.max_timestamp_ms.saturating_add(retention_ms);
        let stay = self.appended_ms.saturating_add(retention_ms.min(GRACE_MS));
        (self.max_timestamp_ms >= 0).then_some(age.max(stay))
    }
}

impl Log {
    /// Gives up the batches that are older than the topic keeps; true if there were some.
    pub(crate) fn expire(&mut self, policy: &LogPolicy, now_ms: i64) -> io::Result<bool> {
        let Some(retention_ms) = policy.retention_ms else { return Ok(false) };
        let stable = self.last_stable_offset();
        let mut behind = None;
        for entry in self.entries.iter().take_while(|e| e.last_offset < stable) {
            match entry.keep_until_ms(retention_ms) {
                Some(last) if last < now_ms => behind = Some(entry.last_offset + 1),
                Some(_) => break,
                None => {} // goes with the next one
            }
        }
        match behind {
            Some(offset) => self.delete_before(offset).map(|_| true),
            None => Ok(false),
        }
    }

    /// When the oldest batch is too old; `None` if it never is, or not before something is written.
    pub(crate) fn next_expiry_ms(&self, policy: &LogPolicy) -> Option<i64> {
        let stable = self.last_stable_offset();
        let mut entries = self.entries.iter().take_while(|e| e.last_offset < stable);
        let last = entries.find_map(|e| e.keep_until_ms(policy.retention_ms?))?;
        Some(last.saturating_add(1))
    }

    /// Gives up the oldest batches as long as `keep` bytes are left, never the newest batch.
    pub(super) fn keep_bytes(&mut self, keep: u64) -> io::Result<()> {
        self.give_up_to(self.end_pos.saturating_sub(keep))
    }

    /// Memory that the batches need, in a log that is in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.bytes() + BATCH_OVERHEAD * self.entries.len() as u64
    }

    /// Gives up the oldest batches until at most `keep` bytes of memory are needed, or as far as
    /// may be.
    pub(crate) fn shrink_to(&mut self, keep: u64) -> io::Result<()> {
        let mut excess = self.memory_bytes().saturating_sub(keep);
        let mut pos = None;
        for entry in &self.entries {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(entry.bytes as u64 + BATCH_OVERHEAD);
            pos = Some(entry.end_pos());
        }
        pos.map_or(Ok(()), |pos| self.give_up_to(pos))
    }

    /// Gives up the batches that end at position `pos` or in front of it, as far as may be.
    fn give_up_to(&mut self, pos: u64) -> io::Result<()> {
        let stable = self.last_stable_offset();
        let gone = self.entries.partition_point(|e| e.end_pos() <= pos && e.last_offset < stable);
        match self.entries.get(gone.min(self.entries.len().saturating_sub(1))) {
            Some(first) if first.base_offset > self.start_offset => {
                self.delete_before(first.base_offset).map(drop)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        MemoryStore, ProducedBatch,
        marker::{Marker, Outcome},
        testing::BatchBuilder,
    };
    use super::*;

    const DAY: LogPolicy = LogPolicy { retention_ms: Some(86_400_000), ..LogPolicy::KEEP };
    const DAY_MS: i64 = 86_400_000;

    fn log() -> Log {
        Log::new(Box::new(MemoryStore::default()))
    }

    fn append(log: &mut Log, timestamps: &[i64], now_ms: i64) {
        let batch = ProducedBatch::new(BatchBuilder::with_timestamps(timestamps).build()).unwrap();
        log.append(&batch, LogPolicy::KEEP, now_ms).unwrap();
    }

    #[test]
    fn a_batch_goes_when_its_newest_record_is_too_old() {
        let mut log = log();
        append(&mut log, &[1_000, 2_000], 2_000);
        append(&mut log, &[3_000], 3_000);
        assert_eq!(log.next_expiry_ms(&DAY), Some(2_001 + DAY_MS));
        assert!(!log.expire(&DAY, 2_000 + DAY_MS).unwrap());
        assert!(log.expire(&DAY, 2_001 + DAY_MS).unwrap());
        assert_eq!((log.start_offset(), log.end_offset()), (2, 3));
        assert!(log.expire(&DAY, 3_001 + DAY_MS).unwrap(), "the newest one, too");
        assert_eq!((log.start_offset(), log.end_offset()), (3, 3));
        assert_eq!(log.next_expiry_ms(&DAY), None);
    }

    #[test]
    fn a_younger_batch_keeps_the_older_ones_behind_it() {
        let mut log = log();
        append(&mut log, &[9_000], 9_000);
        append(&mut log, &[1_000], 9_000);
        assert!(!log.expire(&DAY, 5_000 + DAY_MS).unwrap());
        assert!(log.expire(&DAY, 9_001 + DAY_MS).unwrap());
        assert_eq!(log.start_offset(), 2);
    }

    #[test]
    fn a_batch_that_comes_too_old_stays_a_while() {
        let mut log = log();
        let now = 10 * DAY_MS;
        append(&mut log, &[5], now);
        assert_eq!(log.next_expiry_ms(&DAY), Some(now + GRACE_MS + 1));
        assert!(!log.expire(&DAY, now + GRACE_MS).unwrap());
        assert!(log.expire(&DAY, now + GRACE_MS + 1).unwrap());
        let short = LogPolicy { retention_ms: Some(10), ..LogPolicy::KEEP };
        append(&mut log, &[5], now);
        assert!(log.expire(&short, now + 11).unwrap());
    }

    #[test]
    fn an_open_transaction_is_kept_whole() {
        let mut log = log();
        append(&mut log, &[1], 1);
        let open = BatchBuilder::new(1).producer(7, 0, 0).transactional().build();
        log.begin(&ProducedBatch::new(open).unwrap(), LogPolicy::KEEP, 2).unwrap();
        append(&mut log, &[3], 3);
        assert!(log.expire(&DAY, 10 * DAY_MS).unwrap());
        assert_eq!((log.start_offset(), log.next_expiry_ms(&DAY)), (1, None));
        log.shrink_to(0).unwrap();
        log.keep_bytes(0).unwrap();
        assert_eq!(log.start_offset(), 1);
        let marker = Marker { producer_id: 7, producer_epoch: 0, outcome: Outcome::Commit };
        log.mark(marker, LogPolicy::KEEP, 4).unwrap();
        assert!(log.expire(&DAY, 10 * DAY_MS).unwrap());
        assert_eq!((log.start_offset(), log.end_offset()), (4, 4));
    }

    #[test]
    fn a_bound_on_bytes_leaves_at_least_those() {
        let mut log = log();
        (0..10).for_each(|t| append(&mut log, &[t], t));
        let one = log.bytes() / 10;
        log.keep_bytes(3 * one + 1).unwrap();
        assert_eq!(log.start_offset(), 6, "four batches: three have fewer bytes");
        log.shrink_to(2 * (one + BATCH_OVERHEAD)).unwrap();
        assert_eq!(log.start_offset(), 8);
        log.shrink_to(0).unwrap();
        assert_eq!(log.start_offset(), 9, "never the newest");
    }
}
