//! Avro records to a batch, one partition at a time.

use super::{
    columns::{reader_fields, writer_fields},
    input::Input,
    plan::RecordPlan,
    schema::Schema,
};
use crate::{
    codec::{
        column::{
            DecodeOptions, Fault, Object, ReadRecord, RecordDecoder, Scanned, SharedSchema, Unknown,
        },
        registry::Registry,
        rows::{Decode, Decoded, Ready},
    },
    config::{AvroFormat, Framing},
    error::{Error, Result},
    types::Records,
};
use ahash::AHashMap;
use arrow::datatypes::{Fields, Schema as ArrowSchema, SchemaRef};
use std::{ops::Range, sync::Arc};

/// First byte of a record that names its schema by a registry's id.
pub(super) const MAGIC: u8 = 0;
/// First bytes of a single object.
pub(super) const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];

/// Decodes the Avro records of one partition.
pub struct Decoder(RecordDecoder<Reader>);

impl Decoder {
    /// A decoder for `format`.
    ///
    /// Columns are those of `schema` (a model's) if there is one, else of the format's own schema,
    /// else the records' schemas are learned, together with all other decoders on `learned`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a schema that cannot be read, and without the registry that the framing
    /// needs.
    pub fn new(
        format: &AvroFormat,
        schema: Option<SchemaRef>,
        learned: &Arc<SharedSchema>,
        registry: Option<Arc<Registry>>,
        options: DecodeOptions,
    ) -> Result<Self> {
        let reader = Reader::new(format, registry)?;
        let schema = match (schema, &reader.declared) {
            (Some(schema), _) => schema,
            (None, Some(declared)) => {
                let fields = reader_fields(declared.record());
                Arc::new(ArrowSchema::new(fields.map_err(|why| unusable(&why))?))
            }
            (None, None) => {
                return RecordDecoder::inferring(reader, Arc::clone(learned), options).map(Self);
            }
        };
        RecordDecoder::new(reader, schema, options).map(Self)
    }
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn prepare(&mut self, records: &dyn Records, range: Range<usize>) -> Option<Ready> {
        self.0.reader().lacks(records, range)
    }

    fn decode(&mut self, records: &dyn Records, range: Range<usize>) -> Decoded {
        self.0.decode(records, range)
    }
}

/// What names the schema that a record was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Id(u32),
    Fingerprint([u8; 8]),
    Given,
}

/// Reads one Avro record.
struct Reader {
    framing: Framing,
    /// The reader's schema, if it is an Avro schema.
    declared: Option<Arc<Schema>>,
    /// Schemas that are known without a registry.
    given: AHashMap<Writer, Arc<Schema>>,
    registry: Option<Arc<Registry>>,
    /// How each writer's records become rows of the columns as they are now.
    plans: AHashMap<Writer, Result<Arc<RecordPlan>, String>>,
    /// The plan of the last record.
    last: Option<(Writer, Arc<RecordPlan>)>,
}

impl Reader {
    fn new(format: &AvroFormat, registry: Option<Arc<Registry>>) -> Result<Self> {
        let parse = |text: &String| Schema::parse(text).map(Arc::new).map_err(|e| unusable(&e));
        let declared = format.schema.as_ref().map(parse).transpose()?;
        let mut given = AHashMap::new();
        match format.framing {
            Framing::Confluent if registry.is_none() => return Err(Registry::needed("avro")),
            Framing::Confluent => {}
            Framing::SingleObject => {
                let writers: Vec<_> = format.writers.iter().map(parse).collect::<Result<_>>()?;
                for schema in writers.into_iter().chain(declared.clone()) {
                    let fingerprint = schema.fingerprint.expect("parsed without references");
                    given.insert(Writer::Fingerprint(fingerprint), schema);
                }
            }
            Framing::Raw => {
                let first = format.writers.first().map(parse).transpose()?;
                let schema = first.or_else(|| declared.clone());
                let schema = schema.ok_or_else(|| {
                    Error::Config(
                        "Avro records without a framing need a schema: add schema=".into(),
                    )
                })?;
                given.insert(Writer::Given, schema);
            }
        }
        let framing = format.framing;
        let (plans, last) = (AHashMap::new(), None);
        Ok(Self { framing, declared, given, registry, plans, last })
    }

    /// What a registry has to be asked before `records` can be decoded.
    fn lacks(&self, records: &dyn Records, range: Range<usize>) -> Option<Ready> {
        let registry = self.registry.as_ref().filter(|_| self.framing == Framing::Confluent)?;
        let mut ids: Vec<u32> = Vec::new();
        for value in range.filter_map(|i| records.value(i)) {
            if let Ok((Writer::Id(id), _)) = self.frame(value)
                && !ids.contains(&id)
                && self.last.as_ref().is_none_or(|(last, _)| *last != Writer::Id(id))
                && registry.lacks(id)
            {
                ids.push(id);
            }
        }
        (!ids.is_empty()).then(|| Registry::fetch(Arc::clone(registry), ids))
    }

    /// Who wrote a record, and where its data begins.
    #[inline]
    fn frame(&self, data: &[u8]) -> Scanned<(Writer, usize)> {
        match self.framing {
            Framing::Raw => Ok((Writer::Given, 0)),
            Framing::Confluent => match data {
                [MAGIC, a, b, c, d, ..] => {
                    Ok((Writer::Id(u32::from_be_bytes([*a, *b, *c, *d])), 5))
                }
                _ => Err(unframed(data, "a zero byte and a schema's id in 4")),
            },
            Framing::SingleObject => match data.split_first_chunk::<10>() {
                Some((head, _)) if head[..2] == SINGLE_OBJECT => {
                    let print = head[2..].try_into().expect("eight of ten");
                    Ok((Writer::Fingerprint(print), 10))
                }
                _ => Err(unframed(data, "C3 01 and a schema's fingerprint in 8 bytes")),
            },
        }
    }

    #[inline]
    fn plan(&mut self, root: &Object, writer: Writer) -> Scanned<Arc<RecordPlan>> {
        if let Some((last, plan)) = &self.last
            && *last == writer
        {
            return Ok(Arc::clone(plan));
        }
        self.find_plan(root, writer)
    }

    #[cold]
    fn find_plan(&mut self, root: &Object, writer: Writer) -> Scanned<Arc<RecordPlan>> {
        let known = self.plans.get(&writer).cloned();
        let plan = known.unwrap_or_else(|| {
            let plan = self.schema(writer).and_then(|schema| {
                let reader = self.declared.as_ref().map(|declared| declared.record());
                RecordPlan::new(schema.record(), root, reader).map(Arc::new)
            });
            // What a schema still has to learn, or a registry may say later, is asked again.
            if plan.is_ok() || (root.unknown != Unknown::Learn && self.schema(writer).is_ok()) {
                self.plans.insert(writer, plan.clone());
            }
            plan
        });
        let plan = plan.map_err(|why| Fault::new(0, why))?;
        self.last = Some((writer, Arc::clone(&plan)));
        Ok(plan)
    }

    fn schema(&self, writer: Writer) -> Result<Arc<Schema>, String> {
        match writer {
            Writer::Id(id) => match self.registry.as_ref().and_then(|r| r.known(id)) {
                Some(known) => known.and_then(|known| known.avro()),
                None => Err(format!("the schema with id {id} has not been fetched")),
            },
            writer => self.given.get(&writer).cloned().ok_or_else(|| {
                let Writer::Fingerprint(print) = writer else { unreachable!("given at the start") };
                format!(
                    "no schema with the fingerprint {:016x} is known: add it to writers=",
                    u64::from_le_bytes(print)
                )
            }),
        }
    }
}

impl ReadRecord for Reader {
    fn read(&mut self, root: &mut Object, data: &[u8], row: usize) -> Scanned<()> {
        let (writer, start) = self.frame(data)?;
        let plan = self.plan(root, writer)?;
        let mut input = Input::new(data, start);
        plan.read(root, &mut input, row)?;
        match input.rest() {
            0 => Ok(()),
            n => Err(input.fault(format!("{n} byte(s) are left behind the record"))),
        }
    }

    fn fields_of(&self, data: &[u8]) -> Scanned<Fields> {
        let (writer, _) = self.frame(data)?;
        let fields = self.schema(writer).and_then(|schema| writer_fields(schema.record()));
        fields.map_err(|why| Fault::new(0, why))
    }

    fn message(&self, fault: &Fault, _data: &[u8]) -> String {
        fault.message_in_bytes()
    }

    fn columns_changed(&mut self) {
        self.plans.clear();
        self.last = None;
    }
}

#[cold]
fn unframed(data: &[u8], expected: &str) -> Box<Fault> {
    let shown: Vec<String> = data.iter().take(10).map(|byte| format!("{byte:02X}")).collect();
    let found = if data.is_empty() { "nothing".into() } else { shown.join(" ") };
    Fault::new(
        0,
        format!("expected {expected} in front of the data, found {found}: is the framing another?"),
    )
}

/// The error of a schema that cannot be used.
pub(super) fn unusable(why: &str) -> Error {
    Error::Config(format!("the Avro schema cannot be used: {why}"))
}
