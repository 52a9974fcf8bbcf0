//! A cursor over the JSON text of one record.
//!
//! It knows the grammar of RFC 8259 and nothing about columns. What it hands out has been checked:
//! strings are UTF-8 without raw control characters or lone surrogates, numbers follow the grammar,
//! nesting ends at [`MAX_DEPTH`]. It never allocates unless a string has escapes.

use crate::codec::column::{Fault, Scanned, number::Number, shorten};

/// Deepest nesting of arrays and objects in a record, the outermost object included.
pub const MAX_DEPTH: usize = 64;

/// The text of a record and how far it has been read.
pub(in crate::codec) struct Scan<'a> {
    data: &'a [u8],
    /// Next byte to read.
    pub pos: usize,
}

/// Text to compare with, short enough for two machine words as a rule.
pub(in crate::codec) struct Pattern {
    text: Box<[u8]>,
    /// The first 16 bytes, and which of them there are.
    head: u128,
    mask: u128,
}

impl Pattern {
    pub(in crate::codec) fn new(text: &[u8]) -> Self {
        let mut head = [0; 16];
        let short = text.len().min(16);
        head[..short].copy_from_slice(&text[..short]);
        let mask = u128::MAX.checked_shr(128 - 8 * short as u32).unwrap_or(0);
        Self { text: text.into(), head: u128::from_le_bytes(head), mask }
    }

    /// Bytes of the text.
    pub(in crate::codec) fn len(&self) -> usize {
        self.text.len()
    }

    #[inline]
    pub(in crate::codec) fn is_at_start_of(&self, data: &[u8]) -> bool {
        match data.first_chunk::<16>() {
            Some(chunk) if u128::from_le_bytes(*chunk) & self.mask != self.head => false,
            Some(_) if self.text.len() <= 16 => true,
            _ => data.starts_with(&self.text),
        }
    }
}

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Marks the bytes of `w` that end a run of plain string text: quote, backslash, control
/// characters.
///
/// Only the lowest mark is exact, which is all a search needs.
#[inline]
pub(in crate::codec) fn stops(w: u64) -> u64 {
    let quote = w ^ (ONES * b'"' as u64);
    let slash = w ^ (ONES * b'\\' as u64);
    ((quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (w.wrapping_sub(ONES * 0x20) & !w))
        & HIGHS
}

impl<'a> Scan<'a> {
    pub(in crate::codec) fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0 }
    }

    /// A cursor that starts at byte `pos`.
    pub(in crate::codec) fn at(data: &'a [u8], pos: usize) -> Self {
        Self { data, pos }
    }

    /// The whole text of the record.
    pub(in crate::codec) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The next byte that is not white space, without reading it.
    #[inline]
    pub(in crate::codec) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.data.get(self.pos) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.pos += 1,
                other => return other.copied(),
            }
        }
    }

    /// Reads `word` if the text continues with exactly these bytes.
    #[inline]
    pub(in crate::codec) fn eat<const N: usize>(&mut self, word: &[u8; N]) -> bool {
        let hit = self.data[self.pos..].first_chunk::<N>() == Some(word);
        if hit {
            self.pos += N;
        }
        hit
    }

    /// Reads `pattern` if the text continues with exactly these bytes.
    #[inline]
    pub(in crate::codec) fn eat_pattern(&mut self, pattern: &Pattern) -> bool {
        let hit = pattern.is_at_start_of(&self.data[self.pos..]);
        if hit {
            self.pos += pattern.text.len();
        }
        hit
    }

    /// First byte of the value that follows.
    #[inline]
    pub(in crate::codec) fn value_start(&mut self) -> Scanned<u8> {
        match self.peek() {
            Some(b) => Ok(b),
            None => Err(self.fault("expected a value, found the end of the record")),
        }
    }

    /// Behind an opened object: true if a member follows, false if it was empty and has been
    /// closed.
    #[inline]
    pub(in crate::codec) fn first_member(&mut self, close: u8) -> Scanned<bool> {
        match self.peek() {
            Some(b) if b == close => {
                self.pos += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(self.unclosed(close)),
        }
    }

    /// Behind a member: true if another one follows, false if the object or array has been closed.
    #[inline]
    pub(in crate::codec) fn next_member(&mut self, close: u8) -> Scanned<bool> {
        // As machines write it, without white space.
        if let Some([b',', next]) = self.data[self.pos..].first_chunk::<2>()
            && *next > b' '
            && *next != close
        {
            self.pos += 1;
            return Ok(true);
        }
        self.next_member_spaced(close)
    }

    fn next_member_spaced(&mut self, close: u8) -> Scanned<bool> {
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                match self.peek() {
                    Some(b) if b == close => Err(self.fault("found a comma behind the last value")),
                    Some(_) => Ok(true),
                    None => Err(self.unclosed(close)),
                }
            }
            Some(b) if b == close => {
                self.pos += 1;
                Ok(false)
            }
            Some(_) => {
                let found = self.found();
                Err(self.fault(format!("expected `,` or `{}`, found {found}", close as char)))
            }
            None => Err(self.unclosed(close)),
        }
    }

    /// Reads `"name":` and hands out the name.
    #[inline]
    pub(in crate::codec) fn key<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Scanned<&'s [u8]>
    where
        'a: 's,
    {
        if self.peek() != Some(b'"') {
            let found = self.found();
            return Err(self.fault(format!("expected a field name in quotes, found {found}")));
        }
        let key = self.string(scratch)?;
        if self.peek() != Some(b':') {
            let found = self.found();
            return Err(self.fault(format!("expected `:` behind a field name, found {found}")));
        }
        self.pos += 1;
        Ok(key)
    }

    /// Reads a string whose quote is at `pos`; one with escapes is written to `scratch`.
    #[inline]
    pub(in crate::codec) fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Scanned<&'s [u8]>
    where
        'a: 's,
    {
        let start = self.pos + 1;
        self.pos = start;
        let mut high = self.plain_run();
        if self.data.get(self.pos) == Some(&b'"') {
            let text = &self.data[start..self.pos];
            self.pos += 1;
            if high & HIGHS != 0 {
                self.check_utf8(start, text)?;
            }
            return Ok(text);
        }
        scratch.clear();
        let mut from = start;
        loop {
            match self.data.get(self.pos) {
                Some(b'"') => break,
                Some(b'\\') => {
                    scratch.extend_from_slice(&self.data[from..self.pos]);
                    self.escape(scratch)?;
                    from = self.pos;
                }
                Some(&b) => {
                    let what = format!("found the control character {b:#04x} in a string");
                    return Err(self.fault(what));
                }
                None => return Err(Fault::new(start - 1, "the string is not closed")),
            }
            high |= self.plain_run();
        }
        scratch.extend_from_slice(&self.data[from..self.pos]);
        self.pos += 1;
        if high & HIGHS != 0 {
            self.check_utf8(start, &self.data[start..self.pos - 1])?;
        }
        Ok(scratch)
    }

    /// Moves over plain string text; the result has a high bit wherever a byte was not ASCII.
    #[inline]
    fn plain_run(&mut self) -> u64 {
        let mut high = 0;
        while let Some(chunk) = self.data[self.pos..].first_chunk::<8>() {
            let w = u64::from_le_bytes(*chunk);
            let stop = stops(w);
            if stop != 0 {
                let n = stop.trailing_zeros() as usize / 8;
                self.pos += n;
                return high | (w & !(u64::MAX << (8 * n)));
            }
            high |= w;
            self.pos += 8;
        }
        while let Some(&b) = self.data.get(self.pos) {
            if b == b'"' || b == b'\\' || b < 0x20 {
                break;
            }
            high |= u64::from(b);
            self.pos += 1;
        }
        high
    }

    /// Reads one escape sequence whose backslash is at `pos`.
    fn escape(&mut self, out: &mut Vec<u8>) -> Scanned<()> {
        let plain = match self.data.get(self.pos + 1) {
            Some(&b @ (b'"' | b'\\' | b'/')) => b,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(out),
            Some(_) => return Err(self.fault("found an unknown escape in a string")),
            None => return Err(self.fault("the string is not closed")),
        };
        out.push(plain);
        self.pos += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Scanned<()> {
        let first = self.hex4(self.pos + 2)?;
        let mut len = 6;
        let code = match first {
            0xD800..0xDC00 if self.data[self.pos + 6..].starts_with(b"\\u") => {
                let second = self.hex4(self.pos + 8)?;
                len = 12;
                match second {
                    0xDC00..0xE000 => 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                    _ => first,
                }
            }
            code => code,
        };
        let Some(c) = char::from_u32(code) else {
            let what = format!("found half of a surrogate pair (\\u{first:04x}) in a string");
            return Err(self.fault(what));
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        self.pos += len;
        Ok(())
    }

    fn hex4(&self, at: usize) -> Scanned<u32> {
        self.data
            .get(at..at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| Fault::new(at, "expected four hexadecimal digits behind \\u"))
    }

    #[inline(never)]
    fn check_utf8(&self, start: usize, text: &[u8]) -> Scanned<()> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(()),
            Err(e) => Err(Fault::new(start + e.valid_up_to(), "a string is not valid UTF-8")),
        }
    }

    /// Reads the number at `pos`.
    #[inline]
    pub(in crate::codec) fn number(&mut self) -> Scanned<Number<'a>> {
        Number::read(self.data, &mut self.pos)
    }

    /// Reads `true`, `false` or `null`.
    #[inline]
    pub(in crate::codec) fn word<const N: usize>(&mut self, word: &[u8; N]) -> Scanned<()> {
        if self.eat(word) {
            return Ok(());
        }
        Err(self.fault(format!("expected a value, found {}", self.found())))
    }

    /// Reads any value and checks it, `depth` levels deep.
    pub(in crate::codec) fn skip(&mut self, scratch: &mut Vec<u8>, depth: usize) -> Scanned<()> {
        match self.value_start()? {
            b'"' => self.string(scratch).map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'{' => {
                self.open(depth)?;
                let mut more = self.first_member(b'}')?;
                while more {
                    self.key(scratch)?;
                    self.skip(scratch, depth + 1)?;
                    more = self.next_member(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                self.open(depth)?;
                let mut more = self.first_member(b']')?;
                while more {
                    self.skip(scratch, depth + 1)?;
                    more = self.next_member(b']')?;
                }
                Ok(())
            }
            _ => Err(self.fault(format!("expected a value, found {}", self.found()))),
        }
    }

    /// Reads the bracket that opens nesting level `depth` + 1.
    #[inline]
    pub(in crate::codec) fn open(&mut self, depth: usize) -> Scanned<()> {
        if depth >= MAX_DEPTH {
            return Err(self.fault(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.pos += 1;
        Ok(())
    }

    /// Makes sure that nothing but white space follows.
    #[inline]
    pub(in crate::codec) fn finish(&mut self) -> Scanned<()> {
        match self.peek() {
            None => Ok(()),
            Some(b'{') => Err(self.fault("a second JSON object follows in the same record")),
            Some(_) => Err(self.fault("something follows behind the JSON object")),
        }
    }

    /// Is the value that has been read all there is?
    pub(in crate::codec) fn finish_value(&self) -> Scanned<()> {
        if self.pos == self.data.len() {
            return Ok(());
        }
        Err(self.fault("something follows behind the value"))
    }

    /// A fault at the current byte.
    #[cold]
    pub(in crate::codec) fn fault(&self, what: impl Into<String>) -> Box<Fault> {
        Fault::new(self.pos, what)
    }

    #[cold]
    fn unclosed(&self, close: u8) -> Box<Fault> {
        let what = if close == b'}' { "object" } else { "array" };
        self.fault(format!("the record ends inside an {what}"))
    }

    /// Names the value or byte at `pos`.
    #[cold]
    pub(in crate::codec) fn found(&self) -> String {
        let rest = &self.data[self.pos..];
        match rest.first() {
            None => "the end of the record".into(),
            Some(b'"') => "a string".into(),
            Some(b'{') => "an object".into(),
            Some(b'[') => "an array".into(),
            Some(b'-' | b'0'..=b'9') => {
                let mut pos = self.pos;
                match Number::read(self.data, &mut pos) {
                    Ok(n) => format!("the number {}", shorten(n.text)),
                    Err(_) => "a number".into(),
                }
            }
            Some(_) if rest.starts_with(b"true") || rest.starts_with(b"false") => {
                "a boolean".into()
            }
            Some(_) if rest.starts_with(b"null") => "null".into(),
            Some(_) if rest.starts_with(b"NaN") => "NaN, which JSON does not have".into(),
            Some(_) if rest.starts_with(b"Infinity") => "Infinity, which JSON does not have".into(),
            Some(_) if rest.starts_with(b"\xEF\xBB\xBF") => "a byte order mark".into(),
            Some(&b) if b.is_ascii_graphic() => format!("`{}`", b as char),
            Some(&b) => format!("the byte {b:#04x}"),
        }
    }
}
