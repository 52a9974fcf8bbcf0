//! A line into its cells.
//!
//! Stricter than the libraries for files, on purpose: a quote that is never closed, or text behind
//! a closing quote, is damage, and not to be guessed at.

use super::Dialect;
use crate::codec::column::{Fault, Scanned};

/// The cells of one line; kept between records for its memory.
#[derive(Default)]
pub(super) struct Cells {
    bytes: Vec<u8>,
    /// End of each cell, where it begins in the record, and whether it was quoted.
    ends: Vec<(usize, usize, bool)>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of cell `i`, where it begins in the record, and whether it was quoted.
    pub(super) fn get(&self, i: usize) -> (&[u8], usize, bool) {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let (end, at, quoted) = self.ends[i];
        (&self.bytes[start..end], at, quoted)
    }

    /// Replaces the cells by those of `line`.
    pub(super) fn read(&mut self, line: &[u8], dialect: Dialect) -> Scanned<()> {
        self.bytes.clear();
        self.ends.clear();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut at = 0;
        loop {
            let start = at;
            let quoted = line.get(at) == Some(&dialect.quote);
            at = if quoted {
                self.quoted(line, at + 1, dialect)?
            } else {
                self.plain(line, at, dialect)?
            };
            self.ends.push((self.bytes.len(), start, quoted));
            match line.get(at) {
                None => return Ok(()),
                Some(&b) if b == dialect.delimiter => at += 1,
                Some(_) => return Err(Fault::new(at, "something follows behind a closing quote")),
            }
        }
    }

    /// Reads an unquoted cell; where it ends.
    fn plain(&mut self, line: &[u8], at: usize, dialect: Dialect) -> Scanned<usize> {
        let rest = &line[at..];
        let ends =
            |&b: &u8| b == dialect.delimiter || b == dialect.quote || b == b'\n' || b == b'\r';
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        match rest.get(len) {
            Some(b'\n' | b'\r') => {
                Err(Fault::new(at + len, "a second line follows in the same record"))
            }
            Some(&b) if b == dialect.quote => {
                Err(Fault::new(at + len, "a quote in the middle of a cell that is not quoted"))
            }
            _ => {
                self.bytes.extend_from_slice(&rest[..len]);
                Ok(at + len)
            }
        }
    }

    /// Reads a cell behind its opening quote; where its closing quote ends.
    fn quoted(&mut self, line: &[u8], mut at: usize, dialect: Dialect) -> Scanned<usize> {
        loop {
            let rest = &line[at..];
            let Some(len) = rest.iter().position(|&b| b == dialect.quote) else {
                return Err(Fault::new(line.len(), "the record ends inside a quoted cell"));
            };
            self.bytes.extend_from_slice(&rest[..len]);
            at += len + 1;
            if line.get(at) != Some(&dialect.quote) {
                return Ok(at);
            }
            self.bytes.push(dialect.quote);
            at += 1;
        }
    }
}
