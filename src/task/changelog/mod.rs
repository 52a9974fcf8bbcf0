//! What a task writes of its state's changes to Kafka, so that another machine can have the state.
//!
//! Two forms: one record a commit, with all of its changes ([`Changelog::deltas`], for subscriptions), and one
//! record a changed key, for a compacted topic ([`Changelog::keys`], for tables).
//!
//! # Guarantees
//!
//! * Whatever bytes a topic has, reading them never panics, and never gives changes that were not written.
//! * No record is larger than [`MOST_BYTES`], however large a commit is; a single value of a table excepted.
//!
//! # Not here
//!
//! Producing the records: a transaction takes them with the outputs, otherwise they go out behind the outputs
//! and in front of the store's commit. Restoring: see `worker::opening`.

mod assembler;
mod cut;
mod frame;
mod places;
#[cfg(test)]
mod tests;

pub use assembler::{Assembler, Found};
pub use cut::{Cut, Cuts, inputs_of, of_source};
pub use frame::{Change, MOST_BYTES};
pub use places::{KEY as PLACES_KEY, Noting, Place, Places};

use crate::{
    error::Result,
    state::{Delta, Mark, Space, Writes},
    types::Header,
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// What the state was in front of the first commit that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// As of the offset that the commit begins at.
    Same,
    /// Empty: whoever restores begins with that, whatever the topic had before.
    Nothing,
    /// As of this offset: records up to the one that the commit begins at are left out on purpose.
    At(i64),
}

/// A record for the changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none removes the key.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// Where the records of a commit are in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The topic.
    pub topic: Arc<str>,
    /// Offset of the first of them.
    pub first: i64,
    /// Offset behind the last of them.
    pub next: i64,
    /// How many there are.
    pub count: i64,
}

/// Header of a commit: the id of the topic that its task reads.
const TOPIC_ID: &str = "turbine.topic-id";

/// The task that writes a changelog, or is restored from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The topic that it reads.
    pub topic: Arc<str>,
    /// Id of the topic, if it is known.
    pub id: Option<Arc<str>>,
}

impl From<&str> for Source {
    /// The topic of this name, whichever it is.
    fn from(topic: &str) -> Self {
        Self { topic: topic.into(), id: None }
    }
}

impl Source {
    /// Is a commit with these headers one about another topic, which had the same name before?
    #[must_use]
    pub fn is_foreign(&self, headers: &[Header]) -> bool {
        let said = headers.iter().find(|(name, _)| name == TOPIC_ID);
        let said = said.and_then(|(_, value)| value.as_deref());
        said.zip(self.id.as_deref()).is_some_and(|(said, id)| said != id.as_bytes())
    }

    fn headers(&self) -> Vec<Header> {
        let id = self.id.as_ref().map(|id| (TOPIC_ID.into(), Some(id.as_bytes().to_vec())));
        id.into_iter().collect()
    }
}

/// Makes records of the commits of one task.
#[derive(Clone, Debug)]
pub struct Changelog {
    partition: i32,
    form: Form,
    /// What the next commit begins with, until one took effect.
    origin: Arc<Mutex<Origin>>,
    noting: Option<Arc<Noting>>,
}

#[derive(Clone, Debug)]
enum Form {
    Deltas { topic: Arc<str>, source: Source, names: Arc<[Arc<str>]> },
    Keys { topics: Vec<(Space, Arc<str>)>, source: Arc<str>, owner: u32, inputs: Option<Space> },
}

impl Changelog {
    /// One record a commit, in `topic`, of the task that reads `partition` of `source`. The spaces are called
    /// `names`, in their order.
    #[must_use]
    pub fn deltas(topic: Arc<str>, source: Source, partition: i32, names: Arc<[Arc<str>]>) -> Self {
        Self::of(Form::Deltas { topic, source, names }, partition)
    }

    fn of(form: Form, partition: i32) -> Self {
        Self { partition, form, origin: Arc::new(Mutex::new(Origin::Same)), noting: None }
    }

    /// The state in front of the next commit is that of `origin`.
    pub fn begins_with(&self, origin: Origin) {
        *self.origin.lock() = origin;
    }

    /// The commit whose records were asked for last took effect: the next one follows it. Until then it may
    /// be tried again, and says the same. Offsets do not tell, for a commit may read nothing.
    pub fn settled(&self) {
        self.begins_with(Origin::Same);
    }

    /// One record a changed key, for each space in a topic of its own, of the task that reads `partition` of
    /// the topic `source`.
    #[must_use]
    pub fn keys(topics: Vec<(Space, Arc<str>)>, source: Arc<str>, partition: i32) -> Self {
        Self::of(Form::Keys { topics, source, owner: 0, inputs: None }, partition)
    }

    /// The same, written by the owner behind the one with number `before`. Numbers are seconds of the clock, or
    /// the next one, so that they grow from owner to owner. They tell commits apart that have the same offset,
    /// because they read nothing.
    #[must_use]
    pub fn owned_after(mut self, before: u64) -> Self {
        if let Form::Keys { owner, .. } = &mut self.form {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            *owner = u32::try_from(since.as_secs().max(before + 1)).unwrap_or(u32::MAX);
        }
        self
    }

    /// The number of the owner; 0 if it has none.
    #[must_use]
    pub fn owner(&self) -> u64 {
        match &self.form {
            Form::Keys { owner, .. } => u64::from(*owner),
            Form::Deltas { .. } => 0,
        }
    }

    /// The same, of a task with several inputs: where they are is in `space`.
    #[must_use]
    pub fn with_inputs(mut self, space: Space) -> Self {
        if let Form::Keys { inputs, .. } = &mut self.form {
            *inputs = Some(space);
        }
        self
    }

    /// The same, of a task that notes how far its logs are in its store.
    #[must_use]
    pub fn noting(mut self, noting: Arc<Noting>) -> Self {
        self.noting = Some(noting);
        self
    }

    /// What goes into the store with a commit whose records are `written`.
    #[must_use]
    pub fn note(&self, written: &[Written]) -> Option<(Space, Writes)> {
        self.noting.as_ref()?.note(written)
    }

    /// The records of a commit that takes the state from offset `from` to `mark`. Every commit has some in the
    /// first form, also one that changes nothing: whoever restores must see that none is missing.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Encode`] for changes of 4 GiB and more.
    pub fn records(&self, delta: &Delta, from: i64, mark: &Mark) -> Result<Vec<LogRecord>> {
        match &self.form {
            Form::Deltas { topic, source, names } => {
                let record = |value| LogRecord {
                    topic: Arc::clone(topic),
                    partition: self.partition,
                    key: Some(source.topic.as_bytes().to_vec()),
                    value: Some(value),
                    headers: source.headers(),
                };
                let from = match *self.origin.lock() {
                    Origin::Same => Some(from),
                    Origin::Nothing => None,
                    Origin::At(offset) => Some(offset),
                };
                let chunks = frame::encode(delta, names, from, mark)?;
                Ok(chunks.into_iter().map(record).collect())
            }
            Form::Keys { topics, source, owner, inputs } => {
                let mut records = self.of_keys(delta, topics);
                let inputs = inputs.and_then(|space| newest(delta, space));
                cut::label(&mut records, source, (mark.next, inputs), *owner);
                Ok(records)
            }
        }
    }

    fn of_keys(&self, delta: &Delta, topics: &[(Space, Arc<str>)]) -> Vec<LogRecord> {
        let mut records = Vec::new();
        for (space, topic) in topics {
            let changes = delta.0.iter().filter(|(at, _)| at == space);
            for (key, value) in last_of_each(changes.flat_map(|(_, writes)| &writes.0)) {
                records.push(LogRecord {
                    topic: Arc::clone(topic),
                    partition: self.partition,
                    key: Some(key.clone()),
                    value: value.clone(),
                    headers: Vec::new(),
                });
            }
        }
        records
    }
}

/// What a space of one key has behind `delta`.
fn newest(delta: &Delta, space: Space) -> Option<&[u8]> {
    let (_, writes) = delta.0.iter().find(|(at, _)| *at == space)?;
    writes.0.last()?.1.as_deref()
}

type Write = (Vec<u8>, Option<Vec<u8>>);

/// One entry a key: its last value, at the place of its first one.
fn last_of_each<'a>(
    writes: impl Iterator<Item = &'a Write>,
) -> Vec<(&'a Vec<u8>, &'a Option<Vec<u8>>)> {
    let mut places = std::collections::HashMap::new();
    let mut last: Vec<(&Vec<u8>, &Option<Vec<u8>>)> = Vec::new();
    for (key, value) in writes {
        let place = *places.entry(key).or_insert(last.len());
        match last.get_mut(place) {
            Some(entry) => entry.1 = value,
            None => last.push((key, value)),
        }
    }
    last
}
