//! Records of an internal topic: which are rows, and how far the partitions are that they come from.

use crate::{
    codec::{Decode, Decoded},
    engine::origin::{self, Kind, Origin},
    types::{Header, Records},
    window::watermark::{Combined, NONE},
};
use arrow::array::Int64Array;

/// The origin of each of `records`, in order.
pub(super) fn origins(records: &dyn Records) -> Vec<Option<Origin>> {
    (0..records.len()).map(|i| Origin::find(&records.headers(i))).collect()
}

/// Records as they were before they were written on: without marks, and without our header.
pub(super) struct Bare<'a> {
    records: &'a dyn Records,
    /// Index of each one that is left; none if all are.
    kept: Option<Vec<u32>>,
}

impl<'a> Bare<'a> {
    /// All records, without our header.
    pub(super) fn all(records: &'a dyn Records) -> Self {
        Self { records, kept: None }
    }

    fn rows_only(records: &'a dyn Records, origins: &[Option<Origin>]) -> Self {
        let is_row =
            |origin: &Option<Origin>| origin.as_ref().is_none_or(|one| one.kind == Kind::Row);
        let kept = (0_u32..).zip(origins).filter(|(_, one)| is_row(one)).map(|(i, _)| i);
        Self { records, kept: (!origins.iter().all(is_row)).then(|| kept.collect()) }
    }

    fn at(&self, i: usize) -> usize {
        self.kept.as_ref().map_or(i, |kept| kept[i] as usize)
    }
}

impl Records for Bare<'_> {
    fn len(&self) -> usize {
        self.kept.as_ref().map_or(self.records.len(), Vec::len)
    }
    fn value(&self, i: usize) -> Option<&[u8]> {
        self.records.value(self.at(i))
    }
    fn key(&self, i: usize) -> Option<&[u8]> {
        self.records.key(self.at(i))
    }
    fn offset(&self, i: usize) -> i64 {
        self.records.offset(self.at(i))
    }
    fn timestamp_ms(&self, i: usize) -> i64 {
        self.records.timestamp_ms(self.at(i))
    }
    fn headers(&self, i: usize) -> Vec<Header> {
        let mut headers = self.records.headers(self.at(i));
        origin::strip(&mut headers);
        headers
    }
}

/// Decodes those of `records` that are rows; indices in the result are those in `records`.
pub(super) fn decode_rows(
    decoder: &mut dyn Decode,
    records: &dyn Records,
    origins: &[Option<Origin>],
) -> Decoded {
    let bare = Bare::rows_only(records, origins);
    let mut decoded = decoder.decode(&bare, 0..bare.len());
    if let Some(kept) = &bare.kept {
        decoded.bad.iter_mut().for_each(|bad| bad.index = kept[bad.index] as usize);
        decoded.rows = Some(match decoded.rows {
            Some(rows) => rows.iter().map(|&row| kept[row as usize]).collect(),
            None => kept.clone(),
        });
    }
    decoded
}

/// The watermark of an internal topic's partition: the lowest of its sources that are not silent. A
/// source that nothing was heard of yet holds it back.
pub(super) struct Sources {
    combined: Combined,
    /// How many there are, as far as one of them has told.
    known: i32,
    /// Reached in another way: before a restart, or by the clock.
    floor: i64,
}

impl Default for Sources {
    fn default() -> Self {
        Self { combined: Combined::default(), known: 0, floor: NONE }
    }
}

impl Sources {
    pub(super) fn current(&self) -> i64 {
        self.combined.current().max(self.floor)
    }

    pub(super) fn reach(&mut self, watermark_ms: i64) {
        self.floor = self.floor.max(watermark_ms);
    }

    /// Takes in what records tell; the watermark before each of the `count` rows, of which row `i` is
    /// record `rows[i]`, or record `i`.
    pub(super) fn before(
        &mut self,
        count: usize,
        rows: Option<&[u32]>,
        origins: &[Option<Origin>],
    ) -> Int64Array {
        let mut before = Vec::with_capacity(count);
        for (i, origin) in origins.iter().enumerate() {
            let next = before.len();
            if next < count && rows.map_or(next, |rows| rows[next] as usize) == i {
                before.push(self.current());
            }
            if let Some(origin) = origin {
                self.hear(origin);
            }
        }
        before.into()
    }

    fn hear(&mut self, origin: &Origin) {
        // Those that were never heard of are waited for.
        (self.known..origin.partitions).for_each(|source| self.combined.add(source));
        self.known = self.known.max(origin.partitions);
        self.combined.reach(origin.partition, origin.watermark_ms.unwrap_or(NONE));
        if origin.kind == Kind::Idle {
            self.combined.idle(origin.partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{DecodeOptions, json::Decoder},
        types::OwnedRecord,
    };
    use arrow::{
        array::AsArray,
        datatypes::{DataType, Field, Int64Type, Schema},
    };
    use proptest::prelude::*;
    use std::sync::Arc;

    fn origin(kind: Kind, partition: i32, watermark_ms: Option<i64>) -> Option<Origin> {
        let (topic, partitions, offset) = ("in".to_owned(), 2, 0);
        Some(Origin { kind, topic, partition, partitions, offset, watermark_ms })
    }

    #[test]
    fn a_source_that_was_not_heard_of_holds_the_watermark_back_and_a_silent_one_does_not() {
        let mut sources = Sources::default();
        let told = [
            origin(Kind::Row, 0, Some(50)),
            origin(Kind::Row, 0, Some(70)),
            origin(Kind::Mark, 1, Some(60)),
            origin(Kind::Row, 1, Some(60)),
            origin(Kind::Idle, 1, Some(60)),
            origin(Kind::Row, 0, Some(90)),
        ];
        let before = sources.before(4, Some(&[0, 1, 3, 5]), &told);
        assert_eq!(before.values(), &[NONE, NONE, 60, 70]);
        assert_eq!(sources.current(), 90);
    }

    #[test]
    fn marks_are_no_rows_and_bad_records_keep_their_place() {
        let record = |origin: Option<Origin>, value: Option<&str>| OwnedRecord {
            value: value.map(|text| text.as_bytes().to_vec()),
            headers: origin.iter().map(Origin::header).collect(),
            ..OwnedRecord::default()
        };
        let records = vec![
            record(origin(Kind::Mark, 0, None), None),
            record(origin(Kind::Row, 0, None), Some(r#"{"n":1}"#)),
            record(origin(Kind::Row, 0, None), Some("no json")),
            record(origin(Kind::Idle, 1, None), None),
            record(origin(Kind::Row, 0, None), Some(r#"{"n":2}"#)),
        ];
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let mut decoder = Decoder::new(schema, DecodeOptions::default()).unwrap();
        let decoded = decode_rows(&mut decoder, &records, &origins(&records));
        assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
        assert_eq!(decoded.rows, Some(vec![1, 4]));
        assert_eq!(decoded.bad[0].index, 2);
        assert!(Bare::all(&records).headers(1).is_empty());
    }

    proptest! {
        /// However the records of two sources interleave, rows within the bound are never late: the
        /// watermark before a row is at most that of its own source before it.
        #[test]
        fn no_interleaving_makes_a_row_late(
            times in prop::collection::vec((0_i32..2, 0_i64..1_000), 0..60),
            bound in 0_i64..50,
        ) {
            let mut own = [NONE; 2];
            let mut told = Vec::new();
            let mut allowed = Vec::new();
            for &(source, time) in &times {
                let at = &mut own[usize::try_from(source).unwrap()];
                allowed.push(*at);
                *at = (*at).max(time - bound);
                told.push(origin(Kind::Row, source, Some(*at)));
            }
            let before = Sources::default().before(told.len(), None, &told);
            for (found, allowed) in before.values().iter().zip(allowed) {
                prop_assert!(*found <= allowed);
            }
        }
    }
}
