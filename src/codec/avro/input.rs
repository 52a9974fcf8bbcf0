//! The bytes of one record, read from the front.

use super::schema::Type;
use crate::codec::column::{Fault, Scanned};

/// Most items without bytes that one array may have: nulls, and records of nothing else.
const MOST_EMPTY: usize = 1_000;

/// What is left of a record.
pub(super) struct Input<'a> {
    data: &'a [u8],
    /// Bytes read.
    pub pos: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8], pos: usize) -> Self {
        Self { data, pos }
    }

    pub(super) fn rest(&self) -> usize {
        self.data.len() - self.pos
    }

    #[cold]
    pub(super) fn fault(&self, what: impl Into<String>) -> Box<Fault> {
        Fault::new(self.pos, what)
    }

    /// The next `n` bytes.
    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Scanned<&'a [u8]> {
        let Some(bytes) = self.data[self.pos..].get(..n) else {
            return Err(self.fault(format!(
                "the record ends {} byte(s) too early",
                n.saturating_sub(self.rest())
            )));
        };
        self.pos += n;
        Ok(bytes)
    }

    /// The next `N` bytes.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Scanned<[u8; N]> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many as asked for"))
    }

    /// A variable-length zig-zag integer.
    #[inline]
    pub(super) fn long(&mut self) -> Scanned<i64> {
        let mut value = 0_u64;
        for (i, &byte) in self.data[self.pos..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    break;
                }
                self.pos += i + 1;
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        let what = if self.rest() < 10 { "the record ends inside" } else { "more than 64 bits in" };
        Err(self.fault(format!("{what} an integer")))
    }

    /// As [`Self::long`], of 32 bits.
    #[inline]
    pub(super) fn int(&mut self) -> Scanned<i64> {
        let at = self.pos;
        let value = self.long()?;
        if i32::try_from(value).is_err() {
            return Err(Fault::new(at, format!("expected 32 bits, found {value}")));
        }
        Ok(value)
    }

    /// The bytes behind their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Scanned<&'a [u8]> {
        let at = self.pos;
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(Fault::new(at, format!("a length of {length}"))),
        }
    }

    pub(super) fn bool(&mut self) -> Scanned<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Fault::new(self.pos - 1, format!("expected 0 or 1, found {other}"))),
        }
    }

    /// Position of a branch or symbol, below `count`.
    #[inline]
    pub(super) fn choice(&mut self, count: usize, what: &str) -> Scanned<usize> {
        let at = self.pos;
        let index = self.long()?;
        usize::try_from(index).ok().filter(|&i| i < count).ok_or_else(|| {
            Fault::new(at, format!("{what} {index} of {count}: is this another schema's record?"))
        })
    }

    /// Calls `item` for each item of an array or map; an item without bytes is one of few.
    pub(super) fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Scanned<()>,
    ) -> Scanned<usize> {
        let (mut count, mut empty) = (0, 0);
        while let Some(block) = self.block()? {
            for _ in 0..block {
                let at = self.pos;
                item(self)?;
                count += 1;
                if self.pos == at {
                    empty += 1;
                    if empty > MOST_EMPTY {
                        return Err(self.fault(format!(
                            "an array of more than {MOST_EMPTY} items without bytes"
                        )));
                    }
                }
            }
        }
        Ok(count)
    }

    /// Items of the next block; none behind the last one.
    fn block(&mut self) -> Scanned<Option<u64>> {
        let count = self.long()?;
        if count < 0 {
            // The size in bytes is for those that skip the block.
            self.long()?;
        }
        Ok((count != 0).then_some(count.unsigned_abs()))
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, of: &Type) -> Scanned<()> {
        match of {
            Type::Null => {}
            Type::Bool => drop(self.bool()?),
            Type::Int | Type::Date | Type::Time(arrow::datatypes::TimeUnit::Millisecond) => {
                self.int()?;
            }
            Type::Long | Type::Time(_) | Type::Timestamp { .. } => drop(self.long()?),
            Type::Float => drop(self.take(4)?),
            Type::Double => drop(self.take(8)?),
            Type::Bytes | Type::String | Type::Decimal { size: None, .. } => drop(self.bytes()?),
            Type::Uuid => drop(self.take(16)?),
            Type::Fixed(size) | Type::Decimal { size: Some(size), .. } => drop(self.take(*size)?),
            Type::Enum(one) => drop(self.choice(one.symbols.len(), "symbol")?),
            Type::Array(item) => drop(self.blocks(|input| input.skip(item))?),
            Type::Map(value) => drop(self.blocks(|input| {
                input.bytes()?;
                input.skip(value)
            })?),
            Type::Record(record) => {
                for field in &record.fields {
                    self.skip(&field.of)?;
                }
            }
            Type::Union(branches) => {
                let branch = self.choice(branches.len(), "branch")?;
                self.skip(&branches[branch])?;
            }
        }
        Ok(())
    }
}
