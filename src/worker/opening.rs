//! A task that is not there yet: its partition is held until what it begins with is known.
//!
//! # Guarantees
//!
//! * No record is read before the task is there.
//! * A partition that goes away meanwhile gets no task.

use super::{group::Group, task::Task};
use crate::task::{
    commit::{Ended, Gate},
    restore::Progress,
    status::{State, Status},
};
use parking_lot::Mutex;
use std::sync::Arc;

/// See the module.
pub struct Opening {
    /// State, and why it failed.
    pub status: Status,
    /// Closed when the partition goes away.
    pub gate: Arc<Gate>,
    /// How far its state is.
    pub progress: Arc<Progress>,
    job: Mutex<Option<Job>>,
}

/// Makes the task, and says from which offset it reads; none: where a group without offsets starts. May
/// block, and is to end soon after the gate is closed.
pub(super) type Job = Box<dyn FnOnce(&Opening) -> Result<(Task, Option<i64>), Ended> + Send>;

impl Opening {
    /// One whose `job` has not begun.
    pub(super) fn new(status: Status, progress: Progress, job: Job) -> Arc<Self> {
        status.become_state(State::Restoring);
        let (gate, progress) = (Arc::default(), Arc::new(progress));
        Arc::new(Self { status, gate, progress, job: Mutex::new(Some(job)) })
    }

    /// Stops what is under way.
    pub fn drain(&self) {
        self.status.become_state(State::Draining);
        self.gate.close();
    }

    /// Does the job, puts the task in its place and lets records come; nothing the second time. Blocks.
    pub(super) fn run(self: &Arc<Self>, group: &Group) {
        let Some(job) = self.job.lock().take() else { return };
        match job(self) {
            Ok((task, begins)) => self.give_way(group, &task, begins),
            Err(ended) if !self.gate.is_closed() => self.status.end(&ended),
            // What was under way has been interrupted.
            Err(_) => {}
        }
        group.tell_of_restored();
    }

    fn give_way(self: &Arc<Self>, group: &Group, task: &Task, begins: Option<i64>) {
        if !group.opened(self, task) {
            task.drain();
            task.abandon();
            return;
        }
        let Some(member) = group.member.get() else { return };
        for (tp, begins) in task.begins(begins) {
            if let Err(error) = member.release(&tp, begins, &|| group.has(task))
                && task.status().is_live()
            {
                task.status().fail(&error.to_string());
            }
        }
    }
}
