//! Columns whose values are the keys of records, for every format of values.

use super::{
    column::{cast, ints},
    rows::Encoded,
};
use crate::error::{Error, Result};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray, UInt64Array,
    },
    buffer::NullBuffer,
    datatypes::{DataType, UInt64Type},
};

/// Puts the keys of the rows of `batch` into `out`, from its column `name`.
///
/// # Errors
///
/// [`Error::Encode`] without such a column, or if its values cannot be keys.
pub(super) fn encode_keys(batch: &RecordBatch, name: &str, out: &mut Encoded) -> Result<()> {
    let Some(column) = batch.column_by_name(name) else {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return Err(Error::Encode(format!(
            "message_key is `{name}`, and the batch has no such column; it has: {}",
            names.join(", ")
        )));
    };
    write_keys(batch.num_rows(), column, out)
        .map_err(|why| Error::Encode(format!("message_key is `{name}`: {why}")))
}

/// The keys of the rows of `batch` from its column `name`, the same bytes that outputs have as theirs: a
/// row without a value has none, and no row has one without such a column.
///
/// # Errors
///
/// [`Error::Config`] if the column's values cannot be keys.
pub fn row_keys(batch: &RecordBatch, name: &str) -> Result<Encoded> {
    let mut out = Encoded::default();
    if let Some(column) = batch.column_by_name(name) {
        write_keys(batch.num_rows(), column, &mut out)
            .map_err(|why| Error::Config(format!("repartition_by is `{name}`: {why}")))?;
    }
    Ok(out)
}

fn write_keys(rows: usize, column: &ArrayRef, out: &mut Encoded) -> Result<(), String> {
    let keys = Keys::new(column)?;
    for row in 0..rows {
        let start = out.key_bytes.len();
        let is_key = keys.write(row, &mut out.key_bytes);
        out.keys.push(is_key.then_some((start, out.key_bytes.len())));
    }
    Ok(())
}

/// A column whose values are record keys.
struct Keys {
    nulls: Option<NullBuffer>,
    cells: KeyCells,
}

enum KeyCells {
    Null,
    Text(StringArray),
    Binary(BinaryArray),
    Int(Int64Array),
    UInt(UInt64Array),
}

impl Keys {
    /// Prepares `array`; `Err` says which types can be keys.
    fn new(array: &ArrayRef) -> Result<Self, String> {
        use DataType as T;
        let cells = match array.data_type() {
            T::Null => KeyCells::Null,
            T::Utf8 | T::LargeUtf8 | T::Utf8View => {
                KeyCells::Text(cast(array, &T::Utf8)?.as_string().clone())
            }
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
                KeyCells::Binary(cast(array, &T::Binary)?.as_binary().clone())
            }
            T::Int8 | T::Int16 | T::Int32 | T::Int64 => KeyCells::Int(ints(array)?),
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
                KeyCells::UInt(cast(array, &T::UInt64)?.as_primitive::<UInt64Type>().clone())
            }
            T::Dictionary(_, values) => return Self::new(&cast(array, values)?),
            T::RunEndEncoded(_, values) => return Self::new(&cast(array, values.data_type())?),
            other => {
                return Err(format!(
                    "a key is text, binary or an integer, and the column is {other}"
                ));
            }
        };
        Ok(Self { nulls: array.logical_nulls(), cells })
    }

    /// Writes the key of row `i`; false if it has none.
    #[inline]
    fn write(&self, i: usize, out: &mut Vec<u8>) -> bool {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            return false;
        }
        match &self.cells {
            KeyCells::Null => return false,
            KeyCells::Text(values) => out.extend_from_slice(values.value(i).as_bytes()),
            KeyCells::Binary(values) => out.extend_from_slice(values.value(i)),
            KeyCells::Int(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(i)).as_bytes());
            }
            KeyCells::UInt(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(i)).as_bytes());
            }
        }
        true
    }
}
