//! Rows on their way to an internal topic that a window reads: with the watermark of their task.
//!
//! ```text
//! join[p] -> rows, word of the watermark -> internal topic[murmur2(key) mod n] -> window
//! ```
//!
//! It does for rows that were made here what a first stage does for records ([`crate::task::repartition`]):
//! who reads the topic waits for each task that writes it, and for no longer.
//!
//! # Guarantees
//!
//! * A row carries the watermark in front of its batch; the last one that goes to a partition, the one behind it.
//!   A partition that gets no row gets a mark. So no row is late for the disorder that its task has caused.
//! * All of it is part of the output of the batch, and takes effect with it.

use crate::{
    codec::row_keys,
    config::FeedsConfig,
    engine::origin::{Kind, Origin},
    error::{Error, Result},
    task::{repartition::Target, sink::Outlet},
    types::TopicPartition,
    window::time::EVENT_TIME,
};
use arrow::{
    array::{
        ArrayRef, AsArray, BinaryBuilder, Int32Array, Int64Array, MapBuilder, RecordBatch,
        StringBuilder,
    },
    datatypes::{DataType, Field, Int64Type, Schema},
};
use std::sync::Arc;

/// How far a task is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// The watermark behind a batch, in ms.
    pub(super) watermark_ms: Option<i64>,
    /// Does nothing come any more?
    pub(super) is_silent: bool,
}

/// See the module.
pub struct Feeding {
    config: FeedsConfig,
    tp: TopicPartition,
    /// Tasks that write the topic.
    sources: i32,
    target: Target,
    watermark_ms: Option<i64>,
    is_silent: bool,
}

impl Feeding {
    /// The task of `tp`, one of `sources`, in front of its first batch; the topic has so many partitions.
    #[must_use]
    pub fn new(
        config: &FeedsConfig,
        tp: &TopicPartition,
        sources: usize,
        partitions: usize,
    ) -> Self {
        Self {
            config: config.clone(),
            tp: tp.clone(),
            sources: i32::try_from(sources).unwrap_or(i32::MAX),
            target: Target::new("", partitions),
            watermark_ms: None,
            is_silent: false,
        }
    }

    /// The rows of a batch in front of offset `next` with where they go, and word of `told`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the column of the key cannot be one.
    pub(super) fn apply(
        &mut self,
        batches: Vec<(Outlet, RecordBatch)>,
        told: Told,
        next: i64,
    ) -> Result<Vec<(Outlet, RecordBatch)>> {
        let before = self.watermark_ms;
        let reached = told.watermark_ms.map(|ms| ms.saturating_sub(self.config.lag_ms));
        self.watermark_ms = self.watermark_ms.max(reached);
        let has_rows = batches.iter().any(|(_, batch)| batch.num_rows() > 0);
        let places: Vec<_> =
            batches.iter().map(|(_, batch)| self.places(batch)).collect::<Result<_>>()?;
        let mut last = vec![None; self.target.all().len()];
        for (number, places) in places.iter().enumerate() {
            for (row, &place) in places.iter().enumerate() {
                last[place] = Some((number, row));
            }
        }
        let mut out = Vec::with_capacity(batches.len() + 1);
        for (number, ((outlet, batch), places)) in batches.into_iter().zip(places).enumerate() {
            let behind = |row: usize, place: usize| match last[place] == Some((number, row)) {
                true => self.watermark_ms,
                false => before,
            };
            let words = places.iter().enumerate();
            let words = words.map(|(row, &place)| self.word(Kind::Row, next, behind(row, place)));
            out.push((outlet, fed(&batch, &places, &words.collect::<Vec<_>>())?));
        }
        for (place, last) in last.iter().enumerate() {
            if last.is_some() {
                self.target.tell(place, self.watermark_ms);
            }
        }
        let becomes_silent = told.is_silent && !self.is_silent;
        self.is_silent =
            told.is_silent || (self.is_silent && !has_rows && before == self.watermark_ms);
        let (kind, to) = match becomes_silent {
            true => (Kind::Idle, self.target.all()),
            false => (Kind::Mark, self.target.behind(self.watermark_ms)),
        };
        if !to.is_empty() {
            out.push((Outlet::Main, self.marks(kind, &to, next)?));
        }
        Ok(out)
    }

    /// Where each row goes.
    fn places(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let Some(column) = &self.config.column else { return Ok(vec![0; batch.num_rows()]) };
        let keys = row_keys(batch, column)?;
        Ok((0..batch.num_rows()).map(|row| self.target.place(keys.key(row))).collect())
    }

    fn word(&self, kind: Kind, offset: i64, watermark_ms: Option<i64>) -> Vec<u8> {
        let origin = Origin {
            kind,
            topic: self.tp.topic.to_string(),
            partition: self.tp.partition,
            partitions: self.sources,
            offset,
            watermark_ms,
        };
        origin.header().1.unwrap_or_default()
    }

    /// A record for each partition of `to` that is no row.
    fn marks(&mut self, kind: Kind, to: &[usize], offset: i64) -> Result<RecordBatch> {
        let word = self.word(kind, offset, self.watermark_ms);
        to.iter().for_each(|&place| self.target.tell(place, self.watermark_ms));
        let times: ArrayRef = Arc::new(Int64Array::new_null(to.len()));
        let batch = RecordBatch::try_from_iter_with_nullable([(EVENT_TIME, times, true)]);
        fed(&batch.map_err(|e| broken(&e))?, to, &vec![word; to.len()])
    }
}

/// Name of the column with the event time of rows in the topic.
pub const TIME: &str = "_time_ms";

/// Rows with the columns that say where they go and where they come from; their event time is a value.
fn fed(batch: &RecordBatch, places: &[usize], words: &[Vec<u8>]) -> Result<RecordBatch> {
    let mut headers = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
    for word in words {
        headers.keys().append_value(crate::engine::origin::HEADER);
        headers.values().append_value(word);
        headers.append(true).map_err(|e| broken(&e))?;
    }
    let times = batch
        .column_by_name(EVENT_TIME)
        .and_then(|times| times.as_primitive_opt::<Int64Type>().cloned());
    let times = times.unwrap_or_else(|| Int64Array::new_null(batch.num_rows()));
    let partitions: Int32Array = places.iter().map(|&place| i32::try_from(place).ok()).collect();
    let headers = headers.finish();
    let schema = batch.schema();
    let kept = (0..batch.num_columns()).filter(|&i| schema.field(i).name() != EVENT_TIME);
    let (mut fields, mut columns): (Vec<_>, Vec<_>) =
        kept.map(|i| (schema.fields()[i].clone(), Arc::clone(batch.column(i)))).unzip();
    let kind = arrow::array::Array::data_type(&headers).clone();
    for (name, kind, column) in [
        (TIME, DataType::Int64, Arc::new(times) as ArrayRef),
        ("_partition", DataType::Int32, Arc::new(partitions)),
        ("_headers", kind, Arc::new(headers)),
    ] {
        fields.push(Arc::new(Field::new(name, kind, true)));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| broken(&e))
}

fn broken(err: &dyn std::fmt::Display) -> Error {
    Error::Config(format!("rows of an internal topic: {err}"))
}

#[cfg(test)]
#[path = "feeding_tests.rs"]
mod tests;
