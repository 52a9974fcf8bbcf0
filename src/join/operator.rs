//! A join of two streams at work on one partition.
//!
//! # Guarantees
//!
//! * Any cut of the rows into batches gives the same results in the same order, and so does a restore
//!   from the store between two batches.
//! * Joined rows come in the order of the rows that caused them. Those that one step of the watermark
//!   causes come in the order in which they became final, and then of their arrival.
//! * After an error the operator is not to be used again: make a new one and restore it.

use super::{
    asof::AsOf,
    clock::Clock,
    columns::{Columns, Feeds},
    core::{Arrived, Core, Rule},
    interval::Interval,
    persist::{self, Entries},
    spec::{JoinKind, JoinSpec, Side, Sides},
};
use crate::{
    error::{Error, Result},
    state::Writes,
    window::time::EVENT_TIME,
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// Name of the column beside late rows: the watermark behind their batch, in ms.
const LATE_WATERMARK: &str = "_late_watermark_ms";

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Out {
    /// Joined rows, in order: the key columns under their names of the left, the other columns of the
    /// left, those of the right, and `_event_time`, the later one of both. What there is not is null.
    pub results: Vec<RecordBatch>,
    /// Rows that came too late to be joined: their columns, and `_late_watermark_ms`.
    pub late: Option<RecordBatch>,
}

/// What has been counted since the operator was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Joined rows with both sides.
    pub matched_rows: u64,
    /// Rows that were given without a match.
    pub padded_rows: u64,
    /// Rows that came too late.
    pub late_rows: u64,
    /// Rows with a null in their key, or without event time.
    pub unmatchable_rows: u64,
}

/// See the module.
pub struct Operator {
    spec: JoinSpec,
    core: Core,
    rule: Rule,
    /// What the store has of the clock and of the number of rows.
    progress: Option<[i64; 5]>,
}

impl Operator {
    /// One without rows, for rows of these schemas. Columns `_event_time`, in ms, and `_watermark`, that
    /// of the side in front of a row, come with the batches; without the latter the watermark of a side is
    /// the highest time that it has shown.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the declaration contradicts itself or the columns, or is that of a join
    /// with a table.
    pub fn new(spec: &JoinSpec, left: &Schema, right: &Schema) -> Result<Self> {
        spec.check()?;
        let rule = match spec.kind {
            JoinKind::Interval { before_ms: Some(before), after_ms: Some(after), grace_ms } => {
                Rule::Interval(Interval::new(before, after, grace_ms, spec.how))
            }
            JoinKind::AsOf { tolerance_ms, grace_ms } => {
                Rule::AsOf(AsOf::new(tolerance_ms, grace_ms, spec.how))
            }
            _ => return Err(spec.wrong("this is a join with a table, and not one of two streams")),
        };
        let is_interval = matches!(rule, Rule::Interval(_));
        let is_marked = Side::BOTH.map(|side| is_interval && spec.how.pads(side));
        let core = Core::new(Columns::new(spec, [left, right])?, &spec.name, is_marked)?;
        Ok(Self { spec: spec.clone(), core, rule, progress: None })
    }

    /// The schema of joined rows.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.core.columns.output)
    }

    /// Takes rows of one side in, in the order of their partition; or of both, which then have one line
    /// of time: what a row says of it is true of both.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the columns are not those of the declaration.
    pub fn update<'a>(&mut self, sides: impl Into<Sides<'a>>, batch: &RecordBatch) -> Result<Out> {
        if batch
            .column_by_name(EVENT_TIME)
            .is_none_or(|times| *times.data_type() != DataType::Int64)
        {
            return Err(self
                .spec
                .wrong("rows have no column \"_event_time\" of Int64; say event_time="));
        }
        let (columns, keys) = (&self.core.columns, &self.core.book.keys);
        let feeds = columns.feeds(&self.spec, sides.into(), batch, keys)?;
        for row in 0..batch.num_rows() {
            self.row(&feeds, row)?;
        }
        self.close(Some(&feeds))?;
        let (results, late) = self.core.finish(Some(&feeds))?;
        Ok(Out { results, late: self.late(batch, late)? })
    }

    #[inline]
    fn row(&mut self, feeds: &Feeds<'_>, row: usize) -> Result<()> {
        let Some(feed) = feeds.of(row) else { return Ok(()) };
        if let Some(watermark) = feed.watermark(row) {
            self.reach(feeds, feed.side, watermark);
        }
        self.close(Some(feeds))?;
        match feed.time(row) {
            Some(time) if !feed.is_null(row) => {
                self.rule.arrive(&mut self.core, Arrived { feed, row, time });
            }
            _ => self.core.alone(feed, row, self.spec.how.pads(feed.side)),
        }
        if let (Some(time), None) = (feed.time(row), feed.watermark(row)) {
            self.reach(feeds, feed.side, time);
        }
        self.core.overflow(Some(feeds))
    }

    #[inline]
    fn reach(&mut self, feeds: &Feeds<'_>, side: Side, watermark_ms: i64) {
        self.core.clock.reach(side, watermark_ms);
        if feeds.is_shared() {
            self.core.clock.reach(side.other(), watermark_ms);
        }
    }

    #[inline]
    fn close(&mut self, feeds: Option<&Feeds<'_>>) -> Result<()> {
        while let Some(due) = self.core.next_due() {
            self.rule.on_due(&mut self.core, due);
            self.core.overflow(feeds)?;
        }
        Ok(())
    }

    fn late(&self, batch: &RecordBatch, rows: Vec<u32>) -> Result<Option<RecordBatch>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let watermarks = Int64Array::from(vec![self.core.clock.current(); rows.len()]);
        let broken = |err| Error::Declaration(format!("join {:?}: {err}", self.spec.name));
        let taken = take_record_batch(batch, &UInt32Array::from(rows)).map_err(broken)?;
        let mut fields: Vec<_> = taken.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(LATE_WATERMARK, DataType::Int64, false)));
        let mut columns = taken.columns().to_vec();
        columns.push(Arc::new(watermarks) as ArrayRef);
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map(Some).map_err(broken)
    }

    /// Moves the watermark of one side without rows.
    ///
    /// # Errors
    ///
    /// If joined rows cannot be made.
    pub fn advance(&mut self, side: Side, watermark_ms: i64) -> Result<Out> {
        self.core.clock.reach(side, watermark_ms);
        self.step()
    }

    /// Nothing comes of one side: the other does not wait for it until it shows something again.
    ///
    /// # Errors
    ///
    /// As [`Operator::advance`].
    pub fn idle(&mut self, side: Side) -> Result<Out> {
        self.core.clock.idle(side);
        self.step()
    }

    fn step(&mut self) -> Result<Out> {
        self.close(None)?;
        let (results, _) = self.core.finish(None)?;
        Ok(Out { results, late: None })
    }

    /// Appends what has changed since the last call.
    ///
    /// # Errors
    ///
    /// If it cannot be written down.
    pub fn changes(&mut self, writes: &mut Writes) -> Result<()> {
        let [left, right, idle, current] = self.core.clock.save();
        let progress = [left, right, idle, current, self.core.book.seq.cast_signed()];
        if self.progress.is_none() {
            writes.0.push(persist::declaration(&self.spec, &self.core.columns)?);
        }
        if self.progress != Some(progress) {
            self.progress = Some(progress);
            writes.0.push(persist::progress(&self.spec.name, progress));
        }
        self.core.book.changes(writes);
        Ok(())
    }

    /// Takes everything from the store, before the first row.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the store has a join of other columns, or something else.
    pub fn restore(&mut self, entries: &dyn Entries) -> Result<()> {
        let Some(kept) = persist::read(&self.spec, &self.core.columns, entries)? else {
            return Ok(());
        };
        let [left, right, idle, current, seq] = kept.progress;
        self.core.clock = Clock::load([left, right, idle, current]);
        self.core.book.seq = seq.cast_unsigned();
        self.progress = Some(kept.progress);
        for row in &kept.rows {
            let place = self.core.book.load(row.place, &row.key, row.is_matched, &row.row)?;
            self.rule.schedule(&mut self.core, place);
        }
        self.core.book.settle();
        Ok(())
    }

    /// Is what it has the same as what is in `entries`? Not if changes were taken back there.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn is_at(&self, entries: &dyn Entries) -> Result<bool> {
        Ok(persist::reached(&self.spec, entries)? == self.progress)
    }

    /// The watermark that rows are judged by, in ms.
    #[must_use]
    pub fn watermark(&self) -> i64 {
        self.core.clock.current()
    }

    /// The watermark that `side` has shown, in ms.
    #[must_use]
    pub fn watermark_of(&self, side: Side) -> i64 {
        self.core.clock.of(side).0
    }

    /// Is `side` silent, so that nobody waits for it?
    #[must_use]
    pub fn is_idle(&self, side: Side) -> bool {
        self.core.clock.of(side).1
    }

    /// Rows that are kept, of both sides.
    #[must_use]
    pub fn kept_rows(&self) -> usize {
        self.core.book.count()
    }

    /// Bytes held, roughly.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.core.book.memory()
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.counters
    }
}
