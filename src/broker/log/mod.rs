//! The log of one partition: batches in offset order, appended at the end, given up at the front.
//!
//! # Guarantees
//!
//! * Records get consecutive offsets, in the order of the appends that succeeded; compaction takes
//!   records out and moves none.
//! * A batch of an idempotent producer is in the log once, however often it is sent.
//! * A reader of committed records sees nothing from the first record of the oldest open transaction
//!   on, and learns which transactions in front of it were aborted.
//! * Apart from offset, leader epoch and (where the topic says so) the broker's time, a batch is
//!   given back byte for byte, unless compaction has taken records out.
//!
//! # Not here
//!
//! Files ([`crate::broker::storage`]), waiting readers and locks ([`crate::broker::topics`]).

mod batch;
mod cleaning;
mod compaction;
#[cfg(test)]
pub(crate) mod compaction_tests;
mod compression;
mod content;
mod epochs;
mod marker;
mod policy;
mod producers;
mod rebuild;
mod record;
mod retention;
mod segment;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;
mod transactions;

pub(crate) use batch::{BatchError, BatchHeader, ProducedBatch, TimestampType};
pub(crate) use content::{Content, contents};
#[cfg(test)]
pub(crate) use marker::build as build_marker;
pub(crate) use marker::{Marker, Outcome};
pub(crate) use policy::LogPolicy;
pub(crate) use producers::{ProducerState, SequenceError};
pub(crate) use record::RecordTime;
pub(crate) use store::{MemoryStore, MemoryUse, ORIGIN, Replacement, Rewrite, Store, SyncWork};
pub(crate) use transactions::Aborted;

use bytes::{Bytes, BytesMut};
use std::{collections::VecDeque, io};

/// Which records a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// All.
    ReadUncommitted,
    /// Those whose transaction is committed, and those of no transaction.
    ReadCommitted,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// It does not follow the producer's earlier batches.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// It would begin a transaction, which [`Log::begin`] does.
    #[error("the partition was not added to a transaction of the producer")]
    NotInTransaction,
    /// It belongs to no transaction, but its producer has one open.
    #[error("the producer has a transaction open, and the batch is not of it")]
    OutsideTransaction,
    /// It is larger than the topic allows.
    #[error("the batch has {bytes} bytes, the topic allows {limit}")]
    TooLarge {
        /// Size of the batch.
        bytes: usize,
        /// `max.message.bytes` of the topic.
        limit: usize,
    },
    /// Its timestamps are too far in the future.
    #[error("timestamp {timestamp_ms} is more than {limit_ms} ms ahead of the broker's time")]
    Ahead {
        /// Largest timestamp of the batch.
        timestamp_ms: i64,
        /// `message.timestamp.after.max.ms` of the topic.
        limit_ms: i64,
    },
    /// Records without a key, where the topic needs keys; counted from 0.
    #[error("{} records of the batch have no key, which a compacted topic needs", .0.len())]
    NoKey(Vec<i32>),
    /// The records cannot be opened.
    #[error("cannot read the batch: {0}")]
    Damaged(String),
    /// The store failed.
    #[error("cannot write the log: {0}")]
    Io(#[from] io::Error),
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The offset is in front of the first record or behind the end.
    #[error("offset {offset} is not between {start} and {end}")]
    OutOfRange {
        /// The offset asked for.
        offset: i64,
        /// First offset of the log.
        start: i64,
        /// Offset of the next record to be appended.
        end: i64,
    },
    /// The store failed.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
}

/// Where an append put a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Offset of the first record.
    pub(crate) base_offset: i64,
    /// The broker's time, where the topic is stamped by the broker.
    pub(crate) log_append_time_ms: Option<i64>,
    /// True if the batch was in the log already.
    pub(crate) is_duplicate: bool,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    base_offset: i64,
    last_offset: i64,
    max_timestamp_ms: i64,
    /// When it was appended; `i64::MIN` if it was there when the log was opened.
    appended_ms: i64,
    pos: u64,
    bytes: usize,
}

impl Entry {
    fn new(header: &BatchHeader, pos: u64, appended_ms: i64) -> Self {
        Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp_ms: header.max_timestamp_ms,
            appended_ms,
            pos,
            bytes: header.bytes,
        }
    }

    fn end_pos(&self) -> u64 {
        self.pos + self.bytes as u64
    }
}

/// The log of one partition.
pub(crate) struct Log {
    store: Box<dyn Store>,
    entries: VecDeque<Entry>,
    start_offset: i64,
    end_offset: i64,
    end_pos: u64,
    leader_epoch: i32,
    epochs: epochs::Epochs,
    producers: producers::Producers,
    transactions: transactions::Transactions,
    active: segment::Active,
    compacted: compaction::Compacted,
}

impl Log {
    /// An empty log.
    pub(crate) fn new(store: Box<dyn Store>) -> Self {
        Self {
            store,
            entries: VecDeque::new(),
            start_offset: 0,
            end_offset: 0,
            end_pos: store::ORIGIN,
            leader_epoch: 0,
            epochs: epochs::Epochs::default(),
            producers: producers::Producers::default(),
            transactions: transactions::Transactions::default(),
            active: segment::Active::new(0, store::ORIGIN),
            compacted: compaction::Compacted::default(),
        }
    }

    /// The log over a store that holds the batches `headers`, oldest first, from position 0 on;
    /// `base_offset` is where it goes on if there are none.
    pub(crate) fn recover(
        store: Box<dyn Store>,
        base_offset: i64,
        headers: impl IntoIterator<Item = BatchHeader>,
    ) -> Self {
        let mut log = Self::new(store);
        (log.start_offset, log.end_offset) = (base_offset, base_offset);
        for header in headers {
            // What a producer wrote before its marker may be given up: then nothing is known of its
            // sequence numbers, and the marker must not make them start at 0 again.
            let is_rest = header.is_control() && !log.producers.contains(header.producer_id);
            if base_offset == 0 || !is_rest {
                log.take_note(&header);
            }
            log.epochs.start(header.leader_epoch, header.base_offset);
            log.leader_epoch = header.leader_epoch;
            log.recover_horizon(&header);
            log.push(&header, i64::MIN);
        }
        log.recover_segment();
        log
    }

    /// Offset of the oldest record that can be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// Offset that the next record will get.
    pub(crate) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// First offset of the oldest open transaction; the end, if none is open.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.transactions.first_open().unwrap_or(self.end_offset).max(self.start_offset)
    }

    /// Where a reader's records end.
    pub(crate) fn end_for(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end_offset,
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// What is known of the producers, by their ids.
    pub(crate) fn producers(&self) -> Vec<ProducerState> {
        self.producers.all()
    }

    /// True if the newest marker of a producer is not in front of `offset`.
    pub(crate) fn is_marked_since(&self, producer_id: i64, offset: i64) -> bool {
        self.producers.is_marked_since(producer_id, offset)
    }

    /// Epoch of the partition's leader.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Another leader takes over: what is appended from here on is of its epoch.
    pub(crate) fn start_epoch(&mut self, epoch: i32) {
        self.leader_epoch = epoch;
        self.epochs.start(epoch, self.end_offset);
    }

    /// The newest epoch up to `epoch` that has records, and the offset behind the last of them;
    /// `None` if the epoch is newer than the leader's.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        self.epochs.end_of(epoch, self.end_offset)
    }

    /// Bytes that can be read.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.front().map_or(0, |first| self.end_pos - first.pos)
    }

    /// Appends `batch` at time `now_ms`, unless it is in the log already. A batch of a transaction
    /// is refused if the transaction is not open here.
    pub(crate) fn append(
        &mut self,
        batch: &ProducedBatch,
        policy: LogPolicy,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.append_batch(batch, policy, now_ms, false)
    }

    /// Appends as [`Log::append`] does, and begins the transaction of the batch if it is not open.
    /// The caller knows that the coordinator will end it.
    pub(crate) fn begin(
        &mut self,
        batch: &ProducedBatch,
        policy: LogPolicy,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.append_batch(batch, policy, now_ms, true)
    }

    fn append_batch(
        &mut self,
        batch: &ProducedBatch,
        policy: LogPolicy,
        now_ms: i64,
        may_begin: bool,
    ) -> Result<Appended, AppendError> {
        let BatchHeader { producer_id, producer_epoch, .. } = batch.header;
        let is_open = self.producers.is_open_for(producer_id, producer_epoch);
        // Before anything else: the coordinator knows better who the producer is.
        if batch.header.is_transactional() && !is_open && !may_begin {
            return Err(AppendError::NotInTransaction);
        }
        policy.check(batch, now_ms)?;
        if let Some(base_offset) = self.producers.check(&batch.header)? {
            return Ok(Appended { base_offset, log_append_time_ms: None, is_duplicate: true });
        }
        if self.producers.is_open(producer_id) && !batch.header.is_transactional() {
            return Err(AppendError::OutsideTransaction);
        }
        let stamped = policy.timestamp_type == TimestampType::LogAppend;
        let base_offset = self.end_offset;
        let mut header = batch.header;
        header.base_offset = base_offset;
        let mut copy = BytesMut::from(&batch.bytes[..]);
        batch::set_position(&mut copy, base_offset, self.leader_epoch);
        if stamped {
            batch::set_log_append_time(&mut copy, now_ms);
            header.max_timestamp_ms = now_ms;
        }
        self.start_segment(&header, &policy, now_ms);
        self.store.append(base_offset, copy.freeze())?;
        self.take_note(&header);
        self.push(&header, now_ms);
        if let Some(keep) = policy.retention_bytes {
            self.keep_bytes(keep)?;
        }
        let log_append_time_ms = stamped.then_some(now_ms);
        Ok(Appended { base_offset, log_append_time_ms, is_duplicate: false })
    }

    /// Ends the open transaction of a producer, if there is one, and fences its older epochs; the
    /// offset of the marker.
    pub(crate) fn mark(
        &mut self,
        marker: Marker,
        policy: LogPolicy,
        now_ms: i64,
    ) -> io::Result<i64> {
        let base_offset = self.end_offset;
        let mut bytes = marker.build(policy.timestamp_type, now_ms);
        batch::set_position(&mut bytes, base_offset, self.leader_epoch);
        let header = BatchHeader::parse(&bytes).expect("a marker is a batch");
        self.store.append(base_offset, bytes.freeze())?;
        self.take_note(&header);
        self.push(&header, now_ms);
        Ok(base_offset)
    }

    /// Remembers what `header` says of its producer and of transactions.
    fn take_note(&mut self, header: &BatchHeader) {
        if let Some(outcome) = header.outcome {
            match (self.producers.note_marker(header), outcome) {
                (None, _) => {}
                (Some(first), Outcome::Commit) => self.transactions.commit(first),
                (Some(first), Outcome::Abort) => self.transactions.abort(first, header.base_offset),
            }
        } else if self.producers.note(header) {
            self.transactions.begin(header.producer_id, header.base_offset);
        }
    }

    /// Starts a new segment, if `header` does not belong to the newest one.
    fn start_segment(&mut self, header: &BatchHeader, policy: &LogPolicy, now_ms: i64) {
        let (bytes, time) = (header.bytes, header.max_timestamp_ms);
        if self.active.is_full(self.end_pos, bytes, time, now_ms, policy) {
            if policy.compacts {
                self.store.end_segment();
            }
            self.active = segment::Active::new(self.end_offset, self.end_pos);
        }
        self.active.note(time, now_ms);
    }

    /// The newest segment of a recovered log is the one that its store goes on with.
    fn recover_segment(&mut self) {
        let pos = self.store.boundary(u64::MAX).min(self.end_pos);
        let first = self.entries.partition_point(|e| e.pos < pos);
        let base_offset = self.entries.get(first).map_or(self.end_offset, |e| e.base_offset);
        self.active = segment::Active::new(base_offset, pos);
        for entry in self.entries.range(first..).take(1) {
            self.active.note(entry.max_timestamp_ms, 0);
        }
    }

    fn push(&mut self, header: &BatchHeader, now_ms: i64) {
        let entry = Entry::new(header, self.end_pos, now_ms);
        self.end_offset = entry.last_offset + 1;
        self.end_pos = entry.end_pos();
        self.entries.push_back(entry);
    }

    /// Whole batches from the one with `offset` on, at most `max_bytes` of them; with
    /// `at_least_one`, the first batch comes even if it alone is larger.
    pub(crate) fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Bytes, ReadError> {
        let limit = (max_bytes, at_least_one);
        self.read_before(self.end_offset, offset, limit).map(|(records, _)| records)
    }

    /// Reads as [`Log::read`] does, as far as all transactions are ended, and says which of those
    /// that overlap the batches were aborted.
    pub(crate) fn read_committed(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<(Bytes, Vec<Aborted>), ReadError> {
        let limit = (max_bytes, at_least_one);
        let (records, next) = self.read_before(self.last_stable_offset(), offset, limit)?;
        Ok((records, self.transactions.aborted(offset, next)))
    }

    /// Batches in front of `bound`, and the offset behind them.
    fn read_before(
        &self,
        bound: i64,
        offset: i64,
        (max_bytes, at_least_one): (usize, bool),
    ) -> Result<(Bytes, i64), ReadError> {
        if offset < self.start_offset || offset > self.end_offset {
            let (start, end) = (self.start_offset, self.end_offset);
            return Err(ReadError::OutOfRange { offset, start, end });
        }
        let nothing = Ok((Bytes::new(), offset));
        let first = self.entries.partition_point(|e| e.last_offset < offset);
        let Some(start) = self.entries.get(first).filter(|e| e.last_offset < bound) else {
            return nothing;
        };
        let limit = start.pos + max_bytes as u64;
        let fits = |e: &Entry| e.end_pos() <= limit && e.last_offset < bound;
        let last = match self.entries.partition_point(fits).checked_sub(1) {
            Some(last) if last >= first => &self.entries[last],
            _ if at_least_one => start,
            _ => return nothing,
        };
        let records = self.store.read(start.pos, (last.end_pos() - start.pos) as usize)?;
        Ok((records, last.last_offset + 1))
    }

    /// The first record, in offset order, whose timestamp is at least `timestamp_ms`.
    pub(crate) fn first_since(&self, timestamp_ms: i64) -> io::Result<Option<RecordTime>> {
        for entry in self.entries.iter().filter(|e| e.max_timestamp_ms >= timestamp_ms) {
            let batch = self.store.read(entry.pos, entry.bytes)?;
            let found = record::first_since(&batch, timestamp_ms, self.start_offset)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp; the first of them, if there are several.
    pub(crate) fn latest_in_time(&self) -> io::Result<Option<RecordTime>> {
        let mut times: Vec<i64> = self.entries.iter().map(|e| e.max_timestamp_ms).collect();
        times.sort_unstable();
        // The newest batch may have lost its records to compaction.
        for time in times.into_iter().rev() {
            let found = self.first_since(time)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Gives up records in front of `offset`; the new start.
    pub(crate) fn delete_before(&mut self, offset: i64) -> io::Result<i64> {
        self.start_offset = offset.clamp(self.start_offset, self.end_offset);
        let keep = self.entries.partition_point(|e| e.last_offset < self.start_offset);
        self.entries.drain(..keep);
        self.transactions.forget_before(self.start_offset);
        self.epochs.delete_before(self.start_offset);
        self.give_up_front()?;
        Ok(self.start_offset)
    }

    /// Lets the store give up what stands in front of the first batch.
    fn give_up_front(&mut self) -> io::Result<()> {
        let pos = self.entries.front().map_or(self.end_pos, |first| first.pos);
        self.store.give_up_before(pos, self.start_offset)
    }

    /// What brings everything appended so far to stable storage; `None` if nothing needs it.
    pub(crate) fn take_unsynced(&mut self) -> Option<SyncWork> {
        self.store.take_unsynced()
    }
}
