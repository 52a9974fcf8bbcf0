//! What the loops of one task share.

use super::job::Job;
use crate::{
    clock::Clock,
    config::SubscriptionConfig,
    engine::tracker::{Ticket, Tracker},
    task::{
        shelf::Shelf,
        status::{State, Status},
    },
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// What the loops of one task share, and what the worker holds of it.
pub struct Shared {
    /// State and metrics.
    pub status: Status,
    pub(super) config: SubscriptionConfig,
    pub(super) clock: Clock,
    pub(super) tracker: Mutex<Tracker>,
    /// Batches begun and not ended, wherever they are.
    pub(super) open: AtomicUsize,
    /// The first batch that must not take effect any more.
    pub(super) halted_at: AtomicU64,
    pub(super) stopping: Notify,
    pub(super) settled: Notify,
}

impl Shared {
    /// A task at its beginning.
    #[must_use]
    pub fn new(status: Status, config: SubscriptionConfig, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            status,
            config,
            clock,
            tracker: Mutex::default(),
            open: AtomicUsize::new(0),
            halted_at: AtomicU64::new(Ticket::MAX),
            stopping: Notify::new(),
            settled: Notify::new(),
        })
    }

    /// Offset that is safe to commit.
    pub fn position(&self) -> Option<i64> {
        self.tracker.lock().position()
    }

    /// Stops the partition in front of batch `at`; batches before it still take effect.
    pub(super) fn halt(&self, at: Ticket, reason: &str) {
        self.halted_at.fetch_min(at, Ordering::AcqRel);
        self.status.fail(reason);
    }

    pub(super) fn is_halted(&self, ticket: Ticket) -> bool {
        ticket >= self.halted_at.load(Ordering::Acquire)
    }

    /// Rows fetched and not done, wherever they are.
    pub fn rows_in_flight(&self) -> u64 {
        let tracker = self.tracker.lock();
        let rows = tracker.end().zip(tracker.position()).map_or(0, |(end, at)| end - at);
        u64::try_from(rows).unwrap_or(0)
    }

    pub(super) fn end(&self, done: Option<Ticket>) {
        if let Some(ticket) = done {
            self.tracker.lock().finish(ticket);
        }
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.settled.notify_waiters();
    }

    /// Stops polling and gives back what no handler has seen; what a handler has may still finish.
    pub fn drain(&self, shelf: &Shelf<Job>) {
        self.status.become_state(State::Draining);
        self.stopping.notify_waiters();
        self.stopping.notify_one();
        let tp = &self.status.tp;
        for job in shelf.remove(|job| job.tp() == tp) {
            job.task.end(None);
        }
    }

    /// Resolves when nothing of this task is with a handler or on its way out.
    pub async fn settle(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            settled.await;
        }
    }
}
