//! A cursor over the bytes of one record: heads of values, and the bytes that belong to them.

use crate::codec::column::{Fault, Scanned, Value};
use rmp::Marker;

/// Deepest nesting of arrays and maps in a record.
pub(super) const MAX_DEPTH: usize = crate::codec::json::MAX_DEPTH;

/// The type of timestamps among the extensions.
const TIMESTAMP: i8 = -1;

/// What begins at the cursor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Head<'a> {
    /// A value without values inside.
    One(Value<'a>),
    /// As many values follow.
    Array(usize),
    /// As many pairs of name and value follow.
    Map(usize),
}

impl Head<'_> {
    /// Names what begins here, for messages.
    pub(super) fn found(&self) -> String {
        match self {
            Self::One(value) => value.found(),
            Self::Array(_) => "an array".into(),
            Self::Map(_) => "an object".into(),
        }
    }
}

/// The bytes of a record and how far they have been read.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    data: &'a [u8],
    /// Next byte to read.
    pub pos: usize,
}

impl<'a> Wire<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0 }
    }

    /// What has not been read.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.data[self.pos..]
    }

    /// The bytes from `start` up to the cursor.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.data[start..self.pos]
    }

    #[cold]
    pub(super) fn fault(&self, what: impl Into<String>) -> Box<Fault> {
        Fault::new(self.pos, what)
    }

    #[cold]
    fn short(&self) -> Box<Fault> {
        Fault::new(self.data.len(), "the record ends inside a value")
    }

    #[inline]
    fn take(&mut self, count: usize) -> Scanned<&'a [u8]> {
        let taken = self.rest().get(..count).ok_or_else(|| self.short())?;
        self.pos += count;
        Ok(taken)
    }

    #[inline]
    fn bytes<const N: usize>(&mut self) -> Scanned<[u8; N]> {
        let taken = self.rest().first_chunk::<N>().ok_or_else(|| self.short())?;
        self.pos += N;
        Ok(*taken)
    }

    fn len8(&mut self) -> Scanned<usize> {
        Ok(self.bytes::<1>()?[0].into())
    }

    fn len16(&mut self) -> Scanned<usize> {
        Ok(u16::from_be_bytes(self.bytes()?).into())
    }

    fn len32(&mut self) -> Scanned<usize> {
        Ok(u32::from_be_bytes(self.bytes()?) as usize)
    }

    fn text(&mut self, len: usize) -> Scanned<Head<'a>> {
        let start = self.pos;
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(bytes);
        Ok(Head::One(Value::Text(text.map_err(|_| Fault::new(start, "text that is not UTF-8"))?)))
    }

    fn binary(&mut self, len: usize) -> Scanned<Head<'a>> {
        Ok(Head::One(Value::Bytes(self.take(len)?)))
    }

    /// Every item takes a byte at least, so that a false count never makes anybody reserve memory.
    fn items(&mut self, count: usize, each: usize) -> Scanned<usize> {
        if count.saturating_mul(each) > self.rest().len() { Err(self.short()) } else { Ok(count) }
    }

    fn array(&mut self, count: usize) -> Scanned<Head<'a>> {
        self.items(count, 1).map(Head::Array)
    }

    fn map(&mut self, count: usize) -> Scanned<Head<'a>> {
        self.items(count, 2).map(Head::Map)
    }

    fn extension(&mut self, len: usize) -> Scanned<Head<'a>> {
        let start = self.pos;
        let kind = i8::from_be_bytes(self.bytes()?);
        let data = self.take(len)?;
        let instant = if kind == TIMESTAMP { instant(data) } else { None };
        let (seconds, ns) = instant.ok_or_else(|| {
            Fault::new(start, format!("an extension of type {kind} and {len} bytes has no column"))
        })?;
        Ok(Head::One(Value::Instant(seconds, ns)))
    }

    /// Reads the head of the next value, and all of it if nothing is inside.
    #[inline]
    pub(super) fn head(&mut self) -> Scanned<Head<'a>> {
        let start = self.pos;
        let one = |value| Ok(Head::One(value));
        match Marker::from_u8(self.bytes::<1>()?[0]) {
            Marker::FixPos(v) => one(Value::Int(v.into())),
            Marker::FixNeg(v) => one(Value::Int(v.into())),
            Marker::FixStr(len) => self.text(len.into()),
            Marker::Str8 => self.len8().and_then(|len| self.text(len)),
            Marker::F64 => one(Value::Float(f64::from_be_bytes(self.bytes()?))),
            Marker::True => one(Value::Bool(true)),
            Marker::False => one(Value::Bool(false)),
            Marker::Null => one(Value::Null),
            Marker::U8 => one(Value::Int(u8::from_be_bytes(self.bytes()?).into())),
            Marker::U16 => one(Value::Int(u16::from_be_bytes(self.bytes()?).into())),
            Marker::U32 => one(Value::Int(u32::from_be_bytes(self.bytes()?).into())),
            Marker::U64 => {
                let value = u64::from_be_bytes(self.bytes()?);
                one(i64::try_from(value).map_or(Value::UInt(value), Value::Int))
            }
            Marker::I8 => one(Value::Int(i8::from_be_bytes(self.bytes()?).into())),
            Marker::I16 => one(Value::Int(i16::from_be_bytes(self.bytes()?).into())),
            Marker::I32 => one(Value::Int(i32::from_be_bytes(self.bytes()?).into())),
            Marker::I64 => one(Value::Int(i64::from_be_bytes(self.bytes()?))),
            Marker::Reserved => Err(Fault::new(start, "the byte 0xc1 begins no value")),
            marker => self.rare(marker),
        }
    }

    #[inline(never)]
    fn rare(&mut self, marker: Marker) -> Scanned<Head<'a>> {
        match marker {
            Marker::F32 => {
                let value = f32::from_be_bytes(self.bytes()?);
                Ok(Head::One(Value::Float(value.into())))
            }
            Marker::FixMap(count) => self.map(count.into()),
            Marker::Map16 => self.len16().and_then(|n| self.map(n)),
            Marker::Map32 => self.len32().and_then(|n| self.map(n)),
            Marker::FixArray(count) => self.array(count.into()),
            Marker::Array16 => self.len16().and_then(|n| self.array(n)),
            Marker::Array32 => self.len32().and_then(|n| self.array(n)),
            Marker::Str16 => self.len16().and_then(|len| self.text(len)),
            Marker::Str32 => self.len32().and_then(|len| self.text(len)),
            Marker::Bin8 => self.len8().and_then(|len| self.binary(len)),
            Marker::Bin16 => self.len16().and_then(|len| self.binary(len)),
            Marker::Bin32 => self.len32().and_then(|len| self.binary(len)),
            Marker::FixExt1 => self.extension(1),
            Marker::FixExt2 => self.extension(2),
            Marker::FixExt4 => self.extension(4),
            Marker::FixExt8 => self.extension(8),
            Marker::FixExt16 => self.extension(16),
            Marker::Ext8 => self.len8().and_then(|len| self.extension(len)),
            Marker::Ext16 => self.len16().and_then(|len| self.extension(len)),
            Marker::Ext32 => self.len32().and_then(|len| self.extension(len)),
            _ => unreachable!("read by Wire::head"),
        }
    }

    /// Reads a name of a map.
    pub(super) fn name(&mut self) -> Scanned<&'a str> {
        let start = self.pos;
        match self.head()? {
            Head::One(Value::Text(name)) => Ok(name),
            other => {
                let what = format!("names of a map are text, and one is {}", other.found());
                Err(Fault::new(start, what))
            }
        }
    }

    /// Reads over a value, checking what is inside.
    pub(super) fn skip(&mut self, depth: usize) -> Scanned<()> {
        match self.head()? {
            Head::One(_) => {}
            Head::Array(count) => {
                self.open(depth)?;
                for _ in 0..count {
                    self.skip(depth + 1)?;
                }
            }
            Head::Map(count) => {
                self.open(depth)?;
                for _ in 0..count {
                    self.name()?;
                    self.skip(depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Is there room for another level?
    pub(super) fn open(&self, depth: usize) -> Scanned<()> {
        if depth >= MAX_DEPTH {
            return Err(self.fault(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    /// Is everything read?
    pub(super) fn finish(&self) -> Scanned<()> {
        if self.rest().is_empty() {
            return Ok(());
        }
        Err(self.fault("something follows behind the map"))
    }
}

/// Seconds and nanoseconds since 1970, in the three forms of the timestamp extension.
fn instant(data: &[u8]) -> Option<(i64, u32)> {
    let (seconds, ns) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            (i64::try_from(both & 0x3_FFFF_FFFF).ok()?, u32::try_from(both >> 34).ok()?)
        }
        12 => {
            let (ns, seconds) = data.split_at(4);
            let ns = u32::from_be_bytes(ns.try_into().ok()?);
            (i64::from_be_bytes(seconds.try_into().ok()?), ns)
        }
        _ => return None,
    };
    (ns < 1_000_000_000).then_some((seconds, ns))
}
