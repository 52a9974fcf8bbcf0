//! MessagePack as JSON text and back, for columns that hold JSON.

use super::wire::{Head, Wire};
use crate::codec::{
    column::{Fault, Scanned, Value},
    json::Pen,
};
use rmp::encode as rmp;
use serde_json::Value as Json;

/// Reads the next value and writes it as JSON.
pub(super) fn write_json(wire: &mut Wire<'_>, pen: &mut Pen, depth: usize) -> Scanned<()> {
    let at = wire.pos;
    match wire.head()? {
        Head::One(value) => pen.value(value).ok_or_else(|| {
            Fault::new(at, format!("expected JSON, and {} has no JSON form", value.found()))
        })?,
        Head::Array(count) => {
            wire.open(depth)?;
            pen.out.push(b'[');
            for i in 0..count {
                if i > 0 {
                    pen.out.push(b',');
                }
                write_json(wire, pen, depth + 1)?;
            }
            pen.out.push(b']');
        }
        Head::Map(count) => {
            wire.open(depth)?;
            pen.out.push(b'{');
            for i in 0..count {
                if i > 0 {
                    pen.out.push(b',');
                }
                // A string always has a JSON form.
                let _ = pen.value(Value::Text(wire.name()?));
                pen.out.push(b':');
                write_json(wire, pen, depth + 1)?;
            }
            pen.out.push(b'}');
        }
    }
    Ok(())
}

/// Writes JSON as MessagePack.
pub(super) fn write_value(json: &Json, out: &mut Vec<u8>) -> std::io::Result<()> {
    match json {
        Json::Null => rmp::write_nil(out)?,
        Json::Bool(value) => rmp::write_bool(out, *value)?,
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => drop(rmp::write_sint(out, value)?),
            (_, Some(value)) => drop(rmp::write_uint(out, value)?),
            _ => rmp::write_f64(out, number.as_f64().unwrap_or(f64::NAN))?,
        },
        Json::String(text) => rmp::write_str(out, text)?,
        Json::Array(items) => {
            rmp::write_array_len(out, length(items.len())?)?;
            items.iter().try_for_each(|item| write_value(item, out))?;
        }
        Json::Object(fields) => {
            rmp::write_map_len(out, length(fields.len())?)?;
            for (name, value) in fields {
                rmp::write_str(out, name)?;
                write_value(value, out)?;
            }
        }
    }
    Ok(())
}

/// A length as MessagePack has it.
pub(super) fn length(len: usize) -> std::io::Result<u32> {
    u32::try_from(len).map_err(std::io::Error::other)
}
