//! Lines to a batch, one partition at a time.

use super::{Dialect, split};
use crate::{
    codec::{
        column::{
            Cells, Column, DecodeOptions, Fault, Object, ReadRecord, RecordDecoder, Scanned, Value,
        },
        json::Scan,
        rows::{Decode, Decoded},
    },
    error::{Error, Result},
    types::Records,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use std::{ops::Range, sync::Arc};

/// Decodes the records of one partition.
pub struct Decoder(RecordDecoder<Reader>);

impl Decoder {
    /// A decoder for lines whose cells are called `names`: those of `schema` in its order if there
    /// are none; all cells are text without a schema.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] without names, or for a field of the schema that no cell has.
    pub fn new(
        schema: Option<SchemaRef>,
        names: &[String],
        null: &str,
        dialect: Dialect,
        options: DecodeOptions,
    ) -> Result<Self> {
        let text = |name: &String| Field::new(name, DataType::Utf8, true);
        let schema = match schema {
            Some(schema) => schema,
            None if names.is_empty() => {
                return Err(Error::Config(
                    "value_format=\"csv\" needs names for the cells: write Csv(columns=[...]), or \
                     give the subscription a model"
                        .into(),
                ));
            }
            None => Arc::new(Schema::new(names.iter().map(text).collect::<Vec<_>>())),
        };
        let root = Object::new(schema.fields(), schema.metadata(), false)?;
        let cells: Vec<Option<usize>> = match names {
            [] => (0..root.columns.len()).map(Some).collect(),
            names => names.iter().map(|n| root.index.get(n.as_bytes()).copied()).collect(),
        };
        let names = if names.is_empty() {
            root.columns.iter().map(|c| c.names[0].clone()).collect()
        } else {
            names.to_vec()
        };
        let unfilled = root.columns.iter().enumerate().find(|(i, column)| {
            !cells.contains(&Some(*i)) && !column.accepts_null && column.default.is_none()
        });
        if let Some((_, column)) = unfilled {
            return Err(Error::Config(format!(
                "field `{}` of the model is no cell of the lines: add it to Csv(columns=[...])",
                column.names[0]
            )));
        }
        let reader = Reader {
            dialect,
            null: null.as_bytes().into(),
            names,
            columns: cells,
            cells: split::Cells::default(),
            scratch: Vec::new(),
        };
        RecordDecoder::new(reader, schema, options).map(Self)
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

/// Reads one line.
struct Reader {
    dialect: Dialect,
    /// An unquoted cell that says this is null.
    null: Box<[u8]>,
    /// Names of the cells.
    names: Vec<String>,
    /// Column of each cell; none if nobody asks for it.
    columns: Vec<Option<usize>>,
    cells: split::Cells,
    scratch: Vec<u8>,
}

impl ReadRecord for Reader {
    fn read(&mut self, root: &mut Object, data: &[u8], row: usize) -> Scanned<()> {
        if data.is_empty() {
            return Err(Fault::new(0, "the value is empty"));
        }
        self.cells.read(data, self.dialect)?;
        let (found, wanted) = (self.cells.len(), self.columns.len());
        if found != wanted {
            return Err(Fault::new(0, format!("expected {wanted} cells, found {found}")));
        }
        for (place, column) in self.columns.iter().enumerate() {
            let (cell, at, quoted) = self.cells.get(place);
            let text = std::str::from_utf8(cell)
                .map_err(|_| cell_fault(&self.names, place, at, "text that is not UTF-8".into()))?;
            let Some(column) = *column else { continue };
            let is_null = !quoted && *cell == *self.null;
            fill(&mut root.columns[column], text, is_null, &mut self.scratch)
                .map_err(|what| cell_fault(&self.names, place, at, what))?;
        }
        for i in 0..root.columns.len() {
            if root.columns[i].len == row {
                root.fill(i, data.len(), &mut self.scratch, 0)?;
            }
        }
        Ok(())
    }

    fn fields_of(&self, _: &[u8]) -> Scanned<Fields> {
        unreachable!("the schema is known")
    }

    fn message(&self, fault: &Fault, _: &[u8]) -> String {
        fault.message_in_bytes()
    }
}

#[cold]
fn cell_fault(names: &[String], place: usize, at: usize, what: String) -> Box<Fault> {
    Fault::new(at, what).within_field(&names[place])
}

/// Appends a cell as the next row of `column`.
fn fill(
    column: &mut Column,
    text: &str,
    is_null: bool,
    scratch: &mut Vec<u8>,
) -> Result<(), String> {
    // Text that may not be null can still be empty.
    let is_text = matches!(column.cells, Cells::Text { raw: false, .. });
    let value = match (&column.cells, text) {
        _ if is_null && (column.accepts_null || !is_text) => Value::Null,
        (Cells::Text { raw: false, .. }, _) => Value::Text(text),
        (Cells::Float { .. } | Cells::Float32(_), "NaN" | "nan") => Value::Float(f64::NAN),
        (Cells::Float { .. } | Cells::Float32(_), "inf") => Value::Float(f64::INFINITY),
        (Cells::Float { .. } | Cells::Float32(_), "-inf") => Value::Float(f64::NEG_INFINITY),
        (Cells::Bool(_), "true" | "True") => Value::Bool(true),
        (Cells::Bool(_), "false" | "False") => Value::Bool(false),
        (Cells::Moment { .. } | Cells::Decimal { .. }, _) if !is_number(text) => Value::Text(text),
        _ => {
            let mut scan = Scan::new(text.as_bytes());
            let read = column.read(&mut scan, scratch, 1).and_then(|()| scan.finish_value());
            return read.map_err(|fault| fault.what);
        }
    };
    Ok(column.push(value)?)
}

fn is_number(text: &str) -> bool {
    let mut scan = Scan::new(text.as_bytes());
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && scan.number().is_ok()
        && scan.pos == text.len()
}
