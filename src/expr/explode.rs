//! A list column becomes rows.

use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// A row for each element of the list `column`, in order; the other columns are repeated.
///
/// An empty or null list gives no row, or one with a null if `keep_empty`.
///
/// # Errors
///
/// [`Error::Declaration`] if there is no such column, or it holds no lists.
pub fn explode(batch: &RecordBatch, column: &str, keep_empty: bool) -> Result<RecordBatch> {
    let schema = batch.schema_ref();
    let index = schema.index_of(column).map_err(|_| {
        let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::Declaration(format!("there is no column {column:?}: there are {}", there.join(", ")))
    })?;
    let lists = batch.column(index);
    let (rows, places, values) = match lists.data_type() {
        DataType::List(_) => flat::<i32>(lists, keep_empty),
        DataType::LargeList(_) => flat::<i64>(lists, keep_empty),
        DataType::FixedSizeList(inner, _) => {
            let lists = cast(lists, &DataType::List(Arc::clone(inner))).map_err(|e| broken(&e))?;
            flat::<i32>(&lists, keep_empty)
        }
        other => {
            let kind = super::types::describe(other);
            return Err(Error::Declaration(format!(
                "explode makes rows of a list, and {column} is {kind}: split text first, as split(col({column:?}), ',')"
            )));
        }
    };
    let mut fields = schema.fields().to_vec();
    fields[index] = Arc::new(Field::new(column, values.data_type().clone(), true));
    let columns = batch.columns().iter().enumerate().map(|(i, array)| {
        if i == index { take(&values, &places, None) } else { take(array, &rows, None) }
    });
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| broken(&e))?;
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    RecordBatch::try_new(Arc::new(schema), columns).map_err(|e| broken(&e))
}

/// For each new row: the row it comes from, the place of its element; and all elements.
fn flat<O: OffsetSizeTrait>(
    lists: &ArrayRef,
    keep_empty: bool,
) -> (UInt64Array, UInt64Array, ArrayRef) {
    let lists = lists.as_list::<O>();
    let (mut rows, mut places) = (Vec::new(), Vec::new());
    for (row, ends) in (0_u64..).zip(lists.offsets().windows(2)) {
        let valid = lists.is_valid(usize::try_from(row).unwrap_or(usize::MAX));
        let elements = if valid { ends[0].as_usize()..ends[1].as_usize() } else { 0..0 };
        if keep_empty && elements.is_empty() {
            rows.push(row);
            places.push(None);
        }
        for place in elements {
            rows.push(row);
            places.push(Some(place as u64));
        }
    }
    (rows.into(), places.into(), Arc::clone(lists.values()))
}

fn broken(error: &arrow::error::ArrowError) -> Error {
    Error::Compute(error.to_string())
}
