//! How evenly the records of transactions fall on partitions.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Partitions that are told apart; more of them share.
const BUCKETS: usize = 64;
/// Fewer records say nothing.
const LEAST: usize = 500;
/// What a partition may get more than it got last, in percent.
const MARGIN: usize = 5;

/// Counts the records of a transaction a partition, and knows the largest share of the last one.
pub(super) struct Spread {
    counts: [AtomicU32; BUCKETS],
    /// In 1/10,000.
    share: AtomicUsize,
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: [const { AtomicU32::new(0) }; BUCKETS], share: AtomicUsize::new(10_000) }
    }
}

impl Spread {
    /// A record is in `partition` of the topic with this address.
    pub(super) fn note(&self, topic: usize, partition: i32) {
        let bucket = (topic >> 6).wrapping_add(partition.cast_unsigned() as usize) % BUCKETS;
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// A transaction begins: those to come are expected to be as the one that was counted.
    pub(super) fn learn(&self) {
        let counts = self.counts.each_ref().map(|one| one.swap(0, Ordering::Relaxed) as usize);
        let total: usize = counts.iter().sum();
        if let (Some(most), true) = (counts.iter().max(), total >= LEAST) {
            self.share.store((most * 10_000 / total).max(1), Ordering::Relaxed);
        }
    }

    /// Bytes for all partitions together of which none gets more than `each`.
    pub(super) fn over_all(&self, each: usize) -> usize {
        let share = self.share.load(Ordering::Relaxed);
        let share = (share + share * MARGIN / 100).min(10_000);
        each.saturating_mul(10_000) / share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The next transaction, with the same shares of as much as it is allowed, has no partition over the limit; and where
        /// all goes to one partition that is what one takes.
        #[test]
        fn no_partition_gets_more_than_a_request(counts in prop::collection::vec(0_u32..2_000, 1..20), each in 1_000_usize..1_000_000) {
            let spread = Spread::default();
            prop_assert_eq!(spread.over_all(each), each);
            let total: u32 = counts.iter().sum();
            for (partition, count) in (0..).zip(&counts) {
                (0..*count).for_each(|_| spread.note(0, partition));
            }
            spread.learn();
            let all = spread.over_all(each);
            prop_assert!(all >= each);
            let most = counts.iter().max().copied().unwrap_or(0);
            if total as usize >= LEAST {
                prop_assert!(all * most as usize / total as usize <= each);
            } else {
                prop_assert_eq!(all, each, "too few to learn from");
            }
            spread.learn();
            prop_assert_eq!(spread.over_all(each), all, "nothing came meanwhile");
        }
    }
}
