//! What the loop of a stage, its flights and the worker share.

use crate::{
    engine::tracker::{Ticket, Tracker},
    kafka::flight::Flight,
    task::status::{State, Status},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::sync::Notify;

/// See the module.
pub struct Shared {
    /// State and metrics.
    pub status: Status,
    tracker: Mutex<Tracker>,
    /// Flights that have not landed.
    open: AtomicUsize,
    pub(super) stopping: Notify,
    settled: Notify,
}

impl Shared {
    /// A stage at its beginning.
    #[must_use]
    pub fn new(status: Status) -> Arc<Self> {
        Arc::new(Self {
            status,
            tracker: Mutex::default(),
            open: AtomicUsize::new(0),
            stopping: Notify::new(),
            settled: Notify::new(),
        })
    }

    /// Offset that is safe to commit.
    pub fn position(&self) -> Option<i64> {
        self.tracker.lock().position()
    }

    /// Offset behind everything begun.
    pub(super) fn end(&self) -> Option<i64> {
        self.tracker.lock().end()
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
