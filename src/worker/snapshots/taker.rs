//! The snapshots of one task: one loop, from its start to its end.

use super::{SnapshotView, Snapshots, Subject};
use crate::{
    error::{Error, Result},
    metrics::TaskSnapshotMetrics,
    state::{
        SpaceName, Store,
        snapshot::{Kept, Shelf, Summary, Taken, Unit, Writer},
    },
};
use parking_lot::Mutex;
use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// How often the bytes written are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Shortest and longest wait behind a failure.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(300);
/// Attempts at the last snapshot.
const LAST_TRIES: u32 = 3;

/// See the module.
pub(super) struct Taker {
    unit: Unit,
    partitions: i32,
    spaces: Vec<SpaceName>,
    shelf: Shelf,
    store: Weak<dyn Store>,
    wake: Notify,
    state: Mutex<State>,
}

struct State {
    /// So that a last snapshot can be taken when the task has let go of it.
    held: Option<Arc<dyn Store>>,
    /// True: one more, then it is over.
    is_last: bool,
    /// Dropped with the last snapshot.
    ending: Option<mpsc::Sender<()>>,
    view: SnapshotView,
}

/// What the loop knows between two snapshots.
struct Round {
    writer: Option<Writer>,
    kept: Kept,
    /// Bytes that the store had written when the last one was taken.
    written: u64,
    due: Instant,
    failures: u32,
    /// Behind a failure: not before.
    blocked_until: Instant,
}

impl Taker {
    pub(super) fn new(subject: Subject, shelf: Shelf) -> Self {
        let Subject { unit, partitions, spaces, store } = subject;
        let view = SnapshotView {
            name: unit.name.clone(),
            topic: unit.topic.clone(),
            partition: unit.partition,
            state: "waiting",
            ..SnapshotView::default()
        };
        let state = Mutex::new(State { held: None, is_last: false, ending: None, view });
        Self { unit, partitions, spaces, shelf, store, wake: Notify::new(), state }
    }

    pub(super) fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The value of the metric label `worker`.
    pub(super) fn label(&self) -> String {
        format!("{}-p{}", self.unit.name, self.unit.partition)
    }

    pub(super) fn view(&self) -> SnapshotView {
        self.state.lock().view.clone()
    }

    pub(super) fn ask(&self) {
        let mut state = self.state.lock();
        state.view.asked += 1;
        if state.view.state == "fenced" {
            state.view.answered = state.view.asked;
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Keeps the store, if the task still has it.
    pub(super) fn hold(&self) {
        self.state.lock().held = self.store.upgrade();
    }

    /// Takes a last snapshot of the store that is held; `ending` goes when that is over.
    pub(super) fn finish(&self, ending: &mpsc::Sender<()>) {
        let mut state = self.state.lock();
        if state.held.is_some() {
            state.is_last = true;
            state.ending = Some(ending.clone());
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Until the task is over.
    pub(super) async fn run(self: Arc<Self>, snapshots: Weak<Snapshots>) {
        let Some(strong) = snapshots.upgrade() else { return };
        let metrics = strong.metrics.task(&self.label());
        let (settings, now) = (strong.settings, Instant::now());
        drop(strong);
        let mut round = Round {
            writer: None,
            kept: Kept::default(),
            written: 0,
            due: now + settings.interval,
            failures: 0,
            blocked_until: now,
        };
        while let (Some(store), Some(snapshots)) = (self.store.upgrade(), snapshots.upgrade()) {
            if self.is_due(&round, store.written_bytes(), settings.bytes) {
                self.turn(&snapshots, &store, &mut round, &metrics).await;
            } else if round.writer.is_none() && Instant::now() >= round.blocked_until {
                // The claim comes first, so that whoever had the task before is fenced.
                let claimed = self.claim(&snapshots, &mut round).await;
                self.note(&claimed.map(|()| None), &mut round, &metrics);
            }
            drop((store, snapshots));
            if self.is_over(&round) {
                break;
            }
            // Woken, or time to look again.
            let _ = tokio::time::timeout(LOOK, self.wake.notified()).await;
        }
        let mut state = self.state.lock();
        state.held = None;
        state.ending = None;
        drop(state);
        if let Some(snapshots) = snapshots.upgrade() {
            snapshots.forget(&self);
        }
    }

    fn is_due(&self, round: &Round, written: u64, most: u64) -> bool {
        let state = self.state.lock();
        if state.view.state == "fenced" {
            return false;
        }
        let asked = state.view.asked > state.view.answered || state.is_last;
        let now = Instant::now();
        asked
            || (now >= round.blocked_until
                && (now >= round.due || written.saturating_sub(round.written) >= most))
    }

    fn is_over(&self, round: &Round) -> bool {
        let state = self.state.lock();
        let tried =
            round.failures == 0 || round.failures >= LAST_TRIES || state.view.state == "fenced";
        state.is_last && tried && state.view.asked == state.view.answered
    }

    /// One attempt, with everything that is told of it.
    async fn turn(
        &self,
        snapshots: &Snapshots,
        store: &Arc<dyn Store>,
        round: &mut Round,
        metrics: &TaskSnapshotMetrics,
    ) {
        let Ok(_slot) = snapshots.slots.acquire().await else { return };
        let asked = {
            let mut state = self.state.lock();
            if state.is_last {
                state.view.asked += u64::from(state.view.asked == state.view.answered);
            }
            state.view.state = "running";
            state.view.asked
        };
        let (began, written) = (Instant::now(), store.written_bytes());
        let attempt = tokio::time::timeout(
            snapshots.settings.deadline,
            self.attempt(snapshots, store, round),
        );
        let taken = attempt.await.unwrap_or_else(|_| {
            Err(Error::State(format!(
                "snapshots of {}: not complete within {} s",
                self.unit,
                snapshots.settings.deadline.as_secs()
            )))
        });
        // What has failed is due at once, and waits for its turn as long as the failures say.
        round.due = Instant::now();
        if taken.is_ok() {
            round.due += snapshots.settings.interval;
            round.written = written;
        }
        if matches!(taken, Ok(Taken::Done(_))) {
            metrics.seconds.observe(began.elapsed().as_secs_f64());
        }
        let taken = taken.map(Some);
        self.note(&taken, round, metrics);
        self.state.lock().view.answered = asked;
        if let Ok(Some(Taken::Done(summary))) = &taken {
            self.clean(snapshots, round).await;
            snapshots.tell(&self.unit, &summary.mark);
        }
    }

    async fn attempt(
        &self,
        snapshots: &Snapshots,
        store: &Arc<dyn Store>,
        round: &mut Round,
    ) -> Result<Taken> {
        self.claim(snapshots, round).await?;
        match &mut round.writer {
            Some(writer) => writer.take(store).await,
            None => Ok(Taken::Unchanged),
        }
    }

    async fn claim(&self, snapshots: &Snapshots, round: &mut Round) -> Result<()> {
        if round.writer.is_none() {
            let (shelf, spaces) = (self.shelf.clone(), self.spaces.clone());
            let claimed = Writer::claim(shelf, self.partitions, spaces, &snapshots.owner).await?;
            round.writer = Some(claimed);
        }
        Ok(())
    }

    /// Removes what need not stay; what goes wrong there is told and tried again with the next snapshot.
    async fn clean(&self, snapshots: &Snapshots, round: &mut Round) {
        let Some(writer) = &round.writer else { return };
        if let Err(error) = writer.retain(&snapshots.settings.retention, &mut round.kept).await {
            tracing::warn!(target: "turbine.state", "{}: removing old snapshots: {error}", self.unit);
        }
    }

    /// Tells what came of an attempt; of a claim there is nothing to tell but its failure.
    fn note(&self, came: &Result<Option<Taken>>, round: &mut Round, metrics: &TaskSnapshotMetrics) {
        let mut state = self.state.lock();
        let view = &mut state.view;
        match came {
            Err(error) => {
                round.failures += 1;
                let backoff = FIRST_BACKOFF * 2_u32.saturating_pow(round.failures.min(10) - 1);
                round.blocked_until = Instant::now() + backoff.min(LAST_BACKOFF);
                tracing::warn!(target: "turbine.state", "{}: no snapshot: {error}. Processing goes on; trying again", self.unit);
                metrics.failures.inc();
                view.failures += 1;
                (view.state, view.error) = ("failing", Some(error.to_string()));
                return;
            }
            Ok(Some(Taken::Fenced { by })) => {
                tracing::info!(target: "turbine.state", "{}: another worker takes its snapshots now (epoch {by}); this one takes no more", self.unit);
                view.state = "fenced";
                view.error = Some(format!(
                    "another worker has taken them over (epoch {by}): restart this one if the partition is still its own"
                ));
                return;
            }
            Ok(Some(Taken::Done(summary))) => {
                done(view, summary, metrics);
            }
            Ok(Some(Taken::Unchanged) | None) => {}
        }
        (round.failures, view.state, view.error) = (0, "waiting", None);
    }
}

fn done(view: &mut SnapshotView, summary: &Summary, metrics: &TaskSnapshotMetrics) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    view.completed_ms = i64::try_from(since.as_millis()).ok();
    view.snapshot = Some(summary.id.to_string());
    view.next = Some(summary.mark.next);
    view.rows = summary.rows;
    view.uploaded_bytes = summary.uploaded_bytes;
    view.skipped_bytes = summary.skipped_bytes;
    metrics.taken.inc();
    metrics.uploaded_bytes.inc_by(summary.uploaded_bytes);
    metrics.skipped_bytes.inc_by(summary.skipped_bytes);
    metrics.completed();
}
