//! Rows of a batch, dealt out to shards by their key.
//!
//! A key is always in the same shard, and rows keep their order there. All keys of one partition share
//! a remainder of murmur2, so its value is mixed once more: else `n` shards of a topic with `n`
//! partitions would leave all but one empty.

use crate::error::{Error, Result};
use crate::types::murmur2;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType;

/// The rows of `batch` in each of `shards` shards; all rows without a key are in the first.
///
/// # Errors
///
/// [`Error::Declaration`] if there is no such column, or its type is none of a key.
pub fn shard(batch: &RecordBatch, column: &str, shards: usize) -> Result<Vec<Option<RecordBatch>>> {
    let mut rows = vec![Vec::new(); shards.max(1)];
    for (row, shard) in (0_u32..).zip(places(key(batch, column)?, rows.len())?) {
        rows[shard].push(row);
    }
    let part = |rows: Vec<u32>| match rows.len() {
        0 => Ok(None),
        all if all == batch.num_rows() => Ok(Some(batch.clone())),
        _ => take_record_batch(batch, &UInt32Array::from(rows)).map(Some),
    };
    rows.into_iter()
        .map(part)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::Compute(e.to_string()))
}

fn key<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(column).ok_or_else(|| {
        Error::Declaration(format!("there is no column {column:?} to be the partition_key"))
    })
}

/// The bytes of keys; those of a number are its decimal text, as they are in keys of records. `what`
/// names one in messages.
///
/// # Errors
///
/// [`Error::Declaration`] for a type that is none of a key.
pub fn key_bytes(keys: &ArrayRef, what: &str) -> Result<ArrayRef> {
    let to = match keys.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        kind if kind.is_nested() || kind.is_floating() => {
            return Err(Error::Declaration(format!(
                "{what} is text, bytes, an integer, a boolean or a time, and not {kind}"
            )));
        }
        _ => DataType::Utf8,
    };
    cast(keys, &to)
        .and_then(|keys| cast(&keys, &DataType::Binary))
        .map_err(|e| Error::Declaration(format!("{what} has no text: {e}")))
}

/// The shard of a key.
#[must_use]
pub fn shard_of(key: &[u8], shards: usize) -> usize {
    mixed(murmur2(key)) as usize % shards.max(1)
}

/// The shard of each row.
fn places(keys: &ArrayRef, shards: usize) -> Result<Vec<usize>> {
    let keys = key_bytes(keys, "a partition_key")?;
    let place = |key: Option<&[u8]>| key.map_or(0, |key| shard_of(key, shards));
    Ok(keys.as_binary::<i32>().iter().map(place).collect())
}

/// The last step of `MurmurHash3`: any two bits of the input change about half of the output.
fn mixed(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use std::collections::HashMap;
    use std::sync::Arc;

    fn batch(keys: &[Option<String>]) -> RecordBatch {
        let numbers = Int64Array::from_iter_values((0..).take(keys.len()));
        RecordBatch::try_from_iter([
            ("k", Arc::new(StringArray::from(keys.to_vec())) as ArrayRef),
            ("n", Arc::new(numbers) as ArrayRef),
        ])
        .unwrap()
    }

    #[test]
    fn a_key_stays_in_its_shard_and_its_rows_in_their_order() {
        let keys: Vec<_> =
            (0..1_000).map(|n| (n % 7 != 0).then(|| format!("u{}", n % 50))).collect();
        let (mut home, mut seen) = (HashMap::new(), 0);
        for (at, part) in shard(&batch(&keys), "k", 4).unwrap().into_iter().enumerate() {
            let part = part.expect("fifty keys fill four shards");
            let numbers = part.column(1).as_primitive::<Int64Type>();
            assert!(numbers.values().is_sorted());
            seen += part.num_rows();
            for key in part.column(0).as_string::<i32>() {
                assert_eq!(*home.entry(key.map(str::to_string)).or_insert(at), at);
            }
        }
        assert_eq!(seen, keys.len());
        assert_eq!(home[&None], 0);
    }

    #[test]
    fn keys_of_one_partition_spread_over_as_many_shards_as_there_are_partitions() {
        let keys: Vec<_> = (0..40_000)
            .map(|n| format!("k{n}"))
            .filter(|k| murmur2(k.as_bytes()) % 4 == 1)
            .map(Some)
            .collect();
        let parts = shard(&batch(&keys), "k", 4).unwrap();
        for part in parts {
            let share = part.map_or(0, |rows| rows.num_rows()) * 100 / keys.len();
            assert!((23..=27).contains(&share), "{share} %");
        }
    }

    #[test]
    fn a_column_that_is_no_key_is_refused() {
        let floats = Arc::new(Float64Array::from(vec![1.0])) as ArrayRef;
        let rows = RecordBatch::try_from_iter([("f", floats)]).unwrap();
        assert!(matches!(shard(&rows, "f", 2), Err(Error::Declaration(_))));
        assert!(matches!(shard(&rows, "k", 2), Err(Error::Declaration(_))));
    }
}
