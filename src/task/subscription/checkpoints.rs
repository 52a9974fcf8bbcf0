//! Checkpoints of a partition's state: taken with a batch, made durable once the batch is done.

use crate::{
    engine::tracker::{Ticket, Tracker},
    error::Result,
    failpoints::failpoint,
    metrics::StateMetrics,
    state::{WindowStore, Writes},
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

/// The store of one partition and what is on its way into it.
///
/// # Guarantees
///
/// * The store never has the effect of a batch whose outputs are not acknowledged, nor of one behind
///   such a batch.
/// * Its offset is that of the input which its content has seen, no more and no less.
pub struct Checkpoints {
    inner: Mutex<Inner>,
    stored: AtomicI64,
    interval: Duration,
    metrics: StateMetrics,
}

struct Inner {
    /// None once the partition is gone.
    store: Option<Box<dyn WindowStore>>,
    pending: VecDeque<Pending>,
    due: Instant,
}

struct Pending {
    ticket: Ticket,
    next: i64,
    writes: Writes,
}

impl Checkpoints {
    /// Checkpoints into `store`, one in `interval` at most.
    #[must_use]
    pub fn new(store: Box<dyn WindowStore>, interval: Duration, metrics: StateMetrics) -> Self {
        let stored = AtomicI64::new(store.next().unwrap_or(-1));
        let due = Instant::now() + interval;
        let inner = Inner { store: Some(store), pending: VecDeque::new(), due };
        Self { inner: Mutex::new(inner), stored, interval, metrics }
    }

    /// Is it time for the next one?
    pub fn is_due(&self) -> bool {
        self.inner.lock().due <= Instant::now()
    }

    /// Takes one of the state behind batch `ticket`, whose last record is in front of offset `next`.
    pub fn take(&self, ticket: Ticket, next: i64, writes: Writes) {
        let mut inner = self.inner.lock();
        inner.due = Instant::now() + self.interval;
        inner.pending.push_back(Pending { ticket, next, writes });
    }

    /// Makes those durable whose batches, and all before them, are done.
    ///
    /// # Errors
    ///
    /// If the store cannot be written; it will be tried again.
    pub fn settle(&self, tracker: &Mutex<Tracker>) -> Result<()> {
        let mut inner = self.inner.lock();
        let Inner { store, pending, .. } = &mut *inner;
        while let Some(one) = pending.front() {
            if !tracker.lock().is_done_through(one.ticket) {
                break;
            }
            if let Some(store) = store {
                self.commit(store.as_mut(), &one.writes, one.next)?;
            }
            pending.pop_front();
        }
        Ok(())
    }

    /// The last one, of a partition whose batches are all done.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    pub fn finish(&self, next: i64, writes: &Writes) -> Result<()> {
        match &mut self.inner.lock().store {
            Some(store) => self.commit(store.as_mut(), writes, next),
            None => Ok(()),
        }
    }

    fn commit(&self, store: &mut dyn WindowStore, writes: &Writes, next: i64) -> Result<()> {
        failpoint!("line::checkpoint_begins");
        store.commit(writes, next)?;
        failpoint!("line::checkpoint_ends");
        self.stored.store(next, Ordering::Release);
        self.metrics.checkpoints.inc();
        Ok(())
    }

    /// Counts that the state is elsewhere.
    pub fn note_missing(&self) {
        self.metrics.missing.inc();
    }

    /// Input offset of the last durable one.
    pub fn stored(&self) -> Option<i64> {
        Some(self.stored.load(Ordering::Acquire)).filter(|&next| next >= 0)
    }

    /// Lets go of the store, so that the next owner of the partition can have it.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        inner.store = None;
        inner.pending.clear();
    }
}
