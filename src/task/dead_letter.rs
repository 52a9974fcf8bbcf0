//! The dead letter of a record: the record as it was, and why it is here.
//!
//! It has the time of its writing, not the record's: Kafka deletes by that time, so that the letter of an old
//! record would be gone before anybody has read it, or be refused. The record's own is in a header.

use crate::{
    engine::origin::{self, Origin},
    types::{Header, OwnedRecord, Records, TopicPartition},
};

/// Where in the line a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Bytes to columns or objects.
    Decode,
    /// In the handler.
    Process,
    /// Writing its output.
    Produce,
}

impl Phase {
    /// The word in the header `turbine.phase`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Process => "process",
            Self::Produce => "produce",
        }
    }
}

/// No timestamp: the producer's clock says.
const NOW: i64 = -1;
/// Longest error text in a header, in bytes.
const ERROR_BYTES: usize = 2_000;

/// The dead letter of record `i`: same key, value and headers, and six headers more. Of a record of an
/// internal topic it names the place that the record came from.
#[must_use]
pub fn dead_letter(
    records: &dyn Records,
    i: usize,
    tp: &TopicPartition,
    phase: Phase,
    error: &str,
) -> OwnedRecord {
    let cut = (0..=error.len().min(ERROR_BYTES)).rev().find(|&n| error.is_char_boundary(n));
    let header = |name: &str, value: String| -> Header { (name.into(), Some(value.into_bytes())) };
    let mut headers = records.headers(i);
    let (topic, partition, offset) = match Origin::find(&headers) {
        Some(origin) => (origin.topic, origin.partition, origin.offset),
        None => (tp.topic.to_string(), tp.partition, records.offset(i)),
    };
    origin::strip(&mut headers);
    headers.extend([
        header("turbine.source.topic", topic),
        header("turbine.source.partition", partition.to_string()),
        header("turbine.source.offset", offset.to_string()),
    ]);
    // Records of old producers have none.
    let timestamp_ms = Some(records.timestamp_ms(i)).filter(|&ms| ms >= 0);
    headers.extend(timestamp_ms.map(|ms| header("turbine.source.timestamp", ms.to_string())));
    headers.extend([
        header("turbine.phase", phase.as_str().into()),
        header("turbine.error", error[..cut.unwrap_or(0)].into()),
    ]);
    OwnedRecord {
        key: records.key(i).map(<[u8]>::to_vec),
        value: records.value(i).map(<[u8]>::to_vec),
        headers,
        offset: records.offset(i),
        timestamp_ms: NOW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record's own headers come first and unchanged; a long error is cut at a character.
    #[test]
    fn keeps_the_record_and_adds_the_reason() {
        let records = vec![OwnedRecord {
            key: Some(b"k".to_vec()),
            value: None,
            headers: vec![("trace".into(), Some(b"1".to_vec()))],
            offset: 7,
            timestamp_ms: 5,
        }];
        let tp = TopicPartition::new("in", 3);
        let letter = dead_letter(&records, 0, &tp, Phase::Decode, &"é".repeat(3_000));
        assert_eq!(letter.headers[0], ("trace".into(), Some(b"1".to_vec())));
        let value = |name: &str| {
            let found = letter.headers.iter().find(|(n, _)| n == name).expect(name);
            String::from_utf8(found.1.clone().expect("a value")).expect("UTF-8")
        };
        assert_eq!(value("turbine.source.offset"), "7");
        assert_eq!((value("turbine.source.timestamp").as_str(), letter.timestamp_ms), ("5", NOW));
        assert_eq!(value("turbine.phase"), "decode");
        assert_eq!(value("turbine.error").len(), ERROR_BYTES);
        assert_eq!((letter.key.as_deref(), letter.value), (Some(&b"k"[..]), None));
    }
}
