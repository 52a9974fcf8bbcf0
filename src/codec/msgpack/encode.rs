//! A batch to one MessagePack map a row.

use super::text::{length, write_value};
use crate::{
    codec::{
        column::{
            Node, NodeCells as Cells,
            time::{self, ns_per},
        },
        rows::{Encode, Encoded},
    },
    error::{Error, Result},
};
use arrow::array::RecordBatch;
use rmp::encode as rmp;

/// Encodes the batches that a handler returns, whatever their types.
///
/// Timestamps are the timestamp extension, a naive one as if it were in UTC; dates, times,
/// durations and decimals are text as in JSON; columns that hold JSON are written as what the JSON
/// says.
#[derive(Debug, Default)]
pub struct Encoder;

impl Encode for Encoder {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        let nodes = nodes(batch)?;
        let count = length(nodes.len()).map_err(|e| Error::Encode(e.to_string()))?;
        out.ends.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            let written = rmp::write_map_len(&mut out.bytes, count).map_err(|e| e.to_string());
            written.map_err(Error::Encode)?;
            for (i, (name, node)) in nodes.iter().enumerate() {
                out.bytes.extend_from_slice(name);
                write(node, row, &mut out.bytes).map_err(|why| {
                    let schema = batch.schema();
                    Error::Encode(format!("column `{}`, row {row}: {why}", schema.field(i).name()))
                })?;
            }
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}

/// The columns to write, each with its name in front.
fn nodes(batch: &RecordBatch) -> Result<Vec<(Vec<u8>, Node)>> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).enumerate();
    let nodes = columns.map(|(i, (field, array))| {
        if schema.fields()[..i].iter().any(|other| other.name() == field.name()) {
            return Err(Error::Encode(format!(
                "two columns are called `{}`, and a map has a name once: rename one",
                field.name()
            )));
        }
        Ok((label(i, field.name()), Node::new(field, array, label).map_err(Error::Encode)?))
    });
    nodes.collect()
}

fn label(_: usize, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    rmp::write_str(&mut out, name).expect("a vector takes bytes");
    out
}

fn write(node: &Node, i: usize, out: &mut Vec<u8>) -> Result<(), String> {
    put(node, i, out).map_err(|e| e.to_string())
}

/// Writes row `i` of `node`.
#[inline]
fn put(node: &Node, i: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
    if node.is_null(i) {
        return rmp::write_nil(out);
    }
    match &node.cells {
        Cells::Null => rmp::write_nil(out)?,
        Cells::Bool(values) => rmp::write_bool(out, values.value(i))?,
        Cells::Int(values) => drop(rmp::write_sint(out, values.value(i))?),
        Cells::UInt(values) => drop(rmp::write_uint(out, values.value(i))?),
        Cells::Float(values) => rmp::write_f64(out, values.value(i))?,
        Cells::Float32(values) => rmp::write_f32(out, values.value(i))?,
        Cells::Text(values) => rmp::write_str(out, values.value(i))?,
        Cells::LargeText(values) => rmp::write_str(out, values.value(i))?,
        Cells::TextView(values) => rmp::write_str(out, values.value(i))?,
        Cells::Binary(values) => rmp::write_bin(out, values.value(i))?,
        Cells::Decimal(values) => rmp::write_str(out, &values.value_as_string(i))?,
        Cells::Raw(values) => {
            let json = serde_json::from_str(values.value(i)).map_err(std::io::Error::other)?;
            write_value(&json, out)?;
        }
        Cells::Timestamp(values, unit, _) => {
            let per_second = 1_000_000_000 / ns_per(*unit);
            let (value, part) = (values.value(i), ns_per(*unit));
            let ns = value.rem_euclid(per_second) * part;
            write_instant(out, value.div_euclid(per_second), u32::try_from(ns).unwrap_or(0))?;
        }
        Cells::Date(days) => write_text(out, |text| time::write_date(text, days.value(i)))?,
        Cells::Time(ns) => write_text(out, |text| time::write_time(text, ns.value(i)))?,
        Cells::Duration(values, unit) => {
            write_text(out, |text| time::write_duration(text, values.value(i), *unit))?;
        }
        Cells::List(list) => {
            let offsets = list.0.value_offsets();
            rmp::write_array_len(out, length((offsets[i + 1] - offsets[i]) as usize)?)?;
            for item in offsets[i]..offsets[i + 1] {
                put(&list.1, item as usize, out)?;
            }
        }
        Cells::Struct(fields) => {
            rmp::write_map_len(out, length(fields.len())?)?;
            for (name, node) in fields {
                out.extend_from_slice(name);
                put(node, i, out)?;
            }
        }
        Cells::Map(map) => {
            let (maps, keys, values) = &**map;
            let offsets = maps.value_offsets();
            rmp::write_map_len(out, length((offsets[i + 1] - offsets[i]) as usize)?)?;
            for entry in offsets[i]..offsets[i + 1] {
                rmp::write_str(out, keys.value(entry as usize))?;
                put(values, entry as usize, out)?;
            }
        }
    }
    Ok(())
}

fn write_text(out: &mut Vec<u8>, write: impl Fn(&mut Vec<u8>)) -> std::io::Result<()> {
    let mut text = Vec::new();
    write(&mut text);
    Ok(rmp::write_str(out, std::str::from_utf8(&text).map_err(std::io::Error::other)?)?)
}

/// The shortest of the three forms of the timestamp extension.
fn write_instant(out: &mut Vec<u8>, seconds: i64, ns: u32) -> std::io::Result<()> {
    match (u32::try_from(seconds), u64::try_from(seconds)) {
        (Ok(seconds), _) if ns == 0 => {
            rmp::write_ext_meta(out, 4, -1)?;
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        (_, Ok(seconds)) if seconds < 1 << 34 => {
            rmp::write_ext_meta(out, 8, -1)?;
            out.extend_from_slice(&(u64::from(ns) << 34 | seconds).to_be_bytes());
        }
        _ => {
            rmp::write_ext_meta(out, 12, -1)?;
            out.extend_from_slice(&ns.to_be_bytes());
            out.extend_from_slice(&seconds.to_be_bytes());
        }
    }
    Ok(())
}
