//! Names of types, as Arrow for Python prints them, and constants of them.

use crate::error::{Error, Result};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use serde_json::Value;
use std::sync::Arc;

/// The type that `name` names: `int64`, `double`, `string`, `timestamp[ms, tz=UTC]`,
/// `decimal128(10, 2)` ...
pub(super) fn parse(name: &str) -> Result<DataType> {
    let (base, inside) = match name.find(['[', '(']) {
        Some(at) => (&name[..at], name[at + 1..].trim_end_matches([']', ')'])),
        None => (name, ""),
    };
    let plain = match base {
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" | "int" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float" | "float32" => DataType::Float32,
        "double" | "float64" => DataType::Float64,
        "bool" | "boolean" => DataType::Boolean,
        "string" | "str" | "utf8" => DataType::Utf8,
        "large_string" => DataType::LargeUtf8,
        "string_view" => DataType::Utf8View,
        "binary" => DataType::Binary,
        "large_binary" => DataType::LargeBinary,
        "date" | "date32" => DataType::Date32,
        "null" => DataType::Null,
        "month_day_nano_interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "timestamp" => return timestamp(name, inside),
        "duration" => DataType::Duration(unit(name, inside)?),
        "decimal128" | "decimal" => return decimal(name, inside),
        _ => return Err(unknown(name)),
    };
    Ok(plain)
}

fn timestamp(name: &str, inside: &str) -> Result<DataType> {
    let (text, zone) = match inside.split_once(',') {
        Some((text, zone)) => (text.trim(), Some(zone.trim())),
        None => (inside.trim(), None),
    };
    let zone = zone.map(|zone| Arc::from(zone.strip_prefix("tz=").unwrap_or(zone)));
    Ok(DataType::Timestamp(unit(name, if text.is_empty() { "us" } else { text })?, zone))
}

fn unit(name: &str, text: &str) -> Result<TimeUnit> {
    match text {
        "s" => Ok(TimeUnit::Second),
        "ms" => Ok(TimeUnit::Millisecond),
        "us" => Ok(TimeUnit::Microsecond),
        "ns" => Ok(TimeUnit::Nanosecond),
        _ => Err(unknown(name)),
    }
}

fn decimal(name: &str, inside: &str) -> Result<DataType> {
    let (precision, scale) = inside.split_once(',').ok_or_else(|| unknown(name))?;
    match (precision.trim().parse::<u8>(), scale.trim().parse::<i8>()) {
        (Ok(precision @ 1..=38), Ok(scale)) => Ok(DataType::Decimal128(precision, scale)),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    Error::Declaration(format!(
        "{name:?} is not a type of a column: write int64, float64, bool, string, binary, date32, \
         timestamp[ms], timestamp[us, tz=UTC], duration[ms] or decimal128(10, 2), or a pyarrow type"
    ))
}

/// What messages call a type.
pub(super) fn describe(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Dictionary(_, value) => describe(value),
        DataType::Timestamp(..) => "a timestamp".into(),
        DataType::Boolean => "a boolean".into(),
        DataType::Struct(_) => "a struct".into(),
        DataType::List(_) | DataType::LargeList(_) => "a list".into(),
        DataType::Date32 | DataType::Date64 => "a date".into(),
        DataType::Null => "null".into(),
        other => other.to_string().to_lowercase(),
    }
}

/// The constant that JSON writes as `value`.
///
/// # Errors
///
/// [`Error::Declaration`] if it is no value of the type.
pub(super) fn literal(value: &Value, data_type: Option<&str>) -> Result<ArrayRef> {
    let wanted = data_type.map(parse).transpose()?;
    let plain = plain(value)?;
    let Some(wanted) = wanted else { return Ok(plain) };
    if let (Value::String(text), DataType::Binary) = (value, &wanted) {
        return Ok(Arc::new(BinaryArray::from_vec(vec![&from_hex(text)?])));
    }
    strict_cast(&plain, &wanted).map_err(|_| {
        let name = data_type.unwrap_or_default();
        Error::Declaration(format!("the constant {value} is no value of type {name}"))
    })
}

fn plain(value: &Value) -> Result<ArrayRef> {
    Ok(match value {
        Value::Null => new_null_array(&DataType::Null, 1),
        Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
        Value::String(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Arc::new(Int64Array::from(vec![number])),
            (_, Some(number), _) => Arc::new(UInt64Array::from(vec![number])),
            (.., Some(number)) => Arc::new(Float64Array::from(vec![number])),
            _ => return Err(Error::Declaration(format!("the number {number} is out of range"))),
        },
        other => {
            return Err(Error::Declaration(format!(
                "{other} is not a constant: write a number, text, a boolean, bytes, a date or a datetime"
            )));
        }
    })
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..text.len())
        .step_by(2)
        .map(|at| {
            digit(at).ok_or_else(|| Error::Declaration(format!("{text:?} is not hexadecimal")))
        })
        .collect()
}

/// A cast that fails where the value has no counterpart.
pub(super) fn strict_cast(
    array: &ArrayRef,
    to: &DataType,
) -> Result<ArrayRef, arrow::error::ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// True for text in any of Arrow's forms.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// `array` as plain text.
pub(super) fn as_text(array: &ArrayRef) -> Result<StringArray, arrow::error::ArrowError> {
    let text = strict_cast(array, &DataType::Utf8)?;
    Ok(text.as_any().downcast_ref::<StringArray>().expect("cast to text").clone())
}
