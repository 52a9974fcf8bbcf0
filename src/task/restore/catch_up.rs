//! Brings the state of an exactly-once task to what is committed, and decides what becomes of a gap.

use super::{Goal, Progress, Restore, Sources, bring_back};
use crate::{
    config::OnGap,
    engine::{
        halt::{Halt, Reason},
        receipt::Receipt,
    },
    error::Error,
    kafka::log_reader::Logs,
    metrics::GapMetrics,
    state::{Delta, Mark, Store},
    task::{
        changelog::{Changelog, Origin},
        commit::CatchUp,
    },
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// A replay that is to be done: the handler sees records again, and what it gives out is compared, not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Offset that the state is at; none: there is no state, and the topic is read from its beginning.
    pub from: Option<i64>,
    /// Hash of the outputs up to there.
    pub hash: u64,
    /// Where it ends, what the state's mark is then.
    pub to: Mark,
}

/// What is done about a gap.
#[derive(Clone, Copy, Debug)]
pub struct GapPolicy {
    /// Close it, or leave it.
    pub on_gap: OnGap,
    /// A larger one ends the worker.
    pub halt_if_exceeds: Option<u64>,
    /// Is there a handler that can see records again?
    pub can_replay: bool,
}

/// See the module.
pub struct Recover {
    /// Where the logs are.
    pub logs: Arc<Logs>,
    /// Where the state goes.
    pub store: Arc<dyn Store>,
    /// Where it may be found.
    pub sources: Sources,
    /// Who is told how far it is.
    pub progress: Arc<Progress>,
    /// Is the state still wanted?
    pub is_wanted: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Gets the generation that is committed: snapshots have to be of it.
    pub generation: Arc<AtomicU32>,
    /// What is done about a gap.
    pub policy: GapPolicy,
    /// Counts gaps.
    pub metrics: GapMetrics,
    /// What is written from now on.
    pub changelog: Option<Changelog>,
    /// Gets the replay that is to be done.
    pub replay: Arc<Mutex<Option<Replay>>>,
}

impl CatchUp for Recover {
    fn catch_up(
        &mut self,
        from: Option<i64>,
        (to, token, hash): (i64, u64, u64),
        beside: Option<&Receipt>,
    ) -> Result<(), Halt> {
        let failed = |error: Error| Halt::of(Reason::StoreFailed).because(error.to_string());
        if from.is_none() {
            self.store.clear().map_err(failed)?;
        }
        let goal = Goal { to, token, hash, is_exact: true };
        self.generation.store(beside.map_or(0, |one| one.generation), Ordering::Relaxed);
        if from.is_none() && beside.is_some_and(Receipt::is_beginning) {
            return self.begin(goal).map_err(failed);
        }
        let restore = Restore {
            logs: &self.logs,
            store: &*self.store,
            progress: &self.progress,
            is_wanted: &*self.is_wanted,
        };
        let mark = bring_back(&restore, &self.sources, Some(goal)).map_err(failed)?;
        if goal.is_reached(mark) {
            return Ok(());
        }
        self.close_gap(mark, goal)
    }
}

impl Recover {
    /// Everything was reset: there is no state, and nothing to look for.
    fn begin(&self, goal: Goal) -> crate::error::Result<()> {
        if let Some(changelog) = &self.changelog {
            changelog.begins_with(Origin::Nothing);
        }
        self.store.commit(&Delta::default(), goal.mark(-1))
    }

    fn close_gap(&self, mark: Option<Mark>, goal: Goal) -> Result<(), Halt> {
        let log = self.logs.bounds(&self.sources.tp).ok().map(|bounds| (bounds.start, bounds.end));
        let at = mark.map(|mark| mark.next);
        let halt = |reason| Halt { local: at, committed: Some(goal.to), log, ..Halt::of(reason) };
        if at.is_some_and(|at| at >= goal.to) {
            return Err(halt(Reason::AnotherHistory));
        }
        let gap = u64::try_from(goal.to - at.unwrap_or(0)).unwrap_or(u64::MAX);
        self.metrics.gaps.inc();
        if self.policy.halt_if_exceeds.is_some_and(|most| gap > most) {
            self.metrics.halts.inc();
            return Err(halt(Reason::GapTooLarge));
        }
        if self.policy.on_gap == OnGap::Accept {
            return self.accept(mark, goal, gap);
        }
        if log.is_none_or(|(start, _)| start > at.unwrap_or(0)) {
            return Err(halt(Reason::InputTruncated));
        }
        if !self.policy.can_replay {
            return Err(halt(Reason::GapOpen));
        }
        let to = goal.mark(log_of(mark));
        let hash = mark.map_or(0, |mark| mark.hash);
        *self.replay.lock() = Some(Replay { from: at, hash, to });
        tracing::warn!(
            target: "turbine.state",
            "{}: the state is at offset {}, {} is committed: the handler sees {gap} records again, and what it gives \
             out is compared with what was written", self.sources.tp, at.unwrap_or(0), goal.to
        );
        Ok(())
    }

    fn accept(&self, mark: Option<Mark>, goal: Goal, gap: u64) -> Result<(), Halt> {
        let at = mark.map(|mark| mark.next);
        tracing::error!(
            target: "turbine.state",
            "{}: the state lacks {gap} records, from offset {} up to {}, and goes on without them, as \
             on_crash_recovery=\"accept\" says", self.sources.tp, at.unwrap_or(0), goal.to
        );
        if let Some(changelog) = &self.changelog {
            changelog.begins_with(at.map_or(Origin::Nothing, Origin::At));
        }
        let to = goal.mark(log_of(mark));
        let committed = self.store.commit(&Delta::default(), to);
        committed.map_err(|error| Halt::of(Reason::StoreFailed).because(error.to_string()))
    }
}

/// The changelog was read to its end, and everything there leads at most to what is committed.
fn log_of(mark: Option<Mark>) -> i64 {
    mark.map_or(-1, |mark| mark.log)
}
