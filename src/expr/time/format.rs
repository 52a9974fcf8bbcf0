//! Times as text and back, in chrono's `strftime` format.

use super::{micros, micros_of};
use crate::error::{Error, Result};
use crate::expr::bind::Typed;
use crate::expr::tally::{failed, is_strict};
use crate::expr::text::text;
use crate::expr::types::{as_text, strict_cast};
use arrow::array::{
    Array, ArrayRef, AsArray, StringBuilder, TimestampMicrosecondArray, timezone::Tz,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use std::fmt::Write;
use std::sync::Arc;

const ISO: &str = "%Y-%m-%dT%H:%M:%S%.f%:z";

fn checked(function: &str, format: &str) -> Result<()> {
    if StrftimeItems::new(format).any(|item| matches!(item, Item::Error)) {
        return Err(Error::Declaration(format!(
            "{function}: {format:?} is not a format of times: write it as '%Y-%m-%d %H:%M:%S'"
        )));
    }
    Ok(())
}

/// Each time as text; ISO 8601 without a format.
pub(super) fn format(time: Typed, format: Option<&str>) -> Result<Typed> {
    let format = format.unwrap_or(ISO).to_string();
    checked("format_ts", &format)?;
    let time = micros(time)?;
    let zone: Tz = match &time.data_type {
        DataType::Timestamp(_, Some(zone)) => zone.parse().ok(),
        _ => None,
    }
    .map_or_else(|| "UTC".parse(), Ok)
    .map_err(|_: ArrowError| Error::Declaration("UTC is not known".into()))?;
    Typed::unary("format_ts", time, move |array| {
        let mut out = StringBuilder::new();
        let mut line = String::new();
        for time in micros_of(array) {
            let Some(time) = time.and_then(DateTime::<Utc>::from_timestamp_micros) else {
                out.append_null();
                continue;
            };
            line.clear();
            write!(line, "{}", time.with_timezone(&zone).format(&format))
                .map_err(|e| ArrowError::ComputeError(format!("format_ts: {e}")))?;
            out.append_value(&line);
        }
        Ok(Arc::new(out.finish()))
    })
}

/// Text as times in UTC; ISO 8601 without a format.
pub(super) fn parse(function: &str, arg: Typed, format: Option<&str>) -> Result<Typed> {
    let arg = text(function, arg)?;
    let counted = function == "parse_ts";
    let format = format.map(str::to_string);
    if let Some(format) = &format {
        checked(function, format)?;
    }
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Typed::unary(function, arg, move |array| {
        let times = match &format {
            None => cast(array, &utc)?,
            Some(format) => by_format(array, format)?,
        };
        let lost = times.null_count() - array.null_count();
        if counted && lost > 0 {
            if is_strict() {
                return Err(first_lost(array, &times));
            }
            failed(lost, String::new)?;
        }
        strict_cast(&times, &utc)
    })
}

fn first_lost(texts: &ArrayRef, times: &ArrayRef) -> ArrowError {
    let lost = (0..texts.len()).find(|row| times.is_null(*row) && texts.is_valid(*row));
    let text = lost.map_or("", |row| texts.as_string::<i32>().value(row));
    ArrowError::ComputeError(format!("parse_ts: {text:?} is not a time of the format"))
}

fn by_format(array: &ArrayRef, format: &str) -> Result<ArrayRef, ArrowError> {
    let times = as_text(array)?;
    let times = times.iter().map(|text| one(text?, format));
    let times: TimestampMicrosecondArray = times.collect();
    Ok(Arc::new(times.with_timezone("UTC")))
}

/// With an offset, a time without one (UTC), or a date.
fn one(text: &str, format: &str) -> Option<i64> {
    DateTime::parse_from_str(text, format)
        .map(|time| time.timestamp_micros())
        .or_else(|_| {
            NaiveDateTime::parse_from_str(text, format).map(|t| t.and_utc().timestamp_micros())
        })
        .ok()
        .or_else(|| {
            let date = NaiveDate::parse_from_str(text, format).ok()?;
            Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
        })
}
