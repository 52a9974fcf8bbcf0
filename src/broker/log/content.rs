//! What is in the records of a batch: keys, values and headers.

use super::{
    batch::{BatchHeader, TimestampType},
    record::{open, parse, varint},
};
use std::io;

/// A header of a record.
pub(crate) type RecordHeader = (String, Option<Vec<u8>>);

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its offset.
    pub(crate) offset: i64,
    /// Its timestamp, in ms since the Unix epoch.
    pub(crate) timestamp_ms: i64,
    /// Its key, if it has one.
    pub(crate) key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    /// Its headers.
    pub(crate) headers: Vec<RecordHeader>,
}

/// The records of the first batch in `bytes`.
pub(crate) fn contents(bytes: &[u8]) -> io::Result<Vec<Content>> {
    let header = parse(bytes)?;
    let opened = open(&header, bytes)?;
    let mut rest = &opened[..];
    let mut found = Vec::new();
    for _ in 0..header.records {
        let record = record(&header, &mut rest);
        found.push(record.ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(found)
}

/// A record: length, attributes (1 byte), timestamp delta, offset delta, key, value, headers.
fn record(batch: &BatchHeader, rest: &mut &[u8]) -> Option<Content> {
    let mut body = take(rest)??;
    body = body.get(1..)?;
    let written_ms = batch.base_timestamp_ms.wrapping_add(varint(&mut body)?);
    let timestamp_ms = match batch.timestamp_type() {
        TimestampType::LogAppend => batch.max_timestamp_ms,
        TimestampType::Create => written_ms,
    };
    let offset = batch.base_offset.wrapping_add(varint(&mut body)?);
    let key = take(&mut body)?.map(<[u8]>::to_vec);
    let value = take(&mut body)?.map(<[u8]>::to_vec);
    let mut headers = Vec::new();
    for _ in 0..varint(&mut body)? {
        let name = String::from_utf8_lossy(take(&mut body)??).into_owned();
        headers.push((name, take(&mut body)?.map(<[u8]>::to_vec)));
    }
    Some(Content { offset, timestamp_ms, key, value, headers })
}

/// Bytes with their length in front; the inner none is no bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(varint(rest)?) else { return Some(None) };
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::{
        batch::{HEADER_BYTES, set_log_append_time},
        testing::BatchBuilder,
    };
    use proptest::prelude::*;

    #[test]
    fn records_are_read_in_every_codec() {
        for codec in [0, 1, 4] {
            let builder = BatchBuilder::new(3).at_offset(100).first_timestamp(5_000);
            let mut bytes = builder.codec(codec).key(b"k").build().to_vec();
            let found = contents(&bytes).unwrap();
            let places: Vec<_> = found.iter().map(|r| (r.offset, r.timestamp_ms)).collect();
            assert_eq!(places, [(100, 5_000), (101, 5_001), (102, 5_002)]);
            assert!(found.iter().all(|r| r.key.as_deref() == Some(b"k") && r.value.is_some()));
            set_log_append_time(&mut bytes, 900);
            assert!(contents(&bytes).unwrap().iter().all(|r| r.timestamp_ms == 900));
        }
    }

    #[test]
    fn keys_values_and_headers_may_be_missing_and_empty() {
        // No key, a value of two bytes, the headers "a" without a value and "b" with an empty one.
        // Numbers are doubled; odd ones are negative.
        let fields = [0, 0, 0, 1, 4, b'v', b'w', 4, 2, b'a', 1, 2, b'b', 0];
        let bytes = [&[2 * fields.len() as u8], &fields[..]].concat();
        let batch = BatchHeader::parse(&BatchBuilder::new(1).build()).unwrap();
        let mut rest = &bytes[..];
        let found = record(&batch, &mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!((found.key, found.value.as_deref()), (None, Some(&b"vw"[..])));
        assert_eq!(found.headers, [("a".to_owned(), None), ("b".to_owned(), Some(Vec::new()))]);
    }

    proptest! {
        #[test]
        fn damaged_records_are_an_error_not_a_panic(
            place in 0usize..500, with in any::<u8>(), codec in prop_oneof![Just(0), Just(1)],
        ) {
            let mut bytes = BatchBuilder::new(20).codec(codec).build().to_vec();
            let place = HEADER_BYTES + place % (bytes.len() - HEADER_BYTES);
            bytes[place] = with;
            let _ = contents(&bytes);
        }
    }
}
