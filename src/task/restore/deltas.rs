//! The state of a subscription, from the commits in its changelog.

use super::{MOST_BYTES, Part, Restore};
use crate::{
    error::Result,
    state::{Delta, Mark},
    task::changelog::{Assembler, Change, Found, Source},
    types::{Records as _, TopicPartition},
};
use std::sync::Arc;

/// What was found behind the state that there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Offset in the log where reading began.
    pub from: i64,
    /// Commits applied.
    pub applied: u64,
    /// Offset that the first commit begins at that does not follow the state: one in front of it is missing.
    pub missed: Option<i64>,
    /// Records that nobody can read.
    pub unreadable: u64,
    /// Commits about a topic that had the same name before.
    pub foreign: u64,
    /// Where the state began anew last, in the log.
    began: Option<i64>,
    /// Offset that the last commit led to.
    last: Option<i64>,
}

/// Applies the commits of the task that reads `source` which follow what is in the store.
///
/// # Errors
///
/// If the log cannot be read or the store not be written, and [`crate::error::Error::Stopped`] if the state is
/// not wanted any more.
pub fn deltas(
    restore: &Restore<'_>,
    log: &TopicPartition,
    source: &Source,
    names: &Arc<[Arc<str>]>,
) -> Result<Tail> {
    let mark = restore.store.mark()?;
    let tail = follow(restore, log, source, names, mark.map_or(0, |mark| mark.log.max(0)))?;
    match tail.began {
        // The log is ahead, and what is here is of another history than the one that it goes on with.
        Some(began) if restore.store.mark()?.map(|mark| mark.next) < tail.last => {
            restore.store.clear()?;
            follow(restore, log, source, names, began)
        }
        // The offset may be that of a log which was deleted and created again.
        _ if tail.missed.is_some() && tail.from > 0 => follow(restore, log, source, names, 0),
        _ => Ok(tail),
    }
}

fn follow(
    restore: &Restore<'_>,
    log: &TopicPartition,
    source: &Source,
    names: &Arc<[Arc<str>]>,
    from: i64,
) -> Result<Tail> {
    let mut tail = Follow {
        restore,
        source,
        assembler: Assembler::new(Arc::clone(names)),
        mark: restore.store.mark()?,
        waiting: Delta::default(),
        bytes: 0,
        keys: 0,
        began: None,
        tail: Tail { from, ..Tail::default() },
    };
    let end = restore.read(log, from, &mut |part| tail.take(&part))?;
    tail.finish(end)
}

/// State that commits are added to.
struct Follow<'a> {
    restore: &'a Restore<'a>,
    source: &'a Source,
    assembler: Assembler,
    /// Of the state with what waits.
    mark: Option<Mark>,
    /// Changes that the store does not have yet.
    waiting: Delta,
    bytes: usize,
    keys: usize,
    /// Offset of the first chunk of a commit that is not whole yet.
    began: Option<i64>,
    tail: Tail,
}

impl Follow<'_> {
    fn take(&mut self, part: &Part<'_>) -> Result<()> {
        let records = match part {
            Part::Records(records) => records,
            Part::Truncated(from, to) => {
                tracing::info!(
                    target: "turbine.state",
                    "{}: the changelog begins at offset {to}, records from {from} on are gone", self.source.topic
                );
                return Ok(());
            }
        };
        for i in 0..records.len() {
            if records.key(i) != Some(self.source.topic.as_bytes()) {
                continue;
            }
            if self.source.is_foreign(&records.headers(i)) {
                self.tail.foreign += 1;
                continue;
            }
            match records.value(i).map(|value| self.assembler.take(value)) {
                Some(Found::Whole(change)) => {
                    let next = records.offset(i) + 1;
                    self.apply(change, self.began.unwrap_or(next - 1), next)?;
                    self.began = None;
                }
                // The chunks of one commit stand together, unless another writer comes between.
                Some(Found::Part) => {
                    self.began.get_or_insert(records.offset(i));
                }
                // The beginning of a commit may be in front of where reading began.
                Some(Found::Unreadable) | None => self.tail.unreadable += 1,
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: Change, first: i64, log: i64) -> Result<()> {
        let at = self.mark.map(|mark| mark.next);
        self.tail.last = Some(change.mark.next);
        if change.from.is_none() {
            self.tail.began = Some(first);
        }
        if change.from != at && !self.overlaps(&change) {
            if change.from > at && self.tail.missed.is_none() {
                self.tail.missed = change.from;
            }
            return Ok(());
        }
        self.tail.missed = None;
        self.tail.applied += 1;
        let size = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
            key.len() + value.as_ref().map_or(0, Vec::len)
        };
        for (_, writes) in &change.delta.0 {
            self.keys += writes.0.len();
            self.bytes += writes.0.iter().map(size).sum::<usize>();
        }
        self.waiting.extend(change.delta);
        self.mark = Some(Mark { log, ..change.mark });
        if self.bytes >= MOST_BYTES { self.flush() } else { Ok(()) }
    }

    /// Outside of transactions a commit whose acknowledgement got lost is written once more, with what came
    /// since: all of its values are newer.
    fn overlaps(&self, change: &Change) -> bool {
        let Some(mark) = self.mark.filter(|mark| mark.token == 0 && change.mark.token == 0) else {
            return false;
        };
        change.from.is_some_and(|from| from < mark.next) && mark.next < change.mark.next
    }

    fn flush(&mut self) -> Result<()> {
        let Some(mark) = self.mark else { return Ok(()) };
        self.restore.store.commit(&std::mem::take(&mut self.waiting), mark)?;
        self.restore.progress.add_keys(std::mem::take(&mut self.keys));
        self.bytes = 0;
        Ok(())
    }

    fn finish(mut self, end: i64) -> Result<Tail> {
        if let Some(mark) = &mut self.mark {
            mark.log = mark.log.max(end);
            self.flush()?;
        }
        Ok(self.tail)
    }
}
