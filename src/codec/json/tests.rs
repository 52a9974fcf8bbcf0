//! What the codec promises, case by case and by properties.

mod decoding;
mod encoding;
mod inferring;
mod members;
mod properties;

use super::*;
use crate::{
    codec::{Decode, Decoded, Encode, Encoded, Output},
    types::OwnedRecord,
};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// Records with these values.
fn records<V: AsRef<[u8]>>(values: &[V]) -> Vec<OwnedRecord> {
    let record = |v: &V| OwnedRecord { value: Some(v.as_ref().to_vec()), ..OwnedRecord::default() };
    values.iter().map(record).collect()
}

/// A nullable field.
fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// `field` with one more entry of metadata.
fn with(field: Field, key: &str, value: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(key.into(), value.into());
    field.with_metadata(metadata)
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn decode<V: AsRef<[u8]>>(schema: &SchemaRef, values: &[V]) -> Decoded {
    let mut decoder = Decoder::new(Arc::clone(schema), DecodeOptions::default()).unwrap();
    decoder.decode(&records(values), 0..values.len())
}

/// JSON text of every row.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut out = Encoded::default();
    Encoder.encode(batch, &mut out).unwrap();
    (0..out.len()).map(|i| String::from_utf8(out.value(i).to_vec()).unwrap()).collect()
}

/// What becomes of `json` as the value of a nullable column `v` of `data_type`: its JSON, or the
/// fault.
fn value(data_type: DataType, json: &str) -> Result<String, String> {
    field_value(field("v", data_type), json)
}

fn field_value(field: Field, json: &str) -> Result<String, String> {
    let out = decode(&schema(vec![field]), &[format!("{{\"v\":{json}}}")]);
    match out.bad.first() {
        Some(bad) => {
            assert_eq!(out.batch.num_rows(), 0);
            Err(bad.message.clone())
        }
        None => {
            let line = &lines(&out.batch)[0];
            Ok(line["{\"v\":".len()..line.len() - 1].into())
        }
    }
}

/// The fault of `json` in a column of `data_type`.
fn fault(data_type: DataType, json: &str) -> String {
    value(data_type, json).unwrap_err()
}
