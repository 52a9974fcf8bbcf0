//! JSON values into columns: what each type accepts.

use super::scan::Scan;
use crate::codec::column::{
    Cells, Column, Fault, Moment, Scanned, Step, Text, Zone,
    number::{DecimalError, Number, decimal},
    shorten, time,
};
use ahash::AHashMap;

/// A column of text is full.
pub(in crate::codec) const TOO_MUCH_TEXT: &str =
    "the batch has over 2 GiB of text in this column; use a smaller batch_size";

impl Column {
    /// Reads the value at `scan` as the next row.
    ///
    /// On an error the column may hold half a row: [`Column::truncate`] takes it back.
    #[inline]
    pub(in crate::codec) fn read(
        &mut self,
        scan: &mut Scan<'_>,
        scratch: &mut Vec<u8>,
        depth: usize,
    ) -> Scanned<()> {
        let first = scan.value_start()?;
        if first == b'n' && scan.eat(b"null") {
            return self.read_null(scan);
        }
        let at = scan.pos;
        let check = self.check.as_deref();
        let allowed = match &mut self.cells {
            Cells::Int { values, range } => {
                let number = expect_number(scan, first, "an integer")?;
                let value = number.to_i64().ok().filter(|v| (range.0..=range.1).contains(v));
                let Some(value) = value else { return Err(not_integer(scan, at, *range)) };
                values.push(value);
                check.map_or(Ok(()), |check| check.integer(value))
            }
            Cells::Float { values, exact } => {
                let number = expect_number(scan, first, "a number")?;
                let value = number.to_f64();
                if !value.is_finite() || (*exact && !number.is_exact_float()) {
                    return Err(not_float(scan, at));
                }
                values.push(value);
                check.map_or(Ok(()), |check| check.float(value))
            }
            Cells::Text { text, raw: false } => {
                if first != b'"' {
                    return Err(expected(scan, "a string"));
                }
                let value = scan.string(scratch)?;
                if !text.push(value) {
                    return Err(Fault::new(at, TOO_MUCH_TEXT));
                }
                check.map_or(Ok(()), |check| check.text(value))
            }
            Cells::Bool(values) => {
                let value = first == b't';
                if !(if value { scan.eat(b"true") } else { scan.eat(b"false") }) {
                    return Err(expected(scan, "true or false"));
                }
                values.append(value);
                Ok(())
            }
            _ => return self.read_rare(scan, scratch, first, depth),
        };
        if let Err(what) = allowed {
            return Err(Fault::new(at, what));
        }
        self.pushed();
        Ok(())
    }

    /// Reads the default as the next row, if there is one. As in pydantic, it need not pass the
    /// checks.
    pub(in crate::codec) fn read_default(
        &mut self,
        scratch: &mut Vec<u8>,
        depth: usize,
    ) -> Scanned<()> {
        let Some(json) = self.default.take() else { return Ok(()) };
        let check = self.check.take();
        let result = self.read(&mut Scan::new(&json), scratch, depth);
        self.check = check;
        self.default = Some(json);
        result
    }

    fn read_null(&mut self, scan: &Scan<'_>) -> Scanned<()> {
        if let Cells::Text { text, raw: true } = &mut self.cells
            && !self.accepts_null
        {
            // JSON's own null is a value like any other where any JSON is allowed.
            text.push(b"null");
            self.pushed();
            return Ok(());
        }
        if self.accepts_null {
            self.push_null();
            return Ok(());
        }
        let what = format!("expected {}, found null", self.wanted());
        Err(Fault::new(scan.pos - 4, what))
    }

    /// The types that are rare in events.
    #[inline(never)]
    fn read_rare(
        &mut self,
        scan: &mut Scan<'_>,
        scratch: &mut Vec<u8>,
        first: u8,
        depth: usize,
    ) -> Scanned<()> {
        let at = scan.pos;
        match &mut self.cells {
            Cells::UInt { values, max } => {
                let number = expect_number(scan, first, "an integer")?;
                let value = number.to_i128().ok().and_then(|v| u64::try_from(v).ok());
                match value.filter(|v| v <= max) {
                    Some(value) => values.push(value),
                    None => return Err(not_integer(scan, at, (0, *max))),
                }
                if let (Some(check), Some(value)) = (&self.check, value) {
                    let allowed = check.integer(i64::try_from(value).unwrap_or(i64::MAX));
                    allowed.map_err(|what| Fault::new(at, what))?;
                }
            }
            Cells::Float32(values) => {
                let value = expect_number(scan, first, "a number")?.to_f64();
                let narrow = value as f32;
                if !narrow.is_finite() {
                    return Err(not_float(scan, at));
                }
                values.push(narrow);
                if let Some(check) = &self.check {
                    check.float(value).map_err(|what| Fault::new(at, what))?;
                }
            }
            Cells::Moment { values, moment } => {
                let moment = *moment;
                let value = read_moment(scan, scratch, first, moment)?;
                values.push(value);
            }
            Cells::Decimal { values, precision, scale } => {
                let (precision, scale) = (*precision, *scale);
                let value = read_decimal(scan, scratch, first, precision, scale)?;
                values.push(value);
                if let Some(check) = &self.check {
                    check.decimal(value, scale).map_err(|what| Fault::new(at, what))?;
                }
            }
            Cells::Text { text, .. } => {
                if let Some(check) = &self.check {
                    let allowed = check.json(first);
                    allowed
                        .map_err(|what| scan.fault(format!("{what}, found {}", scan.found())))?;
                }
                scan.skip(scratch, depth)?;
                if !text.push(&scan.data()[at..scan.pos]) {
                    return Err(Fault::new(at, TOO_MUCH_TEXT));
                }
            }
            Cells::List { offsets, item } => {
                if first != b'[' {
                    return Err(expected(scan, "an array"));
                }
                read_list(scan, scratch, offsets, item, depth)?;
                if let Some(check) = &self.check {
                    let count = offsets[self.len + 1] - offsets[self.len];
                    let allowed = check.items(usize::try_from(count).unwrap_or(0));
                    allowed.map_err(|what| Fault::new(at, what))?;
                }
            }
            Cells::Struct(object) => {
                if first != b'{' {
                    return Err(expected(scan, "an object"));
                }
                object.read(scan, scratch, self.len, depth)?;
            }
            Cells::Map { offsets, keys, value } => {
                if first != b'{' {
                    return Err(expected(scan, "an object"));
                }
                read_map(scan, scratch, (offsets, keys, value), self.len, depth)?;
            }
            Cells::Null => return Err(expected(scan, "null")),
            Cells::Bool(_) | Cells::Int { .. } | Cells::Float { .. } => {
                unreachable!("read by Column::read")
            }
        }
        self.pushed();
        Ok(())
    }

    /// What the column wants, for messages.
    pub(in crate::codec) fn wanted(&self) -> &'static str {
        match &self.cells {
            Cells::Null => "null",
            Cells::Bool(_) => "true or false",
            Cells::Int { .. } | Cells::UInt { .. } => "an integer",
            Cells::Float { .. } | Cells::Float32(_) => "a number",
            Cells::Moment { moment, .. } => wanted_moment(*moment),
            Cells::Decimal { .. } => "a decimal number",
            Cells::Text { .. } => "a string",
            Cells::List { .. } => "an array",
            Cells::Struct(_) | Cells::Map { .. } => "an object",
        }
    }
}

#[cold]
fn expected(scan: &Scan<'_>, what: &str) -> Box<Fault> {
    scan.fault(format!("expected {what}, found {}", scan.found()))
}

#[inline]
fn expect_number<'a>(scan: &mut Scan<'a>, first: u8, what: &str) -> Scanned<Number<'a>> {
    if first == b'-' || first.is_ascii_digit() { scan.number() } else { Err(expected(scan, what)) }
}

#[cold]
fn not_integer<T: std::fmt::Display>(scan: &Scan<'_>, at: usize, range: (T, T)) -> Box<Fault> {
    let text = shorten(&scan.data()[at..scan.pos]);
    let what = format!("expected an integer from {} to {}, found {text}", range.0, range.1);
    Fault::new(at, what)
}

#[cold]
fn not_float(scan: &Scan<'_>, at: usize) -> Box<Fault> {
    let text = shorten(&scan.data()[at..scan.pos]);
    Fault::new(at, format!("expected a number that a float can hold, found {text}"))
}

fn read_decimal(
    scan: &mut Scan<'_>,
    scratch: &mut Vec<u8>,
    first: u8,
    precision: u8,
    scale: i8,
) -> Scanned<i128> {
    let at = scan.pos;
    let result = match first {
        b'"' => {
            let text = scan.string(scratch)?;
            let mut end = 0;
            let start = text.first().is_some_and(|&b| b == b'-' || b.is_ascii_digit());
            if !start || Number::read(text, &mut end).is_err() || end != text.len() {
                let text = shorten(text);
                let what = format!("expected a decimal number, found the string {text:?}");
                return Err(Fault::new(at, what));
            }
            decimal(text, scale.into(), precision.into())
        }
        _ => {
            let number = expect_number(scan, first, "a decimal number")?;
            number.to_decimal(scale.into(), precision.into())
        }
    };
    result.map_err(|e| {
        let limit = match e {
            DecimalError::Fraction => format!("at most {scale} decimal places"),
            DecimalError::Digits => {
                format!("at most {precision} digits, {scale} of them behind the decimal point")
            }
        };
        let found = shorten(&scan.data()[at..scan.pos]);
        Fault::new(at, format!("expected {limit}, found {found}"))
    })
}

fn read_list(
    scan: &mut Scan<'_>,
    scratch: &mut Vec<u8>,
    offsets: &mut Vec<i32>,
    item: &mut Column,
    depth: usize,
) -> Scanned<()> {
    let start = item.len;
    scan.open(depth)?;
    let mut more = scan.first_member(b']')?;
    while more {
        if let Err(mut fault) = item.read(scan, scratch, depth + 1) {
            fault.path.push(Step::Item(item.len - start));
            return Err(fault);
        }
        more = scan.next_member(b']')?;
    }
    let Ok(end) = i32::try_from(item.len) else {
        return Err(
            scan.fault("the batch has over 2,147,483,647 list items; use a smaller batch_size")
        );
    };
    offsets.push(end);
    Ok(())
}

fn read_map(
    scan: &mut Scan<'_>,
    scratch: &mut Vec<u8>,
    (offsets, keys, value): (&mut Vec<i32>, &mut Text, &mut Column),
    row: usize,
    depth: usize,
) -> Scanned<()> {
    let start = value.len;
    let mut places = Vec::new();
    scan.open(depth)?;
    let mut more = scan.first_member(b'}')?;
    while more {
        if !keys.push(scan.key(scratch)?) {
            return Err(scan.fault(TOO_MUCH_TEXT));
        }
        places.push(scan.pos);
        if let Err(mut fault) = value.read(scan, scratch, depth + 1) {
            let name = String::from_utf8_lossy(keys.get(value.len));
            fault.path.push(Step::Field(name.into()));
            return Err(fault);
        }
        more = scan.next_member(b'}')?;
    }
    let mut last = AHashMap::with_capacity(places.len());
    for (i, place) in places.iter().enumerate() {
        last.insert(keys.get(start + i), (i, *place));
    }
    if last.len() < places.len() {
        let mut kept: Vec<(usize, Box<[u8]>, usize)> =
            last.into_iter().map(|(key, (i, place))| (i, key.into(), place)).collect();
        kept.sort_unstable();
        debug_assert_eq!(offsets[row] as usize, start);
        keys.truncate(start);
        value.truncate(start);
        for (_, key, place) in kept {
            keys.push(&key);
            value.read(&mut Scan::at(scan.data(), place), scratch, depth + 1)?;
        }
    }
    let Ok(end) = i32::try_from(value.len) else {
        return Err(
            scan.fault("the batch has over 2,147,483,647 map entries; use a smaller batch_size")
        );
    };
    offsets.push(end);
    Ok(())
}

fn wanted_moment(moment: Moment) -> &'static str {
    match moment {
        Moment::Date => "a date as \"2024-05-31\"",
        Moment::Time(_) => "a time as \"12:30:00\"",
        Moment::Timestamp { zone: Zone::Naive, .. } => {
            "a time without offset as \"2024-05-31T12:30:00\", or seconds or ms since 1970"
        }
        Moment::Timestamp { zone: Zone::Utc, .. } => {
            "a time as \"2024-05-31T12:30:00Z\", or seconds or ms since 1970"
        }
        Moment::Timestamp { zone: Zone::Aware, .. } => {
            "a time with offset as \"2024-05-31T12:30:00+02:00\", or seconds or ms since 1970"
        }
        Moment::Duration(_) => "a duration as \"P1DT2H30M\" or a number of seconds",
    }
}

fn read_moment(
    scan: &mut Scan<'_>,
    scratch: &mut Vec<u8>,
    first: u8,
    moment: Moment,
) -> Scanned<i64> {
    let at = scan.pos;
    let value = match first {
        b'"' => {
            let text = scan.string(scratch)?;
            moment_of_text(text, moment)
        }
        b'-' | b'0'..=b'9' => {
            let number = scan.number()?;
            moment_of_number(&number, moment)
        }
        _ => None,
    };
    value.ok_or_else(|| {
        let found = if scan.pos > at { shorten(&scan.data()[at..scan.pos]) } else { scan.found() };
        Fault::new(at, format!("expected {}, found {found}", wanted_moment(moment)))
    })
}

/// The units of `moment` that `text` stands for.
pub(in crate::codec) fn moment_of_text(text: &[u8], moment: Moment) -> Option<i64> {
    match moment {
        Moment::Date => time::date(text),
        Moment::Time(unit) => time::time(text).map(|ns| ns / time::ns_per(unit)),
        Moment::Duration(unit) => time::duration(text, unit),
        Moment::Timestamp { unit, zone } => {
            let (seconds, ns, offset) = time::timestamp(text)?;
            match (zone, offset) {
                (Zone::Naive, Some(_)) | (Zone::Aware, None) => None,
                _ => {
                    let seconds = seconds - i64::from(offset.unwrap_or(0));
                    time::in_unit(seconds, ns, unit).filter(|_| time::is_in_calendar(seconds))
                }
            }
        }
    }
}

/// Numbers beyond this many seconds from 1970 are ms: the year 2603, as pydantic has it.
const MOST_SECONDS: f64 = 2e10;

/// The units of `moment` that `number` stands for.
pub(in crate::codec) fn moment_of_number(number: &Number<'_>, moment: Moment) -> Option<i64> {
    let is_ms = number.to_f64().abs() > MOST_SECONDS;
    let places = |unit| time::places(unit) - if is_ms { 3 } else { 0 };
    match moment {
        Moment::Date => {
            let seconds = number.to_decimal(if is_ms { -3 } else { 0 }, 38).ok()?;
            let seconds = i64::try_from(seconds).ok().filter(|s| time::is_in_calendar(*s))?;
            (seconds % 86_400 == 0).then_some(seconds / 86_400)
        }
        Moment::Timestamp { unit, .. } => {
            let value = i64::try_from(number.to_rounded(places(unit))?).ok()?;
            let seconds = value.div_euclid(1_000_000_000 / time::ns_per(unit));
            time::is_in_calendar(seconds).then_some(value)
        }
        Moment::Duration(unit) => i64::try_from(number.to_rounded(time::places(unit))?).ok(),
        Moment::Time(unit) if number.to_f64() >= 0.0 => {
            let value = i64::try_from(number.to_rounded(time::places(unit))?).ok()?;
            let day = 86_400 * (1_000_000_000 / time::ns_per(unit));
            (0..day).contains(&value).then_some(value)
        }
        Moment::Time(_) => None,
    }
}
