//! A batch to one JSON object a row.

use super::write::Pen;
use crate::{
    codec::{
        column::Node,
        rows::{Encode, Encoded},
    },
    error::{Error, Result},
};
use arrow::array::RecordBatch;

/// Encodes the batches that a handler returns, whatever their types.
///
/// Times are RFC 3339 (with a time zone: in UTC, with `Z`), decimals are strings, binary must be
/// UTF-8 text, NaN and infinities become `null` and are counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder;

impl Encode for Encoder {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        let nodes = nodes(batch)?;
        let mut pen = Pen::new(std::mem::take(&mut out.bytes));
        out.ends.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            if nodes.is_empty() {
                pen.out.push(b'{');
            }
            for (name, node) in &nodes {
                pen.out.extend_from_slice(name);
                node.write(row, &mut pen).map_err(|why| {
                    let name = String::from_utf8_lossy(&name[1..name.len() - 1]);
                    Error::Encode(format!("column {name}, row {row}: {why}"))
                })?;
            }
            pen.out.push(b'}');
            out.ends.push(pen.out.len());
        }
        out.non_finite = pen.non_finite;
        out.bytes = pen.out;
        Ok(())
    }
}

/// The columns to write, each with the text in front of its value.
fn nodes(batch: &RecordBatch) -> Result<Vec<(Vec<u8>, Node)>> {
    let schema = batch.schema();
    let mut nodes: Vec<(Vec<u8>, Node)> = Vec::with_capacity(batch.num_columns());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        let name = Pen::label(nodes.len(), field.name());
        if nodes.iter().any(|(other, _)| other[1..] == name[1..]) {
            return Err(Error::Encode(format!(
                "two columns are called `{}`, and an object has a name once: rename one",
                field.name()
            )));
        }
        nodes.push((name, Node::new(field, array, Pen::label).map_err(Error::Encode)?));
    }
    Ok(nodes)
}
