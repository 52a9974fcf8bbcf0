//! Records of a commit, encoded, so that an attempt that failed is made again with the same bytes.

use crate::{
    error::{Error, Result},
    kafka::{
        answer::Answer,
        flight::Flight,
        outgoing::{Load, Outgoing, Rows},
        producer::Producer,
    },
    types::{Header, OwnedRecord},
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc};
use twox_hash::XxHash3_64;

/// Records for one topic.
pub enum Output {
    /// Rows of a batch.
    Rows {
        /// Topic name.
        topic: Arc<str>,
        /// The records.
        rows: Rows,
    },
    /// One record.
    Record {
        /// Topic name.
        topic: Arc<str>,
        /// The record.
        record: Outbound,
        /// Told where the record is once the commit took effect.
        told: Option<Arc<Answer>>,
    },
}

/// One record on its way out.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    /// Key, if any.
    pub key: Option<Bytes>,
    /// Value; none writes a tombstone.
    pub value: Option<Bytes>,
    /// Partition; none lets the key choose.
    pub partition: Option<i32>,
    /// ms since the Unix epoch; none is now.
    pub timestamp_ms: Option<i64>,
    /// Headers in order.
    pub headers: Vec<Header>,
}

impl From<OwnedRecord> for Outbound {
    fn from(record: OwnedRecord) -> Self {
        Self {
            key: record.key.map(Bytes::from),
            value: record.value.map(Bytes::from),
            partition: None,
            timestamp_ms: (record.timestamp_ms >= 0).then_some(record.timestamp_ms),
            headers: record.headers,
        }
    }
}

impl From<&Outgoing<'_>> for Outbound {
    fn from(record: &Outgoing<'_>) -> Self {
        Self {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
            headers: record.headers.to_vec(),
        }
    }
}

impl Output {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Rows { rows, .. } => rows.ends.len(),
            Self::Record { .. } => 1,
        }
    }

    /// True without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Rows { rows, .. } => rows.bytes.len() + rows.key_bytes.len(),
            Self::Record { record, .. } => {
                record.key.as_ref().map_or(0, Bytes::len)
                    + record.value.as_ref().map_or(0, Bytes::len)
            }
        }
    }

    fn hash(&self) -> u64 {
        match self {
            Self::Rows { topic, rows } => {
                let seed = XxHash3_64::oneshot(topic.as_bytes());
                let mut start = 0;
                let row = |(i, &end): (usize, &usize)| {
                    let key = rows.keys.get(i).copied().flatten();
                    let key = key.map(|(a, b)| &rows.key_bytes[a..b]);
                    let value = (!rows.extras.is_tombstone(i)).then(|| &rows.bytes[start..end]);
                    start = end;
                    record_hash(seed, key, value)
                };
                rows.ends.iter().enumerate().map(row).fold(0, u64::wrapping_add)
            }
            Self::Record { topic, record, .. } => {
                let seed = XxHash3_64::oneshot(topic.as_bytes());
                record_hash(seed, record.key.as_deref(), record.value.as_deref())
            }
        }
    }

    /// Where the records end that begin with `from` and for which `load` has room.
    #[must_use]
    pub fn fill(&self, from: usize, load: &mut Load) -> usize {
        let fits = |&i: &usize| {
            load.take(match self {
                Self::Rows { rows, .. } => rows.size_of(i..i + 1),
                Self::Record { .. } => self.bytes(),
            })
        };
        from + (from..self.len()).take_while(fits).count()
    }

    /// Enqueues all records in `flight`. With `answer`, a single record is told there.
    ///
    /// # Errors
    ///
    /// A record that is refused at once, as one that is too large.
    pub fn send(
        &self,
        producer: &Producer,
        flight: &Arc<Flight>,
        answer: Option<Arc<Answer>>,
    ) -> Result<()> {
        self.send_some(0..self.len(), producer, flight, answer)
    }

    /// Enqueues the records `which`, as [`Output::send`] does all.
    ///
    /// # Errors
    ///
    /// As [`Output::send`].
    pub fn send_some(
        &self,
        which: Range<usize>,
        producer: &Producer,
        flight: &Arc<Flight>,
        answer: Option<Arc<Answer>>,
    ) -> Result<()> {
        match self {
            Self::Rows { topic, rows } => {
                let refused = producer.send_rows(topic, rows, which, flight)?;
                match refused.into_iter().next() {
                    Some((row, error)) => {
                        Err(Error::Encode(format!("row {row} of the output: {error}")))
                    }
                    None => Ok(()),
                }
            }
            Self::Record { topic, record, .. } => {
                let outgoing = Outgoing {
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    partition: record.partition,
                    timestamp_ms: record.timestamp_ms,
                    headers: &record.headers,
                };
                producer.send(topic, &outgoing, Some(flight), answer)
            }
        }
    }
}

/// Hash of everything that `outputs` write.
///
/// The hash of a record is xxh3 of its topic, key and value; those of all records are added. So it does not
/// count in what order records of different topics come, nor how batches were cut: a replay may cut
/// them differently. Headers are left out, because those of a dead letter say when it failed.
///
/// Source: Yann Collet's XXH3, as the crate `twox-hash` has it.
pub(super) fn hash_of(outputs: &[Output]) -> u64 {
    outputs.iter().map(Output::hash).fold(0, u64::wrapping_add)
}

fn record_hash(seed: u64, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    // What is not there is told apart from what is empty.
    let fold = |seed: u64, bytes: Option<&[u8]>| match bytes {
        Some(bytes) => XxHash3_64::oneshot_with_seed(seed, bytes),
        None => seed.rotate_left(17) ^ 0x9e37_79b9_7f4a_7c15,
    };
    fold(fold(seed, key), value)
}

#[cfg(test)]
mod tests {
    use super::{super::outbox::Outbox, *};
    use proptest::prelude::*;

    type Pair = (Option<Vec<u8>>, Vec<u8>);

    fn rows(pairs: &[Pair]) -> Output {
        let mut rows = Rows::default();
        let mut bytes = Vec::new();
        for (key, value) in pairs {
            bytes.extend_from_slice(value);
            rows.ends.push(bytes.len());
            let start = rows.key_bytes.len();
            rows.key_bytes.extend_from_slice(key.as_deref().unwrap_or_default());
            rows.keys.push(key.as_ref().map(|_| (start, rows.key_bytes.len())));
        }
        rows.bytes = bytes.into();
        Output::Rows { topic: "t".into(), rows }
    }

    fn record(topic: &str, (key, value): &Pair) -> Output {
        let record = Outbound {
            key: key.clone().map(Bytes::from),
            value: Some(value.clone().into()),
            ..Outbound::default()
        };
        Output::Record { topic: topic.into(), record, told: None }
    }

    fn pairs() -> impl Strategy<Value = Vec<Pair>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..12);
        prop::collection::vec((prop::option::of(bytes()), bytes()), 1..12)
    }

    proptest! {
        /// However the same records are cut into batches, and whether they come as rows or alone, their
        /// hash is the same.
        #[test]
        fn the_hash_does_not_know_of_batches(all in pairs(), cut: prop::sample::Index) {
            let at = cut.index(all.len());
            let whole = hash_of(&[rows(&all)]);
            let mut cut = Outbox::from(vec![rows(&all[at..])]);
            cut.append(vec![rows(&all[..at])].into());
            prop_assert_eq!(cut.hash(), whole);
            let alone: Vec<_> = all.iter().map(|pair| record("t", pair)).collect();
            prop_assert_eq!(hash_of(&alone), whole);
        }

        /// Another value, key or topic, or a record more or less, gives another hash.
        #[test]
        fn the_hash_knows_every_record(all in pairs(), which: prop::sample::Index) {
            let whole = hash_of(&[rows(&all)]);
            let i = which.index(all.len());
            let mut other = all.clone();
            other[i].1.push(0);
            prop_assert_ne!(hash_of(&[rows(&other)]), whole);
            other[i] = all[i].clone();
            other[i].0 = match &all[i].0 { Some(_) => None, None => Some(Vec::new()) };
            prop_assert_ne!(hash_of(&[rows(&other)]), whole);
            prop_assert_ne!(hash_of(&[rows(&all[1..])]), whole);
            let elsewhere: Vec<_> = all.iter().map(|pair| record("u", pair)).collect();
            prop_assert_ne!(hash_of(&elsewhere), whole);
        }
    }
}
