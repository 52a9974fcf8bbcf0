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

/// What records on their way out have beside keys and values. Each list has one entry a record, or
/// none at all if no record has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordExtras {
    /// Explicit partitions; none lets the key choose.
    pub partitions: Vec<Option<i32>>,
    /// ms since the Unix epoch; none is now.
    pub timestamps_ms: Vec<Option<i64>>,
    /// Headers in order.
    pub headers: Vec<Vec<Header>>,
    /// Which records are tombstones, whatever their value.
    pub tombstones: Vec<bool>,
}

impl RecordExtras {
    /// True if no record has anything: the fast case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
            && self.timestamps_ms.is_empty()
            && self.headers.is_empty()
            && self.tombstones.is_empty()
    }

    /// Explicit partition of record `i`.
    #[must_use]
    pub fn partition(&self, i: usize) -> Option<i32> {
        self.partitions.get(i).copied().flatten()
    }

    /// Timestamp of record `i`, in ms.
    #[must_use]
    pub fn timestamp_ms(&self, i: usize) -> Option<i64> {
        self.timestamps_ms.get(i).copied().flatten()
    }

    /// Headers of record `i`.
    #[must_use]
    pub fn headers(&self, i: usize) -> &[Header] {
        self.headers.get(i).map_or(&[], Vec::as_slice)
    }

    /// Is record `i` a tombstone?
    #[must_use]
    pub fn is_tombstone(&self, i: usize) -> bool {
        self.tombstones.get(i).copied().unwrap_or(false)
    }
}

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

/// Kafka's hash of a key (32-bit `MurmurHash2` with Kafka's seed), with the sign bit cleared.
///
/// Source: Austin Appleby's `MurmurHash2`; the seed and the mask are those of Kafka's standard
/// partitioner, so `murmur2(key) % partitions` is the partition that it chooses.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(key.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that Apache Kafka's own tests pin, with the sign bit cleared.
    #[test]
    fn murmur2_is_kafkas() {
        let cases: [(&[u8], i32); 5] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key), hash.cast_unsigned() & 0x7fff_ffff, "{key:?}");
        }
    }
}
