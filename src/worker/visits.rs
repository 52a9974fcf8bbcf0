//! Turns of agents' partitions without a record, and what has to be known for them.

use super::Worker;
use crate::{
    error::{Error, Result},
    task::cut::Visit,
    types::TopicPartition,
};
use std::time::{Duration, Instant};

/// How often it is looked whether a cut is over.
const LOOK: Duration = Duration::from_millis(2);

/// How far agents are in a partition, beside its end. Of a task with several inputs: in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Offset behind the last record, where no transaction is open in front of it; of several inputs the sum.
    pub end: i64,
    /// Is every record done that is in front of it?
    pub is_done: bool,
}

impl Worker {
    /// Begins a visit of `tp`; see [`crate::task::agent::Shared::visit`]. Waits for it at most `timeout`.
    #[must_use]
    pub fn visit(&self, tp: &TopicPartition, timeout: Duration) -> Option<Visit> {
        let deadline = Instant::now() + timeout;
        loop {
            let visit = self.partitions.task(tp)?.visit();
            if visit.is_some() || Instant::now() >= deadline {
                return visit;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Asks the broker where `tp` ends, and what else its task reads. None if the partition is not here or another
    /// one leads its task, while agents have records of it, and while a transaction is open in it.
    ///
    /// # Errors
    ///
    /// If no broker answers.
    pub fn ahead(&self, tp: &TopicPartition) -> Result<Option<Ahead>> {
        let Some(task) = self.partitions.task(tp) else { return Ok(None) };
        let groups = self.groups.lock().clone();
        let Some(group) = groups.iter().find(|group| group.tasks.lock().contains_key(tp)) else {
            return Ok(None);
        };
        let mut all = Ahead { end: 0, is_done: true };
        for (index, input) in task.inputs.iter().enumerate() {
            let end = self.logs.bounds(&input.tp)?.end;
            let log = group.member.get().and_then(|member| member.log(&input.tp));
            let (_, stable) = log.ok_or(Error::Stopped)?;
            if stable < end {
                return Ok(None);
            }
            let done = input.position().max(input.fetched()).max(task.stored_of(index));
            all.end += end;
            all.is_done &= done >= Some(end);
        }
        Ok((task.in_flight() == 0).then_some(all))
    }
}
