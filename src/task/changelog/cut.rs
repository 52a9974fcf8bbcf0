//! Which records of a table's changelog belong together.
//!
//! Outside of transactions a crash can leave a part of a commit in the log. So each record says in headers
//! what it is part of: `turbine.source`, the topic that the task reads, and `turbine.cut`, 24 bytes: `i64`
//! offset that the state is at afterwards, `u64` id of the attempt, whose upper half is the owner's number, `u32` number of the record, `u32` number
//! of records that the commit has in all topics together; little-endian. A task with several inputs adds
//! `turbine.inputs`, the offset of each of them, as [`crate::engine::inputs`] writes it.

use super::LogRecord;
use crate::types::Header;
use std::collections::{BTreeMap, BTreeSet};

const SOURCE: &str = "turbine.source";
const CUT: &str = "turbine.cut";
const INPUTS: &str = "turbine.inputs";

/// What a record says of the commit that it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Offset that the state is at afterwards.
    pub next: i64,
    attempt: u64,
    index: u32,
    count: u32,
}

impl Cut {
    /// Reads the headers of a record; none if nothing of the kind is there.
    #[must_use]
    pub fn of(headers: &[Header]) -> Option<Self> {
        let bytes = &mut value(headers, CUT)?;
        let cut = Self {
            next: i64::from_le_bytes(take(bytes)?),
            attempt: u64::from_le_bytes(take(bytes)?),
            index: u32::from_le_bytes(take(bytes)?),
            count: u32::from_le_bytes(take(bytes)?),
        };
        (bytes.is_empty() && cut.index < cut.count).then_some(cut)
    }

    /// Number of the owner that wrote it: larger than those of the owners before it; 0 if it has none.
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.attempt >> 32
    }

    fn header(self) -> Header {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&self.attempt.to_le_bytes());
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        (CUT.into(), Some(bytes))
    }
}

/// Is this a record of the task that reads `topic`? One that does not say is everybody's.
#[must_use]
pub fn of_source(headers: &[Header], topic: &str) -> bool {
    value(headers, SOURCE).is_none_or(|source| source == topic.as_bytes())
}

/// Where each input of the task is behind the commit, if it has several and the record says so.
#[must_use]
pub fn inputs_of(headers: &[Header]) -> Option<&[u8]> {
    value(headers, INPUTS)
}

/// Adds the headers to the records of one commit.
pub(super) fn label(
    records: &mut [LogRecord],
    source: &str,
    (next, inputs): (i64, Option<&[u8]>),
    owner: u32,
) {
    let attempt = u64::from(owner) << 32 | uuid::Uuid::new_v4().as_u64_pair().0 >> 32;
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    for (index, record) in (0..).zip(records) {
        let cut = Cut { next, attempt, index, count };
        record.headers = vec![(SOURCE.into(), Some(source.as_bytes().to_vec())), cut.header()];
        record.headers.extend(inputs.map(|inputs| (INPUTS.into(), Some(inputs.to_vec()))));
    }
}

fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(known, _)| known == name)?.1.as_deref()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

/// Finds out, over all topics of a task, up to which commit they are complete.
#[derive(Debug, Default)]
pub struct Cuts {
    newest: Option<i64>,
    before: Option<i64>,
    /// Numbers seen of each attempt at the newest one.
    seen: BTreeMap<u64, BTreeSet<u32>>,
    is_complete: bool,
    /// The last owner at the newest one.
    owner: u64,
}

impl Cuts {
    /// Takes the next record, of whichever topic. Of the newest commit compaction removes nothing, for no newer
    /// record is behind it.
    pub fn take(&mut self, cut: Cut) {
        match self.newest {
            Some(newest) if cut.next < newest => {
                self.before = self.before.max(Some(cut.next));
                return;
            }
            Some(newest) if cut.next == newest => {}
            newest => {
                self.before = newest;
                self.newest = Some(cut.next);
                self.seen.clear();
                self.is_complete = false;
                self.owner = 0;
            }
        }
        self.owner = self.owner.max(cut.owner());
        let seen = self.seen.entry(cut.attempt).or_default();
        seen.insert(cut.index);
        self.is_complete |= u32::try_from(seen.len()).is_ok_and(|seen| seen == cut.count);
    }

    /// The newest commit, if only a part of it is there.
    #[must_use]
    pub fn torn(&self) -> Option<i64> {
        self.newest.filter(|_| !self.is_complete)
    }

    /// Number of the owner that the state is of; 0 if it is not known.
    #[must_use]
    pub fn owner(&self) -> u64 {
        if self.is_complete { self.owner } else { 0 }
    }

    /// Offset that the state is at with all commits but a torn one.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        if self.is_complete { self.newest } else { self.before }
    }
}
