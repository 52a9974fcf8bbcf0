//! What the loops of one task share.

use super::{
    checkpoints::Checkpoints,
    job::Job,
    windows::{Feed, Step, Windows},
};
use crate::{
    clock::Clock,
    config::SubscriptionConfig,
    engine::tracker::{Ticket, Tracker},
    error::Result,
    task::{
        shelf::Shelf,
        status::{State, Status},
    },
    window::operator::Cause,
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
    windows: Option<Mutex<Windows>>,
    checkpoints: Option<Checkpoints>,
    /// Batches begun and not ended, wherever they are.
    pub(super) open: AtomicUsize,
    /// The first batch that must not take effect any more.
    pub(super) halted_at: AtomicU64,
    pub(super) stopping: Notify,
    pub(super) settled: Notify,
}

/// See [`Shared::hold_open`].
pub(super) struct HeldOpen(Arc<Shared>);

impl Drop for HeldOpen {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

impl Shared {
    /// A task at its beginning.
    #[must_use]
    pub fn new(
        status: Status,
        config: SubscriptionConfig,
        clock: Clock,
        windows: Option<Windows>,
        checkpoints: Option<Checkpoints>,
    ) -> Arc<Self> {
        let stored = checkpoints.as_ref().and_then(Checkpoints::stored);
        Arc::new(Self {
            status,
            config,
            clock,
            tracker: Mutex::new(stored.map_or_else(Tracker::default, Tracker::starting_at)),
            windows: windows.map(Mutex::new),
            checkpoints,
            open: AtomicUsize::new(0),
            halted_at: AtomicU64::new(Ticket::MAX),
            stopping: Notify::new(),
            settled: Notify::new(),
        })
    }

    /// Offset that is safe to commit.
    pub fn position(&self) -> Option<i64> {
        match &self.checkpoints {
            Some(checkpoints) => checkpoints.stored(),
            None => self.tracker.lock().position(),
        }
    }

    /// Where reading goes on although the group may have committed another offset.
    pub fn starts_at(&self) -> Option<i64> {
        self.checkpoints.as_ref().and_then(Checkpoints::stored)
    }

    /// True if the partition has a store and nothing is in it.
    pub fn has_empty_store(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(|one| one.stored().is_none())
    }

    /// Makes the checkpoints durable whose batches are done; blocks for the disk.
    pub fn settle_checkpoints(&self) {
        if let Some(checkpoints) = &self.checkpoints
            && let Err(error) = checkpoints.settle(&self.tracker)
        {
            self.status.fail(&format!("a checkpoint was not written: {error}"));
        }
    }

    /// The last checkpoint of a partition that goes away, if it is `in_order`; then its store is closed.
    pub fn close_state(&self, in_order: bool) {
        let Some(checkpoints) = &self.checkpoints else { return };
        if in_order {
            self.settle_checkpoints();
            if let Err(error) = self.last_checkpoint(checkpoints) {
                tracing::error!(
                    target: "turbine.task",
                    "{} {}: the last checkpoint was not written, the next owner repeats some records: {error}",
                    self.status.name, self.status.tp
                );
            }
        }
        checkpoints.close();
    }

    fn last_checkpoint(&self, checkpoints: &Checkpoints) -> Result<()> {
        let (is_idle, end) = {
            let tracker = self.tracker.lock();
            (tracker.is_idle(), tracker.end())
        };
        let (Some(windows), Some(end), true) = (&self.windows, end, is_idle) else { return Ok(()) };
        if self.open.load(Ordering::Acquire) > 0 || self.status.state() == State::Failed {
            return Ok(());
        }
        checkpoints.finish(end, &windows.lock().changes()?)
    }

    /// Gives rows to the windows and moves them to `watermark`; if it is time, a checkpoint of that goes
    /// along with batch `ticket`, which ends in front of `next`.
    ///
    /// # Errors
    ///
    /// What the windows return; then they are not to be used any more.
    pub(super) fn step(
        &self,
        feeds: &[Feed],
        watermark: Option<i64>,
        cause: Cause,
        (ticket, next): (Ticket, i64),
    ) -> Result<Step> {
        let Some(windows) = &self.windows else { return Ok(Step::default()) };
        let mut windows = windows.lock();
        let step = windows.step(feeds, watermark, cause)?;
        if let Some(checkpoints) = &self.checkpoints
            && (cause == Cause::Idle || checkpoints.is_due())
        {
            checkpoints.take(ticket, next, windows.changes()?);
        }
        Ok(step)
    }

    /// Are there windows that get the rows before the handler?
    pub(super) fn windows_come_first(&self) -> bool {
        self.config.windows.as_ref().is_some_and(|windows| windows.before_handler)
    }

    /// Names of the windows.
    pub fn window_names(&self) -> Vec<String> {
        self.windows.as_ref().map(|windows| windows.lock().names()).unwrap_or_default()
    }

    /// Counts that the state of the partition is elsewhere.
    pub fn note_missing_state(&self) {
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.note_missing();
        }
    }

    /// How many windows there are.
    pub(super) fn window_count(&self) -> usize {
        self.config.windows.as_ref().map_or(0, |windows| windows.specs.len())
    }

    /// Begins a batch without records behind everything begun; its ticket, and where reading goes on.
    pub(super) fn begin_nothing(&self) -> Option<(Ticket, i64)> {
        let mut tracker = self.tracker.lock();
        let next = tracker.end()?;
        self.open.fetch_add(1, Ordering::AcqRel);
        Some((tracker.begin(next, next), next))
    }

    /// While it is kept, the task is not settled: only for one with windows, whose last checkpoint has to
    /// wait for its source.
    pub(super) fn hold_open(self: &Arc<Self>) -> Option<HeldOpen> {
        self.windows.as_ref()?;
        self.open.fetch_add(1, Ordering::AcqRel);
        Some(HeldOpen(Arc::clone(self)))
    }

    /// Windows that are open.
    pub(super) fn open_windows(&self) -> usize {
        self.windows.as_ref().map_or(0, |windows| windows.lock().open())
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
        if self.windows_come_first() {
            // Their windows have taken the rows already: what came out is handled to the end.
            return;
        }
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
