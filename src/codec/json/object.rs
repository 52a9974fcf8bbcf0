//! JSON objects into their columns, fast when names come in the usual order.

use super::scan::{Pattern, Scan};
use crate::codec::column::{Fault, Object, Scanned, Unknown};

/// Names remembered of earlier objects.
const MOST_GUESSES: usize = 256;

/// Names that an object may leave out at one place without costing a look-up.
const MOST_LEFT_OUT: usize = 4;

/// A name that stood about here in an earlier object.
pub(in crate::codec) struct Guess {
    /// `"name":`, which is the name with its quotes and colon.
    pattern: Pattern,
    /// Its column, if it has one.
    column: Option<usize>,
}

impl Guess {
    /// The name written as `written`, delimiters included.
    pub(in crate::codec) fn new(written: &[u8], column: Option<usize>) -> Self {
        Self { pattern: Pattern::new(written), column }
    }

    /// Length of the name and its column, if `rest` begins with it.
    #[inline]
    pub(in crate::codec) fn matches(&self, rest: &[u8]) -> Option<(usize, Option<usize>)> {
        self.pattern.is_at_start_of(rest).then(|| (self.pattern.len(), self.column))
    }
}

impl Object {
    /// Reads the object at `scan` into row `row`.
    pub(in crate::codec) fn read(
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
            self.guesses.insert(*place, Guess::new(written, column));
        }
        Ok(column)
    }
}
