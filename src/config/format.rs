//! How the values of a topic are written: one word and its choices, as `turbine/codecs.py` declares them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Format of the values, or of the keys, of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a record.
    #[default]
    Json,
    /// Avro, with or without a registry.
    Avro(AvroFormat),
    /// Protobuf messages.
    Protobuf(ProtobufFormat),
    /// One `MessagePack` map a record.
    Msgpack,
    /// One line of separated values a record.
    Csv(CsvFormat),
    /// Arrow IPC.
    Arrow,
    /// The bytes as they are, in one column.
    Raw,
    /// UTF-8 text, in one column.
    String,
    /// Four bytes, the highest first; for keys.
    Int32,
    /// Eight bytes, the highest first; for keys.
    Int64,
}

impl Format {
    /// The word by which it is declared.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro(_) => "avro",
            Self::Protobuf(_) => "protobuf",
            Self::Msgpack => "msgpack",
            Self::Csv(_) => "csv",
            Self::Arrow => "arrow",
            Self::Raw => "raw",
            Self::String => "string",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        }
    }
}

/// Choices of [`Format::Avro`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AvroFormat {
    /// JSON of the reader's schema, or of the schema to write with.
    pub schema: Option<String>,
    /// JSON of other schemas that records may have been written with.
    pub writers: Vec<String>,
    /// What is in front of the data of a record.
    pub framing: Framing,
    /// Where a registry keeps the schemas.
    #[serde(flatten)]
    pub subject: Subject,
}

/// What is in front of the data of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// A zero byte and the id that a registry gave the schema.
    #[default]
    Confluent,
    /// Avro's single-object encoding: `C3 01` and the fingerprint of the schema.
    SingleObject,
    /// Nothing.
    Raw,
}

/// Under which name a registry keeps the schemas of a topic, and whether new ones are added to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// The name itself; the strategy is not asked then.
    pub subject: Option<String>,
    /// How the name is made.
    pub strategy: Strategy,
    /// May a schema that the registry does not have be registered?
    pub auto_register: bool,
}

/// How the name of a subject is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// `{topic}-value` or `{topic}-key`.
    #[default]
    Topic,
    /// The full name of the record.
    Record,
    /// `{topic}-{full name of the record}`.
    TopicRecord,
}

/// Choices of [`Format::Protobuf`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtobufFormat {
    /// A serialized `FileDescriptorSet`, in hexadecimal digits.
    pub descriptors: Option<String>,
    /// `.proto` files by the names under which they import each other.
    pub files: BTreeMap<String, String>,
    /// Name of the message; needed if there are several.
    pub message: Option<String>,
    /// Does Confluent's frame stand in front of the message?
    pub is_framed: bool,
    /// The schema's id in the frames that are written.
    pub schema_id: Option<u32>,
}

/// Choices of [`Format::Csv`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvFormat {
    /// Names of the cells, in their order; those of the model or of the batch without any.
    pub columns: Vec<String>,
    /// Byte between two cells.
    pub delimiter: u8,
    /// Byte around cells that need it.
    pub quote: u8,
    /// What an unquoted cell holds that is null.
    pub null: String,
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self { columns: Vec::new(), delimiter: b',', quote: b'"', null: String::new() }
    }
}
