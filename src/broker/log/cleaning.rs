//! Compaction of the front of a log: of each key the last record stays.
//!
//! ```text
//! start ......... dirty_from ............ end ................ end of the log
//!   seen by an earlier   not seen yet       not to be touched: open transactions,
//!   compaction                              the newest segment, too young
//! ```
//!
//! # Guarantees
//!
//! * Records keep their offsets, and batches theirs from first to last; holes are left between them.
//! * A record goes if its key has a newer record in front of `end`, if its transaction was aborted,
//!   or if it is a tombstone that was kept for long enough.
//! * A marker stays as long as a batch of its transaction does, and then as long as a tombstone.
//! * The last batch of each producer stays, without records if it must be: its sequence numbers are
//!   still needed.
//!
//! It runs without a lock on the log, on a copy of what it needs to know.

use super::{
    Aborted,
    batch::BatchHeader,
    rebuild::rebuild,
    record::{Record, open, records},
    store::{Replacement, Rewrite},
};
use bytes::Bytes;
use std::{
    collections::{HashMap, HashSet},
    io,
};

/// One compaction, ready to run.
pub(crate) struct Cleaning {
    pub(super) rewrite: Box<dyn Rewrite>,
    /// Position and bytes of each batch in front of `end`.
    pub(super) places: Vec<(u64, usize)>,
    /// Offset of the first record that no compaction has seen.
    pub(super) dirty_from: i64,
    /// The offset in front of which it compacts.
    pub(super) end: i64,
    /// Position of the batch with that offset.
    pub(super) end_pos: u64,
    /// The aborted transactions with records in front of `end`.
    pub(super) aborted: Vec<Aborted>,
    /// Base offset of the last batch of each producer.
    pub(super) last_batches: HashMap<i64, i64>,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    /// Producers with a transaction of which a batch has stayed.
    pub(super) with_batches: HashSet<i64>,
}

/// What a compaction has made of the front of a log.
pub(crate) struct Cleaned {
    pub(super) replacement: Replacement,
    /// The batches that are left.
    pub(super) headers: Vec<BatchHeader>,
    /// Offsets of the markers that are gone.
    pub(super) markers_gone: HashSet<i64>,
    /// When the next tombstone or marker may go.
    pub(super) next_horizon_ms: Option<i64>,
    pub(super) end: i64,
    pub(super) end_pos: u64,
}

/// What becomes of a batch.
enum Fate {
    Same,
    Changed(Bytes),
    Gone,
}

impl Cleaning {
    /// Reads, and writes what is left.
    pub(crate) fn run(mut self) -> io::Result<Cleaned> {
        let newest = self.newest()?;
        let mut headers = Vec::new();
        let mut markers_gone = HashSet::new();
        let mut next_horizon_ms: Option<i64> = None;
        for (pos, bytes) in std::mem::take(&mut self.places) {
            let batch = self.rewrite.read(pos, bytes)?;
            let header = parse(&batch)?;
            let left = match self.fate(&header, &batch, &newest)? {
                Fate::Same => batch,
                Fate::Changed(left) => left,
                Fate::Gone => {
                    if header.is_control() {
                        markers_gone.insert(header.base_offset);
                    }
                    continue;
                }
            };
            let header = parse(&left)?;
            let horizon = header.delete_horizon_ms().filter(|ms| *ms > self.now_ms);
            next_horizon_ms = [next_horizon_ms, horizon].into_iter().flatten().min();
            self.rewrite.append(header.base_offset, left)?;
            headers.push(header);
        }
        let replacement = self.rewrite.finish(self.end)?;
        let (end, end_pos) = (self.end, self.end_pos);
        Ok(Cleaned { replacement, headers, markers_gone, next_horizon_ms, end, end_pos })
    }

    /// Offset of the newest record of each key that no compaction has seen.
    fn newest(&self) -> io::Result<HashMap<Vec<u8>, i64>> {
        let mut newest = HashMap::new();
        for &(pos, bytes) in &self.places {
            let batch = self.rewrite.read(pos, bytes)?;
            let header = parse(&batch)?;
            if header.last_offset() < self.dirty_from
                || header.is_control()
                || self.is_aborted(&header)
            {
                continue;
            }
            for record in records(&header, &open(&header, &batch)?) {
                let record = record?;
                if let Some(key) = record.key.filter(|_| record.time.offset >= self.dirty_from) {
                    match newest.get_mut(key) {
                        Some(offset) => *offset = record.time.offset,
                        None => drop(newest.insert(key.to_vec(), record.time.offset)),
                    }
                }
            }
        }
        Ok(newest)
    }

    fn is_aborted(&self, header: &BatchHeader) -> bool {
        let holds = |a: &Aborted| {
            a.producer_id == header.producer_id
                && (a.first_offset..a.last_offset).contains(&header.base_offset)
        };
        header.is_transactional() && !header.is_control() && self.aborted.iter().any(holds)
    }

    fn fate(
        &mut self,
        header: &BatchHeader,
        batch: &Bytes,
        newest: &HashMap<Vec<u8>, i64>,
    ) -> io::Result<Fate> {
        let opened = open(header, batch)?;
        let all = records(header, &opened).collect::<io::Result<Vec<_>>>()?;
        if header.is_control() {
            return self.fate_of_marker(header, batch, &all);
        }
        let kept: Vec<Record<'_>> = if self.is_aborted(header) {
            Vec::new()
        } else {
            let keeps_tombstones = header.delete_horizon_ms().is_none_or(|ms| self.now_ms < ms);
            let stays = |r: &Record<'_>| {
                let newer = r.key.and_then(|key| newest.get(key));
                let is_last = r.key.is_some() && newer.is_none_or(|newer| r.time.offset >= *newer);
                is_last && (keeps_tombstones || !r.is_tombstone)
            };
            all.iter().copied().filter(stays).collect()
        };
        if kept.is_empty() && !self.is_last_of_producer(header) {
            return Ok(Fate::Gone);
        }
        if header.is_transactional() {
            self.with_batches.insert(header.producer_id);
        }
        let horizon = self.horizon(header, kept.iter().any(|r| r.is_tombstone));
        if kept.len() == all.len() && horizon.is_none() {
            return Ok(Fate::Same);
        }
        rebuild(batch, header, &kept, horizon).map(Fate::Changed)
    }

    /// The marker of a transaction of which nothing is left gets a horizon, and goes behind it.
    fn fate_of_marker(
        &mut self,
        header: &BatchHeader,
        batch: &Bytes,
        all: &[Record<'_>],
    ) -> io::Result<Fate> {
        let is_needed = self.with_batches.remove(&header.producer_id)
            || header.outcome.is_none()
            || self.is_last_of_producer(header);
        if is_needed {
            return Ok(Fate::Same);
        }
        match header.delete_horizon_ms() {
            Some(horizon) if horizon <= self.now_ms => Ok(Fate::Gone),
            Some(_) => Ok(Fate::Same),
            None => rebuild(batch, header, all, self.horizon(header, true)).map(Fate::Changed),
        }
    }

    /// The horizon that a batch gets now, if it has something that may go and has none yet.
    fn horizon(&self, header: &BatchHeader, may_go: bool) -> Option<i64> {
        let horizon = self.now_ms.saturating_add(self.delete_retention_ms);
        (may_go && header.delete_horizon_ms().is_none()).then_some(horizon)
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        self.last_batches.get(&header.producer_id) == Some(&header.base_offset)
    }
}

fn parse(batch: &[u8]) -> io::Result<BatchHeader> {
    BatchHeader::parse(batch).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))
}
