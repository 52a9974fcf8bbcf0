//! Values of formats that have types of their own, into columns: what each type accepts.
//!
//! The rules are those of the JSON codec, as far as a format knows more than text:
//!
//! | value | column | result |
//! | --- | --- | --- |
//! | integer, float without fraction | integer | exact and in range, or bad |
//! | any number | float | the nearest float; NaN and infinities stay what they are |
//! | integer, float, text | decimal | exact, or bad |
//! | moment, text, number | timestamp, date, time, duration | as JSON's; a moment is an instant in UTC |
//! | text | binary | its UTF-8 bytes |
//! | binary | text | bad: nobody said that it is text |
//! | anything | text marked as JSON | its JSON text |

use super::{
    Cells, Column, Moment, Text,
    number::{Number, decimal, int_fits_f64},
    shorten, time,
};
use crate::codec::json::{self, Pen};

/// Keys of a map that are compared with each other, one by one.
const FEW_KEYS: usize = 8;

/// Why a column cannot take a value, as the rest of a sentence.
pub(in crate::codec) type Refused = Box<str>;

/// One value of a record, without the nested ones.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) enum Value<'a> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A float, whatever its width.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Bytes that are not known to be text.
    Bytes(&'a [u8]),
    /// Seconds and nanoseconds since 1970, in UTC.
    Instant(i64, u32),
    /// Seconds and nanoseconds of a length of time, with the same sign.
    Length(i64, i32),
}

impl Value<'_> {
    /// Names the value, for messages.
    #[cold]
    pub(in crate::codec) fn found(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => format!("the number {value}"),
            Self::UInt(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Text(text) => format!("the string {:?}", shorten(text.as_bytes())),
            Self::Bytes(_) => "binary".into(),
            Self::Instant(..) => "a timestamp".into(),
            Self::Length(..) => "a duration".into(),
        }
    }

    /// As an integer, if it is one.
    fn integer(self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(value.into()),
            Self::UInt(value) => Some(value.into()),
            // Every float beyond 2^53 is whole, and every float below 2^64 fits.
            Self::Float(value)
                if value.fract() == 0.0 && value.abs() < 18_446_744_073_709_551_616.0 =>
            {
                Some(value as i128)
            }
            _ => None,
        }
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(value as f64),
            Self::UInt(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The text of a number, as JSON writes it.
    fn number_text(self) -> Option<String> {
        match self {
            Self::Int(value) => Some(value.to_string()),
            Self::UInt(value) => Some(value.to_string()),
            Self::Float(value) if value.is_finite() => {
                Some(zmij::Buffer::new().format_finite(value).to_owned())
            }
            _ => None,
        }
    }
}

impl Column {
    /// Appends `value` as the next row.
    ///
    /// On an error the column may hold half a row: [`Column::truncate`] takes it back.
    #[inline]
    pub(in crate::codec) fn push(&mut self, value: Value<'_>) -> Result<(), Refused> {
        let check = self.check.as_deref();
        let allowed = match (&mut self.cells, value) {
            (Cells::Int { values, range }, Value::Int(v)) if (range.0..=range.1).contains(&v) => {
                values.push(v);
                check.map_or(Ok(()), |check| check.integer(v))
            }
            (Cells::Float { values, .. }, Value::Float(v)) => {
                values.push(v);
                check.map_or(Ok(()), |check| check.float(v))
            }
            (Cells::Text { text, raw: false }, Value::Text(v)) => {
                push_text(text, v.as_bytes())?;
                check.map_or(Ok(()), |check| check.text(v.as_bytes()))
            }
            (Cells::Bool(values), Value::Bool(v)) => {
                values.append(v);
                Ok(())
            }
            _ => return self.push_rare(value),
        };
        allowed?;
        self.pushed();
        Ok(())
    }

    #[inline(never)]
    fn push_rare(&mut self, value: Value<'_>) -> Result<(), Refused> {
        if matches!(value, Value::Null) {
            return self.push_nothing();
        }
        let wanted = self.wanted();
        let refuse = || -> Refused { format!("expected {wanted}, found {}", value.found()).into() };
        match &mut self.cells {
            Cells::Int { values, range } => {
                let v = value.integer().ok_or_else(refuse)?;
                let v = i64::try_from(v).ok().filter(|v| (range.0..=range.1).contains(v));
                values.push(v.ok_or_else(|| not_between(*range, value))?);
            }
            Cells::UInt { values, max } => {
                let v = value.integer().ok_or_else(refuse)?;
                let v = u64::try_from(v).ok().filter(|v| v <= max);
                values.push(v.ok_or_else(|| not_between((0, *max), value))?);
            }
            Cells::Float { values, exact } => {
                let v = value.float().ok_or_else(refuse)?;
                let is_exact = !*exact || value.integer().is_none_or(int_fits_f64);
                if !is_exact {
                    return Err(no_float(value));
                }
                values.push(v);
            }
            Cells::Float32(values) => {
                let v = value.float().ok_or_else(refuse)?;
                if v.is_finite() && !(v as f32).is_finite() {
                    return Err(no_float(value));
                }
                values.push(v as f32);
            }
            Cells::Moment { values, moment } => {
                values.push(moment_of(value, *moment).ok_or_else(refuse)?);
            }
            Cells::Decimal { values, precision, scale } => {
                let text = match value {
                    Value::Text(text) => number_in(text).map(str::to_owned),
                    _ => value.number_text(),
                };
                let text = text.ok_or_else(refuse)?;
                let v = decimal(text.as_bytes(), (*scale).into(), (*precision).into());
                values.push(v.map_err(|_| {
                    format!(
                        "expected a decimal number of at most {precision} digits, {scale} of them \
                         behind the decimal point, found {}",
                        value.found()
                    )
                })?);
            }
            Cells::Text { text, raw: true } => {
                let mut pen = Pen::new(Vec::new());
                pen.value(value).ok_or_else(refuse)?;
                if let Some(check) = &self.check {
                    check.json(pen.out[0])?;
                }
                push_text(text, &pen.out)?;
            }
            Cells::Text { text, raw: false } if self.field.data_type().is_binary() => {
                let Value::Bytes(bytes) = value else { return Err(refuse()) };
                push_text(text, bytes)?;
            }
            _ => return Err(refuse()),
        }
        self.check_last()?;
        self.pushed();
        Ok(())
    }

    /// Appends the null of a record, as far as the field has nulls.
    fn push_nothing(&mut self) -> Result<(), Refused> {
        if self.accepts_null || matches!(self.cells, Cells::Null) {
            self.push_null();
            return Ok(());
        }
        if let Cells::Text { text, raw: true } = &mut self.cells {
            push_text(text, b"null")?;
            self.pushed();
            return Ok(());
        }
        Err(format!("expected {}, found null", self.wanted()).into())
    }

    /// Is the value that has just been added allowed?
    fn check_last(&self) -> Result<(), Refused> {
        let Some(check) = &self.check else { return Ok(()) };
        let at = self.len;
        match &self.cells {
            Cells::Int { values, .. } => check.integer(values[at])?,
            Cells::UInt { values, .. } => {
                check.integer(i64::try_from(values[at]).unwrap_or(i64::MAX))?;
            }
            Cells::Float { values, .. } => check.float(values[at])?,
            Cells::Float32(values) => check.float(values[at].into())?,
            Cells::Decimal { values, scale, .. } => check.decimal(values[at], *scale)?,
            Cells::Text { text, raw: false } => check.text(text.get(at))?,
            _ => {}
        }
        Ok(())
    }

    /// Ends the list that is the next row: its items are those added since the last one.
    pub(in crate::codec) fn close_list(&mut self) -> Result<(), Refused> {
        let Cells::List { offsets, item } = &mut self.cells else {
            return Err(format!("expected {}, found an array", self.wanted()).into());
        };
        let end = i32::try_from(item.len).map_err(|_| {
            Refused::from("the batch has over 2,147,483,647 list items; use a smaller batch_size")
        })?;
        let count = item.len - offsets[self.len] as usize;
        offsets.push(end);
        if let Some(check) = &self.check {
            check.items(count)?;
        }
        self.pushed();
        Ok(())
    }

    /// Does a key repeat in the map that is the next row?
    pub(in crate::codec) fn repeats_keys(&self) -> bool {
        let Cells::Map { offsets, keys, value } = &self.cells else { return false };
        let own = offsets[self.len] as usize..value.len;
        if own.len() <= FEW_KEYS {
            return own.clone().any(|i| (i + 1..own.end).any(|j| keys.get(i) == keys.get(j)));
        }
        let mut seen = ahash::AHashSet::with_capacity(own.len());
        own.into_iter().any(|i| !seen.insert(keys.get(i)))
    }

    /// Ends the map that is the next row, whose entries are those added since the last one.
    pub(in crate::codec) fn close_map(&mut self) -> Result<(), Refused> {
        let Cells::Map { offsets, value, .. } = &mut self.cells else {
            return Err(format!("expected {}, found an object", self.wanted()).into());
        };
        let end = i32::try_from(value.len).map_err(|_| {
            Refused::from("the batch has over 2,147,483,647 map entries; use a smaller batch_size")
        })?;
        offsets.push(end);
        self.pushed();
        Ok(())
    }
}

fn push_text(text: &mut Text, bytes: &[u8]) -> Result<(), Refused> {
    if text.push(bytes) { Ok(()) } else { Err(json::TOO_MUCH_TEXT.into()) }
}

#[cold]
fn not_between<T: std::fmt::Display>(range: (T, T), value: Value<'_>) -> Refused {
    let found = value.found();
    format!("expected an integer from {} to {}, found {found}", range.0, range.1).into()
}

#[cold]
fn no_float(value: Value<'_>) -> Refused {
    format!("expected a number that a float can hold, found {}", value.found()).into()
}

/// `text` if it is a decimal number and nothing else.
fn number_in(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut end = 0;
    let begins = bytes.first().is_some_and(|&b| b == b'-' || b.is_ascii_digit());
    (begins && Number::read(bytes, &mut end).is_ok() && end == bytes.len()).then_some(text)
}

fn moment_of(value: Value<'_>, moment: Moment) -> Option<i64> {
    match (value, moment) {
        (Value::Text(text), _) => json::moment_of_text(text.as_bytes(), moment),
        (Value::Instant(seconds, ns), Moment::Timestamp { unit, .. }) => {
            time::in_unit(seconds, ns.into(), unit).filter(|_| time::is_in_calendar(seconds))
        }
        (Value::Length(seconds, ns), Moment::Duration(unit)) => {
            time::in_unit(seconds, ns.into(), unit)
        }
        (Value::Instant(seconds, 0), Moment::Date) if time::is_in_calendar(seconds) => {
            (seconds % 86_400 == 0).then_some(seconds / 86_400)
        }
        _ => {
            let text = value.number_text()?;
            let number = Number::read(text.as_bytes(), &mut 0).ok()?;
            json::moment_of_number(&number, moment)
        }
    }
}
