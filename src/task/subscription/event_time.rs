//! Event time of rows and the watermark of their partition, as two columns next to their values.

use super::origins::Sources;
use crate::{
    codec::metadata::MARK,
    config::EventTimeConfig,
    engine::origin::Origin,
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
    /// The partitions that rows come from, where the topic is an internal one: the watermark is theirs.
    sources: Option<Sources>,
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
        Ok(Self { column: column(config)?, watermark, sources: None, metrics })
    }

    /// Takes the watermark from the sources of an internal topic, instead of from the rows.
    #[must_use]
    pub fn of_sources(self) -> Self {
        Self { sources: Some(Sources::default()), ..self }
    }

    /// The watermark behind all rows so far, in ms; none before the first row with a time.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        let own = self.watermark.current();
        known(self.sources.as_ref().map_or(own, Sources::current))
    }

    /// Moves the watermark without rows; it never goes back.
    pub fn reach(&mut self, watermark_ms: i64) {
        match &mut self.sources {
            Some(sources) => sources.reach(watermark_ms),
            None => self.watermark.restore(watermark_ms),
        }
        self.show(0);
    }

    /// Adds `_event_time` and `_watermark` to the rows; row `i` is record `rows[i]`, or record `i`.
    /// `origins` has those of all records of an internal topic.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the column's type is no time, or one of the names is taken.
    pub fn append(
        &mut self,
        batch: &RecordBatch,
        records: &dyn Records,
        rows: Option<&[u32]>,
        origins: &[Option<Origin>],
    ) -> Result<RecordBatch> {
        let Times { values, missing } = self.times(batch, records, rows)?;
        let before = match &mut self.sources {
            Some(sources) => sources.before(batch.num_rows(), rows, origins),
            None => self.watermark.before(&values),
        };
        self.show(missing);
        with_columns(batch, values, before)
    }

    /// The watermark behind each row; rows as in [`Self::append`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the column's type is no time.
    pub fn behind(
        &mut self,
        batch: &RecordBatch,
        records: &dyn Records,
        rows: Option<&[u32]>,
    ) -> Result<Vec<Option<i64>>> {
        let Times { values, missing } = self.times(batch, records, rows)?;
        let before = self.watermark.before(&values);
        self.show(missing);
        let last = Some(self.watermark.current()).filter(|_| !before.is_empty());
        Ok(before.values().iter().copied().skip(1).chain(last).map(known).collect())
    }

    fn times(
        &self,
        batch: &RecordBatch,
        records: &dyn Records,
        rows: Option<&[u32]>,
    ) -> Result<Times> {
        match &self.column {
            Some(column) => column.read(batch),
            None => Ok(timestamps(batch.num_rows(), records, rows)),
        }
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
