//! The batch that ends a transaction in a partition: one control record.
//!
//! ```text
//! key    version (int16) = 0, type (int16): 0 abort, 1 commit
//! value  version (int16) = 0, coordinator epoch (int32)
//! ```

use super::{
    batch::{
        ATTR_CONTROL, ATTR_TRANSACTIONAL, HEADER_BYTES, TimestampType, seal, set_log_append_time,
    },
    record::varint,
};
use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

/// Epoch of the one coordinator that there ever is.
pub(crate) const COORDINATOR_EPOCH: i32 = 0;

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Its records and offsets never count.
    Abort,
    /// Its records and offsets count.
    Commit,
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Whose transaction ends.
    pub(crate) producer_id: i64,
    /// Epoch that the partition accepts from then on; older ones are fenced.
    pub(crate) producer_epoch: i16,
    /// How it ends.
    pub(crate) outcome: Outcome,
}

impl Marker {
    /// The batch, with `now_ms` as its time, marked as the others of the topic are.
    pub(super) fn build(self, timestamps: TimestampType, now_ms: i64) -> BytesMut {
        let mut key_and_value = BytesMut::new();
        key_and_value.put_i16(0);
        key_and_value.put_i16(match self.outcome {
            Outcome::Abort => 0,
            Outcome::Commit => 1,
        });
        // Zigzag varints: 6 stands as 12.
        key_and_value.put_u8(12);
        key_and_value.put_i16(0);
        key_and_value.put_i32(COORDINATOR_EPOCH);
        let mut record = BytesMut::new();
        record.put_slice(&[0, 0, 0, 8]);
        record.put_slice(&key_and_value);
        record.put_u8(0);
        let mut batch = BytesMut::new();
        batch.put_bytes(0, 16);
        batch.put_i8(2);
        batch.put_u32(0);
        batch.put_i16(ATTR_TRANSACTIONAL | ATTR_CONTROL);
        batch.put_i32(0);
        batch.put_i64(now_ms);
        batch.put_i64(now_ms);
        batch.put_i64(self.producer_id);
        batch.put_i16(self.producer_epoch);
        batch.put_i32(-1);
        batch.put_i32(1);
        batch.put_u8((record.len() * 2) as u8);
        batch.put_slice(&record);
        match timestamps {
            TimestampType::Create => seal(&mut batch),
            TimestampType::LogAppend => set_log_append_time(&mut batch, now_ms),
        }
        batch
    }
}

/// How the transaction ends that the control batch in front of `bytes` belongs to; `None` if it is
/// another kind of control batch, or its record is not there.
pub(super) fn outcome(bytes: &[u8]) -> Option<Outcome> {
    let mut record = bytes.get(HEADER_BYTES..)?;
    varint(&mut record)?;
    record = record.get(1..)?;
    // Two deltas, which compaction may make longer, and the length of the key.
    for _ in 0..3 {
        varint(&mut record)?;
    }
    match record.get(..4)? {
        [0, 0, 0, 0] => Some(Outcome::Abort),
        [0, 0, 0, 1] => Some(Outcome::Commit),
        _ => None,
    }
}

/// The batch, for tests of other modules.
#[cfg(test)]
pub(crate) fn build(marker: Marker, now_ms: i64) -> bytes::Bytes {
    marker.build(TimestampType::Create, now_ms).freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::BatchHeader;

    #[test]
    fn a_marker_is_a_control_batch_of_one_record_as_kafka_writes_it() {
        for outcome in [Outcome::Abort, Outcome::Commit] {
            let marker = Marker { producer_id: 7, producer_epoch: 3, outcome };
            let bytes = build(marker, 99);
            assert_eq!(bytes.len(), 78, "as long as Apache Kafka's");
            let header = BatchHeader::check(&bytes).unwrap();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch), (7, 3));
            assert_eq!((header.base_sequence, header.records, header.last_delta), (-1, 1, 0));
            assert_eq!((header.base_timestamp_ms, header.max_timestamp_ms), (99, 99));
            assert_eq!(header.outcome, Some(outcome));
            assert_eq!(header.bytes, bytes.len());
        }
    }
}
