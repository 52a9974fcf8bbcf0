//! The Avro schema of a batch that is written without one.

use crate::codec::column::RAW_JSON;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::{Value, json};

type Made = Result<Value, String>;

/// The schema of a record `name` with a field for each column; `Err` names one that has none.
pub(super) fn schema_of(fields: &Fields, name: &str) -> Made {
    let name = type_name(name);
    record(fields, &name)
}

/// The name of a topic as the name of a type: other characters become `_`.
fn type_name(topic: &str) -> String {
    let valid = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = topic.chars().map(valid).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn record(fields: &Fields, name: &str) -> Made {
    let fields: Vec<Value> = fields.iter().map(|f| field(f, name)).collect::<Result<_, _>>()?;
    Ok(json!({ "type": "record", "name": name, "fields": fields }))
}

fn field(field: &Field, parent: &str) -> Made {
    let name = field.name();
    if type_name(name) != *name || name.is_empty() {
        return Err(format!(
            "column `{name}`: names in Avro have letters, digits and underscores only: rename it"
        ));
    }
    let of = nullable(field, &format!("{parent}_{name}"))
        .map_err(|why| format!("column `{name}`: {why}"))?;
    let mut made = json!({ "name": name, "type": of });
    if field.is_nullable() {
        made["default"] = Value::Null;
    }
    Ok(made)
}

fn nullable(field: &Field, path: &str) -> Made {
    let of = data_type(field, path)?;
    Ok(if field.is_nullable() && of != "null" { json!(["null", of]) } else { of })
}

fn data_type(field: &Field, path: &str) -> Made {
    use DataType as T;
    let logical = |of: &str, logical: &str| json!({ "type": of, "logicalType": logical });
    Ok(match field.data_type() {
        T::Null => json!("null"),
        T::Boolean => json!("boolean"),
        T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 => json!("int"),
        T::Int64 | T::UInt32 => json!("long"),
        T::Float16 | T::Float32 => json!("float"),
        T::Float64 => json!("double"),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => json!("string"),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => json!("bytes"),
        T::Date32 | T::Date64 => logical("int", "date"),
        T::Time32(_) | T::Time64(_) => logical("long", "time-micros"),
        T::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second | TimeUnit::Millisecond => "millis",
                TimeUnit::Microsecond => "micros",
                TimeUnit::Nanosecond => "nanos",
            };
            let local = if zone.is_some() { "" } else { "local-" };
            logical("long", &format!("{local}timestamp-{unit}"))
        }
        T::Decimal32(digits, scale)
        | T::Decimal64(digits, scale)
        | T::Decimal128(digits, scale)
            if *scale >= 0 =>
        {
            json!({"type": "bytes", "logicalType": "decimal", "precision": digits, "scale": scale})
        }
        T::Dictionary(_, values) => {
            let of = field.metadata().get(RAW_JSON).map_or(&**values, |_| &T::Utf8);
            data_type(&Field::new("values", of.clone(), true), path)?
        }
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => {
            json!({ "type": "array", "items": nullable(item, &format!("{path}_item"))? })
        }
        T::Struct(fields) => record(fields, path)?,
        T::Map(entry, _) => {
            let T::Struct(fields) = entry.data_type() else {
                return Err("a map without entries".into());
            };
            json!({ "type": "map", "values": nullable(&fields[1], &format!("{path}_value"))? })
        }
        other => return Err(format!("{other} has no form in Avro: cast it to another type")),
    })
}
