//! Tables, from their compacted changelogs.

use super::{MOST_BYTES, Part, Restore};
use crate::{
    error::Result,
    state::{Delta, Mark, Space, Writes},
    task::changelog::{Cut, Cuts, of_source},
    types::{Records as _, TopicPartition},
};
use std::sync::Arc;

/// A table and its log.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where its keys are.
    pub space: Space,
    /// Its changelog.
    pub topic: Arc<str>,
}

/// Fills the store with the keys of `tables` as the task that reads `source` has written them. The store is to
/// be empty and gets no mark; what a crash has left of a last commit is left out. Offset that the state is at,
/// as far as the logs say, and number of the owner that wrote it.
///
/// # Errors
///
/// If a log cannot be read or the store not be written, and [`crate::error::Error::Stopped`] if the state is
/// not wanted any more.
pub fn keys(
    restore: &Restore<'_>,
    tables: &[Table],
    source: &TopicPartition,
) -> Result<(Option<i64>, u64)> {
    let mut fill = Fill {
        restore,
        source: &source.topic,
        cuts: Cuts::default(),
        space: Space(0),
        waiting: Writes::default(),
        bytes: 0,
        held: Vec::new(),
        newest: i64::MIN,
    };
    let mut held = Vec::new();
    for table in tables {
        fill.space = table.space;
        fill.newest = i64::MIN;
        let log = TopicPartition::new(Arc::clone(&table.topic), source.partition);
        restore.read(&log, 0, &mut |part| fill.take(&part))?;
        fill.flush()?;
        held.push((table.space, fill.newest, std::mem::take(&mut fill.held)));
    }
    let torn = fill.cuts.torn();
    for (space, next, writes) in held {
        if torn != Some(next) {
            restore.progress.add_keys(writes.len());
            restore.store.load(&Delta(vec![(space, Writes(writes))]))?;
        }
    }
    Ok((fill.cuts.next(), fill.cuts.owner()))
}

/// Records at the end of a log that are looked at.
const TAIL: i64 = 16;

/// Has another owner written `tables` since the state got `mark`, at the same offset? Commits without a record
/// have the offset of the one before them.
///
/// # Errors
///
/// As [`keys`].
pub fn are_overtaken(
    restore: &Restore<'_>,
    tables: &[Table],
    source: &TopicPartition,
    mark: Mark,
) -> Result<bool> {
    let known = if mark.token == 0 { mark.hash } else { 0 };
    for table in tables {
        let log = TopicPartition::new(Arc::clone(&table.topic), source.partition);
        let mut last = None;
        let end = restore.logs.bounds(&log)?.end;
        restore.read(&log, (end - TAIL).max(0), &mut |part| {
            let Part::Records(records) = part else { return Ok(()) };
            for i in 0..records.len() {
                let headers = records.headers(i);
                last = Cut::of(&headers).filter(|_| of_source(&headers, &source.topic)).or(last);
            }
            Ok(())
        })?;
        if last.is_some_and(|cut| cut.next == mark.next && cut.owner() > known) {
            return Ok(true);
        }
    }
    Ok(false)
}

type Write = (Vec<u8>, Option<Vec<u8>>);

/// What a write takes beside its bytes, about.
const WRITE_BYTES: usize = 96;

struct Fill<'a> {
    restore: &'a Restore<'a>,
    source: &'a str,
    cuts: Cuts,
    space: Space,
    waiting: Writes,
    bytes: usize,
    /// What the newest commit of this table has written: only a part of it may be there.
    held: Vec<Write>,
    newest: i64,
}

impl Fill<'_> {
    fn take(&mut self, part: &Part<'_>) -> Result<()> {
        let records = match part {
            Part::Records(records) => records,
            Part::Truncated(..) => return Ok(()),
        };
        for i in 0..records.len() {
            let headers = records.headers(i);
            let Some(key) = records.key(i).filter(|_| of_source(&headers, self.source)) else {
                continue;
            };
            let write = (key.to_vec(), records.value(i).map(<[u8]>::to_vec));
            match Cut::of(&headers) {
                Some(cut) => self.hold(cut, write)?,
                None => self.put(write)?,
            }
        }
        Ok(())
    }

    fn hold(&mut self, cut: Cut, write: Write) -> Result<()> {
        self.cuts.take(cut);
        if cut.next != self.newest {
            // Whatever a commit in front of another has, is whole.
            std::mem::take(&mut self.held).into_iter().try_for_each(|write| self.put(write))?;
            self.newest = cut.next;
        }
        self.held.push(write);
        Ok(())
    }

    fn put(&mut self, write: Write) -> Result<()> {
        self.bytes += WRITE_BYTES + write.0.len() + write.1.as_ref().map_or(0, Vec::len);
        self.waiting.0.push(write);
        if self.bytes >= MOST_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let writes = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        self.restore.progress.add_keys(writes.0.len());
        if writes.0.is_empty() {
            return Ok(());
        }
        self.restore.store.load(&Delta(vec![(self.space, writes)]))
    }
}
