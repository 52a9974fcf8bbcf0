//! Records on their way out, one by one or as the rows of a batch.

use crate::types::RecordExtras;
use bytes::Bytes;

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
