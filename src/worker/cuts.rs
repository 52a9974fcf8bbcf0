//! Commits the cuts of one partition, one after the other.
//!
//! The next cut is asked for when the last one is committed and its time has come. Where agents take
//! long to reach a cut, cuts become rarer, so that they go on without waiting half of the time; one
//! that is not reached at all is given up and asked for again later. Other partitions know nothing of it.

use super::events::{Event, Events};
use crate::{
    error::{Act, Error},
    task::{
        agent::Shared,
        commit,
        cut::{Cuts, End, Sealed},
    },
    types::TopicPartition,
};
use parking_lot::{Condvar, Mutex};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long instances may go on collecting before a cut makes them hand over what they have.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a cut may take before it is given up, the first time.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the next cut because the last one took long.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Wait before a commit is tried again that a broker did not answer.
const RETRY: Duration = Duration::from_millis(200);

/// A commit on its way.
pub(super) type Committing<'a> = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send + 'a>>;

/// Why a cut is not committed.
pub(super) enum Failed {
    /// The broker does not answer: the same again.
    Retry(Error),
    /// Nothing more can be committed here.
    Stopped(Stopped),
}

/// Why nothing more can be committed.
pub(super) enum Stopped {
    /// The commits of an exactly-once task have ended.
    Exact(commit::Ended),
    /// The store or a changelog refuses it.
    Plain(Error),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(ended) => ended.fmt(f),
            Self::Plain(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        if error.act() == Act::Retry {
            Self::Retry(error)
        } else {
            Self::Stopped(Stopped::Plain(error))
        }
    }
}

/// What makes a cut durable.
pub(super) trait Committer: Send + Sync {
    /// Commits `cut`; done when the store has it.
    fn commit<'a>(&'a self, cut: &'a Sealed) -> Committing<'a>;

    /// Nothing more will be committed. May block.
    fn close(&self, in_order: bool) {
        let _ = in_order;
    }
}

/// Commits until the cuts of `task` end.
pub(super) struct Driver {
    pub(super) task: Arc<Shared>,
    pub(super) committer: Box<dyn Committer>,
    pub(super) interval: Duration,
    pub(super) ended: Arc<Ended>,
    /// Of its worker, and the group that it commits for.
    pub(super) events: Arc<Events>,
    pub(super) group: String,
}

/// Tells that a driver has ended.
#[derive(Default)]
pub struct Ended {
    has: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    fn set(&self) {
        *self.has.lock() = true;
        self.changed.notify_all();
    }

    /// Blocks until then, at most `timeout`; says whether it has.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut has = self.has.lock();
        while !*has {
            if self.changed.wait_until(&mut has, deadline).timed_out() {
                return *has;
            }
        }
        true
    }
}

impl Driver {
    pub(super) async fn run(self) {
        if let Some(cuts) = &self.task.cuts {
            self.drive(cuts).await;
            cuts.tables.close();
        }
        let in_order = self.task.cuts.as_ref().and_then(Cuts::ending) == Some(End::InOrder);
        let Self { ended, committer, .. } = self;
        // Whoever waits for the end wants the store and the partition.
        let closed = tokio::task::spawn_blocking(move || committer.close(in_order));
        // One that panics has logged why.
        let _ = closed.await;
        ended.set();
    }

    async fn drive(&self, cuts: &Cuts) {
        let (mut pause, mut limit) = (self.interval, LIMIT);
        while cuts.ending() != Some(End::AtOnce) {
            if let Some(cut) = cuts.sealed() {
                if !self.commit(cuts, &cut).await {
                    return;
                }
                continue;
            }
            if cuts.ending().is_some() {
                return;
            }
            self.pause(cuts, pause).await;
            let asked = Instant::now();
            if self.task.status.is_live() && self.task.ask_for_cut(false) {
                let is_reached = self.reach(cuts, asked, limit).await;
                limit = if is_reached { LIMIT } else { limit.saturating_mul(2) };
                pause = self.interval.max(asked.elapsed().min(LONGEST_PAUSE));
            }
        }
    }

    /// Waits until the next cut is due: after `pause`, or before, where nobody would wait for it.
    async fn pause(&self, cuts: &Cuts, pause: Duration) {
        let began = Instant::now();
        let is_due = || cuts.is_wanted() || cuts.sealed().is_some() || cuts.ending().is_some();
        while !is_due() && began.elapsed() < pause {
            let step = tokio::time::timeout(self.interval, cuts.news()).await;
            if step.is_err() && self.task.has_done_all() {
                return;
            }
        }
    }

    /// Waits until the cut that was asked for is sealed; false if it is given up.
    async fn reach(&self, cuts: &Cuts, asked: Instant, limit: Duration) -> bool {
        while cuts.sealed().is_none() && cuts.ending().is_none() {
            let elapsed = asked.elapsed();
            if elapsed >= limit {
                self.task.give_cut_up();
                let status = &self.task.status;
                tracing::warn!(
                    target: "turbine.worker",
                    "{} {}: no commit for {elapsed:?}: handlers are in the middle of records that take long. Nothing is lost; trying again",
                    status.name,
                    status.tp
                );
                return false;
            }
            let next = if elapsed < PATIENCE { PATIENCE } else { limit };
            // Over is over: the loop looks again.
            let _ = tokio::time::timeout(next.saturating_sub(elapsed), cuts.news()).await;
            if asked.elapsed() >= PATIENCE {
                self.task.ask_for_cut(true);
            }
        }
        true
    }

    /// What comes of `committing`; none if the partition is let go of at once.
    async fn unless_abandoned(
        &self,
        cuts: &Cuts,
        mut committing: Committing<'_>,
    ) -> Option<Result<(), Failed>> {
        loop {
            tokio::select! {
                result = &mut committing => return Some(result),
                () = cuts.news() => {}
            }
            if cuts.ending() == Some(End::AtOnce) {
                return None;
            }
        }
    }

    /// Commits `cut`; false if nothing more can be.
    async fn commit(&self, cuts: &Cuts, cut: &Sealed) -> bool {
        let (began, status) = (Instant::now(), &self.task.status);
        self.tell(cuts, |group, partitions| Event::Commits { group, partitions });
        let Some(result) = self.unless_abandoned(cuts, self.committer.commit(cut)).await else {
            self.committer.close(false);
            return false;
        };
        match result {
            Ok(()) => {
                self.task.cut_committed(cut);
                if cuts.is_exact {
                    status.note_committed(cut.next);
                    self.tell(cuts, |group, partitions| Event::Committed { group, partitions });
                }
                status.metrics.commit.observe(began.elapsed().as_secs_f64());
                status.wait_no_more();
            }
            Err(Failed::Retry(error)) => {
                status.wait_for(&format!("the commit at offset {}: {error}", cut.next));
                let _ = tokio::time::timeout(RETRY, cuts.news()).await;
            }
            Err(Failed::Stopped(why)) => {
                self.give_up(cuts, cut, &why);
                return false;
            }
        }
        true
    }

    /// Tells of a commit that has the offset in it; of others the group tells when it sends the offset.
    fn tell(&self, cuts: &Cuts, of: fn(String, Vec<TopicPartition>) -> Event) {
        if cuts.is_exact {
            let partitions = || vec![self.task.status.tp.clone()];
            self.events.put_commit(|| of(self.group.clone(), partitions()));
        }
    }

    /// Nothing more can be committed after `cut`.
    fn give_up(&self, cuts: &Cuts, cut: &Sealed, why: &Stopped) {
        let status = &self.task.status;
        if cuts.ending() == Some(End::AtOnce) {
            return tracing::info!(target: "turbine.worker", "{} {}: not committed: {why}", status.name, status.tp);
        }
        match why {
            Stopped::Exact(ended) => status.end(ended),
            Stopped::Plain(error) => status.fail(&format!(
                "the commit at offset {} failed: {error}. Nothing is lost; restart to read again from the last one",
                cut.next
            )),
        }
    }
}
