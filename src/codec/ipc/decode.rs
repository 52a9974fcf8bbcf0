//! Streams to a batch, one partition at a time.

use super::{check::check, rules::Rule};
use crate::{
    codec::{
        column::{DecodeOptions, EXTRA, SharedSchema, all_nullable, row_index},
        rows::{BadRecord, Decode, Decoded},
    },
    error::Result,
    types::Records,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array},
    buffer::Buffer,
    compute::{CastOptions, cast_with_options, concat_batches},
    datatypes::{DataType, Field, Schema, SchemaRef},
    ipc::reader::StreamDecoder,
};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Most bytes that the values of a dictionary may take, for each byte of the record: repeating a
/// long value costs the sender little.
const DICTIONARY_GROWTH: usize = 64;

/// Decodes the records of one partition.
pub struct Decoder {
    /// Empty until the first record has come, without a declared one.
    schema: SchemaRef,
    /// One for each field of the schema.
    rules: Vec<Rule>,
    /// Do other columns make a record bad?
    is_strict: bool,
    /// Where all partitions find the schema of the first record; none with a declared one.
    learned: Option<Arc<SharedSchema>>,
    tombstones_as_nulls: bool,
}

impl Decoder {
    /// A decoder into `schema`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Config`] for a type without columns, with the field and what to use
    /// instead.
    pub fn new(schema: &SchemaRef, options: DecodeOptions) -> Result<Self> {
        let tombstones_as_nulls = options.tombstones_as_nulls;
        let rules = schema.fields().iter().map(Rule::new).collect::<Result<_>>()?;
        let is_strict = schema.metadata().get(EXTRA).is_some_and(|word| word == "forbid");
        let schema = if tombstones_as_nulls { all_nullable(schema) } else { Arc::clone(schema) };
        Ok(Self { schema, rules, is_strict, learned: None, tombstones_as_nulls })
    }

    /// A decoder that takes the schema of the first record, together with all others on `shared`.
    #[must_use]
    pub fn inferring(shared: Arc<SharedSchema>, options: DecodeOptions) -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            rules: Vec::new(),
            is_strict: false,
            learned: Some(shared),
            tombstones_as_nulls: options.tombstones_as_nulls,
        }
    }

    fn record(&mut self, value: Option<&[u8]>) -> Result<Vec<RecordBatch>, String> {
        let Some(data) = value else {
            if self.tombstones_as_nulls && self.learned.is_some() && self.schema.fields().is_empty()
            {
                return Err("a tombstone, and no record has shown the columns yet".into());
            }
            if self.tombstones_as_nulls {
                let nulls = |f: &Arc<Field>| new_null_array(f.data_type(), 1);
                return Ok(vec![self.batch(self.schema.fields().iter().map(nulls).collect(), 1)?]);
            }
            return Err("the record is a tombstone: it has no value".into());
        };
        if data.is_empty() {
            return Err("the value is empty".into());
        }
        check(data).map_err(|why| format!("not an Arrow stream: {why}"))?;
        // Whatever the checks have missed ends with the record, not with the process.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let (schema, batches) =
                read_stream(data).map_err(|why| format!("not an Arrow stream: {why}"))?;
            self.learn(&schema)?;
            batches.iter().map(|batch| self.fit(batch, data.len())).collect()
        }));
        read.unwrap_or_else(|_| Err("not an Arrow stream: Arrow's reader gave up".into()))
    }

    /// Without a declared schema, that of the first record is the one.
    fn learn(&mut self, found: &SchemaRef) -> Result<(), String> {
        let Some(shared) = &self.learned else { return Ok(()) };
        if !self.schema.fields().is_empty() {
            return Ok(());
        }
        let field = |f: &Arc<Field>| Field::new(f.name(), plain(f.data_type()), true);
        let fields: Vec<Field> = found.fields().iter().map(field).collect();
        if shared.current().1.fields().is_empty() {
            shared.widen(&fields.into())?;
            shared.establish();
        }
        let schema = shared.current().1;
        let rules = schema.fields().iter().map(Rule::new).collect::<Result<_>>();
        self.rules = rules.map_err(|e| e.to_string())?;
        self.schema = schema;
        Ok(())
    }

    /// The columns of the schema, out of `batch`.
    fn fit(&self, batch: &RecordBatch, bytes: usize) -> Result<RecordBatch, String> {
        let schema = batch.schema();
        let is_known = |name: &String| self.rules.iter().any(|rule| rule.names.contains(name));
        if let (true, Some(extra)) =
            (self.is_strict, schema.fields().iter().find(|f| !is_known(f.name())))
        {
            return Err(format!("`{}` is not a field of the schema", extra.name()));
        }
        let columns = self.rules.iter().map(|rule| {
            let found = rule.names.iter().find_map(|name| batch.column_by_name(name));
            let fitted = match found {
                None => rule.absent(batch.num_rows()),
                Some(column) => fit_column(rule, column, bytes),
            };
            fitted.map_err(|why| format!("field `{}`: {why}", rule.names[0]))
        });
        self.batch(columns.collect::<Result<_, String>>()?, batch.num_rows())
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, String> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|e| e.to_string())
    }
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&mut self, records: &dyn Records, range: Range<usize>) -> Decoded {
        let before = Arc::clone(&self.schema);
        let (mut batches, mut rows, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for index in range {
            match self.record(records.value(index)) {
                Ok(found) => {
                    let count: usize = found.iter().map(RecordBatch::num_rows).sum();
                    rows.extend(std::iter::repeat_n(row_index(index), count));
                    batches.extend(found);
                }
                Err(message) => bad.push(BadRecord { index, message }),
            }
        }
        let batch = concat_batches(&self.schema, &batches)
            .unwrap_or_else(|_| RecordBatch::new_empty(Arc::clone(&self.schema)));
        if batch.num_rows() != rows.len() {
            // Offsets of 32 bits end at 2 GiB of text.
            let mut indices = std::mem::take(&mut rows);
            indices.dedup();
            let message = "the batch has over 2 GiB in a column; use a smaller batch_size";
            let too_much = |i: u32| BadRecord { index: i as usize, message: message.into() };
            bad.extend(indices.into_iter().map(too_much));
            bad.sort_by_key(|bad| bad.index);
        }
        let widened = before != self.schema;
        Decoded { batch, rows: Some(rows), bad, widened }
    }
}

/// `column` as the rule has it.
fn fit_column(rule: &Rule, column: &ArrayRef, bytes: usize) -> Result<ArrayRef, String> {
    if let DataType::Dictionary(..) = column.data_type() {
        check_growth(column, bytes)?;
    }
    if let Some(checked) = rule.apply(column) {
        return checked;
    }
    let column = convert(column, rule.field.data_type(), bytes)?;
    if !rule.field.is_nullable() && column.logical_null_count() > 0 {
        return Err(format!("expected {}, found null", rule.field.data_type()));
    }
    Ok(column)
}

type Stream = (SchemaRef, Vec<RecordBatch>);

fn read_stream(data: &[u8]) -> Result<Stream, String> {
    let mut buffer = Buffer::from(data);
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        if let Some(batch) = decoder.decode(&mut buffer).map_err(|e| e.to_string())? {
            batches.push(batch);
        }
    }
    decoder.finish().map_err(|e| e.to_string())?;
    let schema = decoder.schema().ok_or("a stream without a schema")?;
    Ok((schema, batches))
}

/// The type that stands for `data_type` in a learned schema.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other.clone(),
    }
}

/// `column` as `to`, if that changes no value.
fn convert(column: &ArrayRef, to: &DataType, bytes: usize) -> Result<ArrayRef, String> {
    use DataType as T;
    let from = column.data_type();
    if from == to {
        return Ok(Arc::clone(column));
    }
    let refuse = || Err(format!("expected {to}, found {from}"));
    match (from, to) {
        (T::Dictionary(_, values), _) => {
            check_growth(column, bytes)?;
            let values = cast(column, values)?;
            return convert(&values, to, bytes);
        }
        (T::RunEndEncoded(..), _) => return refuse(),
        // The names and marks of inner fields may differ; the core's own types decide.
        (T::Struct(a), T::Struct(b)) if same_names(a, b) => {}
        (T::List(_) | T::LargeList(_) | T::FixedSizeList(..), T::List(_)) => {}
        (T::Map(..), T::Map(..)) => {}
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::Binary) => {}
        (T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), T::Binary) => {}
        (T::Null, _) => {}
        (T::Float32, T::Float64) => {}
        (T::Timestamp(..), T::Timestamp(..)) | (T::Duration(_), T::Duration(_)) => {}
        (T::Date32 | T::Date64, T::Date32) => {}
        (T::Time32(_) | T::Time64(_), T::Time64(_)) => {}
        (T::Decimal128(..), T::Decimal128(..)) => {}
        (a, b) if a.is_integer() && (b.is_integer() || b.is_decimal()) => {}
        _ => return refuse(),
    }
    let cast = cast(column, to)?;
    if cast.data_type() == to { Ok(cast) } else { refuse() }
}

fn same_names(a: &arrow::datatypes::Fields, b: &arrow::datatypes::Fields) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name())
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    // A value that does not fit must be an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| e.to_string())
}

/// Would the values of a dictionary, written out, be out of all proportion?
fn check_growth(column: &ArrayRef, bytes: usize) -> Result<(), String> {
    let dictionary = column.as_any_dictionary();
    let widest = match dictionary.values().data_type() {
        DataType::Utf8 => widest(dictionary.values().as_string::<i32>().value_offsets()),
        DataType::Binary => widest(dictionary.values().as_binary::<i32>().value_offsets()),
        data_type if data_type.is_primitive() => 16,
        DataType::LargeUtf8 => widest(dictionary.values().as_string::<i64>().value_offsets()),
        other => return Err(format!("a dictionary of {other} is not supported")),
    };
    if widest.saturating_mul(column.len()) > bytes.saturating_mul(DICTIONARY_GROWTH).max(1 << 20) {
        return Err("a dictionary whose values, written out, would take too much memory".into());
    }
    Ok(())
}

fn widest<O: Copy + TryInto<usize>>(offsets: &[O]) -> usize {
    let at = |i: usize| offsets[i].try_into().unwrap_or(usize::MAX);
    (1..offsets.len()).map(|i| at(i).saturating_sub(at(i - 1))).max().unwrap_or(0)
}
