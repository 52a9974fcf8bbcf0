//! Records to a batch, one partition at a time: one row a record, in any format that reads records
//! one by one.

use super::{Column, Fault, Object, Scanned, SharedSchema, merge_fields};
use crate::{
    codec::rows::{BadRecord, Decode, Decoded},
    error::Result,
    types::Records,
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Field, FieldRef, Fields, Schema, SchemaRef},
};
use std::{ops::Range, sync::Arc};

/// Choices of a decoder.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecodeOptions {
    /// True: a tombstone is a row of nulls; false: it is a bad record.
    pub tombstones_as_nulls: bool,
}

/// How a format reads one record.
pub(in crate::codec) trait ReadRecord: Send + Sync {
    /// Reads a value as row `row` of `root`; a fault may leave half a row behind.
    fn read(&mut self, root: &mut Object, data: &[u8], row: usize) -> Scanned<()>;

    /// Fields of a value of which nothing is known.
    fn fields_of(&self, data: &[u8]) -> Scanned<Fields>;

    /// The sentence for people.
    fn message(&self, fault: &Fault, data: &[u8]) -> String;

    /// The columns are others, or more, than those of the last record.
    fn columns_changed(&mut self) {}

    /// Readies `root` for up to `rows` records, which begin a batch.
    fn begin(&mut self, root: &mut Object, rows: usize) {
        root.columns.iter_mut().for_each(|column| column.reserve(rows));
    }
}

/// Decodes the records of one partition; keeps what it has learned about their size.
pub(in crate::codec) struct RecordDecoder<R> {
    reader: R,
    schema: SchemaRef,
    root: Object,
    source: Source,
    tombstones_as_nulls: bool,
}

enum Source {
    Declared,
    Inferred { shared: Arc<SharedSchema>, version: u64 },
}

impl<R: ReadRecord> RecordDecoder<R> {
    /// A decoder for records of `schema`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Config`] for a type without columns, with the field and what to use
    /// instead.
    pub(in crate::codec) fn new(
        reader: R,
        schema: SchemaRef,
        options: DecodeOptions,
    ) -> Result<Self> {
        let root = Object::new(schema.fields(), schema.metadata(), false)?;
        let schema = if options.tombstones_as_nulls { all_nullable(&schema) } else { schema };
        let tombstones_as_nulls = options.tombstones_as_nulls;
        Ok(Self { reader, schema, root, source: Source::Declared, tombstones_as_nulls })
    }

    /// A decoder that learns the schema from the records, together with all others on `shared`.
    ///
    /// # Errors
    ///
    /// None in practice: what is inferred can be decoded.
    pub(in crate::codec) fn inferring(
        reader: R,
        shared: Arc<SharedSchema>,
        options: DecodeOptions,
    ) -> Result<Self> {
        let (version, schema) = shared.current();
        Ok(Self {
            reader,
            root: Object::new(schema.fields(), schema.metadata(), true)?,
            schema,
            source: Source::Inferred { shared, version },
            tombstones_as_nulls: options.tombstones_as_nulls,
        })
    }
}

impl<R: ReadRecord> Decode for RecordDecoder<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes the records of `range`; a bad one is reported and leaves no trace in the batch.
    ///
    /// # Panics
    ///
    /// If `range` ends behind the records, or behind `u32::MAX`.
    fn decode(&mut self, records: &dyn Records, range: Range<usize>) -> Decoded {
        let before = Arc::clone(&self.schema);
        self.catch_up();
        self.reader.begin(&mut self.root, range.len());
        let mut rows = 0;
        let mut good: Option<Vec<u32>> = None;
        let mut bad = Vec::new();
        let start = range.start;
        for index in range {
            match self.record(records.value(index), rows) {
                Ok(()) => {
                    rows += 1;
                    if let Some(good) = &mut good {
                        good.push(row_index(index));
                    }
                }
                Err(message) => {
                    good.get_or_insert_with(|| (start..index).map(row_index).collect());
                    bad.push(BadRecord { index, message });
                }
            }
        }
        if let Source::Inferred { shared, .. } = &self.source
            && rows > 0
        {
            shared.establish();
        }
        let batch = self.finish(rows);
        Decoded { batch, rows: good, bad, widened: before != self.schema }
    }
}

impl<R: ReadRecord> RecordDecoder<R> {
    /// What reads the records.
    pub(in crate::codec) fn reader(&self) -> &R {
        &self.reader
    }

    /// Decodes one record into row `row`, or leaves the columns as they were.
    fn record(&mut self, value: Option<&[u8]>, row: usize) -> Result<(), String> {
        let Some(data) = value else {
            if self.tombstones_as_nulls {
                self.root.columns.iter_mut().for_each(Column::push_null);
                return Ok(());
            }
            return Err("the record is a tombstone: it has no value".into());
        };
        let fault = match self.reader.read(&mut self.root, data, row) {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        self.root.truncate(row);
        self.learn(data, row, &fault)
    }

    /// After a fault: widens an inferred schema if that helps, and reads the record again.
    #[cold]
    fn learn(&mut self, data: &[u8], row: usize, fault: &Fault) -> Result<(), String> {
        let why = self.reader.message(fault, data);
        let Source::Inferred { shared, .. } = &self.source else { return Err(why) };
        let found = self.reader.fields_of(data);
        let found = found.map_err(|fault| self.reader.message(&fault, data))?;
        let wider = merge_fields(self.schema.fields(), &found)
            .map_err(|conflict| format!("{why} ({conflict})"))?;
        if wider == *self.schema.fields() || !self.root.can_widen(&wider) {
            return Err(why);
        }
        shared.widen(&found).map_err(|conflict| format!("{why} ({conflict})"))?;
        self.root.widen(&wider, row).map_err(|e| e.to_string())?;
        self.schema = Arc::new(Schema::new(wider));
        self.reader.columns_changed();
        self.reader.read(&mut self.root, data, row).map_err(|fault| {
            self.root.truncate(row);
            self.reader.message(&fault, data)
        })
    }

    /// Takes over what other partitions have learned since the last batch.
    fn catch_up(&mut self) {
        let Source::Inferred { shared, version } = &mut self.source else { return };
        if *version == shared.version() {
            return;
        }
        let (current, schema) = shared.current();
        *version = current;
        if schema != self.schema {
            self.root = Object::new(schema.fields(), schema.metadata(), true)
                .expect("an inferred schema has only types that can be decoded");
            self.schema = schema;
            self.reader.columns_changed();
        }
    }

    fn finish(&mut self, rows: usize) -> RecordBatch {
        let arrays: Vec<ArrayRef> = self.root.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .expect("the columns were built from this schema, with as many rows each")
    }
}

/// Index of a record as batches keep it.
pub(in crate::codec) fn row_index(index: usize) -> u32 {
    u32::try_from(index).expect("a batch has fewer than 2^32 records")
}

/// `schema` where every field may be null, as in the row of a tombstone.
pub(in crate::codec) fn all_nullable(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|f: &FieldRef| Arc::new(Field::clone(f).with_nullable(true)))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
