//! The columns of an Avro schema: what a reader's schema asks for, and what a writer's offers.

use super::{
    defaults,
    schema::{Field as AvroField, Record, Type},
};
use crate::codec::column::{DEFAULT, NAMES, REQUIRED};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use std::{collections::HashMap, sync::Arc};

/// Columns for the fields of a reader's record, with its defaults and aliases in their metadata.
pub(super) fn reader_fields(record: &Record) -> Result<Fields, String> {
    record.fields.iter().map(|field| reader_field(field).map(Arc::new)).collect()
}

fn reader_field(field: &AvroField) -> Result<Field, String> {
    let within = |why: String| format!("field `{}`: {why}", field.name);
    let (of, is_nullable) = one(&field.of).map_err(within)?;
    let data_type = data_type(of, &reader_fields).map_err(within)?;
    let mut metadata = HashMap::new();
    if !field.aliases.is_empty() {
        let names: Vec<&str> =
            std::iter::once(&field.name).chain(&field.aliases).map(String::as_str).collect();
        metadata.insert(NAMES.into(), serde_json::json!(names).to_string());
    }
    match &field.default {
        Some(serde_json::Value::Null) => {}
        Some(default) => {
            let text = defaults::as_json(of, default)
                .map_err(|why| within(format!("its default: {why}")))?;
            metadata.insert(DEFAULT.into(), text.to_string());
        }
        None if is_nullable => {
            metadata.insert(REQUIRED.into(), "1".into());
        }
        None => {}
    }
    Ok(Field::new(&field.name, data_type, is_nullable).with_metadata(metadata))
}

/// Columns for the fields of a writer's record, which other records may lack: all are nullable.
pub(super) fn writer_fields(record: &Record) -> Result<Fields, String> {
    let field = |field: &AvroField| -> Result<FieldRef, String> {
        let within = |why: String| format!("field `{}`: {why}", field.name);
        let (of, _) = one(&field.of).map_err(within)?;
        let data_type = data_type(of, &writer_fields).map_err(within)?;
        Ok(Arc::new(Field::new(&field.name, data_type, true)))
    };
    record.fields.iter().map(field).collect()
}

/// The type behind a union with null.
fn one(of: &Type) -> Result<(&Type, bool), String> {
    of.nullable().ok_or_else(|| {
        let Type::Union(branches) = of else { unreachable!("only unions have no single type") };
        let names: Vec<&str> = branches.iter().map(Type::name).collect();
        format!(
            "a column has one type, and this is a union of {}: give a schema (or a model) in which \
             the field has one of them, or leave it out there",
            names.join(", ")
        )
    })
}

type Nested<'a> = &'a dyn Fn(&Record) -> Result<Fields, String>;

fn data_type(of: &Type, nested: Nested<'_>) -> Result<DataType, String> {
    let item = |name: &str, of: &Type| -> Result<FieldRef, String> {
        let (of, is_nullable) = one(of)?;
        Ok(Arc::new(Field::new(name, data_type(of, nested)?, is_nullable)))
    };
    Ok(match of {
        Type::Null => DataType::Null,
        Type::Bool => DataType::Boolean,
        Type::Int => DataType::Int32,
        Type::Long => DataType::Int64,
        Type::Float => DataType::Float32,
        Type::Double => DataType::Float64,
        Type::Bytes | Type::Fixed(_) => DataType::Binary,
        Type::String | Type::Uuid | Type::Enum(_) => DataType::Utf8,
        Type::Array(of) => DataType::List(item("item", of)?),
        Type::Map(of) => {
            let key = Arc::new(Field::new("key", DataType::Utf8, false));
            let entry = DataType::Struct(vec![key, item("value", of)?].into());
            DataType::Map(Arc::new(Field::new("entries", entry, false)), false)
        }
        Type::Record(record) => DataType::Struct(nested(record)?),
        Type::Union(_) => unreachable!("taken apart by `one`"),
        Type::Date => DataType::Date32,
        Type::Time(_) => DataType::Time64(TimeUnit::Microsecond),
        Type::Timestamp { unit, is_utc } => {
            DataType::Timestamp(*unit, is_utc.then(|| "UTC".into()))
        }
        Type::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
    })
}
