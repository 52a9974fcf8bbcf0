//! JSON objects member by member, for who makes objects of them instead of columns.
//!
//! The objects of a topic have the same names in the same order as a rule: a name is compared with the one that
//! stood there before, and whoever makes objects keeps what it has made of a name, by its number.
//!
//! # Guarantees
//!
//! * What is handed out follows the grammar; nothing is rounded. What is not for this reader is refused whole, and a
//!   general one has to read the record: other values than objects, integers beyond 64 bits, faults, and objects whose
//!   names are always others.

use super::scan::{Pattern, Scan};
use std::collections::HashMap;

/// Names kept.
const MOST_NAMES: usize = 256;

/// The value of a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// JSON text of an object or an array; checked.
    Json(&'a [u8]),
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The same for the same name.
    pub number: usize,
    /// The name.
    pub text: &'a str,
}

/// See the module.
#[derive(Default)]
pub struct Members {
    names: Vec<Known>,
    numbers: HashMap<Box<str>, usize>,
    scratch: Vec<u8>,
}

struct Known {
    text: Box<str>,
    /// `"name":`, where that is how it is written.
    written: Option<Pattern>,
}

impl Members {
    /// Reads the object `data`, calling `put` for each member in turn; a name that comes twice is put twice.
    ///
    /// `None` if somebody else has to read it, after some calls perhaps; what `put` answers with `None` ends it too.
    pub fn read(
        &mut self,
        data: &[u8],
        mut put: impl FnMut(Name<'_>, Value<'_>) -> Option<()>,
    ) -> Option<()> {
        let scan = &mut Scan::new(data);
        if scan.peek() != Some(b'{') {
            return None;
        }
        scan.open(0).ok()?;
        let mut more = scan.first_member(b'}').ok()?;
        let mut place = 0;
        while more {
            let number = self.name(scan, place)?;
            let name = Name { number, text: &self.names[number].text };
            value(scan, &mut self.scratch, |value| put(name, value))?;
            place = number + 1;
            more = scan.next_member(b'}').ok()?;
        }
        scan.finish().ok()
    }

    #[inline]
    fn name(&mut self, scan: &mut Scan<'_>, place: usize) -> Option<usize> {
        let known = self.names.get(place).and_then(|known| known.written.as_ref());
        if known.is_some_and(|written| scan.eat_pattern(written)) {
            return Some(place);
        }
        self.find(scan)
    }

    #[inline(never)]
    fn find(&mut self, scan: &mut Scan<'_>) -> Option<usize> {
        let text = std::str::from_utf8(scan.key(&mut self.scratch).ok()?).ok()?;
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        if self.names.len() == MOST_NAMES {
            return None;
        }
        let is_plain = !text.chars().any(|c| c == '"' || c == '\\' || c < ' ');
        let written = is_plain.then(|| Pattern::new(format!("\"{text}\":").as_bytes()));
        self.numbers.insert(text.into(), self.names.len());
        self.names.push(Known { text: text.into(), written });
        Some(self.names.len() - 1)
    }
}

#[inline]
fn value(
    scan: &mut Scan<'_>,
    scratch: &mut Vec<u8>,
    put: impl FnOnce(Value<'_>) -> Option<()>,
) -> Option<()> {
    let start = scan.value_start().ok()?;
    let at = scan.pos;
    match start {
        b'"' => put(Value::Text(std::str::from_utf8(scan.string(scratch).ok()?).ok()?)),
        b'-' | b'0'..=b'9' => {
            let number = scan.number().ok()?;
            if number.is_integer {
                return put(Value::Int(number.to_i64().ok()?));
            }
            put(Value::Float(Some(number.to_f64()).filter(|float| float.is_finite())?))
        }
        b't' => scan.word(b"true").ok().and_then(|()| put(Value::Bool(true))),
        b'f' => scan.word(b"false").ok().and_then(|()| put(Value::Bool(false))),
        b'n' => scan.word(b"null").ok().and_then(|()| put(Value::Null)),
        _ => {
            scan.skip(scratch, 1).ok()?;
            put(Value::Json(&scan.data()[at..scan.pos]))
        }
    }
}
