//! Objects with known names.

use super::{Column, DEFAULT, EXTRA, Fault, Scanned, Step};
use crate::{
    codec::json::Guess,
    error::{Error, Result},
};
use ahash::AHashMap;
use arrow::datatypes::Fields;
use std::collections::HashMap;

/// What happens to names without a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Unknown {
    /// Their values are checked and left out.
    Skip,
    /// They make the record bad.
    Refuse,
    /// As refuse; the schema will learn the name.
    Learn,
}

/// The columns of an object's fields.
pub(in crate::codec) struct Object {
    /// One for each field, in the order of the schema.
    pub columns: Vec<Column>,
    /// Position of each name's column.
    pub(in crate::codec) index: AHashMap<Box<[u8]>, usize>,
    /// What happens to other names.
    pub(in crate::codec) unknown: Unknown,
    /// Names of earlier objects, in their order.
    pub(in crate::codec) guesses: Vec<Guess>,
}

impl Object {
    /// Columns for `fields`; `metadata` is that of the schema or field which they are part of.
    pub(in crate::codec) fn new(
        fields: &Fields,
        metadata: &HashMap<String, String>,
        inferred: bool,
    ) -> Result<Self> {
        let mut object = Self {
            columns: Vec::with_capacity(fields.len()),
            index: AHashMap::new(),
            unknown: match metadata.get(EXTRA).map(String::as_str) {
                _ if inferred => Unknown::Learn,
                Some("forbid") => Unknown::Refuse,
                _ => Unknown::Skip,
            },
            guesses: Vec::new(),
        };
        for field in fields {
            let column = Column::new(field, inferred)?;
            if let Some(name) =
                column.names.iter().find(|n| object.index.contains_key(n.as_bytes()))
            {
                return Err(Error::Config(format!("two fields are called `{name}`; rename one")));
            }
            object.add(column);
        }
        for column in &mut object.columns {
            if let Err(fault) = column.read_default(&mut Vec::new(), 0) {
                return Err(Error::Config(format!(
                    "field `{}`: metadata {DEFAULT}: {}",
                    column.field.name(),
                    fault.what
                )));
            }
            column.truncate(0);
        }
        Ok(object)
    }

    /// Adds a column, whose names are new.
    pub(in crate::codec) fn add(&mut self, column: Column) {
        for name in &column.names {
            self.index.insert(name.as_bytes().into(), self.columns.len());
        }
        self.columns.push(column);
    }

    /// Takes back every row behind the first `len`.
    pub(in crate::codec) fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
    }

    /// Gives the next row of column `i` the value of a missing name.
    pub(in crate::codec) fn fill(
        &mut self,
        i: usize,
        at: usize,
        scratch: &mut Vec<u8>,
        depth: usize,
    ) -> Scanned<()> {
        let column = &mut self.columns[i];
        if column.default.is_some() {
            return column.read_default(scratch, depth + 1).map_err(|fault| {
                let what = format!("missing, and its default is unusable: {}", fault.what);
                self.inside(i, Fault::new(at, what))
            });
        }
        if column.accepts_null && !column.required {
            column.push_null();
            return Ok(());
        }
        Err(self.inside(i, Fault::new(at, "missing")))
    }

    #[cold]
    pub(in crate::codec) fn inside(&self, i: usize, mut fault: Box<Fault>) -> Box<Fault> {
        fault.path.push(Step::Field(self.columns[i].names[0].as_str().into()));
        fault
    }
}
