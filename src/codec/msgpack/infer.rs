//! Types of MessagePack values that nobody has declared.

use super::wire::{Head, Wire};
use crate::codec::column::{Fault, MOST_FIELDS, Scanned, Step, Value, item_field, merge, too_many};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use std::sync::Arc;

/// Fields of the map `data`.
pub(super) fn fields_of(data: &[u8]) -> Scanned<Fields> {
    let mut wire = Wire::new(data);
    let fields = match wire.head()? {
        Head::Map(count) => object(&mut wire, count, 0)?,
        other => return Err(Fault::new(0, format!("expected a map, found {}", other.found()))),
    };
    wire.finish()?;
    Ok(fields)
}

fn object(wire: &mut Wire<'_>, count: usize, depth: usize) -> Scanned<Fields> {
    wire.open(depth)?;
    let mut fields: Vec<FieldRef> = Vec::new();
    for _ in 0..count {
        let name = wire.name()?;
        let data_type =
            value(wire, depth + 1).map_err(|fault| fault.within(Step::Field(name.into())))?;
        let field = Arc::new(Field::new(name, data_type, true));
        match fields.iter().position(|f| f.name() == name) {
            Some(earlier) => fields[earlier] = field,
            None if fields.len() < MOST_FIELDS => fields.push(field),
            None => return Err(wire.fault(too_many())),
        }
    }
    Ok(fields.into())
}

fn value(wire: &mut Wire<'_>, depth: usize) -> Scanned<DataType> {
    let at = wire.pos;
    Ok(match wire.head()? {
        Head::Map(count) => DataType::Struct(object(wire, count, depth)?),
        Head::Array(count) => {
            wire.open(depth)?;
            let mut item = DataType::Null;
            for _ in 0..count {
                item = merge(&item, &value(wire, depth + 1)?).map_err(|why| {
                    Fault::new(at, format!("the items of the array differ: {why}"))
                })?;
            }
            DataType::List(item_field(item))
        }
        Head::One(one) => match one {
            Value::Null => DataType::Null,
            Value::Bool(_) => DataType::Boolean,
            Value::Int(_) => DataType::Int64,
            Value::UInt(_) => {
                let what = "too large for a signed integer of 64 bits; declare the field";
                return Err(Fault::new(at, what));
            }
            Value::Float(_) => DataType::Float64,
            Value::Text(_) => DataType::Utf8,
            Value::Bytes(_) => DataType::Binary,
            // No wire type of MessagePack is a length of time.
            Value::Instant(..) | Value::Length(..) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
        },
    })
}
