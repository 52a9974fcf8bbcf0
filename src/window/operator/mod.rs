//! A window at work on one partition: rows in, results out.
//!
//! # Guarantees
//!
//! * Any cut of the rows into batches gives the same results in the same order, and so does a restore
//!   from the store between two batches.
//! * Results come in the order of the rows that caused them; those that one step of the watermark closes,
//!   in the order of their windows' ends and then of their groups' first rows.
//! * The memory of closed windows is used again, and given back when none is open.
//! * After an error the operator is not to be used again: make a new one and restore it.

mod assign;
mod bank;
mod check;
mod columns;
mod core;
mod counted;
mod fifo;
mod fixed;
mod hopping;
mod late;
mod pass;
mod persist;
mod session;
mod sliding;
mod stepping;
#[cfg(test)]
mod tests;
mod tracking;
mod trigger;

use self::{
    assign::Assign,
    bank::Bank,
    columns::{Columns, Feed, Inputs, Types},
    core::{Core, Kind},
    counted::Counted,
    fixed::Fixed,
    hopping::Hopping,
    late::Late,
    pass::{Bounds, Pass},
    session::Sessions,
    sliding::Sliding,
    stepping::Stepping,
    tracking::Tracking,
};
use super::{
    keys::Keys,
    spec::{Emit, OnLate, WindowKind, WindowSpec},
    watermark,
};
use crate::{
    error::Result,
    state::{Store, Writes},
};
use arrow::{array::RecordBatch, datatypes::Field};

/// Numbers of slots that are worth giving back when no window is open.
const MANY_SLOTS: usize = 1 << 14;

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
    /// `window_result` where results of several kinds can come: `final`, `change` (after a row, or so
    /// many), `early`, `update` (after a late row), `idle` (final, by the clock) or `evicted` (final,
    /// because too many windows were open).
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

/// What is there once the types of the columns are known.
struct Bound {
    types: Types,
    core: Core,
    kind: Box<dyn Kind>,
}

/// A window at work.
pub struct Operator {
    spec: WindowSpec,
    columns: Columns,
    closes_idle: bool,
    watermark: i64,
    bound: Option<Bound>,
    progress: Option<[i64; 2]>,
    is_declared: bool,
}

impl Operator {
    /// One without rows.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Declaration`] if the declaration contradicts itself.
    pub fn new(spec: &WindowSpec) -> Result<Self> {
        check::check(spec)?;
        Ok(Self {
            spec: spec.clone(),
            columns: Columns::new(spec)?,
            closes_idle: false,
            watermark: watermark::NONE,
            bound: None,
            progress: None,
            is_declared: false,
        })
    }

    /// The same, with [`Cause::Idle`] to come: results then say what they are.
    #[must_use]
    pub fn closing_idle(mut self) -> Self {
        self.closes_idle = true;
        self
    }

    /// Takes rows in, in the order of their partition. The columns `_event_time` and `_watermark` are
    /// those of [`super::time`]; without the latter the watermark is the highest time seen so far.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Declaration`] if the columns are not those of the declaration or of earlier batches, and
    /// what the aggregates return.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<Out> {
        if batch.num_rows() == 0 {
            return Ok(Out::default());
        }
        if self.bound.is_none() {
            self.bound = Some(self.bind(self.columns.types(batch)?)?);
        }
        let Some(Bound { types, core, kind }) = &mut self.bound else { return Ok(Out::default()) };
        let clock = self.columns.clock(batch, self.watermark)?;
        let after = clock.after;
        let key_columns = self.columns.keys(batch, types)?;
        let arrays = self.columns.inputs(batch, types)?;
        core.pass.inputs = Inputs { arrays, times: clock.times.clone() };
        core.pass.batch_rows = batch.num_rows();
        let feed = Feed::new(core.keys.prepare(&key_columns, batch.num_rows())?, clock);
        core.pass.key_columns = key_columns;
        kind.rows(core, &feed)?;
        self.watermark = feed.watermarks.last().copied().unwrap_or(self.watermark);
        if let Some(after) = after.filter(|after| *after > self.watermark) {
            self.watermark = after;
            kind.step(core, after, Cause::Watermark)?;
        }
        kind.finish(core)?;
        core.flush()?;
        core.pass.inputs = Inputs::default();
        core.pass.key_columns.clear();
        let out = Out { results: core.pass.take()?, late: core.late.take(batch)? };
        self.give_back()?;
        Ok(out)
    }

    /// Moves the watermark without rows. A watermark that was passed already changes nothing, and
    /// [`Cause::Watermark`] nothing in a window with a time column of its own.
    ///
    /// # Errors
    ///
    /// What the aggregates return.
    pub fn advance(&mut self, watermark_ms: i64, cause: Cause) -> Result<Out> {
        let is_old = watermark_ms <= self.watermark && cause != Cause::Stop;
        if is_old || (cause == Cause::Watermark && self.columns.own_time()) {
            return Ok(Out::default());
        }
        self.watermark = self.watermark.max(watermark_ms);
        let Some(Bound { core, kind, .. }) = &mut self.bound else { return Ok(Out::default()) };
        kind.step(core, self.watermark, cause)?;
        kind.finish(core)?;
        core.flush()?;
        let out = Out { results: core.pass.take()?, late: None };
        self.give_back()?;
        Ok(out)
    }

    /// Adds what has changed since the last call to `writes`. Nothing unless the window is persistent.
    ///
    /// # Errors
    ///
    /// If the types of the columns have no form in bytes.
    pub fn changes(&mut self, writes: &mut Writes) -> Result<()> {
        persist::changes(self, writes)
    }

    /// Goes on from what [`Operator::changes`] wrote. Only before the first rows.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or was written under another declaration.
    pub fn restore(&mut self, store: &dyn Store) -> Result<()> {
        persist::restore(self, store)
    }

    /// Windows that are open now, over all groups.
    #[must_use]
    pub fn open_windows(&self) -> usize {
        self.bound.as_ref().map_or(0, |bound| bound.kind.open())
    }

    /// A time, in ms, before which no open window holds a row; none if nothing is held.
    pub fn held_since(&mut self) -> Option<i64> {
        self.bound.as_mut().and_then(|bound| bound.kind.held_since())
    }

    /// The watermark that the window has reached, in ms; [`watermark::NONE`] at first.
    #[must_use]
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Rows that a window rejected because it was closed.
    #[must_use]
    pub fn late_rows(&self) -> u64 {
        self.counters().late_rows
    }

    /// All counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.bound.as_ref().map_or_else(Counters::default, |bound| bound.core.counters)
    }

    /// Bytes held, roughly.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bound.as_ref().map_or(0, |bound| bound.core.memory() + bound.kind.memory())
    }

    fn bind(&self, types: Types) -> Result<Bound> {
        let spec = &self.spec;
        let bank = Bank::new(&spec.aggregates, &types.inputs)?;
        let named = spec.key.iter().zip(&types.keys);
        let keys: Vec<_> = named.map(|(name, kind)| Field::new(name, kind.clone(), true)).collect();
        let has_marks = self.closes_idle
            || spec.emit != Emit::Final
            || spec.on_late == OnLate::Update
            || spec.max_open.is_some();
        let bounds = match spec.kind {
            WindowKind::Global => Bounds::Never,
            WindowKind::Count { .. } => Bounds::WithTime,
            _ => Bounds::Always,
        };
        let core = Core {
            keys: Keys::new(&types.keys)?,
            pass: Pass::new(&keys, bank.fields(&spec.aggregates), has_marks, bounds),
            bank,
            late: Late::new(&spec.name, spec.on_late == OnLate::Route),
            counters: Counters::default(),
            opened: 0,
            order: Vec::new(),
            tracking: spec.persistent.then(Tracking::default),
        };
        Ok(Bound { types, core, kind: kind(spec)? })
    }

    /// Gives memory back that no window needs.
    fn give_back(&mut self) -> Result<()> {
        let Some(bound) = &self.bound else { return Ok(()) };
        if bound.core.keys.bound() < MANY_SLOTS || bound.kind.open() > 0 {
            return Ok(());
        }
        let mut fresh = self.bind(bound.types.clone())?;
        let Some(bound) = &mut self.bound else { return Ok(()) };
        fresh.core.counters = bound.core.counters;
        fresh.core.opened = bound.core.opened;
        fresh.core.tracking = bound.core.tracking.take().map(Tracking::without_slots);
        fresh.kind.restore(&mut fresh.core, &[], self.watermark)?;
        self.bound = Some(fresh);
        Ok(())
    }
}

fn kind(spec: &WindowSpec) -> Result<Box<dyn Kind>> {
    Ok(match &spec.kind {
        WindowKind::Tumbling { size_ms, offset_ms } => {
            Box::new(Fixed::new(spec, Assign::Even { size: *size_ms, offset: *offset_ms }))
        }
        WindowKind::Calendar { unit, timezone } => {
            Box::new(Fixed::new(spec, Assign::calendar(*unit, timezone)?))
        }
        WindowKind::Hopping { size_ms, step_ms, offset_ms } => {
            Box::new(Hopping::new(spec, *size_ms, *step_ms, *offset_ms))
        }
        WindowKind::Session { gap_ms, max_duration_ms } => {
            Box::new(Sessions::new(spec, *gap_ms, *max_duration_ms))
        }
        WindowKind::Global => Box::new(Fixed::new(spec, Assign::Always)),
        WindowKind::Sliding { size_ms } => Box::new(Sliding::new(spec, *size_ms)),
        WindowKind::Count { rows, step: Some(step) } if step < rows => {
            Box::new(Stepping::new(*rows, *step))
        }
        WindowKind::Count { rows, .. } => Box::new(Counted::new(spec, *rows)),
    })
}
