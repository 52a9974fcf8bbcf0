//! The values of a column, by how they are stored while it grows, and as arrays.

use super::{AWARE, Column, Object, RAW_JSON};
use crate::error::{Error, Result};
use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BooleanBufferBuilder, MapArray, PrimitiveArray, StringArray,
        StructArray,
    },
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        DataType, Date32Type, DurationMicrosecondType, DurationMillisecondType,
        DurationNanosecondType, DurationSecondType, Field, Time64MicrosecondType,
        Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
};
use std::{mem, sync::Arc};

/// The values of a column, by how they are stored while it grows.
pub(in crate::codec) enum Cells {
    /// Nothing but nulls.
    Null,
    /// `bool`.
    Bool(BooleanBufferBuilder),
    /// Signed integers of all widths, with the smallest and largest value.
    Int { values: Vec<i64>, range: (i64, i64) },
    /// Unsigned integers of all widths, with the largest value.
    UInt { values: Vec<u64>, max: u64 },
    /// `float64`; `exact` makes integers that a float cannot hold bad.
    Float { values: Vec<f64>, exact: bool },
    /// `float32`.
    Float32(Vec<f32>),
    /// Dates, times, timestamps and durations, in units of the column.
    Moment { values: Vec<i64>, moment: Moment },
    /// `decimal128`.
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    /// Text or binary, and JSON text if `raw`.
    Text { text: Text, raw: bool },
    /// Lists.
    List { offsets: Vec<i32>, item: Box<Column> },
    /// Objects with known names.
    Struct(Box<Object>),
    /// Objects with any names.
    Map { offsets: Vec<i32>, keys: Text, value: Box<Column> },
}

/// What the integers of [`Cells::Moment`] mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Moment {
    /// Days since 1970.
    Date,
    /// Since midnight.
    Time(TimeUnit),
    /// Since 1970, in UTC.
    Timestamp { unit: TimeUnit, zone: Zone },
    /// A length of time.
    Duration(TimeUnit),
}

/// How text without an offset is taken, and text with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Zone {
    /// No time zone: text must not have an offset.
    Naive,
    /// UTC: text without an offset is UTC.
    Utc,
    /// A time zone: text must have an offset.
    Aware,
}

/// Growing text: bytes and where each row ends.
pub(in crate::codec) struct Text {
    pub(super) offsets: Vec<i32>,
    pub(super) bytes: Vec<u8>,
    /// Bytes of a row in the last batch, on average.
    pub(super) bytes_per_row: usize,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new(), bytes_per_row: 0 }
    }

    /// Appends a row; false if offsets of 32 bits cannot reach its end.
    #[inline]
    pub(in crate::codec) fn push(&mut self, text: &[u8]) -> bool {
        let Ok(end) = i32::try_from(self.bytes.len() + text.len()) else { return false };
        self.bytes.extend_from_slice(text);
        self.offsets.push(end);
        true
    }

    /// Text of row `i`.
    pub(in crate::codec) fn get(&self, i: usize) -> &[u8] {
        &self.bytes[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }

    /// Takes back every row behind the first `len`.
    pub(in crate::codec) fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.bytes.truncate(self.offsets[len] as usize);
    }

    pub(super) fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        self.bytes_per_row = self.bytes.len().div_ceil(self.offsets.len());
        (take_offsets(&mut self.offsets), Buffer::from_vec(mem::take(&mut self.bytes)))
    }
}

pub(super) fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(mem::replace(offsets, vec![0])))
}

pub(super) fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

pub(super) fn map_array(
    data_type: &DataType,
    offsets: OffsetBuffer<i32>,
    keys: &mut Text,
    value: &mut Column,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let DataType::Map(entry, sorted) = data_type else { unreachable!("built from a map") };
    let DataType::Struct(fields) = entry.data_type() else { unreachable!("maps hold entries") };
    let (ends, bytes) = keys.take();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::new(ends, bytes, None)), value.finish()];
    let entries = StructArray::new(fields.clone(), columns, None);
    Arc::new(MapArray::new(Arc::clone(entry), offsets, entries, nulls, *sorted))
}

pub(super) fn moments(
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    macro_rules! zoned {
        ($arrow:ty, $zone:expr) => {
            Arc::new(
                PrimitiveArray::<$arrow>::new(values.into(), nulls)
                    .with_timezone_opt($zone.clone()),
            )
        };
    }
    match data_type {
        DataType::Date32 => {
            primitive::<Date32Type>(values.into_iter().map(|v| v as i32).collect(), nulls)
        }
        DataType::Time64(Nanosecond) => primitive::<Time64NanosecondType>(values, nulls),
        DataType::Time64(_) => primitive::<Time64MicrosecondType>(values, nulls),
        DataType::Timestamp(Second, zone) => zoned!(TimestampSecondType, zone),
        DataType::Timestamp(Millisecond, zone) => zoned!(TimestampMillisecondType, zone),
        DataType::Timestamp(Microsecond, zone) => zoned!(TimestampMicrosecondType, zone),
        DataType::Timestamp(Nanosecond, zone) => zoned!(TimestampNanosecondType, zone),
        DataType::Duration(Second) => primitive::<DurationSecondType>(values, nulls),
        DataType::Duration(Millisecond) => primitive::<DurationMillisecondType>(values, nulls),
        DataType::Duration(Microsecond) => primitive::<DurationMicrosecondType>(values, nulls),
        DataType::Duration(Nanosecond) => primitive::<DurationNanosecondType>(values, nulls),
        other => unreachable!("{other} is not stored as a moment"),
    }
}

impl Cells {
    pub(super) fn new(field: &Field, inferred: bool) -> Result<Self> {
        let int = |range| Self::Int { values: Vec::new(), range };
        let uint = |max| Self::UInt { values: Vec::new(), max };
        let moment = |moment| Self::Moment { values: Vec::new(), moment };
        Ok(match field.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int8 => int((i8::MIN.into(), i8::MAX.into())),
            DataType::Int16 => int((i16::MIN.into(), i16::MAX.into())),
            DataType::Int32 => int((i32::MIN.into(), i32::MAX.into())),
            DataType::Int64 => int((i64::MIN, i64::MAX)),
            DataType::UInt8 => uint(u8::MAX.into()),
            DataType::UInt16 => uint(u16::MAX.into()),
            DataType::UInt32 => uint(u32::MAX.into()),
            DataType::UInt64 => uint(u64::MAX),
            DataType::Float32 => Self::Float32(Vec::new()),
            DataType::Float64 => Self::Float { values: Vec::new(), exact: inferred },
            DataType::Date32 => moment(Moment::Date),
            DataType::Time64(unit) => moment(Moment::Time(*unit)),
            DataType::Timestamp(unit, zone) => {
                let aware = field.metadata().get(AWARE).is_some_and(|v| v == "1");
                let zone = match zone.as_deref() {
                    None => Zone::Naive,
                    Some("UTC" | "+00:00" | "Z") if !aware => Zone::Utc,
                    Some(_) => Zone::Aware,
                };
                moment(Moment::Timestamp { unit: *unit, zone })
            }
            DataType::Duration(unit) => moment(Moment::Duration(*unit)),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Utf8 | DataType::Binary => {
                let raw = field.metadata().get(RAW_JSON).is_some_and(|v| v == "1");
                Self::Text { text: Text::new(), raw }
            }
            DataType::List(item) => {
                let item = Box::new(Column::new(item, inferred).map_err(|e| within(field, &e))?);
                Self::List { offsets: vec![0], item }
            }
            DataType::Struct(fields) => {
                let object = Object::new(fields, field.metadata(), inferred);
                Self::Struct(Box::new(object.map_err(|e| within(field, &e))?))
            }
            DataType::Map(entry, _) => Self::map(field, entry, inferred)?,
            other => return Err(unsupported(field, other)),
        })
    }

    fn map(field: &Field, entry: &Field, inferred: bool) -> Result<Self> {
        match entry.data_type() {
            DataType::Struct(fields) if fields[0].data_type() == &DataType::Utf8 => {
                let value = Column::new(&fields[1], inferred).map_err(|e| within(field, &e))?;
                Ok(Self::Map { offsets: vec![0], keys: Text::new(), value: Box::new(value) })
            }
            _ => Err(Error::Config(format!(
                "field `{}`: the keys of a map must be utf8, as names of JSON objects are",
                field.name()
            ))),
        }
    }
}

fn unsupported(field: &Field, data_type: &DataType) -> Error {
    let instead = match data_type {
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => "utf8",
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary",
        DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) => "list",
        DataType::Date64 => "date32",
        DataType::Time32(_) => "time64",
        DataType::Float16 => "float32",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..) => {
            "decimal128"
        }
        _ => "utf8 with the metadata `turbine.json` = `1`, which keeps the JSON text",
    };
    Error::Config(format!(
        "field `{}`: JSON cannot be decoded into {data_type}; use {instead}",
        field.name()
    ))
}

fn within(field: &Field, error: &Error) -> Error {
    Error::Config(format!("in field `{}`: {error}", field.name()))
}
