//! Rows of one partition on their way through one instance of an agent.

use super::agent::Shared;
use crate::{engine::tracker::Ticket, kafka::messages::Messages, types::TopicPartition};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::sync::OwnedSemaphorePermit;

/// Records polled together; they stay in memory until each of its cursors has ended.
pub struct Chunk {
    /// The records.
    pub records: Messages,
    /// Their task.
    pub task: Arc<Shared>,
    open: AtomicUsize,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Chunk {
    /// Records that `cursors` cursors will read.
    pub(super) fn new(
        records: Messages,
        task: Arc<Shared>,
        cursors: usize,
        place: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let place = Mutex::new(Some(place));
        Arc::new(Self { records, task, open: AtomicUsize::new(cursors), place })
    }
}

/// Which records of the chunk a cursor has.
#[derive(Debug)]
pub(super) enum Rows {
    /// All of them.
    All(usize),
    /// These, in order.
    Some(Vec<u32>),
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Self::All(n) => *n,
            Self::Some(rows) => rows.len(),
        }
    }

    fn get(&self, i: usize) -> usize {
        match self {
            Self::All(_) => i,
            Self::Some(rows) => rows[i] as usize,
        }
    }
}

/// See the module. Used by one agent instance at a time; the commit looks on.
pub struct Cursor {
    chunk: Arc<Chunk>,
    lane: usize,
    /// Ticket of record 0 of the chunk.
    base: Ticket,
    rows: Rows,
    handed: AtomicUsize,
    done: AtomicUsize,
    applied: Mutex<usize>,
    held: AtomicBool,
    ended: AtomicBool,
    began: Mutex<Option<Instant>>,
}

impl Cursor {
    pub(super) fn new(chunk: &Arc<Chunk>, lane: usize, base: Ticket, rows: Rows) -> Arc<Self> {
        Arc::new(Self {
            chunk: Arc::clone(chunk),
            lane,
            base,
            rows,
            handed: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            applied: Mutex::new(0),
            held: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            began: Mutex::new(None),
        })
    }

    /// The partition.
    #[must_use]
    pub fn tp(&self) -> &TopicPartition {
        &self.chunk.task.status.tp
    }

    /// Its task.
    #[must_use]
    pub fn task(&self) -> &Arc<Shared> {
        &self.chunk.task
    }

    /// The records that [`Cursor::advance`] points into.
    #[must_use]
    pub fn records(&self) -> &Messages {
        &self.chunk.records
    }

    /// The next row, as an index into [`Cursor::records`]; asking for it marks the one before as done.
    /// `None` at the end, and when the partition is going away.
    pub fn advance(&self) -> Option<usize> {
        let handed = self.handed.load(Ordering::Relaxed);
        if !self.held.load(Ordering::Relaxed) {
            self.done.store(handed, Ordering::Release);
        }
        if handed >= self.rows.len() || !self.chunk.task.status.is_live() {
            self.end_if_done();
            return None;
        }
        if handed == 0 {
            *self.began.lock() = Some(Instant::now());
        }
        self.handed.store(handed + 1, Ordering::Release);
        Some(self.rows.get(handed))
    }

    /// Hands out up to `limit` rows at once, as indices into [`Cursor::records`].
    pub fn take(&self, limit: usize) -> Vec<usize> {
        let handed = self.handed.load(Ordering::Relaxed);
        if !self.chunk.task.status.is_live() {
            return Vec::new();
        }
        let end = self.rows.len().min(handed.saturating_add(limit));
        if handed == 0 {
            *self.began.lock() = Some(Instant::now());
        }
        self.handed.store(end, Ordering::Release);
        (handed..end).map(|i| self.rows.get(i)).collect()
    }

    /// Index into [`Cursor::records`] of the `i`-th row of this cursor.
    #[must_use]
    pub fn row(&self, i: usize) -> usize {
        self.rows.get(i)
    }

    /// Takes back the last `rows` rows handed out: they will not be done.
    pub fn give_back(&self, rows: usize) {
        self.handed.fetch_sub(rows, Ordering::AcqRel);
    }

    /// Index into [`Cursor::records`] of the row handed out last.
    #[must_use]
    pub fn current(&self) -> Option<usize> {
        let handed = self.handed.load(Ordering::Relaxed);
        handed.checked_sub(1).map(|i| self.rows.get(i))
    }

    /// Rows handed out so far.
    #[must_use]
    pub fn handed(&self) -> usize {
        self.handed.load(Ordering::Relaxed)
    }

    /// From now on only [`Cursor::done_through`] marks rows as done.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// From now on asking for a row marks the one before as done again.
    pub fn follow(&self) {
        self.held.store(false, Ordering::Relaxed);
    }

    /// The first `rows` rows are done.
    pub fn done_through(&self, rows: usize) {
        self.done.fetch_max(rows.min(self.handed()), Ordering::AcqRel);
        if self.done.load(Ordering::Acquire) >= self.rows.len() || !self.task().status.is_live() {
            self.end_if_done();
        }
    }

    /// Every row handed out is done.
    pub fn finish(&self) {
        self.done_through(self.handed());
    }

    /// Nobody will ask for the rest; rows that are not done stay so, and are read again after a restart.
    pub fn abandon(&self) {
        self.end();
    }

    /// Handed out and not done.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.handed.load(Ordering::Acquire) - self.done.load(Ordering::Acquire)
    }

    /// Tells the tracker what was done since the last time.
    pub(super) fn apply(&self) {
        let done = self.done.load(Ordering::Acquire);
        let mut applied = self.applied.lock();
        if done > *applied {
            let tickets = (*applied..done).map(|i| self.base + self.rows.get(i) as u64);
            self.chunk.task.finish(self.lane, tickets);
            *applied = done;
        }
    }

    fn end_if_done(&self) {
        if self.in_progress() == 0 {
            self.end();
        }
    }

    fn end(&self) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        self.apply();
        if let Some(began) = self.began.lock().take() {
            self.task().status.metrics.process.observe(began.elapsed().as_secs_f64());
        }
        self.chunk.task.ended(self.lane, self);
        if self.chunk.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.chunk.place.lock().take();
        }
    }
}
