//! How much memory the batches of a broker without a data directory need, and what is done when that
//! is more than they may have: the largest logs give up their oldest batches, until a sixteenth of
//! what they may have is free. Topics that are only compacted come last: the oldest record there may
//! be the only one of its key.

use super::{
    log::MemoryUse,
    topics::{Partition, Topics},
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// The memory of all logs.
#[derive(Default)]
pub(crate) struct Memory {
    /// What they need.
    used: MemoryUse,
    /// What they may need; `None` is no bound.
    limit: Option<u64>,
    /// Held by whoever makes room.
    shrinking: Mutex<()>,
    has_warned: AtomicBool,
}

impl Memory {
    /// Nothing is used yet.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The count that logs in memory add to.
    pub(crate) fn used(&self) -> &MemoryUse {
        &self.used
    }

    /// Makes room if more is used than may be.
    pub(crate) fn keep_bound(&self, topics: &Topics) {
        let Some(limit) = self.limit.filter(|limit| self.used.bytes() > *limit) else { return };
        // Whoever comes meanwhile goes on: the one who is at it sees what he has written, or the
        // next one does.
        let Some(_only) = self.shrinking.try_lock() else { return };
        if !self.has_warned.swap(true, Relaxed) {
            tracing::warn!(
                limit,
                "memory is full: the largest partitions give up their oldest records. Set \
                 retention.bytes of topics, raise the broker's memory_bytes, or give it a data_dir"
            );
        }
        let aim = limit - limit / 16;
        for only_compacted in [false, true] {
            let chosen = topics.all().into_iter();
            let chosen = chosen.filter(|t| t.policy.only_compacts() == only_compacted);
            let partitions = chosen.flat_map(|t| t.partitions.clone()).collect::<Vec<_>>();
            shrink(&partitions, self.used.bytes().saturating_sub(aim));
        }
    }
}

/// Frees `excess` bytes, all from the largest logs, so that these are equally large afterwards.
fn shrink(partitions: &[Arc<Partition>], excess: u64) {
    let sizes: Vec<u64> = partitions.iter().map(|p| p.log.lock().memory_bytes()).collect();
    let keep = level(&sizes, excess);
    for (partition, size) in partitions.iter().zip(sizes) {
        if size > keep {
            let shrunk = partition.log.lock().shrink_to(keep);
            debug_assert!(shrunk.is_ok(), "memory does not fail");
        }
    }
}

/// The size to which everything larger is cut, so that `excess` is cut off altogether.
fn level(sizes: &[u64], excess: u64) -> u64 {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    for (count, size) in (1..).zip(&sizes) {
        sum += size;
        let next = sizes.get(count as usize).copied().unwrap_or(0);
        if sum >= excess && sum - excess >= next * count {
            return (sum - excess) / count;
        }
    }
    if excess == 0 { u64::MAX } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_are_cut_to_the_same_size() {
        assert_eq!(level(&[100, 10, 60], 50), 50 + 5);
        assert_eq!(level(&[100, 10, 60], 30), 70);
        assert_eq!(level(&[100, 10, 60], 170), 0);
        assert_eq!(level(&[100, 10, 60], 500), 0);
        assert_eq!(level(&[], 5), 0);
    }

    proptest! {
        #[test]
        fn what_is_cut_off_is_enough_and_not_more(
            sizes in proptest::collection::vec(0u64..1_000, 1..20), excess in 0u64..3_000,
        ) {
            let keep = level(&sizes, excess);
            let cut: u64 = sizes.iter().map(|size| size.saturating_sub(keep)).sum();
            let all: u64 = sizes.iter().sum();
            prop_assert!(cut >= excess.min(all));
            prop_assert!(cut < excess.min(all) + sizes.len() as u64, "rounding only");
        }
    }
}
