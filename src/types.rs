//! Words that every layer shares.

use std::{fmt, sync::Arc};

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// A header of a record: name and value; a value may be null.
pub type Header = (String, Option<Vec<u8>>);

/// Consecutive records of one partition, in offset order, however they are held.
///
/// The decoder reads records through this, so that it can work on the client library's own
/// memory without a copy and on plain vectors in tests.
pub trait Records: Send + Sync {
    /// Number of records.
    fn len(&self) -> usize;
    /// Value of record `i`; `None` is a tombstone.
    fn value(&self, i: usize) -> Option<&[u8]>;
    /// Key of record `i`.
    fn key(&self, i: usize) -> Option<&[u8]>;
    /// Offset of record `i`.
    fn offset(&self, i: usize) -> i64;
    /// Timestamp of record `i`, in ms since the Unix epoch; -1 if it has none.
    fn timestamp_ms(&self, i: usize) -> i64;
    /// Headers of record `i`, in their order; a name may repeat.
    fn headers(&self, i: usize) -> Vec<Header>;
    /// True without records.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An owned record, as tests and dead letters use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Key, if any.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<Header>,
    /// Offset in its partition.
    pub offset: i64,
    /// ms since the Unix epoch; -1 if it has none.
    pub timestamp_ms: i64,
}

impl Records for Vec<OwnedRecord> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }
    fn value(&self, i: usize) -> Option<&[u8]> {
        self[i].value.as_deref()
    }
    fn key(&self, i: usize) -> Option<&[u8]> {
        self[i].key.as_deref()
    }
    fn offset(&self, i: usize) -> i64 {
        self[i].offset
    }
    fn timestamp_ms(&self, i: usize) -> i64 {
        self[i].timestamp_ms
    }
    fn headers(&self, i: usize) -> Vec<Header> {
        self[i].headers.clone()
    }
}
