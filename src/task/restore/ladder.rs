//! The rungs from which a state is brought back: what is here, a snapshot, the changelog.

use super::{Restore, Tables, Tail, deltas, tables::fill};
use crate::{
    error::Result,
    state::{Mark, Store},
    task::changelog::Source,
    types::TopicPartition,
};
use std::sync::Arc;

/// Snapshots of one task.
pub trait Snapshots: Send + Sync {
    /// Fills `store` from the newest valid snapshot that is ahead of offset `than` and not behind `upto`; its
    /// mark, or none if there is no such snapshot, and then the store is as it was.
    ///
    /// # Errors
    ///
    /// If the store cannot be written. A snapshot that cannot be read is passed over.
    fn restore(
        &self,
        store: &dyn Store,
        than: Option<i64>,
        upto: Option<i64>,
    ) -> Result<Option<Mark>>;
}

/// What is written of the state to Kafka.
#[derive(Clone, Debug)]
pub enum Log {
    /// Nothing.
    None,
    /// Commits, in this topic; the spaces are called so.
    Deltas(Arc<str>, Arc<[Arc<str>]>),
    /// Keys of tables.
    Tables(Tables),
}

/// Where the state of a task may be.
pub struct Sources {
    /// The partition that the task reads.
    pub tp: TopicPartition,
    /// Its snapshots, if there are any.
    pub snapshots: Option<Arc<dyn Snapshots>>,
    /// Its changelog.
    pub log: Log,
    /// Id of its topic, if it is known.
    pub topic_id: Option<Arc<str>>,
}

/// The offset that a state is to be at, and the token of the commit that ended there; what is committed.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The next record to read.
    pub to: i64,
    /// Token, 0 if there is none.
    pub token: u64,
    /// Hash of the outputs so far, 0 if it is not known.
    pub hash: u64,
    /// Is the state never behind nor ahead of it, because both were written in one transaction?
    pub is_exact: bool,
}

impl Goal {
    /// The mark of a state that is there, with everything in front of offset `log` of its changelog.
    #[must_use]
    pub fn mark(&self, log: i64) -> Mark {
        Mark { next: self.to, token: self.token, hash: self.hash, log }
    }

    /// Is a state with `mark` there?
    #[must_use]
    pub fn is_reached(&self, mark: Option<Mark>) -> bool {
        mark.is_some_and(|mark| {
            mark.next == self.to && (self.token == 0 || mark.token == self.token)
        })
    }
}

/// Brings the state as far as it can be found, up to `goal`; where it is then.
///
/// # Errors
///
/// If something cannot be read or written, and [`crate::error::Error::Stopped`] if the state is not wanted
/// any more.
pub fn bring_back(
    restore: &Restore<'_>,
    sources: &Sources,
    goal: Option<Goal>,
) -> Result<Option<Mark>> {
    let mark = restore.store.mark()?;
    if goal.is_some_and(|goal| goal.is_exact && goal.is_reached(mark)) {
        return Ok(mark);
    }
    if mark.is_none() {
        // What a restore that was interrupted has left.
        restore.store.clear()?;
    }
    if let Some(snapshots) = &sources.snapshots {
        restore.progress.doing("looking for a snapshot");
        let upto = goal.filter(|goal| goal.is_exact).map(|goal| goal.to);
        if let Some(found) = snapshots.restore(restore.store, mark.map(|mark| mark.next), upto)? {
            tracing::info!(
                target: "turbine.state",
                "{}: restored from a snapshot of offset {}", sources.tp, found.next
            );
        }
    }
    match &sources.log {
        Log::None => {}
        Log::Deltas(topic, names) => {
            let log = TopicPartition::new(Arc::clone(topic), sources.tp.partition);
            let (topic, id) = (Arc::clone(&sources.tp.topic), sources.topic_id.clone());
            tell(&sources.tp, &log, &deltas(restore, &log, &Source { topic, id }, names)?);
        }
        Log::Tables(tables) => fill(restore, tables, &sources.tp, goal)?,
    }
    restore.store.mark()
}

fn tell(tp: &TopicPartition, log: &TopicPartition, tail: &Tail) {
    if tail.foreign > 0 {
        tracing::warn!(
            target: "turbine.state",
            "{tp}: {} commits in {log} are left out: they are about the topic as it was before it was deleted and \
             created again", tail.foreign
        );
    }
    if tail.applied > 0 {
        let Tail { applied, from, .. } = tail;
        tracing::info!(
            target: "turbine.state",
            "{tp}: {applied} commits restored from {log}, which was read from offset {from} on"
        );
    }
    if let Some(missed) = tail.missed {
        tracing::warn!(
            target: "turbine.state",
            "{tp}: {log} goes on at offset {missed}, and what leads there is missing"
        );
    }
}
