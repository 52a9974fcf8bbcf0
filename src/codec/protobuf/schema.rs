//! Descriptors: from their declaration, and as an Arrow schema.

use crate::error::{Error, Result};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use std::{collections::BTreeMap, sync::Arc};

/// Where the description of messages comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A serialized `FileDescriptorSet`, with everything that is imported.
    Descriptors(&'a [u8]),
    /// `.proto` files by the names under which they import each other.
    Files(&'a BTreeMap<String, String>),
}

/// The message `name`, or the first one of the last file without a name.
///
/// # Errors
///
/// [`Error::Config`] if the description is broken or has no such message; it names those it has.
pub fn find_message(source: Source<'_>, name: Option<&str>) -> Result<MessageDescriptor> {
    let pool = match source {
        Source::Descriptors(bytes) => DescriptorPool::decode(bytes)
            .map_err(|e| Error::Config(format!("the Protobuf descriptors are broken: {e}")))?,
        Source::Files(files) => compile(files)?,
    };
    let own = |m: &MessageDescriptor| {
        !m.is_map_entry() && !m.package_name().starts_with("google.protobuf")
    };
    let known: Vec<MessageDescriptor> = pool.all_messages().filter(own).collect();
    let by_name = |name: &str| {
        let mut short = known.iter().filter(|m| m.name() == name);
        let only = short.next().filter(|_| short.next().is_none()).cloned();
        pool.get_message_by_name(name).or(only)
    };
    let found = match name {
        Some(name) => by_name(name),
        None => known.first().filter(|_| known.len() == 1).cloned(),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(MessageDescriptor::full_name).collect();
        let asked = name.map_or("without message=".into(), |n| format!("message={n:?}"));
        Error::Config(format!(
            "Protobuf({asked}) names no message of the schema: write message= one of {}",
            names.join(", ")
        ))
    })
}

/// Files in memory.
struct InMemory(BTreeMap<String, String>);

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let text = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, text)
    }
}

fn compile(files: &BTreeMap<String, String>) -> Result<DescriptorPool> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(InMemory(files.clone()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    for name in files.keys() {
        let opened = compiler.open_file(name);
        opened.map_err(|e| Error::Config(format!("the Protobuf schema is broken: {e:?}")))?;
    }
    Ok(compiler.descriptor_pool())
}

/// A well-known type that is a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WellKnown {
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// A wrapper of one value.
    Wrapper,
}

/// What `message` is beyond its fields.
pub(super) fn well_known(message: &MessageDescriptor) -> Option<WellKnown> {
    match message.full_name().strip_prefix("google.protobuf.")? {
        "Timestamp" => Some(WellKnown::Timestamp),
        "Duration" => Some(WellKnown::Duration),
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
        | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => Some(WellKnown::Wrapper),
        _ => None,
    }
}

/// Columns for all fields of `message`.
///
/// # Errors
///
/// [`Error::Config`] for a message that contains itself.
pub(super) fn arrow_schema(message: &MessageDescriptor) -> Result<SchemaRef> {
    Ok(Arc::new(Schema::new(fields(message, &mut Vec::new())?)))
}

fn fields(message: &MessageDescriptor, within: &mut Vec<String>) -> Result<Fields> {
    if within.iter().any(|name| name == message.full_name()) {
        return Err(Error::Config(format!(
            "the message {} contains itself, and columns end somewhere: give the subscription a \
             model without that field",
            message.full_name()
        )));
    }
    within.push(message.full_name().into());
    let fields = message.fields().map(|f| field(&f, within)).collect::<Result<Vec<_>>>();
    within.pop();
    Ok(fields?.into())
}

fn field(field: &FieldDescriptor, within: &mut Vec<String>) -> Result<Field> {
    let (data_type, nullable) = if field.is_map() {
        let Kind::Message(entry) = field.kind() else { unreachable!("entries are messages") };
        let value = data_type(&entry.map_entry_value_field(), within)?;
        let pair =
            vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, false)];
        let entries = Field::new("entries", DataType::Struct(pair.into()), false);
        (DataType::Map(Arc::new(entries), false), false)
    } else if field.is_list() {
        let item = Field::new("item", data_type(field, within)?, false);
        (DataType::List(Arc::new(item)), false)
    } else {
        (data_type(field, within)?, field.supports_presence() && !is_required(field))
    };
    Ok(Field::new(field.name(), data_type, nullable))
}

/// Must the field be in every record?
pub(super) fn is_required(field: &FieldDescriptor) -> bool {
    field.cardinality() == prost_reflect::Cardinality::Required
}

fn data_type(field: &FieldDescriptor, within: &mut Vec<String>) -> Result<DataType> {
    Ok(match field.kind() {
        Kind::Double => DataType::Float64,
        Kind::Float => DataType::Float32,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => DataType::Int32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => DataType::Int64,
        Kind::Uint32 | Kind::Fixed32 => DataType::UInt32,
        Kind::Uint64 | Kind::Fixed64 => DataType::UInt64,
        Kind::Bool => DataType::Boolean,
        Kind::String | Kind::Enum(_) => DataType::Utf8,
        Kind::Bytes => DataType::Binary,
        Kind::Message(message) => match well_known(&message) {
            Some(WellKnown::Timestamp) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            Some(WellKnown::Duration) => DataType::Duration(TimeUnit::Microsecond),
            Some(WellKnown::Wrapper) => {
                let value = message.fields().next().expect("a wrapper has one field");
                data_type(&value, within)?
            }
            None => DataType::Struct(fields(&message, within)?),
        },
    })
}
