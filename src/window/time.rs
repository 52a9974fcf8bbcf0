//! Event time of rows: a column of any shape to ms since the epoch.
//!
//! # Guarantees
//!
//! * Fractions of a millisecond are cut towards the past, before 1970 too: a row never moves into a
//!   later window than the one it belongs to.
//! * A value that is absent, null, no number, no readable text or outside the years 1 to 9999 gives
//!   null and is counted; its row stays. The range keeps one record in a wrong unit from closing every
//!   window.

use crate::error::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, RecordBatch},
    buffer::NullBuffer,
    compute::{cast, kernels::cast_utils::string_to_datetime},
    datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type, Schema, TimeUnit},
};
use chrono::Utc;
use serde::{Deserialize, Serialize};

/// Name of the column that the line adds: event time in ms, null where a row has none.
pub const EVENT_TIME: &str = "_event_time";
/// Name of the column that the line adds: the watermark before the row, in ms.
pub const WATERMARK: &str = "_watermark";

/// First ms of the year 1.
const MIN_MS: i64 = -62_135_596_800_000;
/// Last ms of the year 9999.
const MAX_MS: i64 = 253_402_300_799_999;

/// What a number in the column counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    #[default]
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// Where the event time of a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTime {
    path: String,
    unit: Unit,
}

/// Event times of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// One for each row, in ms since the epoch; null where there is none.
    pub values: Int64Array,
    /// Rows without one.
    pub missing: u64,
}

impl EventTime {
    /// Reads `path`, a column or a dotted path into structs. `unit` is that of plain numbers;
    /// timestamps and dates bring their own, text is ISO 8601.
    #[must_use]
    pub fn new(path: &str, unit: Unit) -> Self {
        Self { path: path.into(), unit }
    }

    /// Checks that rows of `schema` have a time where this looks.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] without such a column, or if its type cannot be a time.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        let found = find_type(schema, &self.path).ok_or_else(|| {
            let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::Declaration(format!(
                "event_time {:?}: there is no such column; the rows have {}",
                self.path,
                names.join(", ")
            ))
        })?;
        if is_time(&found) { Ok(()) } else { Err(self.no_time(&found)) }
    }

    /// The event time of each row. A batch without the column has none.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the column's type cannot be a time.
    pub fn read(&self, batch: &RecordBatch) -> Result<Times> {
        let Some(column) = find(batch, &self.path) else {
            return Ok(counted(Int64Array::new_null(batch.num_rows())));
        };
        self.convert(&column).map(counted)
    }

    fn convert(&self, column: &ArrayRef) -> Result<Int64Array> {
        match column.data_type() {
            DataType::Null => Ok(Int64Array::new_null(column.len())),
            DataType::Timestamp(unit, _) => {
                let unit = match unit {
                    TimeUnit::Second => Unit::S,
                    TimeUnit::Millisecond => Unit::Ms,
                    TimeUnit::Microsecond => Unit::Us,
                    TimeUnit::Nanosecond => Unit::Ns,
                };
                Ok(whole(&as_int64(column)?, unit))
            }
            DataType::Date32 => {
                Ok(whole(&as_int64(&cast_to(column, &DataType::Date64)?)?, Unit::Ms))
            }
            DataType::Date64 => Ok(whole(&as_int64(column)?, Unit::Ms)),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let floats = cast_to(column, &DataType::Float64)?;
                Ok(fractional(floats.as_primitive::<Float64Type>(), self.unit))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let text = cast_to(column, &DataType::Utf8)?;
                Ok(text.as_string::<i32>().iter().map(|text| text.and_then(iso)).collect())
            }
            DataType::Dictionary(_, values) => self.convert(&cast_to(column, values)?),
            // A number above the range of Int64 becomes null.
            kind if kind.is_integer() => Ok(whole(&as_int64(column)?, self.unit)),
            kind => Err(self.no_time(kind)),
        }
    }

    fn no_time(&self, kind: &DataType) -> Error {
        Error::Declaration(format!(
            "event_time {:?}: {kind} is no time; it takes a whole number, a float, a timestamp, a date or \
             ISO 8601 text",
            self.path
        ))
    }
}

fn is_time(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => is_time(values),
        DataType::Null
        | DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => true,
        kind => kind.is_integer() || kind.is_floating(),
    }
}

fn find_type(schema: &Schema, path: &str) -> Option<DataType> {
    let empty = RecordBatch::new_empty(schema.clone().into());
    find(&empty, path).map(|column| column.data_type().clone())
}

/// The column at `path`: of that very name, or inside structs; null where one of these is.
fn find(batch: &RecordBatch, path: &str) -> Option<ArrayRef> {
    if let Some(column) = batch.column_by_name(path) {
        return Some(column.clone());
    }
    let mut steps = path.split('.');
    let mut column = batch.column_by_name(steps.next()?)?.clone();
    for step in steps {
        let parent = column.as_struct_opt()?;
        let child = parent.column_by_name(step)?;
        column = with_nulls(child, parent.nulls());
    }
    Some(column)
}

fn with_nulls(child: &ArrayRef, nulls: Option<&NullBuffer>) -> ArrayRef {
    let Some(nulls) = nulls else { return child.clone() };
    let nulls = NullBuffer::union(child.nulls(), Some(nulls));
    let data = child.to_data().into_builder().nulls(nulls).build();
    data.map_or_else(|_| child.clone(), arrow::array::make_array)
}

fn cast_to(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    cast(column, kind).map_err(|err| Error::Declaration(format!("event time: {err}")))
}

fn as_int64(column: &ArrayRef) -> Result<Int64Array> {
    Ok(cast_to(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn whole(values: &Int64Array, unit: Unit) -> Int64Array {
    match unit {
        Unit::Ms => within(values, Some),
        Unit::S => within(values, |v| v.checked_mul(1_000)),
        Unit::Us => within(values, |v| Some(v.div_euclid(1_000))),
        Unit::Ns => within(values, |v| Some(v.div_euclid(1_000_000))),
    }
}

fn fractional(values: &PrimitiveArray<Float64Type>, unit: Unit) -> Int64Array {
    // Both steps are exact for numbers that a float holds exactly; dividing by a power of ten rounds once.
    within(values, |v| {
        let ms = match unit {
            Unit::S => v * 1e3,
            Unit::Ms => v,
            Unit::Us => v / 1e3,
            Unit::Ns => v / 1e6,
        }
        .floor();
        (ms >= MIN_MS as f64 && ms <= MAX_MS as f64).then_some(ms as i64)
    })
}

fn within<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    to_ms: impl Fn(T::Native) -> Option<i64>,
) -> Int64Array {
    let in_range = |ms: &i64| (MIN_MS..=MAX_MS).contains(ms);
    values.unary_opt(|value| to_ms(value).filter(in_range))
}

fn iso(text: &str) -> Option<i64> {
    let ms = string_to_datetime(&Utc, text.trim()).ok()?.timestamp_millis();
    (MIN_MS..=MAX_MS).contains(&ms).then_some(ms)
}

fn counted(values: Int64Array) -> Times {
    let missing = values.null_count() as u64;
    Times { values, missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Float64Array, StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
    };
    use std::sync::Arc;

    fn read(column: ArrayRef, unit: Unit) -> (Vec<Option<i64>>, u64) {
        let batch = RecordBatch::try_from_iter([("ts", column)]).unwrap();
        let times = EventTime::new("ts", unit).read(&batch).unwrap();
        (times.values.iter().collect(), times.missing)
    }

    #[test]
    fn fractions_of_a_millisecond_are_cut_towards_the_past() {
        let values = Arc::new(Int64Array::from(vec![-1, -1_000, -1_001, 999, 1_000]));
        assert_eq!(read(values, Unit::Us).0, [-1, -1, -2, 0, 1].map(Some));
        let values = Arc::new(Float64Array::from(vec![-0.0005, 1.9999, f64::NAN, f64::INFINITY]));
        assert_eq!(read(values, Unit::S), (vec![Some(-1), Some(1_999), None, None], 2));
    }

    #[test]
    fn a_timestamp_brings_its_own_unit() {
        let values = TimestampMicrosecondArray::from(vec![Some(-1), None, Some(2_500)]);
        let found = read(Arc::new(values.with_timezone("Europe/Berlin")), Unit::S);
        assert_eq!(found, (vec![Some(-1), None, Some(2)], 1));
    }

    #[test]
    fn text_is_read_as_iso_8601_and_anything_else_is_counted() {
        let values = StringArray::from(vec![
            "2024-03-31T02:00:00+02:00",
            "1969-12-31T23:59:59.9995Z",
            "2024-03-31",
            "yesterday",
            "",
        ]);
        let expected = vec![Some(1_711_843_200_000), Some(-1), Some(1_711_843_200_000), None, None];
        assert_eq!(read(Arc::new(values), Unit::Ms), (expected, 2));
    }

    #[test]
    fn extreme_numbers_are_counted_and_never_wrap() {
        let values = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, MAX_MS, MAX_MS + 1]));
        assert_eq!(read(values.clone(), Unit::Ms), (vec![None, None, Some(MAX_MS), None], 3));
        assert_eq!(read(values, Unit::S).1, 4);
        let huge = Arc::new(UInt64Array::from(vec![u64::MAX, 7]));
        assert_eq!(read(huge, Unit::Ms), (vec![None, Some(7)], 1));
    }

    #[test]
    fn a_dotted_path_leads_into_structs_and_a_null_on_the_way_is_no_time() {
        let inner: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let field = Arc::new(arrow::datatypes::Field::new("at", DataType::Int64, true));
        let outer = StructArray::try_new(
            vec![field].into(),
            vec![inner],
            Some(NullBuffer::from(vec![true, false])),
        );
        let batch = RecordBatch::try_from_iter([("meta", Arc::new(outer.unwrap()) as _)]).unwrap();
        let time = EventTime::new("meta.at", Unit::S);
        let values: Vec<_> = time.read(&batch).unwrap().values.iter().collect();
        assert_eq!(values, [Some(1_000), None]);
        assert!(time.check(&batch.schema()).is_ok());
    }

    #[test]
    fn a_column_that_is_no_time_is_refused_with_what_would_be_one() {
        let column: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![true]));
        let batch = RecordBatch::try_from_iter([("ts", column)]).unwrap();
        let refused = EventTime::new("ts", Unit::Ms).read(&batch).unwrap_err().to_string();
        assert!(
            refused.contains("Boolean is no time") && refused.contains("ISO 8601"),
            "{refused}"
        );
        let absent = EventTime::new("at", Unit::Ms);
        assert!(absent.check(&batch.schema()).unwrap_err().to_string().contains("rows have ts"));
        assert_eq!(absent.read(&batch).unwrap().missing, 1, "an inferred schema may grow it later");
    }
}
