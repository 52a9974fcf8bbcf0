//! Looks into a batch: offset, timestamp and key of each record, and whether it has a value.

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
    let is_whole = header.records == header.last_delta.wrapping_add(1);
    if header.timestamp_type() == TimestampType::LogAppend && is_whole {
        let offset = header.base_offset.max(from);
        let first = RecordTime { offset, timestamp_ms: header.max_timestamp_ms };
        return Ok((header.max_timestamp_ms >= timestamp_ms).then_some(first));
    }
    for record in records(&header, &open(&header, batch)?) {
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
    for (record, number) in records(&header, &open(&header, batch)?).zip(0..) {
        if record?.key.is_none() {
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

/// A record of an opened batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Where and when.
    pub(super) time: RecordTime,
    /// Flags, of which there are none yet.
    pub(super) attributes: u8,
    /// Its key.
    pub(super) key: Option<&'a [u8]>,
    /// True if it has no value: it says that its key is gone.
    pub(super) is_tombstone: bool,
    /// Key, value and headers as they stand there.
    pub(super) rest: &'a [u8],
}

/// The records of a batch whose opened records are `opened`.
pub(super) fn records<'a>(header: &BatchHeader, opened: &'a [u8]) -> Records<'a> {
    Records { header: *header, rest: opened, left: header.records }
}

/// The records of one opened batch, in offset order.
pub(super) struct Records<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    left: i32,
}

impl<'a> Records<'a> {
    /// A record: length, attributes (1 byte), timestamp delta, offset delta, key, value, headers.
    fn read(&mut self) -> Option<Record<'a>> {
        let length = usize::try_from(varint(&mut self.rest)?).ok()?;
        let (mut body, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let (&attributes, after) = body.split_first()?;
        body = after;
        let delta_ms = varint(&mut body)?;
        let timestamp_ms = match self.header.timestamp_type() {
            TimestampType::Create => self.header.base_timestamp_ms.wrapping_add(delta_ms),
            TimestampType::LogAppend => self.header.max_timestamp_ms,
        };
        let offset = self.header.base_offset.wrapping_add(varint(&mut body)?);
        let rest = body;
        let key = match usize::try_from(varint(&mut body)?) {
            Ok(length) => {
                let (key, after) = body.split_at_checked(length)?;
                body = after;
                Some(key)
            }
            Err(_) => None,
        };
        let is_tombstone = varint(&mut body)? < 0;
        let time = RecordTime { offset, timestamp_ms };
        Some(Record { time, attributes, key, is_tombstone, rest })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = io::Result<Record<'a>>;

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

/// Appends a zigzag varint.
pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
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
            put_varint(&mut bytes, value);
            prop_assert_eq!(varint(&mut &bytes[..]), Some(value));
        }
    }
}
