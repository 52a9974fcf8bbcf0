//! Keys of records, as columns and from columns, for every format of values.

use super::{
    column::{Node, cast, ints},
    json::{Pen, Scan},
    rows::{BadRecord, Decoded, Encoded},
};
use crate::{
    config::Format,
    error::{Error, Result},
    types::Records,
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array,
        RecordBatch, StringArray, StringBuilder, UInt64Array,
    },
    buffer::NullBuffer,
    compute::filter_record_batch,
    datatypes::{DataType, Field, Int32Type, Int64Type, UInt64Type},
};
use std::sync::Arc;

/// How keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyForm {
    /// Bytes as they are; written are text, binary, and integers in decimal digits.
    #[default]
    Raw,
    /// UTF-8 text.
    Text,
    /// Four bytes, the highest first, as Kafka's own `IntegerSerializer` has it.
    Int32,
    /// Eight bytes, the highest first, as Kafka's own `LongSerializer` has it.
    Int64,
    /// Any JSON value; its text.
    Json,
}

impl KeyForm {
    /// The form of a declared format; none is [`Self::Raw`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a format that keys cannot have.
    pub fn of(format: Option<&Format>) -> Result<Self> {
        Ok(match format {
            None | Some(Format::Raw) => Self::Raw,
            Some(Format::String) => Self::Text,
            Some(Format::Int32) => Self::Int32,
            Some(Format::Int64) => Self::Int64,
            Some(Format::Json) => Self::Json,
            Some(other) => {
                return Err(Error::Config(format!(
                    "key_format=\"{}\" is not possible for a subscription: write raw, string, \
                     int32, int64 or json",
                    other.name()
                )));
            }
        })
    }

    /// The type of the column `_key`.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Raw => DataType::Binary,
            Self::Text | Self::Json => DataType::Utf8,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
        }
    }

    /// Why `key` is not of this form, if it is not.
    fn refuses(self, key: &[u8]) -> Option<String> {
        match self {
            Self::Raw => None,
            Self::Text => std::str::from_utf8(key).err().map(|_| "key: expected UTF-8 text".into()),
            Self::Int32 if key.len() == 4 => None,
            Self::Int64 if key.len() == 8 => None,
            Self::Int32 => Some(format!("key: expected 4 bytes, found {}", key.len())),
            Self::Int64 => Some(format!("key: expected 8 bytes, found {}", key.len())),
            Self::Json => {
                let mut scan = Scan::new(key);
                let read = scan.skip(&mut Vec::new(), 0).and_then(|()| scan.finish_value());
                read.err().map(|fault| format!("key: {}", fault.message(key)))
            }
        }
    }

    /// The keys of the records `indices`, which are of this form, as a column.
    pub(super) fn column(self, records: &dyn Records, indices: &[usize]) -> ArrayRef {
        let keys = indices.iter().map(|&i| records.key(i));
        match self {
            Self::Raw => {
                let mut column = BinaryBuilder::new();
                keys.for_each(|key| column.append_option(key));
                Arc::new(column.finish())
            }
            Self::Text | Self::Json => {
                let mut column = StringBuilder::new();
                let text = |key| std::str::from_utf8(key).ok();
                keys.for_each(|key: Option<&[u8]>| column.append_option(key.and_then(text)));
                Arc::new(column.finish())
            }
            Self::Int32 => {
                let number = |key: &[u8]| key.try_into().ok().map(i32::from_be_bytes);
                Arc::new(keys.map(|key| key.and_then(number)).collect::<Int32Array>())
            }
            Self::Int64 => {
                let number = |key: &[u8]| key.try_into().ok().map(i64::from_be_bytes);
                Arc::new(keys.map(|key| key.and_then(number)).collect::<Int64Array>())
            }
        }
    }
}

/// Takes the rows out of `decoded` whose keys are not of `form`; their records are bad.
///
/// # Errors
///
/// None in practice: the mask has a value for each row.
pub fn refuse_bad_keys(form: KeyForm, records: &dyn Records, decoded: &mut Decoded) -> Result<()> {
    let count = decoded.batch.num_rows();
    let rows = decoded.rows.take();
    let source = |row: usize| rows.as_ref().map_or(row, |rows| rows[row] as usize);
    let refused = |row: usize| form.refuses(records.key(source(row))?);
    if form == KeyForm::Raw || (0..count).all(|row| refused(row).is_none()) {
        decoded.rows = rows;
        return Ok(());
    }
    let good: BooleanArray = (0..count).map(|row| Some(refused(row).is_none())).collect();
    decoded.batch = filter_record_batch(&decoded.batch, &good)
        .map_err(|e| Error::Config(format!("keys do not fit the batch: {e}")))?;
    let index = |row: usize| u32::try_from(source(row)).unwrap_or(u32::MAX);
    decoded.rows = Some((0..count).filter(|&row| good.value(row)).map(index).collect());
    for row in (0..count).filter(|&row| !good.value(row)) {
        let index = source(row);
        if let (Some(message), false) =
            (refused(row), decoded.bad.iter().any(|bad| bad.index == index))
        {
            decoded.bad.push(BadRecord { index, message });
        }
    }
    decoded.bad.sort_by_key(|bad| bad.index);
    Ok(())
}

/// Puts the keys of the rows of `batch` into `out`, from its column `name`.
///
/// # Errors
///
/// [`Error::Encode`] without such a column, or if its values cannot be keys.
pub(super) fn encode_keys(
    batch: &RecordBatch,
    name: &str,
    form: KeyForm,
    out: &mut Encoded,
) -> Result<()> {
    let Some(column) = batch.column_by_name(name) else {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return Err(Error::Encode(format!(
            "message_key is `{name}`, and the batch has no such column; it has: {}",
            names.join(", ")
        )));
    };
    write_keys(batch.num_rows(), (name, column), form, out)
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
        write_keys(batch.num_rows(), (name, column), KeyForm::Raw, &mut out)
            .map_err(|why| Error::Config(format!("repartition_by is `{name}`: {why}")))?;
    }
    Ok(out)
}

fn write_keys(
    rows: usize,
    (name, column): (&str, &ArrayRef),
    form: KeyForm,
    out: &mut Encoded,
) -> Result<(), String> {
    let keys = match form {
        KeyForm::Raw | KeyForm::Text => Keys::new(column)?,
        KeyForm::Int32 => Keys::int32(&whole(column, &DataType::Int32)?),
        KeyForm::Int64 => Keys::int64(&whole(column, &DataType::Int64)?),
        KeyForm::Json => {
            let field = Field::new(name, column.data_type().clone(), true);
            return encode_json(&field, column, out);
        }
    };
    for row in 0..rows {
        let start = out.key_bytes.len();
        let is_key = keys.write(row, &mut out.key_bytes);
        out.keys.push(is_key.then_some((start, out.key_bytes.len())));
    }
    Ok(())
}

/// Integers as `to`.
fn whole(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if !column.data_type().is_integer() && *column.data_type() != DataType::Null {
        return Err(format!("the key is an integer, and the column is {}", column.data_type()));
    }
    cast(column, to)
}

fn encode_json(field: &Field, column: &ArrayRef, out: &mut Encoded) -> Result<(), String> {
    let node = Node::new(field, column, Pen::label)?;
    let mut pen = Pen::new(std::mem::take(&mut out.key_bytes));
    for row in 0..column.len() {
        let start = pen.out.len();
        if node.is_null(row) {
            out.keys.push(None);
            continue;
        }
        node.write(row, &mut pen)?;
        out.keys.push(Some((start, pen.out.len())));
    }
    out.key_bytes = pen.out;
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
    Wide(Int64Array),
    Narrow(Int32Array),
}

impl Keys {
    fn int32(array: &ArrayRef) -> Self {
        let values = array.as_primitive::<Int32Type>().clone();
        Self { nulls: array.logical_nulls(), cells: KeyCells::Narrow(values) }
    }

    fn int64(array: &ArrayRef) -> Self {
        let values = array.as_primitive::<Int64Type>().clone();
        Self { nulls: array.logical_nulls(), cells: KeyCells::Wide(values) }
    }

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
            KeyCells::Wide(values) => out.extend_from_slice(&values.value(i).to_be_bytes()),
            KeyCells::Narrow(values) => out.extend_from_slice(&values.value(i).to_be_bytes()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::OwnedRecord;
    use arrow::array::Float64Array;

    const FORMS: [(KeyForm, &[u8]); 4] = [
        (KeyForm::Text, "é".as_bytes()),
        (KeyForm::Int32, &[0xFF, 0xFF, 0xFF, 0xFE]),
        (KeyForm::Int64, &[0, 0, 0, 0, 0, 0, 1, 0]),
        (KeyForm::Json, br#"{"a":[1]}"#),
    ];

    fn decoded(rows: Option<Vec<u32>>, count: i64) -> Decoded {
        let ids: ArrayRef = Arc::new((0..count).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        Decoded { batch, rows, bad: Vec::new(), widened: false }
    }

    fn records(keys: &[Option<&[u8]>]) -> Vec<OwnedRecord> {
        let record = |key: &Option<&[u8]>| OwnedRecord {
            key: key.map(<[u8]>::to_vec),
            ..OwnedRecord::default()
        };
        keys.iter().map(record).collect()
    }

    #[test]
    fn keys_come_in_and_go_out_in_every_form() {
        for (form, good) in FORMS {
            let records = records(&[Some(good), None, Some(b"\xFF"), Some(good)]);
            let mut some = decoded(None, 4);
            refuse_bad_keys(form, &records, &mut some).unwrap();
            assert_eq!(some.rows, Some(vec![0, 1, 3]), "{form:?}");
            assert_eq!(some.bad[0].index, 2);
            assert!(some.bad[0].message.starts_with("key: "), "{}", some.bad[0].message);
            let column = form.column(&records, &[0, 1, 3]);
            assert!(column.is_null(1) && *column.data_type() == form.data_type());
            // JSON text becomes a JSON string again: it is its reader's to parse.
            if form != KeyForm::Json {
                let batch = RecordBatch::try_from_iter([("k", column)]).unwrap();
                let mut out = Encoded::default();
                encode_keys(&batch, "k", form, &mut out).unwrap();
                let key = |i: usize| out.keys[i].map(|(a, b)| &out.key_bytes[a..b]);
                assert_eq!((key(0), key(1), key(2)), (Some(good), None, Some(good)));
            }
        }
    }

    #[test]
    fn a_record_of_several_rows_is_bad_once() {
        let records = records(&[Some(b"\xFF"), Some(b"good")]);
        let mut some = decoded(Some(vec![0, 0, 1]), 3);
        refuse_bad_keys(KeyForm::Text, &records, &mut some).unwrap();
        assert_eq!((some.rows, some.bad.len()), (Some(vec![1]), 1));
    }

    #[test]
    fn json_keys_are_any_value() {
        let columns: [(ArrayRef, &[u8]); 2] = [
            (Arc::new(Float64Array::from(vec![0.5])), b"0.5"),
            (Arc::new(StringArray::from(vec!["a\"b"])), br#""a\"b""#),
        ];
        for (column, written) in columns {
            let batch = RecordBatch::try_from_iter([("k", column)]).unwrap();
            let mut out = Encoded::default();
            encode_keys(&batch, "k", KeyForm::Json, &mut out).unwrap();
            assert_eq!(out.key_bytes, written);
            let said = encode_keys(&batch, "k", KeyForm::Int32, &mut out).unwrap_err().to_string();
            assert!(said.contains("the key is an integer"), "{said}");
        }
    }
}
