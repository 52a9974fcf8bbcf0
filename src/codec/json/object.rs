//! Objects with known names: finds the column of a name, fast when names come in the usual order.

use super::{
    DEFAULT, EXTRA,
    column::Column,
    scan::{Fault, Pattern, Scan, Scanned, Step},
};
use crate::error::{Error, Result};
use ahash::AHashMap;
use arrow::datatypes::Fields;
use std::collections::HashMap;

/// Names remembered of earlier objects.
const MOST_GUESSES: usize = 256;

/// Names that an object may leave out at one place without costing a look-up.
const MOST_LEFT_OUT: usize = 4;

/// What happens to names without a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    /// Their values are checked and left out.
    Skip,
    /// They make the record bad.
    Refuse,
    /// As refuse; the schema will learn the name.
    Learn,
}

/// The columns of an object's fields.
pub(super) struct Object {
    /// One for each field, in the order of the schema.
    pub columns: Vec<Column>,
    index: AHashMap<Box<[u8]>, usize>,
    unknown: Unknown,
    guesses: Vec<Guess>,
}

/// A name that stood about here in an earlier object.
struct Guess {
    /// `"name":`, which is the name with its quotes and colon.
    pattern: Pattern,
    /// Its column, if it has one.
    column: Option<usize>,
}

impl Object {
    /// Columns for `fields`; `metadata` is that of the schema or field which they are part of.
    pub(super) fn new(
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
    pub(super) fn add(&mut self, column: Column) {
        for name in &column.names {
            self.index.insert(name.as_bytes().into(), self.columns.len());
        }
        self.columns.push(column);
    }

    /// Takes back every row behind the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
    }

    /// Reads the object at `scan` into row `row`.
    pub(super) fn read(
        &mut self,
        scan: &mut Scan<'_>,
        scratch: &mut Vec<u8>,
        row: usize,
        depth: usize,
    ) -> Scanned<()> {
        scan.open(depth)?;
        let mut more = scan.first_member(b'}')?;
        let mut place = 0;
        while more {
            let column = match self.guesses.get(place) {
                Some(guess) if scan.eat_pattern(&guess.pattern) => guess.column,
                _ => self.find(scan, scratch, &mut place)?,
            };
            place += 1;
            match column {
                Some(i) => {
                    let column = &mut self.columns[i];
                    if column.len > row {
                        column.truncate(row);
                    }
                    if let Err(fault) = column.read(scan, scratch, depth + 1) {
                        return Err(self.inside(i, fault));
                    }
                }
                None => scan.skip(scratch, depth + 1)?,
            }
            more = scan.next_member(b'}')?;
        }
        for i in 0..self.columns.len() {
            if self.columns[i].len == row {
                self.fill(i, scan.pos, scratch, depth)?;
            }
        }
        Ok(())
    }

    /// Reads a name that was not expected at `place`, and moves `place` to where it is expected.
    #[inline(never)]
    fn find(
        &mut self,
        scan: &mut Scan<'_>,
        scratch: &mut Vec<u8>,
        place: &mut usize,
    ) -> Scanned<Option<usize>> {
        // Often some names of an earlier record are just left out in this one.
        let behind = self.guesses.iter().enumerate().skip(*place + 1).take(MOST_LEFT_OUT);
        for (i, guess) in behind {
            if scan.eat_pattern(&guess.pattern) {
                *place = i;
                return Ok(guess.column);
            }
        }
        scan.peek();
        let start = scan.pos;
        let name = scan.key(scratch)?;
        let column = self.index.get(name).copied();
        if column.is_none() && self.unknown != Unknown::Skip {
            let name = String::from_utf8_lossy(name);
            return Err(Fault::new(start, format!("`{name}` is not a field of the schema")));
        }
        // White space around the colon makes no pattern, nor do escapes: those names are looked up.
        let written = &scan.data()[start..scan.pos];
        if written.ends_with(b"\":") {
            if self.guesses.len() >= MOST_GUESSES {
                // Names come in no order, or the order has changed for good.
                self.guesses.clear();
            }
            *place = (*place).min(self.guesses.len());
            self.guesses.insert(*place, Guess { pattern: Pattern::new(written), column });
        }
        Ok(column)
    }

    /// Gives the next row of column `i` the value of a missing name.
    fn fill(&mut self, i: usize, at: usize, scratch: &mut Vec<u8>, depth: usize) -> Scanned<()> {
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
    fn inside(&self, i: usize, mut fault: Box<Fault>) -> Box<Fault> {
        fault.path.push(Step::Field(self.columns[i].names[0].as_str().into()));
        fault
    }
}
