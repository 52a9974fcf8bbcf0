//! A batch to one line a row.

use super::Dialect;
use crate::{
    codec::{
        column::{Node, NodeCells as Cells, cast, time},
        json::Pen,
        rows::{Encode, Encoded},
    },
    error::{Error, Result},
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::DataType,
};

/// Encodes the batches that a handler returns; cells come in the order of `columns`, or of the
/// batch without it. Lists, structs and maps are JSON.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Names of the cells.
    pub columns: Vec<String>,
    /// What a null is written as.
    pub null: String,
    /// Delimiter and quote.
    pub dialect: Dialect,
}

impl Encode for Encoder {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        let columns = self.pick(batch)?;
        let mut pen = Pen::new(Vec::new());
        for row in 0..batch.num_rows() {
            for (i, (name, node)) in columns.iter().enumerate() {
                if i > 0 {
                    out.bytes.push(self.dialect.delimiter);
                }
                if node.is_null(row) {
                    out.bytes.extend_from_slice(self.null.as_bytes());
                    continue;
                }
                pen.out.clear();
                write_cell(node, row, &mut pen)
                    .map_err(|why| Error::Encode(format!("column `{name}`, row {row}: {why}")))?;
                self.put(&pen.out, &mut out.bytes);
            }
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}

/// A column to write: its name and its values.
type Picked = (String, Node);

impl Encoder {
    fn pick(&self, batch: &RecordBatch) -> Result<Vec<Picked>> {
        let schema = batch.schema();
        let names: Vec<&str> = match self.columns.as_slice() {
            [] => schema.fields().iter().map(|f| f.name().as_str()).collect(),
            names => names.iter().map(String::as_str).collect(),
        };
        if let (false, Some(extra)) = (
            self.columns.is_empty(),
            schema.fields().iter().find(|f| !names.contains(&f.name().as_str())),
        ) {
            return Err(Error::Encode(format!(
                "column `{}` of the batch is not one of Csv(columns=[...]): add it there, or drop it",
                extra.name()
            )));
        }
        let pick = |name: &str| -> Result<Picked> {
            let index = schema.index_of(name).map_err(|_| {
                Error::Encode(format!(
                    "Csv(columns=[...]) names `{name}`, and the batch has no such column"
                ))
            })?;
            let field = schema.field(index);
            let array = plain(batch.column(index)).map_err(Error::Encode)?;
            let node = Node::new(field, &array, Pen::label).map_err(Error::Encode)?;
            Ok((name.into(), node))
        };
        names.into_iter().map(pick).collect()
    }

    /// Writes a cell, in quotes if it could be read as something else without.
    fn put(&self, cell: &[u8], out: &mut Vec<u8>) {
        let Dialect { delimiter, quote } = self.dialect;
        let special = |b: &u8| *b == delimiter || *b == quote || *b == b'\n' || *b == b'\r';
        if cell != self.null.as_bytes() && !cell.iter().any(special) {
            out.extend_from_slice(cell);
            return;
        }
        out.push(quote);
        for &b in cell {
            if b == quote {
                out.push(quote);
            }
            out.push(b);
        }
        out.push(quote);
    }
}

/// A dictionary as its values: its cells are what they stand for.
fn plain(array: &ArrayRef) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values),
        _ => Ok(array.clone()),
    }
}

fn write_cell(node: &Node, row: usize, pen: &mut Pen) -> Result<(), String> {
    let out = &mut pen.out;
    match &node.cells {
        Cells::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
        Cells::LargeText(values) => out.extend_from_slice(values.value(row).as_bytes()),
        Cells::TextView(values) => out.extend_from_slice(values.value(row).as_bytes()),
        Cells::Binary(values) => {
            let text = std::str::from_utf8(values.value(row));
            let why = "binary that is not UTF-8 is no cell; encode it as text, say base64";
            out.extend_from_slice(text.map_err(|_| why)?.as_bytes());
        }
        Cells::Float(values) if !values.value(row).is_finite() => {
            out.extend_from_slice(values.value(row).to_string().as_bytes());
        }
        Cells::Float32(values) if !values.value(row).is_finite() => {
            out.extend_from_slice(values.value(row).to_string().as_bytes());
        }
        Cells::Decimal(values) => out.extend_from_slice(values.value_as_string(row).as_bytes()),
        Cells::Date(days) => time::write_date(out, days.value(row)),
        Cells::Time(ns) => time::write_time(out, ns.value(row)),
        Cells::Timestamp(values, unit, zoned) => {
            time::write_timestamp(out, values.value(row), *unit, *zoned);
        }
        Cells::Duration(values, unit) => time::write_duration(out, values.value(row), *unit),
        _ => node.write(row, pen)?,
    }
    Ok(())
}
