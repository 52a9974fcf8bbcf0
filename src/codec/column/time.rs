//! Dates, times and durations as text, in the proleptic Gregorian calendar.

use arrow::datatypes::TimeUnit;
use std::io::Write;

const DAY: i64 = 86_400;

/// Nanoseconds in one `unit`.
pub(in crate::codec) fn ns_per(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Are these seconds since 1970 in the years 1 to 9999, which have a text?
pub(in crate::codec) fn is_in_calendar(seconds: i64) -> bool {
    (-62_135_596_800..253_402_300_800).contains(&seconds)
}

/// Decimal places of a second in one `unit`.
pub(in crate::codec) fn places(unit: TimeUnit) -> i32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// `seconds` and `ns` since 1970 in units of `unit`; none if that overflows.
pub(in crate::codec) fn in_unit(seconds: i64, ns: i64, unit: TimeUnit) -> Option<i64> {
    let per = ns_per(unit);
    seconds.checked_mul(1_000_000_000 / per)?.checked_add(ns / per)
}

/// Days since 1970-01-01 of a date that exists.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let most = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=most).contains(&day) {
        return None;
    }
    // Years start in March, so that the leap day is the last one.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    Some(365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468)
}

/// Year, month and day of the day `days` after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * of_year + 2) / 153;
    let day = of_year - (153 * m + 2) / 5 + 1;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// A number of exactly `n` digits at the start of `text`, and the rest.
fn digits(text: &[u8], n: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_at_checked(n)?;
    let mut value = 0;
    for &b in head {
        if !b.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(b - b'0');
    }
    Some((value, rest))
}

fn skip(text: &[u8], byte: u8) -> Option<&[u8]> {
    text.split_first().filter(|(b, _)| **b == byte).map(|(_, rest)| rest)
}

fn date_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = digits(text, 4).filter(|(year, _)| *year > 0)?;
    let (month, rest) = digits(skip(rest, b'-')?, 2)?;
    let (day, rest) = digits(skip(rest, b'-')?, 2)?;
    Some((days_of(year, month, day)?, rest))
}

/// Digits of a fraction as nanoseconds; digits behind the ninth are dropped.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', rest)) = text.split_first() else { return Some((0, text)) };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (value, _) = digits(rest, count.min(9))?;
    let scale = 10i64.pow(9 - u32::try_from(count.min(9)).ok()?);
    (count > 0).then_some((value * scale, &rest[count..]))
}

/// `HH:MM[:SS[.fraction]]` as (seconds, nanoseconds) and the rest.
fn clock(text: &[u8]) -> Option<(i64, i64, &[u8])> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(skip(rest, b':')?, 2)?;
    let (second, ns, rest) = match skip(rest, b':') {
        Some(rest) => {
            let (second, rest) = digits(rest, 2)?;
            let (ns, rest) = fraction(rest)?;
            (second, ns, rest)
        }
        None => (0, 0, rest),
    };
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then_some((hour * 3_600 + minute * 60 + second, ns, rest))
}

/// `Z`, `+HH:MM`, `+HHMM` or nothing, as seconds east of UTC.
fn offset(text: &[u8]) -> Option<Option<i32>> {
    let (sign, rest) = match text {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(skip(rest, b':').unwrap_or(rest), 2)?;
    let valid = rest.is_empty() && hour < 24 && minute < 60;
    valid.then(|| Some(sign * i32::try_from(hour * 3_600 + minute * 60).unwrap_or(0)))
}

/// `2024-05-31` as days since 1970.
pub(in crate::codec) fn date(text: &[u8]) -> Option<i64> {
    date_prefix(text).filter(|(_, rest)| rest.is_empty()).map(|(days, _)| days)
}

/// `12:30[:00[.5]]` as nanoseconds since midnight; an offset is refused.
pub(in crate::codec) fn time(text: &[u8]) -> Option<i64> {
    let (seconds, ns, rest) = clock(text)?;
    rest.is_empty().then_some(seconds * 1_000_000_000 + ns)
}

/// RFC 3339, seconds optional: local seconds since 1970, nanoseconds, seconds east of UTC.
pub(in crate::codec) fn timestamp(text: &[u8]) -> Option<(i64, i64, Option<i32>)> {
    let (days, rest) = date_prefix(text)?;
    let Some((b'T' | b't' | b' ' | b'_', rest)) = rest.split_first() else { return None };
    let (seconds, ns, rest) = clock(rest)?;
    Some((days * DAY + seconds, ns, offset(rest)?))
}

/// ISO 8601 `[-]P[nW][nD][T[nH][nM][n[.f]S]]` in units of `unit`.
pub(in crate::codec) fn duration(text: &[u8], unit: TimeUnit) -> Option<i64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut rest = skip(text, b'P')?;
    let (mut total, mut in_time, mut parts) = (0i64, false, 0);
    let mut fraction_ns = 0;
    while !rest.is_empty() {
        if let (false, Some(behind)) = (in_time, skip(rest, b'T')) {
            (in_time, rest) = (true, behind);
            continue;
        }
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (value, behind) = digits(rest, count.min(18)).filter(|_| (1..=18).contains(&count))?;
        let (ns, behind) = fraction(behind)?;
        let (name, behind) = behind.split_first()?;
        let seconds = match (in_time, name) {
            (false, b'W') => 7 * DAY,
            (false, b'D') => DAY,
            (true, b'H') => 3_600,
            (true, b'M') => 60,
            (true, b'S') => 1,
            _ => return None,
        };
        if ns != 0 && seconds != 1 {
            return None;
        }
        fraction_ns += ns;
        total = total.checked_add(value.checked_mul(seconds)?)?;
        parts += 1;
        rest = behind;
    }
    let value = in_unit(total, fraction_ns, unit).filter(|_| parts > 0)?;
    Some(if negative { -value } else { value })
}

/// Writes days since 1970 as `2024-05-31`.
pub(in crate::codec) fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = date_of(days);
    write!(out, "{year:04}-{month:02}-{day:02}").expect("a vector takes bytes");
}

/// Writes nanoseconds since midnight as `12:30:00[.fraction]`.
pub(in crate::codec) fn write_time(out: &mut Vec<u8>, ns: i64) {
    let seconds = ns / 1_000_000_000;
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    write!(out, "{h:02}:{m:02}:{s:02}").expect("a vector takes bytes");
    write_fraction(out, ns % 1_000_000_000);
}

/// Writes a timestamp in `unit`; `zoned` ends it with `Z`.
pub(in crate::codec) fn write_timestamp(
    out: &mut Vec<u8>,
    value: i64,
    unit: TimeUnit,
    zoned: bool,
) {
    let per_second = 1_000_000_000 / ns_per(unit);
    let (seconds, part) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    write_moment(out, seconds, part * ns_per(unit));
    if zoned {
        out.push(b'Z');
    }
}

/// Writes seconds and nanoseconds since 1970 as `2024-05-31T12:30:00Z`.
pub(in crate::codec) fn write_instant(out: &mut Vec<u8>, seconds: i64, ns: i64) {
    write_moment(out, seconds, ns);
    out.push(b'Z');
}

fn write_moment(out: &mut Vec<u8>, seconds: i64, ns: i64) {
    write_date(out, seconds.div_euclid(DAY));
    out.push(b'T');
    write_time(out, seconds.rem_euclid(DAY) * 1_000_000_000 + ns);
}

/// Writes a duration in `unit` as `P1DT2H3M4.5S`.
pub(in crate::codec) fn write_duration(out: &mut Vec<u8>, value: i64, unit: TimeUnit) {
    let per_second = 1_000_000_000 / ns_per(unit).unsigned_abs();
    let (size, sign) = (value.unsigned_abs(), if value < 0 { "-" } else { "" });
    let (seconds, part) = (size / per_second, size % per_second);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    write!(out, "{sign}P").expect("a vector takes bytes");
    if days > 0 {
        write!(out, "{days}D").expect("a vector takes bytes");
    }
    write!(out, "T{hours}H{minutes}M{}", seconds % 60).expect("a vector takes bytes");
    write_fraction(out, part.cast_signed() * ns_per(unit));
    out.push(b'S');
}

/// Writes `.5`, `.000001` and the like: as many digits as needed, in threes; nothing for zero.
fn write_fraction(out: &mut Vec<u8>, ns: i64) {
    let written = match ns {
        0 => Ok(()),
        ns if ns % 1_000_000 == 0 => write!(out, ".{:03}", ns / 1_000_000),
        ns if ns % 1_000 == 0 => write!(out, ".{:06}", ns / 1_000),
        ns => write!(out, ".{ns:09}"),
    };
    written.expect("a vector takes bytes");
}
