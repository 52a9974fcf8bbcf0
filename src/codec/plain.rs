//! Values that are one column: bytes as they are (`raw`), or UTF-8 text (`string`).
//!
//! The column is called `value`, unless a schema of one field gives it another name. Written is the
//! column `value`, or the only one of the batch.

use super::{
    column::{DecodeOptions, Fault, Object, ReadRecord, RecordDecoder, Scanned, Value, cast},
    rows::{Decode, Decoded, Encode, Encoded},
};
use crate::{
    error::{Error, Result},
    types::Records,
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
};
use std::{ops::Range, sync::Arc};

/// Name of the column.
const COLUMN: &str = "value";

/// What the bytes are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Raw,
    /// UTF-8 text; anything else is a bad record.
    Text,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Raw => DataType::Binary,
            Self::Text => DataType::Utf8,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Text => "string",
        }
    }
}

/// Decodes the records of one partition.
pub struct Decoder(RecordDecoder<Kind>);

impl Decoder {
    /// A decoder into the only field of `schema`, or into the column `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a schema that has other fields, or one of another type.
    pub fn new(kind: Kind, schema: Option<SchemaRef>, options: DecodeOptions) -> Result<Self> {
        let schema = match schema {
            None => Arc::new(Schema::new(vec![Field::new(COLUMN, kind.data_type(), false)])),
            Some(schema) => match schema.fields().as_ref() {
                [field] if *field.data_type() == kind.data_type() => schema,
                _ => {
                    return Err(Error::Config(format!(
                        "value_format=\"{}\" is one column of {}, and the model has other fields: \
                         leave the model out, or give it one such field",
                        kind.word(),
                        kind.data_type()
                    )));
                }
            },
        };
        RecordDecoder::new(kind, schema, options).map(Self)
    }
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn decode(&mut self, records: &dyn Records, range: Range<usize>) -> Decoded {
        self.0.decode(records, range)
    }
}

impl ReadRecord for Kind {
    fn read(&mut self, root: &mut Object, data: &[u8], _: usize) -> Scanned<()> {
        let value = match self {
            Self::Raw => Value::Bytes(data),
            Self::Text => Value::Text(std::str::from_utf8(data).map_err(|e| {
                Fault::new(e.valid_up_to(), "expected UTF-8 text, found another byte")
            })?),
        };
        root.columns[0].push(value).map_err(|what| Fault::new(0, what))
    }

    fn fields_of(&self, _: &[u8]) -> Scanned<Fields> {
        unreachable!("the schema is known")
    }

    fn message(&self, fault: &Fault, _: &[u8]) -> String {
        fault.message_in_bytes()
    }
}

/// Writes one column.
#[derive(Clone, Copy, Debug)]
pub struct Encoder(pub Kind);

impl Encode for Encoder {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        let (name, column) = self.column(batch)?;
        let wrong = |what: &dyn std::fmt::Display| {
            Error::Encode(format!(
                "column `{name}` is {what}, and value_format=\"{}\" writes {}: convert it",
                self.0.word(),
                self.0.data_type()
            ))
        };
        // Numbers have no text that everybody agrees on: the handler says how they are written.
        let fits = match column.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
            DataType::Dictionary(_, values) => **values == DataType::Utf8,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => self.0 == Kind::Raw,
            _ => false,
        };
        if !fits {
            return Err(wrong(column.data_type()));
        }
        let bytes = cast(column, &DataType::Binary).map_err(|e| wrong(&e))?;
        let bytes = bytes.as_binary::<i32>();
        for row in 0..bytes.len() {
            if bytes.is_null(row) {
                return Err(Error::Encode(format!(
                    "column `{name}`, row {row}: a null has no bytes; leave the row out, or write \
                     tombstones with tombstones_out=True"
                )));
            }
            out.bytes.extend_from_slice(bytes.value(row));
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}

impl Encoder {
    fn column<'a>(&self, batch: &'a RecordBatch) -> Result<(String, &'a arrow::array::ArrayRef)> {
        let schema = batch.schema();
        let index = match schema.index_of(COLUMN) {
            Ok(index) => index,
            Err(_) if batch.num_columns() == 1 => 0,
            Err(_) => {
                return Err(Error::Encode(format!(
                    "value_format=\"{}\" writes the column `{COLUMN}`, and the batch has none; it \
                     has: {}",
                    self.0.word(),
                    schema
                        .fields()
                        .iter()
                        .map(|f| f.name().as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                )));
            }
        };
        Ok((schema.field(index).name().clone(), batch.column(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::OwnedRecord;
    use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray};

    fn decode(kind: Kind, values: &[Option<&[u8]>]) -> Decoded {
        let record = |v: &Option<&[u8]>| OwnedRecord {
            value: v.map(<[u8]>::to_vec),
            ..OwnedRecord::default()
        };
        let records: Vec<OwnedRecord> = values.iter().map(record).collect();
        let mut decoder = Decoder::new(kind, None, DecodeOptions::default()).unwrap();
        decoder.decode(&records, 0..records.len())
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn bytes_stay_what_they_are() {
        let decoded = decode(Kind::Raw, &[Some(b"\xFF\x00"), Some(b""), None]);
        let column = decoded.batch.column(0).as_binary::<i32>();
        assert_eq!((column.value(0), column.value(1)), (b"\xFF\x00".as_slice(), b"".as_slice()));
        assert!(decoded.bad[0].message.contains("tombstone"));
        let mut out = Encoded::default();
        Encoder(Kind::Raw).encode(&decoded.batch, &mut out).unwrap();
        assert_eq!((out.value(0), out.value(1)), (b"\xFF\x00".as_slice(), b"".as_slice()));
    }

    #[test]
    fn text_must_be_utf8() {
        let decoded = decode(Kind::Text, &[Some("é".as_bytes()), Some(b"ab\xFFc")]);
        assert_eq!(decoded.batch.column(0).as_string::<i32>().value(0), "é");
        assert_eq!(decoded.bad[0].message, "expected UTF-8 text, found another byte at byte 2");
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let mut out = Encoded::default();
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"\xFF".as_slice()]));
        let mut said = |kind, columns| {
            Encoder(kind).encode(&batch(columns), &mut out).unwrap_err().to_string()
        };
        assert!(said(Kind::Raw, vec![("value", Arc::clone(&ids))]).contains("is Int64"));
        assert!(said(Kind::Text, vec![("v", texts)]).contains("`v`, row 1: a null has no bytes"));
        assert!(said(Kind::Text, vec![("v", Arc::clone(&bytes))]).contains("is Binary"));
        assert!(said(Kind::Raw, vec![("a", ids), ("b", bytes)]).contains("it has: a, b"));
    }

    #[test]
    fn a_model_may_name_the_column() {
        let named = |data_type| {
            let schema = Arc::new(Schema::new(vec![Field::new("line", data_type, false)]));
            Decoder::new(Kind::Text, Some(schema), DecodeOptions::default())
        };
        assert_eq!(named(DataType::Utf8).unwrap().schema().field(0).name(), "line");
        assert!(named(DataType::Int64).err().unwrap().to_string().contains("one column of Utf8"));
    }
}
