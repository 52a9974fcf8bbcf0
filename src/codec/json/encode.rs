//! A batch to one JSON object a row.

use super::write::{Keys, Node, Pen};
use crate::error::{Error, Result};
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

/// Rows as JSON text, and their keys; kept between batches for its memory.
#[derive(Debug, Default)]
pub struct Encoded {
    /// All values, one behind the other.
    pub bytes: Vec<u8>,
    /// End of each value.
    pub ends: Vec<usize>,
    /// All keys, one behind the other.
    pub key_bytes: Vec<u8>,
    /// Range of each key; empty if no column is the key.
    pub keys: Vec<Option<(usize, usize)>>,
    /// NaN and infinities written as `null` in the last batch.
    pub non_finite: u64,
}

/// Room for text that is kept from batch to batch in any case.
const MOST_KEPT_BYTES: usize = 4 << 20;

impl Encoded {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// JSON text of row `i`.
    ///
    /// # Panics
    ///
    /// Without such a row.
    #[must_use]
    pub fn value(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[i]]
    }

    /// Key of row `i`; none if it is null or no column is the key.
    #[must_use]
    pub fn key(&self, i: usize) -> Option<&[u8]> {
        self.keys.get(i).copied().flatten().map(|(start, end)| &self.key_bytes[start..end])
    }

    fn clear(&mut self) {
        // One huge batch must not hold its memory for ever.
        self.bytes.shrink_to(MOST_KEPT_BYTES.max(2 * self.bytes.len()));
        self.bytes.clear();
        self.ends.clear();
        self.key_bytes.clear();
        self.keys.clear();
        self.non_finite = 0;
    }
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

    /// Replaces what is in `out` by the rows of `batch`; after an error nothing in it counts.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the key column is missing or cannot be a key, for a type without a JSON
    /// form, and for a value without one; the sentence names the column.
    pub fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
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

/// The columns to write, each with the text in front of its value.
fn nodes(batch: &RecordBatch, left_out: &[String]) -> Result<Vec<(Vec<u8>, Node)>> {
    let schema = batch.schema();
    let mut nodes: Vec<(Vec<u8>, Node)> = Vec::with_capacity(batch.num_columns());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        if left_out.contains(field.name()) {
            continue;
        }
        let name = Pen::name(if nodes.is_empty() { b'{' } else { b',' }, field.name());
        if nodes.iter().any(|(other, _)| other[1..] == name[1..]) {
            return Err(Error::Encode(format!(
                "two columns are called `{}`, and an object has a name once: rename one",
                field.name()
            )));
        }
        nodes.push((name, Node::new(field, array).map_err(Error::Encode)?));
    }
    Ok(nodes)
}
