//! What the codec promises, case by case and by properties.

mod evolution;
mod properties;
mod types;

use super::*;
use crate::{
    codec::{
        Decode, DecodeOptions, Decoded, Encode, Encoded, column::SharedSchema,
        json::Encoder as JsonEncoder,
    },
    config::{AvroFormat, Framing},
    types::OwnedRecord,
};
use arrow::array::RecordBatch;
use serde_json::{Value, json};
use std::sync::Arc;

/// A record `r` with these fields.
fn record(fields: Value) -> String {
    json!({ "type": "record", "name": "r", "fields": fields }).to_string()
}

/// A record with one field `v`.
fn one(of: Value) -> String {
    record(json!([{ "name": "v", "type": of }]))
}

fn format(schema: &str, writers: &[&str]) -> AvroFormat {
    AvroFormat {
        schema: Some(schema.into()),
        writers: writers.iter().map(|&w| w.into()).collect(),
        framing: Framing::Raw,
        ..AvroFormat::default()
    }
}

fn decoder(format: &AvroFormat) -> crate::error::Result<Decoder> {
    let learned = Arc::new(SharedSchema::unnamed());
    Decoder::new(format, None, &learned, None, DecodeOptions::default())
}

fn records<V: AsRef<[u8]>>(values: &[V]) -> Vec<OwnedRecord> {
    let record = |v: &V| OwnedRecord { value: Some(v.as_ref().to_vec()), ..OwnedRecord::default() };
    values.iter().map(record).collect()
}

fn decode<V: AsRef<[u8]>>(format: &AvroFormat, values: &[V]) -> Decoded {
    decoder(format).unwrap().decode(&records(values), 0..values.len())
}

/// The rows of `batch` as Avro of `schema`, without a framing.
fn encode(schema: &str, batch: &RecordBatch) -> Result<Vec<Vec<u8>>, String> {
    let encoder = Encoder::new(&format(schema, &[]), None, "t", false).unwrap();
    let mut out = Encoded::default();
    encoder.encode(batch, &mut out).map_err(|e| e.to_string())?;
    Ok((0..out.len()).map(|i| out.value(i).to_vec()).collect())
}

/// JSON text of every row.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut out = Encoded::default();
    JsonEncoder.encode(batch, &mut out).unwrap();
    (0..out.len()).map(|i| String::from_utf8(out.value(i).to_vec()).unwrap()).collect()
}

/// The JSON of `v` in a record that holds `data`, or the fault.
fn value(of: Value, data: &[u8]) -> Result<String, String> {
    resolved(&one(of.clone()), &one(of), data)
}

/// The JSON of the one row that a record by `writer` is for `reader`, or the fault.
fn resolved(writer: &str, reader: &str, data: &[u8]) -> Result<String, String> {
    let out = decode(&format(reader, &[writer]), &[data]);
    match out.bad.first() {
        Some(bad) => Err(bad.message.clone()),
        None => {
            let line = &lines(&out.batch)[0];
            Ok(line.strip_prefix("{\"v\":").map_or(line.as_str(), |v| &v[..v.len() - 1]).into())
        }
    }
}
