//! Bounds of windows that lie side by side: of a fixed length, of the calendar, or for ever.

use crate::{
    error::{Error, Result},
    window::spec::CalendarUnit,
};
use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, Offset, TimeZone,
};
use chrono_tz::Tz;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How a time becomes a window.
#[derive(Clone, Debug)]
pub(super) enum Assign {
    /// `[start, start + size)`.
    Even { size: i64, offset: i64 },
    /// As the clock and the calendar of a zone show it.
    Calendar { unit: CalendarUnit, zone: Tz },
    /// One window for all times.
    Always,
}

impl Assign {
    pub(super) fn calendar(unit: CalendarUnit, timezone: &str) -> Result<Self> {
        let zone = timezone.parse().map_err(|_| {
            let what = format!(
                "timezone {timezone:?} is none that is known; give an IANA name, as \"Europe/Berlin\""
            );
            Error::Declaration(what)
        })?;
        Ok(Self::Calendar { unit, zone })
    }

    pub(super) fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }

    /// The window of a time, `[start, end)`, in ms. At the ends of the range of numbers it is cut.
    pub(super) fn bounds(&self, time: i64) -> (i64, i64) {
        match self {
            Self::Even { size, offset } => even(time, *size, *offset),
            Self::Calendar { unit, zone } => calendar(time, *unit, *zone),
            Self::Always => (i64::MIN, i64::MAX),
        }
    }
}

fn even(time: i64, size: i64, offset: i64) -> (i64, i64) {
    if let Some(behind) = time.checked_sub(offset).map(|time| time.rem_euclid(size))
        && let Some(start) = time.checked_sub(behind)
        && let Some(end) = start.checked_add(size)
    {
        return (start, end);
    }
    let (time, size, offset) = (i128::from(time), i128::from(size), i128::from(offset));
    let start = time - (time - offset).rem_euclid(size);
    (saturate(start), saturate(start + size))
}

fn saturate(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn calendar(time: i64, unit: CalendarUnit, zone: Tz) -> (i64, i64) {
    let Some(now) = DateTime::from_timestamp_millis(time) else {
        return (time, time.saturating_add(1));
    };
    let local = zone.from_utc_datetime(&now.naive_utc()).naive_local();
    let found = match unit {
        CalendarUnit::Hour => Some(hour(time, zone)),
        unit => first_day(local, unit).and_then(|first| dates(time, first, unit, zone)),
    };
    // Next to the ends of the calendar there is no window: the row has one of its own.
    found.unwrap_or((time, time.saturating_add(1)))
}

/// First day of the unit that `local` is in.
fn first_day(local: NaiveDateTime, unit: CalendarUnit) -> Option<NaiveDate> {
    let day = local.date();
    match unit {
        CalendarUnit::Hour | CalendarUnit::Day => Some(day),
        CalendarUnit::Week => {
            day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))
        }
        CalendarUnit::Month => day.with_day(1),
        CalendarUnit::Quarter => day.with_day(1)?.with_month(day.month0() / 3 * 3 + 1),
        CalendarUnit::Year => NaiveDate::from_ymd_opt(day.year(), 1, 1),
    }
}

fn next_first_day(first: NaiveDate, unit: CalendarUnit) -> Option<NaiveDate> {
    match unit {
        CalendarUnit::Hour | CalendarUnit::Day => first.succ_opt(),
        CalendarUnit::Week => first.checked_add_days(Days::new(7)),
        CalendarUnit::Month => first.checked_add_months(Months::new(1)),
        CalendarUnit::Quarter => first.checked_add_months(Months::new(3)),
        CalendarUnit::Year => first.checked_add_months(Months::new(12)),
    }
}

fn dates(time: i64, first: NaiveDate, unit: CalendarUnit, zone: Tz) -> Option<(i64, i64)> {
    let next = next_first_day(first, unit)?;
    let (start, end) = (midnight(first, zone)?, midnight(next, zone)?);
    if time < end {
        return Some((start, end));
    }
    // The clock went back over midnight: the second evening belongs to the day that has begun.
    Some((end, midnight(next_first_day(next, unit)?, zone)?))
}

/// When a day begins: the first midnight where it comes twice, the first moment of the day where it does
/// not come at all.
fn midnight(day: NaiveDate, zone: Tz) -> Option<i64> {
    let clock = day.and_hms_opt(0, 0, 0)?;
    match zone.from_local_datetime(&clock) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
            Some(time.timestamp_millis())
        }
        LocalResult::None => {
            let near = clock.and_utc().timestamp_millis();
            Some(transition(near.checked_sub(DAY_MS)?, near.checked_add(DAY_MS)?, zone))
        }
    }
}

fn offset_ms(time: i64, zone: Tz) -> i64 {
    let utc = DateTime::from_timestamp_millis(time).unwrap_or_default().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000
}

/// First ms in `(from, to]` at which the clock has another offset than at `from`.
fn transition(from: i64, to: i64, zone: Tz) -> i64 {
    let (before, mut low, mut high) = (offset_ms(from, zone), from, to);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset_ms(middle, zone) == before { low = middle } else { high = middle }
    }
    high
}

/// The hour that the clock shows; where the clock is set, an hour begins or ends there.
fn hour(time: i64, zone: Tz) -> (i64, i64) {
    let offset = offset_ms(time, zone);
    let (mut start, mut end) = even(time, HOUR_MS, -offset);
    if offset_ms(start, zone) != offset {
        start = transition(start, time, zone);
    }
    if offset_ms(end.saturating_sub(1), zone) != offset {
        end = transition(time, end, zone);
    }
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn hours(unit: CalendarUnit, zone: &str, text: &str) -> f64 {
        let (start, end) = Assign::calendar(unit, zone).unwrap().bounds(at(text));
        (end - start) as f64 / HOUR_MS as f64
    }

    #[test]
    fn days_are_as_long_as_the_clock_makes_them() {
        let day = CalendarUnit::Day;
        assert_eq!(hours(day, "Europe/Berlin", "2024-03-31T12:00:00+02:00"), 23.0);
        assert_eq!(hours(day, "Europe/Berlin", "2024-10-27T12:00:00+01:00"), 25.0);
        assert_eq!(hours(day, "Europe/Berlin", "2024-07-01T12:00:00+02:00"), 24.0);
        assert_eq!(
            hours(day, "America/Sao_Paulo", "2018-11-04T12:00:00-02:00"),
            23.0,
            "no midnight"
        );
        assert_eq!(hours(CalendarUnit::Month, "UTC", "2024-02-29T00:00:00Z"), 29.0 * 24.0);
        assert_eq!(hours(CalendarUnit::Year, "UTC", "1900-02-28T00:00:00Z"), 365.0 * 24.0);
    }

    #[test]
    fn hours_are_those_of_the_clock_also_where_it_is_set_by_half_an_hour() {
        let hour = CalendarUnit::Hour;
        let (start, _) =
            Assign::calendar(hour, "Asia/Kolkata").unwrap().bounds(at("2024-01-01T00:10:00Z"));
        assert_eq!(start, at("2023-12-31T23:30:00Z"));
        assert_eq!(hours(hour, "Australia/Lord_Howe", "2024-04-07T01:40:00+10:30"), 0.5);
    }

    #[test]
    fn a_zone_that_does_not_exist_is_refused() {
        let refused = Assign::calendar(CalendarUnit::Day, "Mars/Base").unwrap_err().to_string();
        assert!(refused.contains("Mars/Base") && refused.contains("IANA"), "{refused}");
    }

    const UNITS: [CalendarUnit; 6] = [
        CalendarUnit::Hour,
        CalendarUnit::Day,
        CalendarUnit::Week,
        CalendarUnit::Month,
        CalendarUnit::Quarter,
        CalendarUnit::Year,
    ];
    const ZONES: [&str; 7] = [
        "UTC",
        "Europe/Berlin",
        "America/Sao_Paulo",
        "America/Havana",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Atlantic/Azores",
    ];

    proptest! {
        #[test]
        fn every_time_is_in_its_window_and_windows_do_not_overlap(
            time in -2_000_000_000_000_i64..4_000_000_000_000,
            unit in prop::sample::select(&UNITS[..]),
            zone in prop::sample::select(&ZONES[..]),
        ) {
            let assign = Assign::calendar(unit, zone).unwrap();
            let (start, end) = assign.bounds(time);
            prop_assert!(start <= time && time < end, "{start} {time} {end}");
            prop_assert_eq!(assign.bounds(start), (start, end));
            prop_assert_eq!(assign.bounds(end - 1), (start, end));
            prop_assert_eq!(assign.bounds(end).0, end);
            prop_assert_eq!(assign.bounds(start - 1).1, start);
        }

        #[test]
        fn extremes_do_not_panic(time in any::<i64>(), size in 1..=i64::MAX, offset in any::<i64>()) {
            let (start, end) = even(time, size, offset);
            prop_assert!(start <= time && (time < end || end == i64::MAX));
            for unit in UNITS {
                calendar(time, unit, Tz::Europe__Berlin);
            }
        }
    }
}
