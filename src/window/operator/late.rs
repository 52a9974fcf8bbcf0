//! Rows that come when their window is closed.

use super::Counters;
use crate::error::{Error, Result};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array},
    compute::take,
    datatypes::{DataType, Field, Schema},
};
use std::sync::Arc;

const COLUMNS: [&str; 3] = ["_late_window", "_late_window_end_ms", "_late_watermark_ms"];

/// Late rows of the batch under way.
pub(super) struct Late {
    window: String,
    routed: bool,
    rows: Vec<u32>,
    ends: Vec<i64>,
    watermarks: Vec<i64>,
    last: Option<usize>,
}

impl Late {
    pub(super) fn new(window: &str, routed: bool) -> Self {
        let (rows, ends, watermarks) = (Vec::new(), Vec::new(), Vec::new());
        Self { window: window.into(), routed, rows, ends, watermarks, last: None }
    }

    /// The window that ends at `end` is closed for `row`.
    pub(super) fn reject(&mut self, counters: &mut Counters, row: usize, end: i64, watermark: i64) {
        if self.last != Some(row) {
            counters.late_rows += 1;
            self.last = Some(row);
        }
        if self.routed {
            self.rows.push(row as u32);
            self.ends.push(end);
            self.watermarks.push(watermark);
        }
    }

    /// Are late rows handed out?
    pub(super) fn is_routed(&self) -> bool {
        self.routed
    }

    /// The late rows of `batch`.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        self.last = None;
        if self.rows.is_empty() {
            return Ok(None);
        }
        let rows = UInt32Array::from(std::mem::take(&mut self.rows));
        let schema = batch.schema();
        let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if !COLUMNS.contains(&field.name().as_str()) {
                fields.push(field.clone());
                columns.push(take(column, &rows, None).map_err(|err| refused(&err))?);
            }
        }
        let names = StringArray::from_iter_values((0..rows.len()).map(|_| &self.window));
        let (ends, watermarks) = (&mut self.ends, &mut self.watermarks);
        columns.push(Arc::new(names));
        columns.push(Arc::new(Int64Array::from(std::mem::take(ends))));
        columns.push(Arc::new(Int64Array::from(std::mem::take(watermarks))));
        for (name, kind) in COLUMNS.iter().zip([DataType::Utf8, DataType::Int64, DataType::Int64]) {
            fields.push(Arc::new(Field::new(*name, kind, false)));
        }
        let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
        RecordBatch::try_new(Arc::new(schema), columns).map(Some).map_err(|err| refused(&err))
    }
}

fn refused(err: &dyn std::fmt::Display) -> Error {
    Error::Declaration(format!("late rows: {err}"))
}
