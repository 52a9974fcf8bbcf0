//! Where units of the calendar begin, and how many lie between two times.

use super::{Unit, micros_of, ticks, unit_of};
use crate::error::Result;
use crate::expr::bind::Typed;
use crate::expr::call::Value;
use crate::expr::types::strict_cast;
use arrow::array::{ArrayRef, AsArray, Int64Array, PrimitiveArray, timezone::Tz};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;

/// The start of the unit that a time lies in, on the clock of its zone; the type stays.
pub(super) fn truncate(time: Typed, unit: Unit) -> Result<Typed> {
    let DataType::Timestamp(_, zone) = time.data_type.clone() else { return Ok(time) };
    let zone: Option<Tz> =
        zone.as_deref().filter(|zone| *zone != "UTC").and_then(|z| z.parse().ok());
    let kind = time.data_type.clone();
    let ticks = ticks(unit_of(&time));
    let start = move |ticked: i64| -> Option<i64> {
        let micros = to_micros(ticked, ticks)?;
        let begun = match (zone, fixed(unit)) {
            (None, Some(length)) => micros.checked_sub(micros.rem_euclid(length))?,
            _ => in_zone(micros, zone, unit)?,
        };
        from_micros(begun, ticks)
    };
    Typed::unary("date_trunc", time, move |array| {
        let ticked = cast(array, &DataType::Int64)?;
        let starts: PrimitiveArray<Int64Type> =
            ticked.as_primitive::<Int64Type>().try_unary(|t| {
                start(t).ok_or_else(|| {
                    ArrowError::ComputeError(format!("date_trunc: {t} is out of range"))
                })
            })?;
        strict_cast(&(Arc::new(starts) as ArrayRef), &kind)
    })
}

fn to_micros(ticked: i64, ticks: i64) -> Option<i64> {
    if ticks > 1_000_000 {
        Some(ticked.div_euclid(ticks / 1_000_000))
    } else {
        ticked.checked_mul(1_000_000 / ticks)
    }
}

fn from_micros(micros: i64, ticks: i64) -> Option<i64> {
    if ticks > 1_000_000 {
        micros.checked_mul(ticks / 1_000_000)
    } else {
        Some(micros.div_euclid(1_000_000 / ticks))
    }
}

/// Length of units that are always as long; the epoch began on a Thursday, so weeks are not among them.
fn fixed(unit: Unit) -> Option<i64> {
    match unit {
        Unit::Fixed(length) => Some(length),
        Unit::Day => Some(DAY),
        _ => None,
    }
}

fn in_zone(micros: i64, zone: Option<Tz>, unit: Unit) -> Option<i64> {
    let utc = DateTime::<Utc>::from_timestamp_micros(micros)?;
    let Some(zone) = zone else {
        return Some(begin(utc.naive_utc(), unit)?.and_utc().timestamp_micros());
    };
    let here = utc.with_timezone(&zone);
    let local = here.naive_local();
    let begun = begin(local, unit)?;
    // Within an hour that the clock shows twice, what was begun in it lies as far back as it seems.
    if let Unit::Fixed(_) = unit {
        return Some(micros - (local - begun).num_microseconds()?);
    }
    // A day may begin twice, or not at midnight: where clocks skip it, it begins behind the gap.
    let first = (0..=24).find_map(|quarters| {
        zone.from_local_datetime(&(begun + TimeDelta::minutes(15 * quarters))).earliest()
    })?;
    Some(first.timestamp_micros())
}

/// The start of the unit, on a clock without zones.
fn begin(local: NaiveDateTime, unit: Unit) -> Option<NaiveDateTime> {
    let date = local.date();
    let day = match unit {
        Unit::Fixed(length) => {
            let micros = local.and_utc().timestamp_micros();
            let begun = micros - micros.rem_euclid(length);
            return Some(DateTime::<Utc>::from_timestamp_micros(begun)?.naive_utc());
        }
        Unit::Day => date,
        Unit::Week => {
            date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into()))?
        }
        Unit::Months(months) => {
            NaiveDate::from_ymd_opt(date.year(), date.month0() / months * months + 1, 1)?
        }
    };
    day.and_hms_opt(0, 0, 0)
}

/// Whole units from one time to another, in UTC; negative if the other is earlier.
pub(super) fn difference(from: Typed, to: Typed, unit: Unit) -> Result<Typed> {
    let kernel = move |args: &[Value], rows: usize| {
        let (from, to) = (args[0].column(rows)?, args[1].column(rows)?);
        let pairs = micros_of(&from).iter().zip(micros_of(&to));
        let between = pairs.map(|(from, to)| match (from, to) {
            (Some(from), Some(to)) => whole(from, to, unit).map(Some).ok_or_else(|| {
                ArrowError::ComputeError("date_diff: the times are too far apart".into())
            }),
            _ => Ok(None),
        });
        Ok(Arc::new(between.collect::<Result<Int64Array, ArrowError>>()?) as ArrayRef)
    };
    Typed::call("date_diff", vec![from, to], Arc::new(kernel))
}

fn whole(from: i64, to: i64, unit: Unit) -> Option<i64> {
    let length = match unit {
        Unit::Months(months) => return Some(whole_months(from, to)? / i64::from(months)),
        Unit::Fixed(length) => length,
        Unit::Day => DAY,
        Unit::Week => 7 * DAY,
    };
    Some(to.checked_sub(from)? / length)
}

fn whole_months(from: i64, to: i64) -> Option<i64> {
    if to < from {
        return whole_months(to, from).map(|months| -months);
    }
    let [from, to] = [from, to].map(DateTime::<Utc>::from_timestamp_micros);
    let (from, to) = (from?.naive_utc(), to?.naive_utc());
    let months = |t: NaiveDateTime| i64::from(t.year()) * 12 + i64::from(t.month0());
    let within = |t: NaiveDateTime| (t.day(), t.time());
    Some(months(to) - months(from) - i64::from(within(to) < within(from)))
}
