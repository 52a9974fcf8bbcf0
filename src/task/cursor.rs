//! Rows of one partition on their way through one instance of an agent.

use super::{
    agent::{Mailbox, Shared},
    cut::{Gate, is_asked_for},
};
use crate::{
    engine::tracker::Ticket,
    kafka::messages::Messages,
    types::{Records as _, TopicPartition},
};
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
    /// Which input of the task has them.
    input: usize,
    open: AtomicUsize,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Chunk {
    /// Records that `cursors` cursors will read.
    pub(super) fn new(
        records: Messages,
        (task, input): (Arc<Shared>, usize),
        cursors: usize,
        place: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let place = Mutex::new(Some(place));
        Arc::new(Self { records, task, input, open: AtomicUsize::new(cursors), place })
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
    /// Where its instance finds it.
    mailbox: Arc<Mailbox>,
    /// Ticket of record 0 of the chunk.
    base: Ticket,
    rows: Rows,
    handed: AtomicUsize,
    done: AtomicUsize,
    applied: Mutex<usize>,
    held: AtomicBool,
    ended: AtomicBool,
    released: AtomicBool,
    began: Mutex<Option<Instant>>,
}

impl Cursor {
    pub(super) fn new(
        chunk: &Arc<Chunk>,
        lane: usize,
        mailbox: &Arc<Mailbox>,
        base: Ticket,
        rows: Rows,
    ) -> Arc<Self> {
        Arc::new(Self {
            chunk: Arc::clone(chunk),
            lane,
            mailbox: Arc::clone(mailbox),
            base,
            rows,
            handed: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            applied: Mutex::new(0),
            held: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            released: AtomicBool::new(false),
            began: Mutex::new(None),
        })
    }

    /// The partition.
    #[must_use]
    pub fn tp(&self) -> &TopicPartition {
        &self.chunk.task.inputs[self.chunk.input].tp
    }

    /// Its task.
    #[must_use]
    pub fn task(&self) -> &Arc<Shared> {
        &self.chunk.task
    }

    /// Which input of its task it is of.
    pub(super) fn input(&self) -> usize {
        self.chunk.input
    }

    /// Is its next row not in front of `until`, the offset for each input? At the end it is not.
    pub(super) fn is_beyond(&self, until: &[i64]) -> bool {
        self.next_offset().is_none_or(|next| next >= until[self.input()])
    }

    fn lane(&self) -> (usize, usize) {
        (self.chunk.input, self.lane)
    }

    /// The records that [`Cursor::advance`] points into.
    #[must_use]
    pub fn records(&self) -> &Messages {
        &self.chunk.records
    }

    /// The next row, as an index into [`Cursor::records`]; asking for it marks the one before as done.
    /// `None` at the end, when the partition is going away, and while a cut is made: then the cursor
    /// comes again through its mailbox.
    pub fn advance(self: &Arc<Self>) -> Option<usize> {
        let handed = self.handed.load(Ordering::Relaxed);
        let before = self.cut_word();
        if !self.held.load(Ordering::Relaxed) {
            self.done.store(handed, Ordering::SeqCst);
        }
        let end = self.rows.len().min(handed + 1);
        self.hand(handed, end, before).then(|| self.rows.get(handed))
    }

    /// Hands out up to `limit` rows at once, as indices into [`Cursor::records`].
    pub fn take(self: &Arc<Self>, limit: usize) -> Vec<usize> {
        let handed = self.handed.load(Ordering::Relaxed);
        let end = self.rows.len().min(handed.saturating_add(limit));
        if !self.hand(handed, end, self.cut_word()) {
            return Vec::new();
        }
        let end = self.handed();
        (handed..end).map(|i| self.rows.get(i)).collect()
    }

    /// Hands out rows `handed..end`, or the first of them while a cut is made; false if none.
    fn hand(self: &Arc<Self>, handed: usize, end: usize, before: Option<u64>) -> bool {
        let is_open = before.is_none_or(|word| !is_asked_for(word));
        if is_open {
            let may = handed < end && self.task().status.is_live();
            if may {
                self.handed.store(end, Ordering::SeqCst);
            }
            // A cut that is asked for in between must see the rows, or be seen here.
            if self.cut_word() == before {
                return if may { self.begun(handed) } else { self.end_if_done() };
            }
            self.handed.store(handed, Ordering::SeqCst);
        }
        match self.task().pass(self, before.unwrap_or_default()) {
            Gate::Pass => {
                self.handed.store(handed + 1, Ordering::SeqCst);
                self.begun(handed)
            }
            Gate::Wait => false,
            Gate::End => self.end_if_done(),
        }
    }

    fn begun(&self, handed: usize) -> bool {
        if handed == 0 {
            *self.began.lock() = Some(Instant::now());
        }
        true
    }

    fn cut_word(&self) -> Option<u64> {
        self.task().cuts.as_ref().map(super::cut::Cuts::word)
    }

    /// Where its instance finds it.
    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Offset of the next row; none at the end.
    pub(super) fn next_offset(&self) -> Option<i64> {
        let handed = self.handed.load(Ordering::SeqCst);
        (handed < self.rows.len()).then(|| self.records().offset(self.rows.get(handed)))
    }

    /// Offset behind the row handed out last.
    pub(super) fn reached(&self) -> Option<i64> {
        let last = self.handed.load(Ordering::SeqCst).checked_sub(1)?;
        Some(self.records().offset(self.rows.get(last)) + 1)
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
        self.done.fetch_max(rows.min(self.handed()), Ordering::SeqCst);
        if self.cut_word().is_some_and(is_asked_for) {
            self.task().look_for_cut();
        }
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

    /// The records are no longer needed: others may be polled in their place, while rows are still in progress.
    pub fn release(&self) {
        if !self.released.swap(true, Ordering::AcqRel)
            && self.chunk.open.fetch_sub(1, Ordering::AcqRel) == 1
        {
            self.chunk.place.lock().take();
        }
    }

    /// Row `i` of those handed out is done, in whatever order, also after [`Cursor::abandon`].
    pub fn finish_row(&self, i: usize) {
        if i < self.handed() {
            let ticket = self.base + self.rows.get(i) as u64;
            self.chunk.task.finish(self.lane(), std::iter::once(ticket));
        }
    }

    /// Handed out and not done.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        // Done first: it only grows, and never beyond the other.
        let done = self.done.load(Ordering::SeqCst);
        self.handed.load(Ordering::SeqCst).saturating_sub(done)
    }

    /// Tells the tracker what was done since the last time.
    pub(super) fn apply(&self) {
        let done = self.done.load(Ordering::SeqCst);
        let mut applied = self.applied.lock();
        if done > *applied {
            let tickets = (*applied..done).map(|i| self.base + self.rows.get(i) as u64);
            self.chunk.task.finish(self.lane(), tickets);
            *applied = done;
        }
    }

    /// Ends if nothing is in progress; false.
    fn end_if_done(&self) -> bool {
        if self.in_progress() == 0 {
            self.end();
        }
        false
    }

    fn end(&self) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        self.apply();
        if let Some(began) = self.began.lock().take() {
            self.task().status.metrics.process.observe(began.elapsed().as_secs_f64());
        }
        self.chunk.task.ended(self.lane(), self);
        self.release();
    }
}
