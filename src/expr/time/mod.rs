//! Functions of times.
//!
//! A time is a timestamp, a date (its midnight) or an integer: ms since the Unix epoch. One without a
//! zone is UTC. `timezone` reads the calendar of that zone; days may then have 23 or 25 hours.

mod calendar;
mod format;

use super::bind::Typed;
use super::call::Value;
use super::functions::exactly;
use super::options::Options;
use super::types::{describe, strict_cast};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, AsArray, PrimitiveArray, timezone::Tz};
use arrow::compute::{DatePart, date_part, unary};
use arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

pub(super) fn build(function: &str, args: Vec<Typed>, options: &Options<'_>) -> Result<Typed> {
    let zone = zone(function, options)?;
    match function {
        "parse_ts" | "parse_ts_or_null" => {
            let [text] = exactly(function, args)?;
            format::parse(function, text, options.text("format")?)
        }
        "date_add" => {
            let [time, amount] = exactly(function, args)?;
            add(moment(function, time, zone.as_deref())?, amount, options.needed("unit")?)
        }
        "date_diff" => {
            let [from, to] = exactly(function, args)?;
            let (from, to) = (moment(function, from, None)?, moment(function, to, None)?);
            calendar::difference(micros(from)?, micros(to)?, Unit::parse(options.needed("unit")?)?)
        }
        _ => {
            let [time] = exactly(function, args)?;
            of_one(function, moment(function, time, zone.as_deref())?, options)
        }
    }
}

fn of_one(function: &str, time: Typed, options: &Options<'_>) -> Result<Typed> {
    let part = match function {
        "epoch_ms" => return epoch_ms(time),
        "date_trunc" => return calendar::truncate(time, Unit::parse(options.needed("unit")?)?),
        "format_ts" => return format::format(time, options.text("format")?),
        "year" => DatePart::Year,
        "quarter" => DatePart::Quarter,
        "month" => DatePart::Month,
        "week" => DatePart::WeekISO,
        "day" => DatePart::Day,
        "day_of_year" => DatePart::DayOfYear,
        "weekday" => DatePart::DayOfWeekMonday0,
        "hour" => DatePart::Hour,
        "minute" => DatePart::Minute,
        _ => DatePart::Second,
    };
    Typed::unary(function, time, move |array| {
        strict_cast(&date_part(array, part)?, &DataType::Int64)
    })
}

/// `timezone`, if it is known.
fn zone(function: &str, options: &Options<'_>) -> Result<Option<String>> {
    let Some(name) = options.text("timezone")? else { return Ok(None) };
    name.parse::<Tz>().map(|_| Some(name.to_string())).map_err(|_| {
        Error::Declaration(format!(
            "{function}: {name:?} is not a time zone: write a name as 'Europe/Berlin'"
        ))
    })
}

/// A timestamp on the clock of `zone`.
fn moment(function: &str, time: Typed, zone: Option<&str>) -> Result<Typed> {
    let time = match &time.data_type {
        DataType::Timestamp(..) => time,
        DataType::Date32 | DataType::Date64 | DataType::Null => {
            time.cast(&DataType::Timestamp(TimeUnit::Millisecond, None))?
        }
        kind if kind.is_integer() => {
            let to = DataType::Timestamp(TimeUnit::Millisecond, None);
            time.cast(&DataType::Int64)?.cast(&to)?
        }
        kind => {
            return Err(Error::Declaration(format!(
                "{function} works on times, and {} is {}: use parse_ts, or pass ms since the epoch",
                time.text,
                describe(kind)
            )));
        }
    };
    let DataType::Timestamp(unit, own) = time.data_type.clone() else { return Ok(time) };
    let Some(zone) = zone else { return Ok(time) };
    // A cast from no zone to one would read the time as local.
    let time = if own.is_none() {
        time.cast(&DataType::Timestamp(unit, Some("UTC".into())))?
    } else {
        time
    };
    time.cast(&DataType::Timestamp(unit, Some(zone.into())))
}

/// A timestamp in us.
fn micros(time: Typed) -> Result<Typed> {
    let DataType::Timestamp(_, zone) = &time.data_type else { return Ok(time) };
    let to = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
    time.cast(&to)
}

/// Ticks of a second.
fn ticks(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn unit_of(time: &Typed) -> TimeUnit {
    if let DataType::Timestamp(unit, _) = time.data_type { unit } else { TimeUnit::Millisecond }
}

/// Rounds down, also before 1970.
fn epoch_ms(time: Typed) -> Result<Typed> {
    let ticks = ticks(unit_of(&time));
    Typed::unary("epoch_ms", time, move |array| {
        let ticked = strict_cast(array, &DataType::Int64)?;
        let ticked = ticked.as_primitive::<Int64Type>();
        if ticks >= 1_000 {
            let ms: PrimitiveArray<Int64Type> = unary(ticked, |t: i64| t.div_euclid(ticks / 1_000));
            return Ok(Arc::new(ms));
        }
        let thousand = arrow::array::Int64Array::new_scalar(1_000);
        arrow::compute::kernels::numeric::mul(ticked, &thousand)
    })
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    /// So many us.
    Fixed(i64),
    Day,
    Week,
    /// So many months.
    Months(u32),
}

impl Unit {
    fn parse(name: &str) -> Result<Self> {
        Ok(match name.strip_suffix('s').unwrap_or(name) {
            "microsecond" => Self::Fixed(1),
            "millisecond" => Self::Fixed(1_000),
            "second" => Self::Fixed(1_000_000),
            "minute" => Self::Fixed(60_000_000),
            "hour" => Self::Fixed(3_600_000_000),
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Months(12),
            _ => {
                return Err(Error::Declaration(format!(
                    "{name:?} is not a unit of time: write microsecond, millisecond, second, minute, hour, day, week, month, quarter or year"
                )));
            }
        })
    }

    /// `amount` of it; none if that is more than Arrow can say.
    fn interval(self, amount: i64) -> Option<IntervalMonthDayNano> {
        let small = |amount: i64| i32::try_from(amount).ok();
        Some(match self {
            Self::Fixed(micros) => {
                IntervalMonthDayNano::new(0, 0, amount.checked_mul(micros)?.checked_mul(1_000)?)
            }
            Self::Day => IntervalMonthDayNano::new(0, small(amount)?, 0),
            Self::Week => IntervalMonthDayNano::new(0, small(amount.checked_mul(7)?)?, 0),
            Self::Months(months) => {
                IntervalMonthDayNano::new(small(amount.checked_mul(months.into())?)?, 0, 0)
            }
        })
    }
}

fn add(time: Typed, amount: Typed, unit: &str) -> Result<Typed> {
    let unit = Unit::parse(unit)?;
    super::arithmetic::number("date_add", &amount)?;
    // A unit finer than the timestamp's would be lost.
    let time = if unit_of(&time) < TimeUnit::Microsecond { in_micros(time, unit)? } else { time };
    let kernel = move |args: &[Value], rows: usize| {
        let amounts = args[1].column(rows)?;
        let intervals = amounts
            .as_primitive::<Int64Type>()
            .try_unary::<_, IntervalMonthDayNanoType, _>(|amount| {
                unit.interval(amount).ok_or_else(|| {
                    ArrowError::ComputeError(format!("date_add: {amount} units are too many"))
                })
            })?;
        arrow::compute::kernels::numeric::add(&args[0].column(rows)?, &intervals)
    };
    Typed::call("date_add", vec![time, amount.cast(&DataType::Int64)?], Arc::new(kernel))
}

fn in_micros(time: Typed, unit: Unit) -> Result<Typed> {
    let finer = match unit {
        Unit::Fixed(micros) => micros < 1_000_000 / ticks(unit_of(&time)),
        _ => false,
    };
    if finer { micros(time) } else { Ok(time) }
}

/// The values of a timestamp in us.
fn micros_of(array: &ArrayRef) -> &PrimitiveArray<TimestampMicrosecondType> {
    array.as_primitive()
}
