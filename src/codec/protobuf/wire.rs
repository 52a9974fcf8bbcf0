//! A cursor over the bytes of a message: keys, and the values behind them.

use crate::codec::column::{Fault, Scanned};

/// Deepest nesting of messages and groups in a record.
pub(super) const MAX_DEPTH: usize = crate::codec::json::MAX_DEPTH;

/// Highest number of a field.
const MOST_NUMBER: u64 = (1 << 29) - 1;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An integer in groups of seven bits.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length and as many bytes.
    Bytes,
    /// Fields up to an end mark.
    Group,
    /// Four bytes.
    Fixed32,
}

impl Form {
    /// The word for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Varint => "a varint",
            Self::Fixed64 => "eight bytes",
            Self::Bytes => "a length and bytes",
            Self::Group => "a group",
            Self::Fixed32 => "four bytes",
        }
    }
}

/// A value as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Written<'a> {
    /// See [`Form::Varint`].
    Varint(u64),
    /// See [`Form::Fixed64`].
    Fixed64([u8; 8]),
    /// See [`Form::Bytes`] and [`Form::Group`], and where in the record they begin.
    Bytes(&'a [u8], usize),
    /// See [`Form::Fixed32`].
    Fixed32([u8; 4]),
}

/// The bytes of a message and how far they have been read.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    data: &'a [u8],
    pos: usize,
    /// Where the message begins in the record.
    base: usize,
}

impl<'a> Wire<'a> {
    /// A cursor over `data`, which begins at byte `base` of its record.
    pub(super) fn new(data: &'a [u8], base: usize) -> Self {
        Self { data, pos: 0, base }
    }

    /// Where the cursor is in the record.
    pub(super) fn at(&self) -> usize {
        self.base + self.pos
    }

    /// Is everything read?
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.pos == self.data.len()
    }

    #[cold]
    fn short(&self) -> Box<Fault> {
        Fault::new(self.base + self.data.len(), "the record ends inside a field")
    }

    /// Reads a varint.
    #[inline]
    pub(super) fn varint(&mut self) -> Scanned<u64> {
        match self.data.get(self.pos) {
            Some(&byte) if byte < 0x80 => {
                self.pos += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Scanned<u64> {
        let mut value = 0;
        for (i, &byte) in self.data[self.pos..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    return Err(Fault::new(self.at(), "an integer of more than 64 bits"));
                }
                self.pos += i + 1;
                return Ok(value);
            }
        }
        if self.data.len() - self.pos >= 10 {
            return Err(Fault::new(self.at(), "an integer of more than 64 bits"));
        }
        Err(self.short())
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Scanned<[u8; N]> {
        let taken = self.data[self.pos..].first_chunk::<N>().ok_or_else(|| self.short())?;
        self.pos += N;
        Ok(*taken)
    }

    /// Reads a length and as many bytes.
    #[inline]
    pub(super) fn bytes(&mut self) -> Scanned<(&'a [u8], usize)> {
        let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let taken = self.data[self.pos..].get(..len).ok_or_else(|| self.short())?;
        let at = self.at();
        self.pos += len;
        Ok((taken, at))
    }

    /// Reads the key of a field: its number and how its value is written; none for the end of a
    /// group.
    #[inline]
    fn key_or_end(&mut self) -> Scanned<(u32, Option<Form>)> {
        let at = self.at();
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || number > MOST_NUMBER {
            return Err(Fault::new(at, format!("{number} is no number of a field")));
        }
        let form = match key & 7 {
            0 => Some(Form::Varint),
            1 => Some(Form::Fixed64),
            2 => Some(Form::Bytes),
            3 => Some(Form::Group),
            4 => None,
            5 => Some(Form::Fixed32),
            other => return Err(Fault::new(at, format!("{other} is no wire type"))),
        };
        Ok((u32::try_from(number).unwrap_or(u32::MAX), form))
    }

    /// Reads the key of a field.
    #[inline]
    pub(super) fn key(&mut self) -> Scanned<(u32, Form)> {
        let at = self.at();
        match self.key_or_end()? {
            (number, Some(form)) => Ok((number, form)),
            (_, None) => Err(Fault::new(at, "a group ends that never began")),
        }
    }

    /// Reads the value of field `number`.
    #[inline]
    pub(super) fn value(&mut self, number: u32, form: Form, depth: usize) -> Scanned<Written<'a>> {
        Ok(match form {
            Form::Varint => Written::Varint(self.varint()?),
            Form::Fixed64 => Written::Fixed64(self.fixed()?),
            Form::Fixed32 => Written::Fixed32(self.fixed()?),
            Form::Bytes => {
                let (bytes, at) = self.bytes()?;
                Written::Bytes(bytes, at)
            }
            Form::Group => {
                let (start, at) = (self.pos, self.at());
                let end = self.end_of_group(number, depth)?;
                Written::Bytes(&self.data[start..end], at)
            }
        })
    }

    /// Reads over the fields of a group; where its end mark begins.
    fn end_of_group(&mut self, number: u32, depth: usize) -> Scanned<usize> {
        if depth >= MAX_DEPTH {
            return Err(Fault::new(self.at(), format!("nested deeper than {MAX_DEPTH} levels")));
        }
        loop {
            let end = self.pos;
            match self.key_or_end()? {
                (inner, Some(form)) => drop(self.value(inner, form, depth + 1)?),
                (inner, None) if inner == number => return Ok(end),
                _ => return Err(Fault::new(self.at(), "a group ends that never began")),
            }
        }
    }
}
