//! Looks into a batch: offset and timestamp of each record, and whether it has a key.

use super::{
    batch::{BatchHeader, HEADER_BYTES, TimestampType},
    compression,
};
use std::{borrow::Cow, io};

/// Where a record is and when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordTime {
    /// Offset of the record.
    pub(crate) offset: i64,
    /// Its timestamp, in ms since the Unix epoch.
    pub(crate) timestamp_ms: i64,
}

/// The first record of `batch` with an offset of at least `from` and a timestamp of at least
/// `timestamp_ms`.
pub(crate) fn first_since(
    batch: &[u8],
    timestamp_ms: i64,
    from: i64,
) -> io::Result<Option<RecordTime>> {
    let header = parse(batch)?;
    if header.timestamp_type() == TimestampType::LogAppend {
        let offset = header.base_offset.max(from);
        let first = RecordTime { offset, timestamp_ms: header.max_timestamp_ms };
        return Ok((header.max_timestamp_ms >= timestamp_ms).then_some(first));
    }
    for record in (Records { header, rest: &open(&header, batch)?, left: header.records }) {
        let time = record?.time;
        if time.timestamp_ms >= timestamp_ms && time.offset >= from {
            return Ok(Some(time));
        }
    }
    Ok(None)
}

/// Which records of `batch`, counted from 0, have no key.
pub(crate) fn without_key(batch: &[u8]) -> io::Result<Vec<i32>> {
    let header = parse(batch)?;
    let mut found = Vec::new();
    let records = Records { header, rest: &open(&header, batch)?, left: header.records };
    for (record, number) in records.zip(0..) {
        if !record?.has_key {
            found.push(number);
        }
    }
    Ok(found)
}

/// The header of a batch.
pub(super) fn parse(batch: &[u8]) -> io::Result<BatchHeader> {
    BatchHeader::parse(batch).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))
}

/// The records of a batch, unpacked.
pub(super) fn open<'a>(header: &BatchHeader, batch: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
    let packed = batch.get(HEADER_BYTES..header.bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
    match header.codec() {
        0 => Ok(packed.into()),
        codec => compression::open(codec, packed).map(Cow::Owned),
    }
}

/// What there is to know of a record.
struct Record {
    time: RecordTime,
    has_key: bool,
}

/// The records of one opened batch, in offset order.
struct Records<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    left: i32,
}

impl Records<'_> {
    /// A record: length, attributes (1 byte), timestamp delta, offset delta, key, value, headers.
    fn read(&mut self) -> Option<Record> {
        let length = usize::try_from(varint(&mut self.rest)?).ok()?;
        let (mut body, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        body = body.get(1..)?;
        let timestamp_ms = self.header.base_timestamp_ms.wrapping_add(varint(&mut body)?);
        let offset = self.header.base_offset.wrapping_add(varint(&mut body)?);
        let has_key = varint(&mut body)? >= 0;
        Some(Record { time: RecordTime { offset, timestamp_ms }, has_key })
    }
}

impl Iterator for Records<'_> {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.read();
        if record.is_none() {
            self.left = 0;
        }
        Some(record.ok_or_else(|| io::ErrorKind::InvalidData.into()))
    }
}

/// Takes a zigzag varint of up to ten bytes.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::{batch::set_log_append_time, testing::BatchBuilder};
    use proptest::prelude::*;

    #[test]
    fn the_first_record_late_enough_is_found_in_every_codec() {
        for codec in [0, 1, 4] {
            let bytes =
                BatchBuilder::new(10).at_offset(100).first_timestamp(5_000).codec(codec).build();
            let found = first_since(&bytes, 5_004, 0).unwrap();
            assert_eq!(found, Some(RecordTime { offset: 104, timestamp_ms: 5_004 }));
            assert_eq!(first_since(&bytes, 0, 0).unwrap().unwrap().offset, 100);
            assert_eq!(first_since(&bytes, 5_010, 0).unwrap(), None);
        }
    }

    #[test]
    fn records_out_of_order_are_found_in_offset_order() {
        let bytes = BatchBuilder::with_timestamps(&[50, 10, 70, 70, 20]).build();
        let offset = |ts| first_since(&bytes, ts, 0).unwrap().map(|r| r.offset);
        assert_eq!(offset(10), Some(0));
        assert_eq!(offset(60), Some(2));
        assert_eq!(offset(71), None);
    }

    #[test]
    fn log_append_time_is_the_time_of_every_record() {
        let mut bytes = BatchBuilder::new(3).at_offset(7).build().to_vec();
        set_log_append_time(&mut bytes, 900);
        let first = RecordTime { offset: 7, timestamp_ms: 900 };
        assert_eq!(first_since(&bytes, 900, 0).unwrap(), Some(first));
        assert_eq!(first_since(&bytes, 901, 0).unwrap(), None);
    }

    #[test]
    fn records_without_a_key_are_counted_from_the_first() {
        for codec in [0, 1] {
            let keyless = BatchBuilder::new(3).codec(codec).build();
            assert_eq!(without_key(&keyless).unwrap(), [0, 1, 2]);
            let keyed = BatchBuilder::new(3).codec(codec).key(b"k").build();
            assert!(without_key(&keyed).unwrap().is_empty());
        }
    }

    proptest! {
        #[test]
        fn damaged_records_are_an_error_not_a_panic(
            place in 0usize..500, with in any::<u8>(), codec in prop_oneof![Just(0), Just(1)],
        ) {
            let mut bytes = BatchBuilder::new(20).codec(codec).build().to_vec();
            let place = HEADER_BYTES + place % (bytes.len() - HEADER_BYTES);
            bytes[place] = with;
            let _ = first_since(&bytes, i64::MAX, 0);
            let _ = without_key(&bytes);
        }

        #[test]
        fn varints_are_read_back(value in any::<i64>()) {
            let mut bytes = Vec::new();
            crate::broker::log::testing::put_varint(&mut bytes, value);
            prop_assert_eq!(varint(&mut &bytes[..]), Some(value));
        }
    }
}
