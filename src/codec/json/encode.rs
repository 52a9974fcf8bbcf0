//! A batch to one JSON object a row.

use super::write::{Keys, Pen};
use crate::{
    codec::{
        column::Node,
        rows::{Encode, Encoded},
    },
    error::{Error, Result},
};
use arrow::array::RecordBatch;

/// Encodes the batches that a handler returns, whatever their types, and takes the record keys out
/// of them.
///
/// Columns with the names of metadata columns are left out. Times are RFC 3339 (with a time zone:
/// in UTC, with `Z`), decimals are strings, binary must be UTF-8 text, NaN and infinities become
/// `null` and are counted.
#[derive(Debug, Default)]
pub struct Encoder {
    message_key: Option<String>,
    /// Names of columns that are not written.
    left_out: Vec<String>,
}

impl Encoder {
    /// An encoder that takes the record keys from column `message_key`.
    #[must_use]
    pub fn new(message_key: Option<&str>) -> Self {
        Self { message_key: message_key.map(Into::into), left_out: Vec::new() }
    }

    /// Leaves the metadata columns `names` (as `key`, without the underscore) out of what it writes.
    #[must_use]
    pub fn without_metadata(self, names: &[String]) -> Self {
        Self { left_out: names.iter().map(|name| format!("_{name}")).collect(), ..self }
    }

    fn encode_keys(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        let Some(name) = &self.message_key else { return Ok(()) };
        let Some(column) = batch.column_by_name(name) else {
            let schema = batch.schema();
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            return Err(Error::Encode(format!(
                "message_key is `{name}`, and the batch has no such column; it has: {}",
                names.join(", ")
            )));
        };
        let keys = Keys::new(column)
            .map_err(|why| Error::Encode(format!("message_key is `{name}`: {why}")))?;
        for row in 0..batch.num_rows() {
            let start = out.key_bytes.len();
            let is_key = keys.write(row, &mut out.key_bytes);
            out.keys.push(is_key.then_some((start, out.key_bytes.len())));
        }
        Ok(())
    }
}

impl Encode for Encoder {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        self.encode_keys(batch, out)?;
        let nodes = nodes(batch, &self.left_out)?;
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
fn nodes(batch: &RecordBatch, left_out: &[String]) -> Result<Vec<(Vec<u8>, Node)>> {
    let schema = batch.schema();
    let mut nodes: Vec<(Vec<u8>, Node)> = Vec::with_capacity(batch.num_columns());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        if left_out.contains(field.name()) {
            continue;
        }
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
