//! Turns of agents' partitions without a record, and what has to be known for them.

use super::Worker;
use crate::{
    error::{Error, Result},
    task::cut::Visit,
    types::TopicPartition,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often it is looked whether a cut is over.
const LOOK: Duration = Duration::from_millis(2);

/// How far agents are in a partition, beside its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Offset behind the last record, where no transaction is open in front of it.
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

    /// Asks the broker where `tp` ends. None if the partition is not here, while agents have records of it, and
    /// while a transaction is open in it.
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
        let end = self.logs.bounds(tp)?.end;
        let member = Arc::clone(group);
        let stable = member.member.get().and_then(|member| member.log(tp));
        let (_, stable) = stable.ok_or(Error::Stopped)?;
        if stable < end || task.in_flight() > 0 {
            return Ok(None);
        }
        let stored = task.cuts.as_ref().and_then(crate::task::cut::Cuts::stored);
        let done = task.position().max(task.status.fetched()).max(stored);
        Ok(Some(Ahead { end, is_done: done >= Some(end) }))
    }
}
