//! Headers, timestamps and partitions of records on their way out, from columns of the rows.
//!
//! Only what a subscription names is written, and only from the column of that name in what its
//! handler returned: metadata of the input never goes out by accident.

use super::column::cast;
use crate::{
    error::{Error, Result},
    types::{Header, RecordExtras},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray},
    datatypes::{DataType, Int32Type, Int64Type, TimeUnit},
};
use std::ops::Range;

/// What can be written; the column of each has an underscore in front.
pub const WRITABLE: [&str; 3] = ["headers", "timestamp", "partition"];

/// Reads the columns of `names` of `batch`.
///
/// # Errors
///
/// [`Error::Encode`] for a column that is not there or has another type; [`Error::Config`] for a
/// name that cannot be written.
pub(super) fn extras(batch: &RecordBatch, names: &[String]) -> Result<RecordExtras> {
    let mut extras = RecordExtras::default();
    for name in names {
        let column = batch.column_by_name(&format!("_{name}")).ok_or_else(|| {
            Error::Encode(format!(
                "write_metadata names `{name}`, and the batch has no column `_{name}`: add it, or \
                 leave it out of write_metadata"
            ))
        })?;
        let wrong = |why: String| Error::Encode(format!("column `_{name}`: {why}"));
        match name.as_str() {
            "headers" => extras.headers = headers(column).map_err(wrong)?,
            "timestamp" => extras.timestamps_ms = timestamps(column).map_err(wrong)?,
            "partition" => extras.partitions = partitions(column).map_err(wrong)?,
            _ => {
                return Err(Error::Config(format!(
                    "write_metadata: `{name}` is unknown; choose from {}",
                    WRITABLE.join(", ")
                )));
            }
        }
    }
    Ok(extras)
}

/// A null lets the key choose.
fn partitions(column: &ArrayRef) -> Result<Vec<Option<i32>>, String> {
    if !column.data_type().is_integer() && *column.data_type() != DataType::Null {
        return Err(format!("a partition is an integer, and the column is {}", column.data_type()));
    }
    let numbers = cast(column, &DataType::Int32)?;
    let numbers = numbers.as_primitive::<Int32Type>();
    if let Some(row) = numbers.iter().position(|n| n.is_some_and(|n| n < 0)) {
        return Err(format!("row {row}: {} is no partition", numbers.value(row)));
    }
    Ok(numbers.iter().collect())
}

/// A null is now.
fn timestamps(column: &ArrayRef) -> Result<Vec<Option<i64>>, String> {
    let ms = match column.data_type() {
        // Casts round towards zero, and times before 1970 are refused below in any case.
        DataType::Timestamp(_, zone) => {
            cast(column, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?
        }
        data_type if data_type.is_integer() || *data_type == DataType::Null => column.clone(),
        other => {
            return Err(format!("a timestamp is a timestamp or ms since 1970, and it is {other}"));
        }
    };
    let ms = cast(&ms, &DataType::Int64)?;
    let ms = ms.as_primitive::<Int64Type>();
    // 0 is "now" for the client library, and Kafka has no times before 1970.
    if let Some(row) = ms.iter().position(|n| n.is_some_and(|n| n < 1)) {
        return Err(format!("row {row}: {} ms is not behind 1970", ms.value(row)));
    }
    Ok(ms.iter().collect())
}

/// Names and values of headers, and which of them each row has.
struct Entries {
    names: StringArray,
    values: BinaryArray,
    ranges: Vec<Range<usize>>,
}

fn headers(column: &ArrayRef) -> Result<Vec<Vec<Header>>, String> {
    let entries = entries(column)?;
    let header = |i: usize| -> Result<Header, String> {
        let name = entries.names.value(i);
        if entries.names.is_null(i) || name.contains('\0') {
            return Err("a header needs a name without zero bytes".into());
        }
        let value = entries.values.is_valid(i).then(|| entries.values.value(i).to_vec());
        Ok((name.to_owned(), value))
    };
    let row = |range: &Range<usize>| range.clone().map(header).collect();
    entries.ranges.iter().map(row).collect()
}

fn entries(column: &ArrayRef) -> Result<Entries, String> {
    let wrong = || {
        format!(
            "headers are list<struct<name, value>> or map<utf8, binary>, and the column is {}",
            column.data_type()
        )
    };
    let (pairs, offsets) = match column.data_type() {
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            (lists.values().as_struct_opt().ok_or_else(wrong)?, lists.value_offsets())
        }
        DataType::Map(..) => {
            let maps = column.as_map();
            (maps.entries(), maps.value_offsets())
        }
        _ => return Err(wrong()),
    };
    let [names, values] = pairs.columns() else { return Err(wrong()) };
    let is_text =
        |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_bytes = |t: &DataType| t.is_null() || t.is_binary() || matches!(t, DataType::BinaryView);
    if !is_text(names.data_type()) || !(is_text(values.data_type()) || is_bytes(values.data_type()))
    {
        return Err(wrong());
    }
    let range = |row: usize| match column.is_null(row) {
        true => 0..0,
        false => offsets[row] as usize..offsets[row + 1] as usize,
    };
    Ok(Entries {
        names: cast(names, &DataType::Utf8)?.as_string().clone(),
        values: cast(values, &DataType::Binary)?.as_binary().clone(),
        ranges: (0..column.len()).map(range).collect(),
    })
}
