//! Tables, from their compacted changelogs.

use super::{MOST_BYTES, Part, Restore};
use crate::{
    engine::inputs::Positions,
    error::{Error, Result},
    state::{Delta, Mark, Space, Writes},
    task::changelog::{Cut, Cuts, Places, inputs_of, of_source},
    types::{Header, Records as _, TopicPartition},
};
use std::{collections::BTreeMap, sync::Arc};

/// A table and its log.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where its keys are.
    pub space: Space,
    /// Its changelog.
    pub topic: Arc<str>,
}

/// The tables of one task.
#[derive(Clone, Debug)]
pub struct Tables {
    /// In the order of their spaces.
    pub tables: Vec<Table>,
    /// The topics that the task reads.
    pub topics: Vec<Arc<str>>,
    /// Where it keeps how far it is in each of them, if there are several.
    pub inputs: Space,
}

/// Where the tables were when they were written last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Offset that the state is at, as far as the logs say.
    pub next: Option<i64>,
    /// The same of each input, where a task with several has written.
    pub inputs: Option<Positions>,
    /// Number of the owner that wrote them.
    pub owner: u64,
    /// Offset that each log was read to.
    pub ends: BTreeMap<Arc<str>, i64>,
    /// Is something left out, or gone from a log meanwhile? Then the ends are no places to go on from.
    pub is_torn: bool,
}

/// Fills the store with the keys of `tables` as the task that reads `source` has written them, from `places` on.
/// Without those the store is to be empty. It gets no mark; what a crash has left of a last commit is left out.
///
/// # Errors
///
/// If a log cannot be read or the store not be written, and [`crate::error::Error::Stopped`] if the state is
/// not wanted any more.
pub fn keys(
    restore: &Restore<'_>,
    tables: &Tables,
    source: &TopicPartition,
    places: Option<&Places>,
) -> Result<Written> {
    let mut fill = Fill {
        restore,
        topics: &tables.topics,
        cuts: Cuts::default(),
        inputs: BTreeMap::new(),
        checked: Vec::new(),
        space: Space(0),
        waiting: Writes::default(),
        bytes: 0,
        held: Vec::new(),
        newest: i64::MIN,
        is_cut: false,
    };
    let mut ends = BTreeMap::new();
    let mut held = Vec::new();
    for table in &tables.tables {
        fill.space = table.space;
        fill.newest = i64::MIN;
        let log = TopicPartition::new(Arc::clone(&table.topic), source.partition);
        let from = places.and_then(|places| Some(places.logs.get(&table.topic)?.next));
        let end = restore.read(&log, from.unwrap_or(0), &mut |part| fill.take(&part))?;
        ends.insert(Arc::clone(&table.topic), end);
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
    let (next, owner) = (fill.cuts.next(), fill.cuts.owner());
    let inputs = next.and_then(|next| fill.inputs.remove(&next));
    let is_torn = torn.is_some() || fill.is_cut;
    Ok(Written { next, inputs, owner, ends, is_torn })
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
    topics: &'a [Arc<str>],
    cuts: Cuts,
    /// Where the inputs were at the two newest commits.
    inputs: BTreeMap<i64, Positions>,
    /// What was found in order last.
    checked: Vec<u8>,
    space: Space,
    waiting: Writes,
    bytes: usize,
    /// What the newest commit of this table has written: only a part of it may be there.
    held: Vec<Write>,
    newest: i64,
    /// Has a log lost what was to be read next?
    is_cut: bool,
}

impl Fill<'_> {
    fn take(&mut self, part: &Part<'_>) -> Result<()> {
        let records = match part {
            Part::Records(records) => records,
            Part::Truncated(..) => {
                self.is_cut = true;
                return Ok(());
            }
        };
        for i in 0..records.len() {
            let headers = records.headers(i);
            let is_ours = self.topics.iter().any(|topic| of_source(&headers, topic));
            self.check_inputs(is_ours, inputs_of(&headers))?;
            let Some(key) = records.key(i).filter(|_| is_ours) else { continue };
            let write = (key.to_vec(), records.value(i).map(<[u8]>::to_vec));
            match Cut::of(&headers) {
                Some(cut) => {
                    self.note_inputs(cut, &headers);
                    self.hold(cut, write)?;
                }
                None => self.put(write)?,
            }
        }
        Ok(())
    }

    /// What was written together with another topic is not gone on with alone.
    fn check_inputs(&mut self, is_ours: bool, inputs: Option<&[u8]>) -> Result<()> {
        let Some(bytes) = inputs.filter(|bytes| *bytes != self.checked) else { return Ok(()) };
        self.checked = bytes.to_vec();
        let Some(found) = Positions::of_bytes(bytes) else { return Ok(()) };
        let is_ours = is_ours || self.topics.iter().any(|topic| found.of(topic).is_some());
        match found.0.keys().find(|topic| is_ours && !self.topics.contains(topic)) {
            None => Ok(()),
            Some(topic) => Err(Error::State(format!(
                "the changelog was written by agents of {topic} too, and no such agent uses its table here. Run \
                 the program as it was, or give the table another name to begin it anew"
            ))),
        }
    }

    /// The newest commit may turn out to be torn: then it is the one before it that counts.
    fn note_inputs(&mut self, cut: Cut, headers: &[Header]) {
        if self.topics.len() == 1 || self.inputs.contains_key(&cut.next) {
            return;
        }
        // A task with one input, before it got others, says which it was.
        let single = || {
            let topic = self.topics.iter().find(|topic| of_source(headers, topic))?;
            Some(Positions([(Arc::clone(topic), cut.next)].into()))
        };
        let Some(found) = inputs_of(headers).and_then(Positions::of_bytes).or_else(single) else {
            return;
        };
        self.inputs.insert(cut.next, found);
        if self.inputs.len() > 2 {
            self.inputs.pop_first();
        }
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
