//! Defaults of fields, which a schema writes as JSON of its own kind.

use super::schema::{Record, Type};
use crate::codec::column::time;
use serde_json::{Value, json};

/// The default `value` of a field of type `of`, as JSON that columns read.
///
/// By the specification the default of a union is one of its first branch; here it may be of any.
pub(super) fn as_json(of: &Type, value: &Value) -> Result<Value, String> {
    let wrong = || format!("{value} is no {}", of.name());
    Ok(match of {
        Type::Null => value.is_null().then_some(Value::Null).ok_or_else(wrong)?,
        Type::Bytes | Type::Fixed(_) => {
            let bytes = bytes(value).ok_or_else(wrong)?;
            // A column of bytes reads the UTF-8 of a JSON string.
            let text = String::from_utf8(bytes).map_err(|_| {
                format!("{value} is not UTF-8, and only such bytes can be a default")
            })?;
            Value::String(text)
        }
        Type::Uuid => uuid(&bytes(value).ok_or_else(wrong)?).ok_or_else(wrong)?.into(),
        Type::Decimal { scale, .. } => {
            let bytes = bytes(value).ok_or_else(wrong)?;
            decimal_text(int_of(&bytes).ok_or_else(wrong)?, *scale).into()
        }
        Type::Date => {
            let days = value.as_i64().ok_or_else(wrong)?;
            written(|out| time::write_date(out, days))
        }
        Type::Time(unit) => {
            let since = value.as_i64().ok_or_else(wrong)?;
            written(|out| time::write_time(out, since.saturating_mul(time::ns_per(*unit))))
        }
        Type::Timestamp { unit, is_utc } => {
            let since = value.as_i64().ok_or_else(wrong)?;
            written(|out| time::write_timestamp(out, since, *unit, *is_utc))
        }
        Type::Array(of) => {
            let items = value.as_array().ok_or_else(wrong)?;
            items
                .iter()
                .map(|item| as_json(of, item))
                .collect::<Result<_, _>>()
                .map(Value::Array)?
        }
        Type::Map(of) => {
            let entries = value.as_object().ok_or_else(wrong)?.iter();
            let entry = |(name, value): (&String, _)| Ok((name.clone(), as_json(of, value)?));
            entries.map(entry).collect::<Result<_, String>>().map(Value::Object)?
        }
        Type::Record(record) => fields(record, value).ok_or_else(wrong)??,
        Type::Union(branches) => {
            branches.iter().find_map(|branch| as_json(branch, value).ok()).ok_or_else(wrong)?
        }
        _ => value.clone(),
    })
}

fn fields(record: &Record, value: &Value) -> Option<Result<Value, String>> {
    let given = value.as_object()?;
    let mut out = serde_json::Map::new();
    for field in &record.fields {
        if let Some(value) = given.get(&field.name).or(field.default.as_ref()) {
            match as_json(&field.of, value) {
                Ok(value) => out.insert(field.name.clone(), value),
                Err(why) => return Some(Err(why)),
            };
        }
    }
    Some(Ok(json!(out)))
}

/// A schema writes bytes as the characters 0 to 255.
pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_str()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// The big-endian integer of two's complement; none beyond 128 bits.
pub(super) fn int_of(bytes: &[u8]) -> Option<i128> {
    let is_negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let fill = if is_negative { 0xFF } else { 0 };
    let (extra, low) = bytes.split_at(bytes.len().saturating_sub(16));
    if extra.iter().any(|&b| b != fill) {
        return None;
    }
    let mut whole = [fill; 16];
    whole[16 - low.len()..].copy_from_slice(low);
    let value = i128::from_be_bytes(whole);
    // Bytes in front of a number that fits must not hide its sign.
    (extra.is_empty() || value.is_negative() == is_negative).then_some(value)
}

fn decimal_text(value: i128, scale: i8) -> String {
    let places = usize::from(scale.unsigned_abs());
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    let sign = if value < 0 { "-" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// The text of 16 bytes.
pub(super) fn uuid(bytes: &[u8]) -> Option<String> {
    uuid::Uuid::from_slice(bytes).ok().map(|id| id.to_string())
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    Value::String(String::from_utf8_lossy(&out).into_owned())
}
