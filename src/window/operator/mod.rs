//! A window at work on one partition: rows in, results out.
//!
//! # Guarantees
//!
//! * Any cut of the rows into batches gives the same results in the same order, and so does a restore
//!   from the store between two batches.
//! * Results come in the order of the rows that caused them; those that one step of the watermark closes,
//!   in the order of their windows' ends and then of their groups' first rows.
//! * After an error the operator is not to be used again: make a new one and restore it.

use super::spec::WindowSpec;
use crate::{
    error::{Error, Result},
    state::{Store, Writes},
};
use arrow::array::RecordBatch;

/// Why a watermark moves without rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The rows so far have reached it.
    Watermark,
    /// Nothing came for a while and closing by the clock was asked for: results are marked `idle`.
    Idle,
    /// The input has ended: windows that no time closes give their last result too.
    Stop,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Out {
    /// Results, in order: the key columns, `window_start_ms`, `window_end_ms`, the outputs, and
    /// `window_result` where results of several kinds can come.
    pub results: Vec<RecordBatch>,
    /// Late rows, where they are routed: the input columns, `_late_window`, `_late_window_end_ms` and
    /// `_late_watermark_ms`; one for each window that rejected the row.
    pub late: Option<RecordBatch>,
}

/// What has been counted since the operator was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows that a window rejected because it was closed; a row counts once.
    pub late_rows: u64,
    /// Rows without event time, that took no part.
    pub untimed_rows: u64,
    /// Windows closed before their time because too many were open.
    pub evicted_windows: u64,
}

/// A window at work.
pub struct Operator {
    spec: WindowSpec,
    counters: Counters,
}

impl Operator {
    /// One without rows.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the declaration contradicts itself.
    pub fn new(spec: &WindowSpec) -> Result<Self> {
        Ok(Self { spec: spec.clone(), counters: Counters::default() })
    }

    /// Takes rows in, in the order of their partition. The columns `_event_time` and `_watermark` are
    /// those of [`super::time`]; without the latter the watermark is the highest time seen so far.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the columns are not those of the declaration or of earlier batches, and what
    /// the aggregates return.
    pub fn update(&mut self, _batch: &RecordBatch) -> Result<Out> {
        Err(Error::Config(format!("window {:?}: not built yet", self.spec.name)))
    }

    /// Moves the watermark without rows. A watermark that was passed already changes nothing.
    ///
    /// # Errors
    ///
    /// What the aggregates return.
    pub fn advance(&mut self, _watermark_ms: i64, _cause: Cause) -> Result<Out> {
        Ok(Out::default())
    }

    /// Adds what has changed since the last call to `writes`. Nothing unless the window is persistent.
    ///
    /// # Errors
    ///
    /// If a content has no form in bytes.
    pub fn changes(&mut self, _writes: &mut Writes) -> Result<()> {
        Ok(())
    }

    /// Goes on from what [`Operator::changes`] wrote. Only before the first rows.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or was written under another declaration.
    pub fn restore(&mut self, _store: &dyn Store) -> Result<()> {
        Ok(())
    }

    /// Windows that are open now, over all groups.
    #[must_use]
    pub fn open_windows(&self) -> usize {
        0
    }

    /// Rows that a window rejected because it was closed.
    #[must_use]
    pub fn late_rows(&self) -> u64 {
        self.counters.late_rows
    }

    /// All counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes held, roughly.
    #[must_use]
    pub fn memory(&self) -> usize {
        0
    }
}
