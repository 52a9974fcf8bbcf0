//! The 61-byte header of a record batch (magic 2), as it stands on the wire and in the log.
//!
//! A batch is stored and served as the client sent it. Base offset and leader epoch are in front of
//! the checksummed part, so the log fills them in without touching anything else.

use super::marker::{self, Outcome};
use bytes::Bytes;

/// Bytes of a batch in front of its records.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes in front of the part that the length field counts.
const LENGTH_END: usize = 12;
/// Where the checksummed part starts.
const CRC_END: usize = 21;

const ATTR_LOG_APPEND_TIME: i16 = 0x08;
pub(super) const ATTR_TRANSACTIONAL: i16 = 0x10;
pub(super) const ATTR_CONTROL: i16 = 0x20;
pub(super) const ATTR_DELETE_HORIZON: i16 = 0x40;

/// What is wrong with bytes that should be one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    /// The bytes end inside the batch.
    #[error("the batch is cut short")]
    Short,
    /// A message set of an older format.
    #[error("record format {0} is not supported, only 2 is")]
    Magic(i8),
    /// The length field cannot be true.
    #[error("the batch says it has {0} bytes")]
    Length(i32),
    /// The checksum does not match.
    #[error("the checksum of the batch does not match")]
    Crc,
    /// Counts of the header contradict each other.
    #[error("the batch says {records} records but a last offset delta of {last_delta}")]
    Counts {
        /// Number of records.
        records: i32,
        /// Offset of the last record, counted from the first.
        last_delta: i32,
    },
    /// More than one batch, or bytes behind it.
    #[error("{0} bytes follow the batch")]
    Trailing(usize),
    /// Producer id, epoch and sequence do not belong together, or a client sent a control batch.
    #[error("{0}")]
    Fields(&'static str),
}

/// Whose clock wrote the timestamps of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampType {
    /// The producer's.
    Create,
    /// The broker's; every record of the batch has the batch's timestamp.
    LogAppend,
}

/// The header fields that the broker looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Offset of the first record.
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub(crate) bytes: usize,
    /// Epoch of the leader that appended it; of no meaning in a batch from a client.
    pub(crate) leader_epoch: i32,
    /// Compression codec (low three bits) and flags.
    pub(crate) attributes: i16,
    /// Offset of the last record, counted from the first.
    pub(crate) last_delta: i32,
    /// Timestamp that the records' deltas start from, in ms.
    pub(crate) base_timestamp_ms: i64,
    /// Largest timestamp in the batch, in ms.
    pub(crate) max_timestamp_ms: i64,
    /// Producer id; -1 for a producer without idempotence.
    pub(crate) producer_id: i64,
    /// Epoch of the producer id.
    pub(crate) producer_epoch: i16,
    /// Sequence number of the first record.
    pub(crate) base_sequence: i32,
    /// Number of records.
    pub(crate) records: i32,
    /// How a transaction ends with this batch, if it is a whole marker.
    pub(crate) outcome: Option<Outcome>,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which may go on behind the batch.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Short);
        }
        let magic = bytes[16].cast_signed();
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let length = i32::from_be_bytes(at(bytes, 8));
        let total = usize::try_from(length).unwrap_or(0) + LENGTH_END;
        if length < 0 || total < HEADER_BYTES {
            return Err(BatchError::Length(length));
        }
        let attributes = i16::from_be_bytes(at(bytes, 21));
        let is_control = attributes & ATTR_CONTROL != 0;
        Ok(Self {
            base_offset: i64::from_be_bytes(at(bytes, 0)),
            bytes: total,
            leader_epoch: i32::from_be_bytes(at(bytes, 12)),
            attributes,
            last_delta: i32::from_be_bytes(at(bytes, 23)),
            base_timestamp_ms: i64::from_be_bytes(at(bytes, 27)),
            max_timestamp_ms: i64::from_be_bytes(at(bytes, 35)),
            producer_id: i64::from_be_bytes(at(bytes, 43)),
            producer_epoch: i16::from_be_bytes(at(bytes, 51)),
            base_sequence: i32::from_be_bytes(at(bytes, 53)),
            records: i32::from_be_bytes(at(bytes, 57)),
            outcome: if is_control { marker::outcome(bytes) } else { None },
        })
    }

    /// Reads the header and checks length and checksum of the batch at the front of `bytes`.
    pub(crate) fn check(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        if header.bytes > bytes.len() {
            return Err(BatchError::Short);
        }
        let crc = u32::from_be_bytes(at(bytes, 17));
        if crc32c::crc32c(&bytes[CRC_END..header.bytes]) != crc {
            return Err(BatchError::Crc);
        }
        Ok(header)
    }

    /// Offset of the last record.
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_delta)
    }

    /// Sequence number of the last record; sequence numbers wrap to 0 behind `i32::MAX`.
    pub(crate) fn last_sequence(&self) -> i32 {
        add_sequence(self.base_sequence, self.last_delta)
    }

    /// When tombstones of the batch, or the marker that it is, may go; `None` as long as no
    /// compaction has seen them.
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & ATTR_DELETE_HORIZON != 0).then_some(self.base_timestamp_ms)
    }

    /// Number of the compression codec.
    pub(crate) fn codec(&self) -> i16 {
        self.attributes & 0x07
    }

    /// Whose clock wrote the timestamps.
    pub(crate) fn timestamp_type(&self) -> TimestampType {
        if self.attributes & ATTR_LOG_APPEND_TIME != 0 {
            TimestampType::LogAppend
        } else {
            TimestampType::Create
        }
    }

    /// True for a batch of a transaction.
    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & ATTR_TRANSACTIONAL != 0
    }

    /// True for a marker that ends a transaction.
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & ATTR_CONTROL != 0
    }
}

/// Exactly one batch as a producer may send it, checked.
#[derive(Clone, Debug)]
pub(crate) struct ProducedBatch {
    /// The batch, as sent.
    pub(crate) bytes: Bytes,
    /// Its header.
    pub(crate) header: BatchHeader,
}

impl ProducedBatch {
    /// Checks the records field of a produce request.
    pub(crate) fn new(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::check(&bytes)?;
        if bytes.len() > header.bytes {
            return Err(BatchError::Trailing(bytes.len() - header.bytes));
        }
        if header.records <= 0 || header.last_delta != header.records - 1 {
            let BatchHeader { records, last_delta, .. } = header;
            return Err(BatchError::Counts { records, last_delta });
        }
        if header.is_control() {
            return Err(BatchError::Fields("clients may not write control batches"));
        }
        if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(BatchError::Fields("a producer id needs an epoch and a sequence number"));
        }
        if header.is_transactional() && header.producer_id < 0 {
            return Err(BatchError::Fields("a transaction needs a producer id"));
        }
        Ok(Self { bytes, header })
    }
}

/// Writes offset and leader epoch into a batch; its checksum does not cover them.
pub(crate) fn set_position(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Gives every record of a batch the timestamp `now_ms` and renews the checksum.
pub(crate) fn set_log_append_time(batch: &mut [u8], now_ms: i64) {
    let attributes = i16::from_be_bytes(at(batch, 21)) | ATTR_LOG_APPEND_TIME;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&now_ms.to_be_bytes());
    seal(batch);
}

/// Writes length and checksum of a batch that is otherwise complete.
pub(super) fn seal(batch: &mut [u8]) {
    let length = (batch.len() - LENGTH_END) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_END..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// `sequence + delta` in the numbers 0 to `i32::MAX`, which wrap to 0.
pub(crate) fn add_sequence(sequence: i32, delta: i32) -> i32 {
    sequence.wrapping_add(delta) & i32::MAX
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    bytes[from..from + N].try_into().expect("the slice has N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::testing::BatchBuilder;
    use proptest::prelude::*;

    #[test]
    fn a_built_batch_is_read_back() {
        let bytes = BatchBuilder::new(3).producer(7, 2, 11).first_timestamp(1_000).build();
        let batch = ProducedBatch::new(bytes.clone()).unwrap();
        assert_eq!(batch.header.bytes, bytes.len());
        assert_eq!(batch.header.records, 3);
        assert_eq!(batch.header.last_sequence(), 13);
        assert_eq!(batch.header.max_timestamp_ms, 1_002);
        assert!(!batch.header.is_transactional());
    }

    #[test]
    fn offset_and_epoch_are_outside_the_checksum() {
        let mut bytes = BatchBuilder::new(2).build().to_vec();
        set_position(&mut bytes, 41, 5);
        let header = BatchHeader::check(&bytes).unwrap();
        assert_eq!((header.base_offset, header.last_offset()), (41, 42));
        assert_eq!(header.leader_epoch, 5);
    }

    #[test]
    fn log_append_time_keeps_the_checksum_true() {
        let mut bytes = BatchBuilder::new(2).build().to_vec();
        set_log_append_time(&mut bytes, 99);
        let header = BatchHeader::check(&bytes).unwrap();
        assert_eq!(header.max_timestamp_ms, 99);
        assert_eq!(header.timestamp_type(), TimestampType::LogAppend);
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        assert_eq!(add_sequence(i32::MAX, 1), 0);
        assert_eq!(add_sequence(i32::MAX - 1, 3), 1);
    }

    #[test]
    fn each_defect_has_its_own_answer() {
        let good = BatchBuilder::new(1).build();
        let mut old = good.to_vec();
        old[16] = 1;
        assert_eq!(ProducedBatch::new(old.into()).unwrap_err(), BatchError::Magic(1));
        let mut flipped = good.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(ProducedBatch::new(flipped.into()).unwrap_err(), BatchError::Crc);
        let twice = [&good[..], &good[..]].concat();
        assert_eq!(ProducedBatch::new(twice.into()).unwrap_err(), BatchError::Trailing(good.len()));
        assert_eq!(ProducedBatch::new(good.slice(..70)).unwrap_err(), BatchError::Short);
        let none = BatchBuilder::new(0).build();
        assert!(matches!(ProducedBatch::new(none).unwrap_err(), BatchError::Counts { .. }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ProducedBatch::new(bytes.into());
        }

        #[test]
        fn any_flipped_bit_behind_the_epoch_is_noticed(
            records in 1usize..5, bit in 0usize..8, place in 0usize..1_000,
        ) {
            let mut bytes = BatchBuilder::new(records).build().to_vec();
            let place = 16 + place % (bytes.len() - 16);
            bytes[place] ^= 1 << bit;
            prop_assert!(ProducedBatch::new(bytes.into()).is_err());
        }
    }
}
