//! MessagePack records to a batch, one partition at a time.

use super::{
    infer,
    text::write_json,
    wire::{Head, Wire},
};
use crate::{
    codec::{
        column::{
            Cells, Column, DecodeOptions, Fault, Object, ReadRecord, RecordDecoder, Scanned,
            SharedSchema, Step, Unknown,
        },
        json::{Guess, Pen, TOO_MUCH_TEXT},
        rows::{Decode, Decoded},
    },
    error::Result,
    types::Records,
};
use arrow::datatypes::{Fields, SchemaRef};
use std::{ops::Range, sync::Arc};

/// Names remembered of earlier maps.
const MOST_GUESSES: usize = 256;

/// Decodes the records of one partition.
pub struct Decoder(RecordDecoder<Reader>);

impl Decoder {
    /// A decoder for records of `schema`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Config`] for a type without columns, with the field and what to use
    /// instead.
    pub fn new(schema: SchemaRef, options: DecodeOptions) -> Result<Self> {
        RecordDecoder::new(Reader::default(), schema, options).map(Self)
    }

    /// A decoder that learns the schema from the records, together with all others on `shared`.
    ///
    /// # Errors
    ///
    /// None in practice: what is inferred can be decoded.
    pub fn inferring(shared: Arc<SharedSchema>, options: DecodeOptions) -> Result<Self> {
        RecordDecoder::inferring(Reader::default(), shared, options).map(Self)
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

/// Reads one map.
#[derive(Default)]
struct Reader {
    /// Room for defaults, which are JSON.
    scratch: Vec<u8>,
}

impl ReadRecord for Reader {
    fn read(&mut self, root: &mut Object, data: &[u8], row: usize) -> Scanned<()> {
        if data.is_empty() {
            return Err(Fault::new(0, "the value is empty"));
        }
        let mut wire = Wire::new(data);
        match wire.head()? {
            Head::Map(count) => self.object(root, &mut wire, count, row, 0)?,
            other => {
                let what = format!("expected a map, found {}", other.found());
                return Err(Fault::new(0, what));
            }
        }
        wire.finish()
    }

    fn fields_of(&self, data: &[u8]) -> Scanned<Fields> {
        infer::fields_of(data)
    }

    fn message(&self, fault: &Fault, _: &[u8]) -> String {
        fault.message_in_bytes()
    }
}

impl Reader {
    /// Reads `count` pairs into row `row`.
    fn object(
        &mut self,
        object: &mut Object,
        wire: &mut Wire<'_>,
        count: usize,
        row: usize,
        depth: usize,
    ) -> Scanned<()> {
        wire.open(depth)?;
        for place in 0..count {
            let known = object.guesses.get(place).and_then(|guess| guess.matches(wire.rest()));
            let column = match known {
                Some((len, column)) => {
                    wire.pos += len;
                    column
                }
                None => find(object, wire, place)?,
            };
            let Some(i) = column else {
                wire.skip(depth + 1)?;
                continue;
            };
            let column = &mut object.columns[i];
            if column.len > row {
                column.truncate(row);
            }
            self.value(column, wire, depth + 1).map_err(|fault| object.inside(i, fault))?;
        }
        for i in 0..object.columns.len() {
            if object.columns[i].len == row {
                object.fill(i, wire.pos, &mut self.scratch, depth)?;
            }
        }
        Ok(())
    }

    /// Reads the next value as the next row of `column`.
    #[inline]
    fn value(&mut self, column: &mut Column, wire: &mut Wire<'_>, depth: usize) -> Scanned<()> {
        let at = wire.pos;
        match wire.head()? {
            Head::One(value) => column.push(value).map_err(|what| Fault::new(at, what)),
            head => self.nested(column, wire, (at, head), depth),
        }
    }

    #[inline(never)]
    fn nested(
        &mut self,
        column: &mut Column,
        wire: &mut Wire<'_>,
        (at, head): (usize, Head<'_>),
        depth: usize,
    ) -> Scanned<()> {
        let row = column.len;
        match (&mut column.cells, head) {
            (Cells::List { item, .. }, Head::Array(count)) => {
                wire.open(depth)?;
                for i in 0..count {
                    self.value(item, wire, depth + 1)
                        .map_err(|fault| fault.within(Step::Item(i)))?;
                }
                column.close_list().map_err(|what| Fault::new(at, what))
            }
            (Cells::Struct(object), Head::Map(count)) => {
                self.object(object, wire, count, row, depth)?;
                column.pushed();
                Ok(())
            }
            (Cells::Map { .. }, Head::Map(count)) => {
                wire.open(depth)?;
                self.entries(column, wire, count, depth)?;
                column.close_map().map_err(|what| Fault::new(at, what))
            }
            (Cells::Text { raw: true, .. }, _) => {
                wire.pos = at;
                json_text(column, wire, depth)
            }
            _ => {
                let what = format!("expected {}, found {}", column.wanted(), head.found());
                Err(Fault::new(at, what))
            }
        }
    }

    fn entries(
        &mut self,
        column: &mut Column,
        wire: &mut Wire<'_>,
        count: usize,
        depth: usize,
    ) -> Scanned<()> {
        let first = *wire;
        for _ in 0..count {
            let name = wire.name()?;
            self.entry(column, wire, name, depth)?;
        }
        if !column.repeats_keys() {
            return Ok(());
        }
        let rows = column.len;
        column.truncate(rows);
        let mut again = first;
        let mut last = ahash::AHashMap::new();
        for _ in 0..count {
            let name = again.name()?;
            last.insert(name, again.pos);
            again.skip(depth + 1)?;
        }
        let mut kept: Vec<(usize, &str)> = last.into_iter().map(|(name, at)| (at, name)).collect();
        kept.sort_unstable();
        for (at, name) in kept {
            again.pos = at;
            self.entry(column, &mut again, name, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        column: &mut Column,
        wire: &mut Wire<'_>,
        name: &str,
        depth: usize,
    ) -> Scanned<()> {
        let Cells::Map { keys, value, .. } = &mut column.cells else { return Ok(()) };
        if !keys.push(name.as_bytes()) {
            return Err(wire.fault(TOO_MUCH_TEXT));
        }
        self.value(value, wire, depth + 1).map_err(|fault| fault.within(Step::Field(name.into())))
    }
}

/// Reads a name that was not expected at `place`.
#[inline(never)]
fn find(object: &mut Object, wire: &mut Wire<'_>, place: usize) -> Scanned<Option<usize>> {
    let start = wire.pos;
    let name = wire.name()?;
    let column = object.index.get(name.as_bytes()).copied();
    if column.is_none() && object.unknown != Unknown::Skip {
        return Err(Fault::new(start, format!("`{name}` is not a field of the schema")));
    }
    let guess = Guess::new(wire.since(start), column);
    let known = object.guesses.len();
    if place < known {
        object.guesses[place] = guess;
    } else if place == known && known < MOST_GUESSES {
        object.guesses.push(guess);
    }
    Ok(column)
}

/// Reads the next value, an array or a map, as JSON text.
fn json_text(column: &mut Column, wire: &mut Wire<'_>, depth: usize) -> Scanned<()> {
    let at = wire.pos;
    let mut pen = Pen::new(Vec::new());
    write_json(wire, &mut pen, depth)?;
    if let Some(check) = &column.check {
        check.json(pen.out[0]).map_err(|what| Fault::new(at, what))?;
    }
    let Cells::Text { text, .. } = &mut column.cells else { return Ok(()) };
    if !text.push(&pen.out) {
        return Err(Fault::new(at, TOO_MUCH_TEXT));
    }
    column.pushed();
    Ok(())
}
