//! The state of a task, as everybody else sees it.

use super::commit::Ended;
use crate::{
    engine::halt::Halt,
    error::{Act, Result},
    metrics::TaskMetrics,
    types::TopicPartition,
};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The partition is ours, nothing was polled yet.
    Assigned,
    /// What it begins with is brought together; nothing is polled.
    Restoring,
    /// Records flow.
    Running,
    /// Nothing new is polled; what a handler holds may still finish.
    Draining,
    /// The partition is not ours any more.
    Revoked,
    /// Stopped in front of a record, with a reason.
    Failed,
}

impl State {
    /// The word that users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
        }
    }

    /// May the task go from here to `next`? A failed or revoked task stays so.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use State as S;
        matches!(
            (self, next),
            (S::Assigned, S::Restoring | S::Running)
                | (S::Restoring, S::Running)
                | (S::Assigned | S::Restoring | S::Running, S::Draining)
                | (S::Assigned | S::Restoring | S::Running | S::Draining, S::Failed)
                | (S::Assigned | S::Restoring | S::Running | S::Draining | S::Failed, S::Revoked)
        )
    }
}

/// Called once when a task fails, with its reason and, if it is a halt, the numbers that led to it.
pub type OnFailure = Box<dyn Fn(&TopicPartition, &str, Option<&Halt>) + Send + Sync>;

/// What a task shows of itself.
pub struct Status {
    /// The partition.
    pub tp: TopicPartition,
    /// Name of the subscription, or of the agents joined by `+`.
    pub name: String,
    /// Its metrics.
    pub metrics: TaskMetrics,
    state: Mutex<(State, Option<String>)>,
    halt: Mutex<Option<Halt>>,
    waiting: Mutex<Option<String>>,
    committed: AtomicI64,
    fetched: AtomicI64,
    generation: AtomicU32,
    is_void: AtomicBool,
    is_taken: AtomicBool,
    on_failure: OnFailure,
}

impl Status {
    /// A task that was just assigned.
    pub fn new(
        tp: TopicPartition,
        name: String,
        metrics: TaskMetrics,
        on_failure: OnFailure,
    ) -> Self {
        Self {
            tp,
            name,
            metrics,
            state: Mutex::new((State::Assigned, None)),
            halt: Mutex::default(),
            waiting: Mutex::default(),
            committed: AtomicI64::new(-1),
            fetched: AtomicI64::new(-1),
            generation: AtomicU32::new(0),
            is_void: AtomicBool::new(false),
            is_taken: AtomicBool::new(false),
            on_failure,
        }
    }

    /// The current state.
    pub fn state(&self) -> State {
        self.state.lock().0
    }

    /// Moves on to `next` where that is allowed; says whether it did.
    pub fn become_state(&self, next: State) -> bool {
        let mut state = self.state.lock();
        let allowed = state.0.may_become(next);
        if allowed {
            state.0 = next;
        }
        allowed
    }

    /// True while new records may be polled and handed out.
    pub fn is_live(&self) -> bool {
        matches!(self.state(), State::Assigned | State::Restoring | State::Running)
    }

    /// True while what handlers have done may still be committed.
    pub fn may_commit(&self) -> bool {
        matches!(self.state(), State::Assigned | State::Running | State::Draining)
    }

    /// Stops the task for good, saying why. Only the first reason counts.
    pub fn fail(&self, reason: &str) {
        if self.stop(reason) {
            tracing::error!(target: "turbine.task", "{} {}: stopped: {reason}", self.name, self.tp);
            (self.on_failure)(&self.tp, reason, None);
        }
    }

    /// Stops the task as [`Self::fail`] does, with the numbers that led to it.
    pub fn halt(&self, halt: &Halt) {
        let reason = halt.to_string();
        if self.stop(&reason) {
            *self.halt.lock() = Some(halt.clone());
            tracing::error!(target: "turbine.task", "{} {}: stopped: {reason}", self.name, self.tp);
            (self.on_failure)(&self.tp, &reason, Some(halt));
        }
    }

    /// Stops the task if its commits have ended while its partition is still ours.
    pub fn end(&self, ended: &Ended) {
        match ended {
            Ended::Gone => {}
            Ended::Void => self.become_void(&ended.to_string()),
            Ended::Halted(halt) => self.halt(halt),
        }
    }

    /// Nobody is called: the worker begins the partition anew.
    fn become_void(&self, reason: &str) {
        if self.stop(reason) {
            tracing::warn!(target: "turbine.task", "{} {}: begins anew: {reason}", self.name, self.tp);
            self.is_void.store(true, Ordering::Release);
        }
    }

    /// Does its partition begin anew?
    pub fn is_void(&self) -> bool {
        self.is_void.load(Ordering::Acquire)
    }

    /// As [`Self::is_void`], but true only once: for who begins it.
    pub fn take_void(&self) -> bool {
        self.is_void() && !self.is_taken.swap(true, Ordering::AcqRel)
    }

    fn stop(&self, reason: &str) -> bool {
        let mut state = self.state.lock();
        let may = state.0.may_become(State::Failed);
        if may {
            *state = (State::Failed, Some(reason.to_owned()));
        }
        may
    }

    /// Why the task stands still, as data, if that was said.
    pub fn halted(&self) -> Option<Halt> {
        self.halt.lock().clone()
    }

    /// Why the task failed.
    pub fn error(&self) -> Option<String> {
        self.state.lock().1.clone()
    }

    /// Notes that the task waits for something outside, and why; a new reason is logged.
    pub fn wait_for(&self, reason: &str) {
        let mut waiting = self.waiting.lock();
        if waiting.as_deref() != Some(reason) {
            tracing::warn!(
                target: "turbine.task",
                "{} {}: waits: {reason}. Nothing is lost; trying again",
                self.name,
                self.tp
            );
            *waiting = Some(reason.to_owned());
        }
    }

    /// Takes [`Self::wait_for`] back.
    pub fn wait_no_more(&self) {
        if self.waiting.lock().take().is_some() {
            tracing::info!(target: "turbine.task", "{} {}: goes on", self.name, self.tp);
        }
    }

    /// What the task waits for.
    pub fn waiting(&self) -> Option<String> {
        self.waiting.lock().clone()
    }

    /// Notes the offset behind the last record fetched.
    pub fn note_fetched(&self, next: i64) {
        self.fetched.store(next, Ordering::Relaxed);
    }

    /// Offset behind the last record fetched.
    pub fn fetched(&self) -> Option<i64> {
        Some(self.fetched.load(Ordering::Relaxed)).filter(|&o| o >= 0)
    }

    /// Notes of which generation its state is, see [`crate::engine::receipt::Receipt::generation`].
    pub fn note_generation(&self, generation: u32) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// The generation that stands beside its offsets where no transaction writes them.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Notes the offset that the broker has.
    pub fn note_committed(&self, offset: i64) {
        self.committed.store(offset, Ordering::Release);
    }

    /// The offset that the broker has.
    pub fn committed(&self) -> Option<i64> {
        Some(self.committed.load(Ordering::Acquire)).filter(|&o| o >= 0)
    }
}

/// Passes over an error of a poll that the client library mends by itself, with a line in the log.
///
/// # Errors
///
/// Any other error.
pub(super) fn retry_later(status: &Status, polled: Result<usize>) -> Result<()> {
    match polled {
        Err(error) if error.act() == Act::Retry => {
            tracing::warn!(target: "turbine.task", "{} {}: {error}; trying again", status.name, status.tp);
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Assigned, Draining, Failed, Restoring, Revoked, Running};

    /// No state leads back, and nothing leaves `revoked`.
    #[test]
    fn the_state_machine_only_goes_forward() {
        let order = [Assigned, Restoring, Running, Draining, Failed, Revoked];
        for (i, from) in order.iter().enumerate() {
            for to in &order[..=i] {
                assert!(!from.may_become(*to), "{from:?} -> {to:?}");
            }
        }
        assert!(!Revoked.may_become(Failed));
        assert!(Failed.may_become(Revoked) && !Failed.may_become(Draining));
    }
}
