//! What the loop of a stage, its flights and the worker share.

use crate::{
    engine::tracker::{Ticket, Tracker},
    error::{Error, Result},
    kafka::flight::Flight,
    task::{
        commit::{Commit, Ledger, Output},
        status::{State, Status},
    },
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How long a commit in hand may take when its partition goes away.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// See the module.
pub struct Shared {
    /// State and metrics.
    pub status: Status,
    tracker: Mutex<Tracker>,
    /// Flights that have not landed.
    open: AtomicUsize,
    /// Commits records together with the offset, if that is promised.
    pub(super) exact: Option<Exact>,
    pub(super) stopping: Notify,
    settled: Notify,
}

/// The commits of a stage that promises exactly once.
pub struct Exact {
    /// What makes them.
    ledger: Arc<Ledger>,
    /// The first record that is not committed.
    at: AtomicI64,
}

impl Exact {
    /// Those of a stage that reads from offset `at` on.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, at: i64) -> Self {
        Self { ledger, at: AtomicI64::new(at) }
    }
}

impl Shared {
    /// A stage at its beginning.
    #[must_use]
    pub fn new(status: Status, exact: Option<Exact>) -> Arc<Self> {
        Arc::new(Self {
            status,
            tracker: Mutex::default(),
            open: AtomicUsize::new(0),
            exact,
            stopping: Notify::new(),
            settled: Notify::new(),
        })
    }

    /// Offset that is safe to commit.
    pub fn position(&self) -> Option<i64> {
        self.tracker.lock().position()
    }

    /// What the group is to commit: nothing where transactions have the offset.
    pub fn committable(&self) -> Option<i64> {
        if self.exact.is_some() { None } else { self.position() }
    }

    /// The first record that is not committed, where transactions have the offset.
    pub(super) fn committed(&self) -> Option<i64> {
        self.exact.as_ref().map(|exact| exact.at.load(Ordering::Acquire))
    }

    /// Makes `outputs` and the offset `next` take effect together; nothing where that is not promised.
    pub(super) async fn commit(&self, outputs: Vec<Output>, next: i64, time_ms: i64) -> Result<()> {
        let Some(exact) = &self.exact else { return Ok(()) };
        let from = exact.at.load(Ordering::Acquire);
        let commit = Commit { from, next, outputs: outputs.into(), time_ms, ..Commit::default() };
        let committed = exact.ledger.commit(commit).await;
        committed.map_err(|ended| {
            self.status.end(&ended);
            Error::Stopped
        })?;
        exact.at.store(next, Ordering::Release);
        self.status.note_committed(next);
        Ok(())
    }

    /// Ends its commits: what is in flight is settled if all is `in_order`. May block.
    pub fn close(&self, in_order: bool) {
        match &self.exact {
            Some(exact) if in_order => exact.ledger.close(LAST_COMMIT),
            Some(exact) => exact.ledger.abandon(),
            None => {}
        }
    }

    /// Offset behind everything begun.
    pub(super) fn end(&self) -> Option<i64> {
        self.tracker.lock().end()
    }

    /// Goes on to `to`: there is no record in front of it that was not taken.
    pub(super) async fn pass_over(&self, to: i64, time_ms: i64) -> Result<()> {
        self.commit(Vec::new(), to, time_ms).await?;
        let mut tracker = self.tracker.lock();
        let from = tracker.end().unwrap_or(to);
        let ticket = tracker.begin(from, to);
        tracker.finish(ticket);
        self.status.note_fetched(to);
        Ok(())
    }

    /// Records written and not acknowledged.
    pub fn in_flight(&self) -> u64 {
        let tracker = self.tracker.lock();
        let rows = tracker.end().zip(tracker.position()).map_or(0, |(end, at)| end - at);
        u64::try_from(rows).unwrap_or(0)
    }

    /// A flight for the records from offset `first` to in front of `next`, which are done when it has
    /// landed; without them one for marks.
    pub(super) fn fly(
        self: &Arc<Self>,
        records: Option<(i64, i64)>,
        began: Instant,
    ) -> Arc<Flight> {
        let ticket = records.map(|(first, next)| self.tracker.lock().begin(first, next));
        let produced = Instant::now();
        self.open.fetch_add(1, Ordering::AcqRel);
        let task = Arc::clone(self);
        Flight::new(move |landed| {
            let metrics = &task.status.metrics;
            metrics.produce.observe(produced.elapsed().as_secs_f64());
            metrics.batch.observe(began.elapsed().as_secs_f64());
            match landed {
                Ok(()) => task.landed(ticket),
                // Its commits have ended, and the task has been told.
                Err(Error::Stopped) => task.landed(None),
                Err(error) => {
                    task.status.fail(&format!(
                        "a record was not delivered to its internal topic: {error}. Nothing is lost: \
                         the partition waits in front of it, restart to go on"
                    ));
                    task.landed(None);
                }
            }
        })
    }

    fn landed(&self, done: Option<Ticket>) {
        if let Some(ticket) = done {
            self.tracker.lock().finish(ticket);
        }
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.settled.notify_waiters();
    }

    /// Stops polling.
    pub fn drain(&self) {
        self.status.become_state(State::Draining);
        self.stopping.notify_waiters();
        self.stopping.notify_one();
    }

    /// Resolves when everything written is acknowledged.
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
