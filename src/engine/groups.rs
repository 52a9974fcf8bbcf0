//! Rows of a batch, brought together by their key.
//!
//! Keys come in the order of their first rows, and rows of a key keep their order. Rows without a key
//! and those whose key is the empty text are one group.

use super::shard::key_bytes;
use crate::error::{Error, Result};
use ahash::RandomState;
use arrow::{
    array::{Array, AsArray, RecordBatch, UInt32Array},
    compute::take_record_batch,
};
use std::collections::HashMap;

/// What [`group`] made.
#[derive(Debug)]
pub struct Groups {
    /// All rows, those of a key side by side.
    pub rows: RecordBatch,
    /// The key of each group: text, or what the bytes of the key are.
    pub keys: Vec<Vec<u8>>,
    /// Where each group begins.
    pub starts: Vec<usize>,
}

/// Groups `batch` by `column`.
///
/// # Errors
///
/// [`Error::Declaration`] if there is no such column, or its type is none of a key.
pub fn group(batch: &RecordBatch, column: &str) -> Result<Groups> {
    let values = batch.column_by_name(column).ok_or_else(|| {
        Error::Declaration(format!("there is no column {column:?} to be the partition_key"))
    })?;
    let keys = key_bytes(values, "a partition_key")?;
    let keys = keys.as_binary::<i32>();
    let mut places: HashMap<&[u8], usize, RandomState> = HashMap::default();
    let mut groups: Vec<(&[u8], usize)> = Vec::new();
    let rows: Vec<usize> = (0..keys.len())
        .map(|row| {
            let key = if keys.is_null(row) { &[][..] } else { keys.value(row) };
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((key, 0));
                groups.len() - 1
            });
            groups[place].1 += 1;
            place
        })
        .collect();
    let starts: Vec<usize> = groups
        .iter()
        .scan(0, |end, (_, count)| {
            let start = *end;
            *end += count;
            Some(start)
        })
        .collect();
    let mut next = starts.clone();
    let mut order = vec![0_u32; rows.len()];
    for (row, place) in (0_u32..).zip(&rows) {
        order[next[*place]] = row;
        next[*place] += 1;
    }
    let together = if order.is_sorted() {
        batch.clone()
    } else {
        take_record_batch(batch, &UInt32Array::from(order))
            .map_err(|e| Error::Compute(e.to_string()))?
    };
    let keys = groups.iter().map(|(key, _)| key.to_vec()).collect();
    Ok(Groups { rows: together, keys, starts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringArray};
    use arrow::datatypes::UInt32Type;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn groups_are_those_of_a_plain_loop(keys in prop::collection::vec(prop::option::of("[ab]{0,2}"), 0..30)) {
            let numbers = UInt32Array::from_iter_values(0..keys.len() as u32);
            let batch = RecordBatch::try_from_iter([
                ("k", Arc::new(StringArray::from(keys.clone())) as ArrayRef),
                ("n", Arc::new(numbers) as ArrayRef),
            ]).unwrap();
            let mut expected: Vec<(Vec<u8>, Vec<u32>)> = Vec::new();
            for (row, key) in (0_u32..).zip(&keys) {
                let key = key.clone().unwrap_or_default().into_bytes();
                match expected.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, rows)) => rows.push(row),
                    None => expected.push((key, vec![row])),
                }
            }
            let Groups { rows, keys, starts } = group(&batch, "k").unwrap();
            let numbers = rows.column(1).as_primitive::<UInt32Type>().values().to_vec();
            let ends = starts.iter().skip(1).copied().chain([numbers.len()]);
            let found: Vec<_> = keys.into_iter().zip(starts.iter().zip(ends))
                .map(|(key, (&start, end))| (key, numbers[start..end].to_vec()))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        let rows =
            RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
        assert!(group(&rows.unwrap(), "k").unwrap_err().to_string().contains("no column \"k\""));
    }
}
