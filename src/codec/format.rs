//! From the declaration of a format to what decodes and encodes it.

use super::{
    avro,
    column::{DecodeOptions, SharedSchema},
    csv, ipc, json, msgpack, plain, protobuf,
    registry::Registry,
    rows::{Decode, Encode},
};
use crate::{
    config::{CsvFormat, Format, ProtobufFormat},
    error::{Error, Result},
};
use arrow::datatypes::SchemaRef;
use prost_reflect::MessageDescriptor;
use std::sync::Arc;

/// Makes the decoders of one subscription, one for each partition.
pub struct Decoders {
    format: Format,
    schema: Option<SchemaRef>,
    learned: Arc<SharedSchema>,
    options: DecodeOptions,
    registry: Option<Arc<Registry>>,
}

impl Decoders {
    /// For values in `format`; without a `schema` all partitions learn one together in `learned`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a declaration that cannot work, with what to write instead.
    pub fn new(
        format: Format,
        schema: Option<SchemaRef>,
        learned: Arc<SharedSchema>,
        options: DecodeOptions,
        registry: Option<Arc<Registry>>,
    ) -> Result<Self> {
        let decoders = Self { format, schema, learned, options, registry };
        // What is wrong is said at the start, not with the first partition.
        decoders.decoder()?;
        Ok(decoders)
    }

    /// A decoder for one partition.
    ///
    /// # Errors
    ///
    /// None in practice: [`Self::new`] has made one already.
    pub fn decoder(&self) -> Result<Box<dyn Decode>> {
        let options = self.options;
        Ok(match &self.format {
            Format::Json => match &self.schema {
                Some(schema) => Box::new(json::Decoder::new(Arc::clone(schema), options)?),
                None => Box::new(json::Decoder::inferring(Arc::clone(&self.learned), options)?),
            },
            Format::Avro(choices) => Box::new(avro::Decoder::new(
                choices,
                self.schema.clone(),
                &self.learned,
                self.registry.clone(),
                options,
            )?),
            Format::Msgpack => match &self.schema {
                Some(schema) => Box::new(msgpack::Decoder::new(Arc::clone(schema), options)?),
                None => Box::new(msgpack::Decoder::inferring(Arc::clone(&self.learned), options)?),
            },
            Format::Csv(choices) => {
                let (columns, null) = (&choices.columns, &choices.null);
                let dialect = dialect(choices);
                Box::new(csv::Decoder::new(self.schema.clone(), columns, null, dialect, options)?)
            }
            Format::Raw => {
                Box::new(plain::Decoder::new(plain::Kind::Raw, self.schema.clone(), options)?)
            }
            Format::String => {
                Box::new(plain::Decoder::new(plain::Kind::Text, self.schema.clone(), options)?)
            }
            Format::Protobuf(choices) => {
                let message = message(choices)?;
                let schema = self.schema.clone();
                Box::new(protobuf::Decoder::new(&message, choices.is_framed, schema, options)?)
            }
            Format::Arrow => match &self.schema {
                Some(schema) => Box::new(ipc::Decoder::new(schema, options)?),
                None => Box::new(ipc::Decoder::inferring(Arc::clone(&self.learned), options)),
            },
            key @ (Format::Int32 | Format::Int64) => return Err(for_keys(key)),
        })
    }
}

/// An encoder of the values of `topic` in `format`; `row_by_row` says that every row must be a record of its own,
/// in formats that can do otherwise.
///
/// # Errors
///
/// [`Error::Config`] for a declaration that cannot work, with what to write instead.
pub fn encoder(
    format: &Format,
    row_by_row: bool,
    topic: &str,
    registry: Option<&Arc<Registry>>,
) -> Result<Box<dyn Encode>> {
    match format {
        Format::Avro(choices) => {
            Ok(Box::new(avro::Encoder::new(choices, registry.cloned(), topic, false)?))
        }
        Format::Json => Ok(Box::new(json::Encoder)),
        Format::Msgpack => Ok(Box::new(msgpack::Encoder)),
        Format::Csv(choices) => Ok(Box::new(csv::Encoder {
            columns: choices.columns.clone(),
            null: choices.null.clone(),
            dialect: dialect(choices),
        })),
        Format::Protobuf(choices) => {
            if choices.is_framed && choices.schema_id.is_none() {
                return Err(Error::Config(
                    "Protobuf(framing=\"confluent\") cannot be written without schema_id=: give \
                     the id that the registry has for the schema"
                        .into(),
                ));
            }
            let id = choices.schema_id.filter(|_| choices.is_framed);
            Ok(Box::new(protobuf::Encoder::new(message(choices)?, id)))
        }
        Format::Arrow => Ok(Box::new(ipc::Encoder { row_by_row })),
        Format::Raw => Ok(Box::new(plain::Encoder(plain::Kind::Raw))),
        Format::String => Ok(Box::new(plain::Encoder(plain::Kind::Text))),
        key @ (Format::Int32 | Format::Int64) => Err(for_keys(key)),
    }
}

/// The message that is declared.
fn message(choices: &ProtobufFormat) -> Result<MessageDescriptor> {
    let bytes = choices.descriptors.as_deref().map(from_hex).transpose()?;
    let source = match &bytes {
        Some(bytes) => protobuf::Source::Descriptors(bytes),
        None => protobuf::Source::Files(&choices.files),
    };
    protobuf::find_message(source, choices.message.as_deref())
}

fn from_hex(digits: &str) -> Result<Vec<u8>> {
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes = digits.as_bytes().chunks(2).map(byte).collect::<Option<_>>();
    bytes.ok_or_else(|| Error::Config("the Protobuf descriptors are no hexadecimal digits".into()))
}

fn dialect(choices: &CsvFormat) -> csv::Dialect {
    csv::Dialect { delimiter: choices.delimiter, quote: choices.quote }
}

fn for_keys(format: &Format) -> Error {
    Error::Config(format!(
        "{0} is a format of keys: write key_format=\"{0}\", and another value_format",
        format.name()
    ))
}
