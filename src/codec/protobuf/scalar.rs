//! Values without fields: how they are written, and what they are.

use super::{
    plan::Scalar,
    wire::{Form, Written},
};
use crate::codec::column::{Refused, Value};

impl Scalar {
    /// How a value that is not packed is written.
    #[inline]
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Double | Self::Fixed64 | Self::SFixed64 => Form::Fixed64,
            Self::Float | Self::Fixed32 | Self::SFixed32 => Form::Fixed32,
            Self::Text | Self::Bytes => Form::Bytes,
            _ => Form::Varint,
        }
    }

    /// The value of a field without presence that is not in the record.
    pub(super) fn zero(&self) -> Value<'_> {
        match self {
            Self::Double | Self::Float => Value::Float(0.0),
            Self::Bool => Value::Bool(false),
            Self::Text => Value::Text(""),
            Self::Bytes => Value::Bytes(b""),
            Self::Enum(names) => names.get(&0).map_or(Value::Int(0), |name| Value::Text(name)),
            _ => Value::Int(0),
        }
    }

    /// The value that is written; none if it is written as another type.
    #[inline]
    pub(super) fn read<'a>(&'a self, written: Written<'a>) -> Option<Result<Value<'a>, Refused>> {
        let int = |value: i64| Some(Ok(Value::Int(value)));
        match (self, written) {
            (Self::Int64, Written::Varint(v)) => int(v.cast_signed()),
            (Self::Int32, Written::Varint(v)) => Some(narrow(v.cast_signed()).map(Value::Int)),
            (Self::UInt64, Written::Varint(v)) => Some(Ok(Value::UInt(v))),
            (Self::UInt32, Written::Varint(v)) => Some(match u32::try_from(v) {
                Ok(v) => Ok(Value::UInt(v.into())),
                Err(_) => Err(format!("{v} does not fit 32 bits").into()),
            }),
            (Self::Bool, Written::Varint(v)) => Some(Ok(Value::Bool(v != 0))),
            (Self::Text, Written::Bytes(bytes, _)) => Some(match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Value::Text(text)),
                Err(_) => Err("text that is not UTF-8".into()),
            }),
            (Self::Bytes, Written::Bytes(bytes, _)) => Some(Ok(Value::Bytes(bytes))),
            (Self::Double, Written::Fixed64(v)) => Some(Ok(Value::Float(f64::from_le_bytes(v)))),
            (Self::Float, Written::Fixed32(v)) => {
                Some(Ok(Value::Float(f32::from_le_bytes(v).into())))
            }
            (Self::SInt64, Written::Varint(v)) => int(zigzag(v)),
            (Self::SInt32, Written::Varint(v)) => Some(narrow(zigzag(v)).map(Value::Int)),
            (Self::Fixed32, Written::Fixed32(v)) => {
                Some(Ok(Value::UInt(u32::from_le_bytes(v).into())))
            }
            (Self::Fixed64, Written::Fixed64(v)) => Some(Ok(Value::UInt(u64::from_le_bytes(v)))),
            (Self::SFixed32, Written::Fixed32(v)) => int(i32::from_le_bytes(v).into()),
            (Self::SFixed64, Written::Fixed64(v)) => int(i64::from_le_bytes(v)),
            (Self::Enum(names), Written::Varint(v)) => Some(narrow(v.cast_signed()).map(|v| {
                let name = i32::try_from(v).ok().and_then(|v| names.get(&v));
                name.map_or(Value::Int(v), |name| Value::Text(name))
            })),
            _ => None,
        }
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn narrow(value: i64) -> Result<i64, Refused> {
    if i32::try_from(value).is_ok() {
        return Ok(value);
    }
    Err(format!("{value} does not fit 32 bits").into())
}
