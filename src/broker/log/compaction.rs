//! When a log is compacted, and how far: the part of compaction that needs the log. What becomes of the
//! records: see [`super::cleaning`].

use super::{
    Entry, Log, LogPolicy,
    batch::BatchHeader,
    cleaning::{Cleaned, Cleaning},
};
use std::{collections::HashSet, io};

/// How far a log has been compacted.
#[derive(Debug, Default)]
pub(super) struct Compacted {
    /// Offset of the first record that no compaction has seen.
    pub(super) upto: i64,
    /// When the next tombstone or marker may go.
    pub(super) next_horizon_ms: Option<i64>,
}

/// The part of a log that a compaction would see for the first time.
struct Dirty {
    /// Number of its first batch.
    start: usize,
    /// Number of the first batch behind it.
    end: usize,
    /// When a batch behind it is old enough.
    more_at_ms: Option<i64>,
}

impl Log {
    /// When a compaction is due; `None` if not before something is written.
    pub(crate) fn next_cleaning_ms(&self, policy: &LogPolicy, now_ms: i64) -> Option<i64> {
        if !policy.compacts {
            return None;
        }
        let dirty = self.dirty(policy, now_ms);
        let oldest = self.entries.get(dirty.start).filter(|_| dirty.start < dirty.end);
        let by_age = oldest.map(|e| later(e.max_timestamp_ms, policy.max_lag_ms));
        let by_size = oldest.filter(|_| self.dirty_ratio(&dirty) > policy.min_dirty_ratio);
        let horizon = self.compacted.next_horizon_ms.filter(|_| dirty.end > 0);
        [by_age, by_size.map(|_| now_ms), horizon, dirty.more_at_ms].into_iter().flatten().min()
    }

    /// A compaction, if one is due. Only one may be at work.
    pub(crate) fn start_cleaning(&self, policy: &LogPolicy, now_ms: i64) -> Option<Cleaning> {
        if self.next_cleaning_ms(policy, now_ms)? > now_ms {
            return None;
        }
        let last = self.dirty(policy, now_ms).end;
        let (end, end_pos) = match self.entries.get(last) {
            Some(entry) => (entry.base_offset, entry.pos),
            None => (self.end_offset, self.end_pos),
        };
        let first = self.entries.front().map_or(end, |e| e.base_offset).min(self.start_offset);
        Some(Cleaning {
            rewrite: self.store.rewrite(first, end_pos),
            places: self.entries.range(..last).map(|e| (e.pos, e.bytes)).collect(),
            dirty_from: self.compacted.upto,
            end,
            end_pos,
            aborted: self.transactions.aborted(self.start_offset, end),
            last_batches: self.producers.last_batches(),
            now_ms,
            delete_retention_ms: policy.delete_retention_ms,
            with_batches: HashSet::new(),
        })
    }

    /// Puts what a compaction has made in its place. What was deleted meanwhile stays so.
    pub(crate) fn finish_cleaning(&mut self, cleaned: Cleaned) -> io::Result<()> {
        let Cleaned { replacement, headers, markers_gone, next_horizon_ms, end, end_pos } = cleaned;
        self.compacted = Compacted { upto: end.max(self.compacted.upto), next_horizon_ms };
        if self.start_offset >= end {
            return Ok(());
        }
        self.store.replace(end_pos, replacement)?;
        let replaced = self.entries.partition_point(|e| e.base_offset < end);
        let old: Vec<Entry> = self.entries.drain(..replaced).collect();
        let mut pos = end_pos;
        for header in headers.iter().rev() {
            pos -= header.bytes as u64;
            if let Ok(was) = old.binary_search_by_key(&header.base_offset, |e| e.base_offset) {
                self.entries.push_front(Entry::new(header, pos, old[was].appended_ms));
            }
        }
        self.transactions.forget_markers(&markers_gone);
        self.give_up_front()
    }

    /// A recovered log goes on compacting where it was.
    pub(crate) fn recover_compacted(&mut self, upto: i64) {
        self.compacted.upto = upto;
    }

    /// A recovered batch may have something that goes.
    pub(super) fn recover_horizon(&mut self, header: &BatchHeader) {
        let known = self.compacted.next_horizon_ms;
        self.compacted.next_horizon_ms =
            [known, header.delete_horizon_ms()].into_iter().flatten().min();
    }

    fn dirty(&self, policy: &LogPolicy, now_ms: i64) -> Dirty {
        let from = self.compacted.upto.max(self.start_offset);
        let start = self.entries.partition_point(|e| e.last_offset < from);
        let bound = self.last_stable_offset().min(self.active.base_offset);
        let mut end = self.entries.partition_point(|e| e.last_offset < bound).max(start);
        let mut more_at_ms = None;
        if policy.min_lag_ms > 0 {
            let is_young = |e: &Entry| later(e.max_timestamp_ms, policy.min_lag_ms) > now_ms;
            if let Some(young) = self.entries.range(start..end).position(is_young) {
                end = start + young;
                more_at_ms = Some(later(self.entries[end].max_timestamp_ms, policy.min_lag_ms));
            }
        }
        // Files are replaced whole.
        let end_pos = self.entries.get(end).map_or(self.end_pos, |e| e.pos);
        let end_pos = self.store.boundary(end_pos);
        let end = self.entries.partition_point(|e| e.end_pos() <= end_pos);
        Dirty { start: start.min(end), end, more_at_ms }
    }

    /// The share of the bytes in front of the end of `dirty` that no compaction has seen.
    fn dirty_ratio(&self, dirty: &Dirty) -> f64 {
        let pos = |number| self.entries.get(number).map_or(self.end_pos, |e: &Entry| e.pos);
        let (first, start, end) = (pos(0), pos(dirty.start), pos(dirty.end));
        if end == first { 0.0 } else { (end - start) as f64 / (end - first) as f64 }
    }
}

/// The first moment at which a record of `timestamp_ms` is older than `lag_ms`.
fn later(timestamp_ms: i64, lag_ms: i64) -> i64 {
    timestamp_ms.saturating_add(lag_ms).saturating_add(1)
}
