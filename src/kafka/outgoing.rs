//! Records on their way out, one by one or as the rows of a batch.

use crate::types::RecordExtras;
use bytes::Bytes;
use std::ops::Range;

/// One record to send.
#[derive(Clone, Debug, Default)]
pub struct Outgoing<'a> {
    /// Key, if any.
    pub key: Option<&'a [u8]>,
    /// Value; `None` writes a tombstone.
    pub value: Option<&'a [u8]>,
    /// Partition; `None` lets the key choose.
    pub partition: Option<i32>,
    /// ms since the Unix epoch; `None` is now.
    pub timestamp_ms: Option<i64>,
    /// Headers in order.
    pub headers: &'a [(String, Option<Vec<u8>>)],
}

/// What a record takes on the wire beside its key, its value and its headers, at most.
const WIRE_BYTES: usize = 12;

/// How much goes to the client library at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bytes on the wire.
    pub bytes: usize,
    /// Records.
    pub records: usize,
}

impl Load {
    /// Takes a record with so many bytes of key and value; false, and nothing taken, if there is no room for it.
    pub fn take(&mut self, bytes: usize) -> bool {
        let left = self.bytes.checked_sub(bytes.saturating_add(WIRE_BYTES));
        let (Some(left), Some(records)) = (left, self.records.checked_sub(1)) else { return false };
        (self.bytes, self.records) = (left, records);
        true
    }
}

/// Encoded rows, which may be sent more than once: value `i` is `bytes[ends[i-1]..ends[i]]`, key `i` a range of `key_bytes`.
#[derive(Debug, Default)]
pub struct Rows {
    /// All values, one behind the other.
    pub bytes: Bytes,
    /// End of each value.
    pub ends: Vec<usize>,
    /// All keys.
    pub key_bytes: Vec<u8>,
    /// Range of each key; empty if no row has one.
    pub keys: Vec<Option<(usize, usize)>>,
    /// Headers and the like; empty as a rule.
    pub extras: RecordExtras,
}

impl Rows {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of the values and keys of the rows `which`.
    #[must_use]
    pub fn size_of(&self, which: Range<usize>) -> usize {
        let end = |i: usize| i.checked_sub(1).map_or(0, |before| self.ends[before]);
        let keys = self.keys.get(which.clone()).unwrap_or_default();
        let keys: usize = keys.iter().flatten().map(|(from, to)| to - from).sum();
        end(which.end) - end(which.start) + keys
    }
}
