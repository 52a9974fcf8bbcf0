//! Event time of rows and the watermark of their partition, as two columns next to their values.

use crate::{
    codec::metadata::MARK,
    config::EventTimeConfig,
    error::{Error, Result},
    metrics::EventTimeMetrics,
    types::Records,
    window::{
        time::{EVENT_TIME, EventTime, Times, Unit, WATERMARK},
        watermark::{NONE, Watermark},
    },
};
use arrow::{
    array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Fields, Schema},
};
use std::{collections::HashMap, sync::Arc};

/// Reads the event time of a partition's rows and keeps its watermark.
pub struct EventClock {
    /// None: the timestamps of the records themselves.
    column: Option<EventTime>,
    watermark: Watermark,
    metrics: EventTimeMetrics,
}

impl EventClock {
    /// A clock before the first row.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an unknown unit.
    pub fn new(config: &EventTimeConfig, metrics: EventTimeMetrics) -> Result<Self> {
        let watermark = Watermark::new(config.out_of_orderness_ms);
        Ok(Self { column: column(config)?, watermark, metrics })
    }

    /// The watermark behind all rows so far, in ms; none before the first row with a time.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        known(self.watermark.current())
    }

    /// Moves the watermark without rows; it never goes back.
    pub fn reach(&mut self, watermark_ms: i64) {
        self.watermark.restore(watermark_ms);
        self.show(0);
    }

    /// Adds `_event_time` and `_watermark` to the rows; row `i` is record `rows[i]`, or record `i`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the column's type is no time, or one of the names is taken.
    pub fn append(
        &mut self,
        batch: &RecordBatch,
        records: &dyn Records,
        rows: Option<&[u32]>,
    ) -> Result<RecordBatch> {
        let Times { values, missing } = match &self.column {
            Some(column) => column.read(batch)?,
            None => timestamps(batch.num_rows(), records, rows),
        };
        let before = self.watermark.before(&values);
        self.show(missing);
        with_columns(batch, values, before)
    }

    fn show(&self, missing: u64) {
        self.metrics.null.inc_by(missing);
        if let Some(watermark) = self.watermark() {
            self.metrics.watermark_ms.set(watermark);
        }
    }
}

/// Checks that rows of `schema` have an event time where `config` says.
///
/// # Errors
///
/// [`Error::Config`], with the columns that there are.
pub fn check(config: &EventTimeConfig, schema: &Schema) -> Result<()> {
    column(config)?.map_or(Ok(()), |column| column.check(schema))
}

fn column(config: &EventTimeConfig) -> Result<Option<EventTime>> {
    let unit: Unit = serde_json::from_value(config.unit.clone().into()).map_err(|_| {
        Error::Config(format!("event_time_unit={:?}: write s, ms, us or ns", config.unit))
    })?;
    Ok(config.column.as_deref().map(|path| EventTime::new(path, unit)))
}

/// A watermark that somebody may be shown.
#[must_use]
pub fn known(watermark_ms: i64) -> Option<i64> {
    (watermark_ms != NONE).then_some(watermark_ms)
}

fn timestamps(count: usize, records: &dyn Records, rows: Option<&[u32]>) -> Times {
    let time = |row: usize| {
        let record = rows.map_or(row, |rows| rows[row] as usize);
        Some(records.timestamp_ms(record)).filter(|&ms| ms >= 0)
    };
    let values: Int64Array = (0..count).map(time).collect();
    let missing = values.null_count() as u64;
    Times { values, missing }
}

fn with_columns(batch: &RecordBatch, times: Int64Array, before: Int64Array) -> Result<RecordBatch> {
    let schema = batch.schema();
    if let Some(taken) = [EVENT_TIME, WATERMARK].iter().find(|n| schema.index_of(n).is_ok()) {
        return Err(Error::Config(format!(
            "field `{taken}` has the name of a column that event_time adds; rename it, or leave out event_time"
        )));
    }
    let added = [field(EVENT_TIME, true), field(WATERMARK, false)];
    let all: Fields = schema.fields().iter().cloned().chain(added).collect();
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .cloned()
        .chain([Arc::new(times) as ArrayRef, Arc::new(before) as ArrayRef])
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(all, schema.metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|e| Error::Config(format!("event time does not fit the batch: {e}")))
}

fn field(name: &str, nullable: bool) -> FieldRef {
    let mark = HashMap::from([(MARK.to_owned(), name.trim_start_matches('_').to_owned())]);
    Arc::new(Field::new(name, DataType::Int64, nullable).with_metadata(mark))
}
