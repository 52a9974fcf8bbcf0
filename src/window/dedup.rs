//! Leaves out rows whose key was there already within a time.
//!
//! # Guarantees
//!
//! * The first row of a key is kept, and another one only when its event time is `within_ms` or more
//!   away from that of the newest kept one.
//! * Any cut of the rows into batches keeps the same rows: a row is judged by the watermark in front of it.
//! * A key is forgotten when the watermark is `within_ms` behind it, so memory is bounded by the keys of
//!   that time.
//! * A row without a key (a null in one of its columns) or without event time is kept.
//!
//! # Not here
//!
//! Keeping what was seen beyond the task: a partition that moves begins without memory, so that records
//! which are read again are never taken for duplicates of themselves.

use super::{
    time::{EVENT_TIME, WATERMARK},
    watermark,
};
use crate::error::{Error, Result};
use ahash::AHashMap;
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Int64Type},
    row::{OwnedRow, RowConverter, SortField},
};
use std::collections::BTreeMap;

/// What was seen of one partition.
pub struct Dedup {
    key: Vec<String>,
    within_ms: i64,
    bound: Option<(Vec<DataType>, RowConverter)>,
    /// Event time of the newest kept row of each key.
    seen: AHashMap<OwnedRow, i64>,
    /// The keys by that time; what is not in `seen` under it has been kept again since.
    by_time: BTreeMap<i64, Vec<OwnedRow>>,
}

impl Dedup {
    /// One that has seen nothing, for the columns of a key and a time in ms.
    #[must_use]
    pub fn new(key: &[String], within_ms: i64) -> Self {
        Self {
            key: key.to_vec(),
            within_ms: within_ms.max(1),
            bound: None,
            seen: AHashMap::new(),
            by_time: BTreeMap::new(),
        }
    }

    /// Which rows of `batch` are kept; it has the columns of [`super::time`].
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the columns are not there, or have other types than before.
    pub fn keep(&mut self, batch: &RecordBatch) -> Result<BooleanArray> {
        let columns =
            self.key.iter().map(|name| column(batch, name)).collect::<Result<Vec<ArrayRef>>>()?;
        let times = column(batch, EVENT_TIME)?;
        let before = column(batch, WATERMARK)?;
        let (times, before) =
            (times.as_primitive::<Int64Type>(), before.as_primitive::<Int64Type>());
        let rows = self.converter(&columns)?.convert_columns(&columns).map_err(unusable)?;
        let keep = (0..batch.num_rows()).map(|row| {
            let has_key = columns.iter().all(|column| column.is_valid(row));
            if !has_key || times.is_null(row) {
                return true;
            }
            let watermark = if before.is_null(row) { watermark::NONE } else { before.value(row) };
            self.forget(watermark);
            self.is_new(rows.row(row).owned(), times.value(row))
        });
        Ok(keep.collect::<Vec<_>>().into())
    }

    /// `batch` without the rows that are not kept, and without their places in `rows`.
    ///
    /// # Errors
    ///
    /// As [`Dedup::keep`].
    pub fn apply(
        &mut self,
        batch: RecordBatch,
        rows: &mut Option<Vec<u32>>,
    ) -> Result<RecordBatch> {
        let keep = self.keep(&batch)?;
        if keep.true_count() == batch.num_rows() {
            return Ok(batch);
        }
        let place = |row: usize| match rows.as_deref() {
            Some(rows) => rows.get(row).copied(),
            None => u32::try_from(row).ok(),
        };
        *rows = Some(keep.values().set_indices().filter_map(place).collect());
        filter_record_batch(&batch, &keep).map_err(unusable)
    }

    /// Keys in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// True without keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn converter(&mut self, columns: &[ArrayRef]) -> Result<&RowConverter> {
        let types: Vec<_> = columns.iter().map(|column| column.data_type().clone()).collect();
        let (known, converter) = match self.bound.take() {
            Some(bound) => bound,
            None => {
                let fields = types.iter().cloned().map(SortField::new).collect();
                (types.clone(), RowConverter::new(fields).map_err(unusable)?)
            }
        };
        let same = known == types;
        let (_, converter) = self.bound.insert((known, converter));
        if same {
            return Ok(converter);
        }
        Err(Error::Declaration(format!(
            "the columns {} of dedup have other types than in the rows before: declare a model",
            self.key.join(", ")
        )))
    }

    fn is_new(&mut self, key: OwnedRow, time: i64) -> bool {
        let newest = match self.seen.get(&key) {
            Some(seen) if time.abs_diff(*seen) < self.within_ms.unsigned_abs() => return false,
            Some(seen) if *seen > time => return true,
            _ => time,
        };
        self.by_time.entry(newest).or_default().push(key.clone());
        self.seen.insert(key, newest);
        true
    }

    /// Keys that nothing which is still expected can be a duplicate of.
    fn forget(&mut self, watermark: i64) {
        while let Some(first) = self.by_time.first_entry() {
            if first.key().saturating_add(self.within_ms) > watermark {
                return;
            }
            let (time, keys) = first.remove_entry();
            for key in keys {
                if self.seen.get(&key) == Some(&time) {
                    self.seen.remove(&key);
                }
            }
        }
    }
}

/// A column of the batch; text of any form as plain text, so that keys are equal if their texts are.
fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let array = batch.column_by_name(name).ok_or_else(|| {
        let schema = batch.schema();
        let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::Declaration(format!(
            "dedup reads the column {name:?}, and there is none: there are {}",
            there.join(", ")
        ))
    })?;
    match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value).map_err(unusable),
        DataType::LargeUtf8 | DataType::Utf8View => cast(array, &DataType::Utf8).map_err(unusable),
        _ => Ok(array.clone()),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unusable(error: arrow::error::ArrowError) -> Error {
    Error::Declaration(format!("the key of dedup cannot be compared: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;
    use std::sync::Arc;

    type Row = (Option<&'static str>, Option<i64>);

    /// Rows with the watermark of those before them, 5 ms behind the newest.
    fn batch(rows: &[Row]) -> RecordBatch {
        let mut newest = watermark::NONE;
        let before: Int64Array = rows
            .iter()
            .map(|(_, time)| {
                let before = newest;
                newest = newest.max(time.map_or(watermark::NONE, |time| time - 5));
                Some(before)
            })
            .collect();
        RecordBatch::try_from_iter_with_nullable([
            (
                "id",
                Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()) as ArrayRef,
                true,
            ),
            (EVENT_TIME, Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()) as _, true),
            (WATERMARK, Arc::new(before) as _, true),
        ])
        .unwrap()
    }

    fn dedup() -> Dedup {
        Dedup::new(&["id".into()], 10)
    }

    fn kept(rows: &[Row]) -> Vec<bool> {
        dedup().keep(&batch(rows)).unwrap().values().iter().collect()
    }

    #[test]
    fn the_first_row_of_a_key_within_the_time_is_kept() {
        let rows = [
            (Some("a"), Some(0)),
            (Some("a"), Some(9)),
            (Some("b"), Some(9)),
            (Some("a"), Some(10)),
            (None, Some(10)),
            (None, Some(10)),
            (Some("b"), None),
        ];
        assert_eq!(kept(&rows), [true, false, true, true, true, true, true]);
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let key = prop::option::weighted(0.9, prop::sample::select(vec!["a", "b", "c"]));
        let steps = prop::collection::vec((key, prop::option::weighted(0.95, -8_i64..12)), 0..60);
        steps.prop_map(|steps| {
            let mut time = 0;
            let step = |(key, step): (Option<&'static str>, Option<i64>)| {
                time += step.unwrap_or(0).max(0) / 2;
                (key, step.map(|step| time + step.min(0)))
            };
            steps.into_iter().map(step).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_cut_keeps_the_same_rows(rows in rows(), cut in 0_usize..60) {
            let all = batch(&rows);
            let cut = cut.min(rows.len());
            let mut dedup = dedup();
            let first = dedup.keep(&all.slice(0, cut)).unwrap();
            let rest = dedup.keep(&all.slice(cut, rows.len() - cut)).unwrap();
            let cut: Vec<bool> = first.values().iter().chain(rest.values()).collect();
            prop_assert_eq!(cut, kept(&rows));
        }

        /// With memory for ever, and rows in order, it is this model.
        #[test]
        fn rows_in_order_are_kept_as_the_model_says(rows in rows()) {
            let mut rows: Vec<Row> = rows.into_iter().filter(|row| row.1.is_some()).collect();
            rows.sort_by_key(|row| row.1);
            let mut last = std::collections::HashMap::new();
            let model: Vec<bool> = rows.iter().map(|(key, time)| {
                let (Some(key), Some(time)) = (key, time) else { return true };
                let new = last.get(key).is_none_or(|last| time - last >= 10);
                if new { last.insert(*key, *time); }
                new
            }).collect();
            prop_assert_eq!(kept(&rows), model);
        }
    }

    #[test]
    fn rows_that_are_left_out_take_their_places_along() {
        let rows = [(Some("a"), Some(0)), (Some("a"), Some(1)), (Some("b"), Some(1))];
        for (places, wanted) in [(None, vec![0, 2]), (Some(vec![3, 5, 8]), vec![3, 8])] {
            let mut places = places;
            let left = dedup().apply(batch(&rows), &mut places).unwrap();
            assert_eq!(left.num_rows(), 2);
            assert_eq!(places, Some(wanted));
        }
    }

    #[test]
    fn keys_are_forgotten_when_the_watermark_has_passed_them() {
        let mut dedup = dedup();
        let ids: Vec<Row> = (0..1_000)
            .map(|n| (Some(["a", "b", "c"][n % 3]), i64::try_from(n).ok().map(|n| n * 20)))
            .collect();
        dedup.keep(&batch(&ids)).unwrap();
        assert!(dedup.len() <= 2, "{}", dedup.len());
        assert!(dedup.by_time.len() <= 2);
    }

    #[test]
    fn columns_that_are_not_there_or_change_their_type_are_refused() {
        let mut dedup = dedup();
        dedup.keep(&batch(&[(Some("a"), Some(1))])).unwrap();
        let other = batch(&[(Some("a"), Some(1))]).project(&[1, 2]).unwrap();
        assert!(dedup.keep(&other).unwrap_err().to_string().contains("\"id\""));
    }
}
