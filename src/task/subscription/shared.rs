//! What the loops of one task share.

use super::{
    checkpoints::Checkpoints,
    feeding::Feeding,
    inputs::Inputs,
    job::{Extent, Job, Outputs},
    replaying::Replaying,
    resume::Resume,
    state::{Kept, TimerClock},
    turnstile::Turnstile,
    windows::{Feed, Step, Windows},
};
use crate::{
    clock::Clock,
    config::{Guarantee, SubscriptionConfig},
    engine::{
        horizon::{Point, Span},
        tracker::{Ticket, Tracker},
    },
    error::Result,
    state::{Delta, Space},
    task::{
        commit::Ledger,
        shelf::Shelf,
        status::{State, Status},
    },
    window::{operator::Cause, watermark},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How long a commit in hand may take when its partition goes away and its batches are not done.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// What the loops of one task share, and what the worker holds of it.
pub struct Shared {
    /// State and metrics.
    pub status: Status,
    pub(super) config: SubscriptionConfig,
    pub(super) clock: Clock,
    pub(super) tracker: Mutex<Tracker>,
    pub(super) kept: Option<Arc<Kept>>,
    windows: Option<Mutex<Windows>>,
    checkpoints: Option<Checkpoints>,
    resume: Option<Resume>,
    pub(super) exact: Option<Exact>,
    /// What is done and not committed, where commits follow each other.
    pub(super) done: Turnstile<Outputs>,
    /// Its inputs, where there are several.
    pub inputs: Option<Arc<Inputs>>,
    /// Tells who reads its rows how far it is, where windows do.
    pub(super) feeding: Option<Mutex<Feeding>>,
    /// Batches begun and not ended, wherever they are.
    pub(super) open: AtomicUsize,
    /// The first batch that must not take effect any more.
    pub(super) halted_at: AtomicU64,
    pub(super) stopping: Notify,
    pub(super) settled: Notify,
}

/// What a partition has besides its rows.
#[derive(Default)]
pub struct Held {
    /// What its handlers keep.
    pub kept: Option<Arc<Kept>>,
    /// Its windows.
    pub windows: Option<Windows>,
    /// How its store is written, unless each batch is committed.
    pub checkpoints: Option<Checkpoints>,
    /// Where windows in memory begin again.
    pub resume: Option<Resume>,
    /// How each batch is committed, if that is promised.
    pub exact: Option<Exact>,
    /// Its inputs, where there are several.
    pub inputs: Option<Arc<Inputs>>,
    /// What tells windows behind an internal topic how far it is.
    pub feeding: Option<Feeding>,
}

/// The commits of a task that promises exactly once.
pub struct Exact {
    /// What makes them.
    pub ledger: Arc<Ledger>,
    /// The first record that is not committed; none: nothing ever was.
    pub at: Option<i64>,
    /// Records in front of that which the handler sees again.
    pub replaying: Option<Replaying>,
    /// The first record to read, if that is not `at`.
    pub begins: Option<i64>,
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
    pub fn new(status: Status, config: SubscriptionConfig, clock: Clock, held: Held) -> Arc<Self> {
        let Held { kept, windows, checkpoints, resume, exact, inputs, feeding } = held;
        let stored = checkpoints.as_ref().and_then(Checkpoints::stored);
        let begins = resume.as_ref().and_then(Resume::begins_at);
        let stored = stored.filter(|_| begins.is_none());
        let stored = stored.or_else(|| {
            let exact = exact.as_ref()?;
            begins.or(exact.begins).or(exact.at)
        });
        let stored = inputs.as_ref().map(|inputs| inputs.begin()).or(stored);
        Arc::new(Self {
            status,
            config,
            clock,
            tracker: Mutex::new(stored.map_or_else(Tracker::default, Tracker::starting_at)),
            kept,
            windows: windows.map(Mutex::new),
            checkpoints,
            resume,
            exact,
            done: Turnstile::default(),
            inputs,
            feeding: feeding.map(Mutex::new),
            open: AtomicUsize::new(0),
            halted_at: AtomicU64::new(Ticket::MAX),
            stopping: Notify::new(),
            settled: Notify::new(),
        })
    }

    /// Offset that is safe to commit.
    pub fn position(&self) -> Option<i64> {
        match &self.checkpoints {
            // What is read again in front of the store's own offset is not through before it is done.
            Some(checkpoints) => checkpoints.stored().filter(|&stored| {
                self.tracker.lock().position().is_some_and(|at| at >= stored)
                    || !self.begins_again()
            }),
            None => self.tracker.lock().position(),
        }
    }

    /// What to commit: the position and, where open windows need what is in front of it, from where a
    /// successor reads. None if there is nothing to commit yet.
    ///
    /// A task that promises exactly once commits with its outputs: there is never anything left.
    pub fn point(&self) -> Option<Point> {
        if self.config.guarantee == Guarantee::ExactlyOnce {
            return None;
        }
        self.point_at(self.position()?)
    }

    /// What to commit when everything in front of `position` is done.
    pub(super) fn point_at(&self, position: i64) -> Option<Point> {
        match &self.resume {
            Some(resume) => resume.commit(position),
            None => Some(Point::plain(position)),
        }
    }

    /// Records in front of this offset are only read again, up to this watermark: what they lead to was
    /// given out. None once they are through.
    pub(super) fn repeats(&self) -> Option<(i64, i64)> {
        let given_out = self.resume.as_ref().and_then(Resume::given_out);
        let (position, watermark) = given_out.or_else(|| {
            let until = self.replaying()?.until()?;
            Some((until, watermark::NONE))
        })?;
        let end = self.tracker.lock().end();
        end.is_none_or(|end| end < position).then_some((position, watermark))
    }

    /// Records that the handler sees again, if there are any.
    pub(super) fn replaying(&self) -> Option<&Replaying> {
        self.exact.as_ref()?.replaying.as_ref()
    }

    /// Is a batch that ends in front of `next` one whose results were given out?
    pub(super) fn is_repeat(&self, next: i64) -> bool {
        self.resume.as_ref().is_some_and(|resume| resume.is_repeat(next))
    }

    /// Where reading goes on although the group may have committed another offset.
    pub fn starts_at(&self) -> Option<i64> {
        let begins = self.resume.as_ref().and_then(Resume::begins_at);
        let stored = begins.or_else(|| self.checkpoints.as_ref()?.stored());
        stored.or_else(|| {
            let exact = self.exact.as_ref()?;
            exact.begins.or(exact.at)
        })
    }

    /// Does reading begin in front of what was given out?
    fn begins_again(&self) -> bool {
        self.resume.as_ref().is_some_and(|resume| resume.begins_at().is_some())
    }

    /// True if the partition has a store, nothing is in it, and nothing says from where to read again.
    pub fn has_empty_store(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(|one| one.stored().is_none())
            && self.starts_at().is_none()
    }

    /// Makes the checkpoints durable whose batches are done; blocks for the disk.
    pub fn settle_checkpoints(&self) {
        if let Some(checkpoints) = &self.checkpoints
            && let Err(error) = checkpoints.settle(&self.tracker, false)
        {
            self.status.fail(&format!("a checkpoint was not written: {error}"));
        }
    }

    /// The last checkpoint of a partition that goes away, if it is `in_order`; then its store is closed.
    pub fn close_state(&self, in_order: bool) {
        match &self.exact {
            Some(exact) if in_order => exact.ledger.close(LAST_COMMIT),
            Some(exact) => exact.ledger.abandon(),
            None => {}
        }
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
        checkpoints.settle(&self.tracker, true)?;
        let (Some(windows), Some(end), true) = (&self.windows, end, is_idle) else { return Ok(()) };
        if self.open.load(Ordering::Acquire) > 0 || self.status.state() == State::Failed {
            return Ok(());
        }
        checkpoints.finish(end, windows.lock().changes()?)
    }

    /// Gives rows of a batch to the windows and moves them to the watermark behind it; if it is time, a
    /// checkpoint of that goes along with the batch. Nothing comes out of a batch that is only repeated.
    ///
    /// # Errors
    ///
    /// What the windows return; then they are not to be used any more.
    pub(super) fn step(&self, feeds: &[Feed], cause: Cause, extent: Extent) -> Result<Step> {
        let Some(windows) = &self.windows else { return Ok(Step::default()) };
        let mut windows = windows.lock();
        let mut step = windows.step(feeds, extent.after, cause)?;
        if let Some(resume) = &self.resume {
            resume.note(Span {
                first: extent.first,
                next: extent.next,
                watermark_before: extent.before.unwrap_or(watermark::NONE),
                watermark_after: extent.after.unwrap_or(watermark::NONE),
                latest: extent.latest,
                needed: windows.needed(),
            });
        }
        // Behind markers nothing may come for long.
        let is_trailing =
            extent.first < extent.next && feeds.iter().all(|(_, rows)| rows.num_rows() == 0);
        if let Some(checkpoints) = &self.checkpoints
            && (cause == Cause::Idle || is_trailing || checkpoints.is_due())
        {
            checkpoints.take(extent.ticket, extent.next, windows.changes()?);
        }
        if self.config.guarantee == Guarantee::ExactlyOnce {
            step.delta = Delta::default();
            step.delta.push(Space::WINDOWS, windows.changes()?);
        }
        Ok(if self.is_repeat(extent.next) { Step::default() } else { step })
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

    /// Goes on as if the last records that are only read again had been there.
    pub(super) fn skip_to_position(&self) {
        let Some((position, _)) = self.repeats() else { return };
        self.tracker.lock().skip_to(position);
    }

    /// Begins a batch without records behind everything begun, which goes on to `upto` if that is further; its
    /// ticket, where it begins, and where reading goes on.
    pub(super) fn begin_nothing(&self, upto: Option<i64>) -> Option<(Ticket, i64, i64)> {
        let mut tracker = self.tracker.lock();
        let first = tracker.end().or(upto)?;
        let next = upto.map_or(first, |upto| upto.max(first));
        self.open.fetch_add(1, Ordering::AcqRel);
        Some((tracker.begin(first, next), first, next))
    }

    /// Offset behind everything begun.
    pub(super) fn begun(&self) -> Option<i64> {
        self.tracker.lock().end()
    }

    /// Does each step of the position cost more than an offset?
    pub fn commits_each(&self) -> bool {
        self.exact.is_some() || self.kept.is_some() || self.windows.is_some()
    }

    /// While it is kept, the task is not settled: only for one with windows or timers, whose last
    /// checkpoint has to wait for its source.
    pub(super) fn hold_open(self: &Arc<Self>) -> Option<HeldOpen> {
        if self.windows.is_none() && !self.fires_timers() {
            return None;
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        Some(HeldOpen(Arc::clone(self)))
    }

    /// Does the handler take timers?
    pub(super) fn fires_timers(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.timers.are_possible())
    }

    /// Is a timer due that no batch on its way will fire?
    pub(super) fn has_due_timer(&self, watermark: Option<i64>) -> bool {
        let Some(kept) = self.kept.as_ref().filter(|_| self.fires_timers()) else { return false };
        let next = |clock| kept.timers.next_ms(clock);
        let is_due = next(TimerClock::Processing).is_some_and(|at| at <= self.clock.now_ms())
            || next(TimerClock::Event).zip(watermark).is_some_and(|(at, now)| at <= now);
        // One is held by the source itself.
        is_due && self.open.load(Ordering::Acquire) == 1 && self.tracker.lock().end().is_some()
    }

    /// When the next timer of the worker's clock is due, if it is not already.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let at = self.kept.as_ref()?.timers.next_ms(TimerClock::Processing)?;
        let wait = u64::try_from(at - self.clock.now_ms()).ok().filter(|&ms| ms > 0)?;
        self.clock.now().checked_add(Duration::from_millis(wait))
    }

    /// Is there something that the watermark will close or fire?
    pub(super) fn waits_for_watermark(&self) -> bool {
        let timer = |kept: &Arc<Kept>| kept.timers.next_ms(TimerClock::Event).is_some();
        self.open_windows() > 0 || self.kept.as_ref().is_some_and(timer)
    }

    /// Takes what batch `ticket` has changed into the next checkpoint, where there are some.
    pub(super) fn note(&self, ticket: Ticket, next: i64, delta: Delta) {
        if let Some(checkpoints) = self.checkpoints.as_ref().filter(|_| self.kept.is_some()) {
            checkpoints.note(ticket, next, delta);
        }
    }

    /// Windows that are open.
    pub(super) fn open_windows(&self) -> usize {
        self.windows.as_ref().map_or(0, |windows| windows.lock().open())
    }

    /// Stops the partition in front of batch `at`; batches before it still take effect.
    pub(super) fn halt(&self, at: Ticket, reason: &str) {
        self.halted_at.fetch_min(at, Ordering::AcqRel);
        self.status.fail(reason);
        self.close_behind(at);
    }

    /// Batch `at` will not be committed, so none behind it is.
    pub(super) fn close_behind(&self, at: Ticket) {
        self.done.close(at).iter().for_each(|_| self.end(None));
    }

    pub(super) fn is_halted(&self, ticket: Ticket) -> bool {
        ticket >= self.halted_at.load(Ordering::Acquire)
    }

    /// Lets go of everything at once: nothing more is committed.
    pub fn abandon(&self) {
        if let Some(exact) = &self.exact {
            exact.ledger.abandon();
        }
    }

    /// Rows fetched and not done, wherever they are.
    pub fn rows_in_flight(&self) -> u64 {
        let tracker = self.tracker.lock();
        let rows = tracker.end().zip(tracker.position()).map_or(0, |(end, at)| end - at);
        u64::try_from(rows).unwrap_or(0)
    }

    /// The broker has what came of batch `ticket` and the store what it changed.
    pub(super) fn committed(&self, ticket: Ticket) {
        if let Some(kept) = &self.kept {
            kept.state.applied(ticket);
        }
        self.end(Some(ticket));
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
            job.give_back();
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
