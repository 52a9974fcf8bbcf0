//! A batch to one Avro record a row.

use super::{
    decode::{MAGIC, SINGLE_OBJECT, unusable},
    derive::schema_of,
    schema::Schema,
    write,
};
use crate::{
    codec::{
        column::Node,
        registry::{Registration, Registry, subject_name},
        rows::{Encode, Encoded, Ready},
    },
    config::{AvroFormat, Framing},
    error::{Error, Result},
};
use arrow::{array::RecordBatch, datatypes::Fields};
use parking_lot::Mutex;
use std::sync::Arc;

/// Encodes batches with the format's schema, with the one that a registry has, or with one that is
/// made from the columns.
pub struct Encoder {
    format: AvroFormat,
    declared: Option<Arc<Schema>>,
    registry: Option<Arc<Registry>>,
    topic: String,
    is_key: bool,
    /// The last columns, and what a registry was asked about them.
    last: Mutex<Option<(Fields, Registration)>>,
}

impl Encoder {
    /// An encoder of the values (or keys) of `topic`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a schema that cannot be read, and without the registry that the framing
    /// needs.
    pub fn new(
        format: &AvroFormat,
        registry: Option<Arc<Registry>>,
        topic: &str,
        is_key: bool,
    ) -> Result<Self> {
        let parse = |text: &String| Schema::parse(text).map(Arc::new).map_err(|e| unusable(&e));
        let declared = format.schema.as_ref().map(parse).transpose()?;
        if format.framing == Framing::Confluent {
            if registry.is_none() {
                return Err(Registry::needed("avro"));
            }
            let name = declared.as_ref().map(|schema| schema.record().name.as_str());
            let is_made = declared.is_none() && format.subject.auto_register;
            subject_name(&format.subject, topic, is_key, name.or(is_made.then_some("")))?;
        }
        Ok(Self {
            format: format.clone(),
            declared,
            registry,
            topic: topic.into(),
            is_key,
            last: Mutex::default(),
        })
    }

    /// What a registry is asked about the columns of `batch`.
    fn registration(&self, batch: &RecordBatch) -> Result<Registration> {
        let mut last = self.last.lock();
        let schema = batch.schema();
        if let Some((fields, registration)) = &*last
            && fields == schema.fields()
        {
            return Ok(registration.clone());
        }
        let choices = &self.format.subject;
        let made = (self.declared.is_none() && choices.auto_register)
            .then(|| schema_of(schema.fields(), &self.topic).map_err(Error::Encode))
            .transpose()?;
        let made_name = made.as_ref().and_then(|made| made["name"].as_str());
        let name = self.declared.as_ref().map(|declared| declared.record().name.as_str());
        let registration = Registration {
            subject: subject_name(choices, &self.topic, self.is_key, name.or(made_name))?,
            kind: "AVRO",
            schema: match &self.declared {
                Some(declared) => Some(declared.text.clone()),
                None => made.map(|made| made.to_string()),
            },
            may_register: choices.auto_register,
        };
        *last = Some((schema.fields().clone(), registration.clone()));
        Ok(registration)
    }

    /// What is in front of every record, and the schema of what is behind it.
    fn head(&self, batch: &RecordBatch) -> Result<(Vec<u8>, Arc<Schema>)> {
        match (self.format.framing, &self.declared) {
            (Framing::Raw, Some(schema)) => Ok((Vec::new(), Arc::clone(schema))),
            (Framing::SingleObject, Some(schema)) => {
                let print = schema.fingerprint.expect("parsed without references");
                Ok(([&SINGLE_OBJECT[..], &print].concat(), Arc::clone(schema)))
            }
            (Framing::Confluent, declared) => {
                let registration = self.registration(batch)?;
                let known = self.registry.as_ref().and_then(|r| r.registered(&registration));
                let known = known.ok_or_else(|| {
                    Error::Encode("the schema registry has not been asked for the schema".into())
                })?;
                let head = [&[MAGIC], &known.id.to_be_bytes()[..]].concat();
                let schema = match declared {
                    Some(schema) => Arc::clone(schema),
                    None => known.avro().map_err(Error::Encode)?,
                };
                Ok((head, schema))
            }
            (_, None) => Err(Error::Encode("Avro without a registry needs schema=".into())),
        }
    }
}

impl Encode for Encoder {
    fn prepare(&self, batch: &RecordBatch) -> Result<Option<Ready>> {
        let Some(registry) = &self.registry else { return Ok(None) };
        if self.format.framing != Framing::Confluent {
            return Ok(None);
        }
        let registration = self.registration(batch)?;
        let is_known = registry.registered(&registration).is_some();
        Ok((!is_known).then(|| Registry::register(Arc::clone(registry), registration)))
    }

    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        let (head, schema) = self.head(batch)?;
        let label = |_, name: &str| name.as_bytes().to_vec();
        let columns = batch
            .schema()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| {
                Ok((field.name().as_bytes().to_vec(), Node::new(field, array, label)?))
            })
            .collect::<Result<Vec<_>, String>>();
        let puts = columns
            .and_then(|mut nodes| write::record(schema.record(), &mut nodes))
            .map_err(Error::Encode)?;
        out.ends.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            out.bytes.extend_from_slice(&head);
            for (name, put) in &puts {
                put.write(row, &mut out.bytes)
                    .map_err(|why| Error::Encode(format!("column `{name}`, row {row}: {why}")))?;
            }
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}
