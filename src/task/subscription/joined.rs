//! The join of a plan at work on one partition of two topics.
//!
//! # Guarantees
//!
//! * Rows of both sides go through one after the other, in the order in which their batches got their numbers.
//! * What the join keeps is in the state, and so in the commit, of the batch that changed it.
//! * A side that is silent for its time, at the end of its partition, is not waited for.

use super::{
    event_time::known,
    feeding,
    plan::apply,
    state::{JoinState, Kept},
};
use crate::{
    config::JoinConfig,
    error::{Error, Result},
    expr::{OnComputeError, Steps},
    join::{JoinKind, JoinSpec, Operator, Side, TableJoin},
    metrics::WindowMetrics,
    state::Writes,
    window::watermark::NONE,
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parking_lot::Mutex;
use serde::Deserialize as _;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What a batch of one side says besides its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) side: Side,
    /// The watermark of the side behind the batch, in ms.
    pub(super) watermark: Option<i64>,
    /// Nothing has come of it for a while.
    pub(super) is_silent: bool,
}

/// See the module.
pub(super) struct Joined {
    name: String,
    right: Steps,
    work: Mutex<Work>,
    metrics: WindowMetrics,
    /// Does somebody wait for word of its time, who reads what it writes?
    is_fed: bool,
    /// Has the stream that meets a table been silent?
    is_silent: AtomicBool,
}

enum Work {
    Streams(Box<Operator>),
    Tables(Box<TableJoin>),
}

impl Joined {
    /// One without rows. `schemas` are those of the rows that are read, `left` the steps in front of the join
    /// of the first of them.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the declaration cannot be read, or does not fit the columns.
    pub(super) fn new(
        config: &JoinConfig,
        (left, policy): (&Steps, OnComputeError),
        schemas: [&SchemaRef; 2],
        metrics: &dyn Fn(&str) -> WindowMetrics,
        is_fed: bool,
    ) -> Result<Self> {
        let spec =
            JoinSpec::deserialize(&config.spec).map_err(|e| Error::Declaration(e.to_string()))?;
        let right = Steps::parse(&config.right.before, policy)?;
        let behind = |steps: &Steps, schema: &SchemaRef| -> Result<SchemaRef> {
            let nothing = RecordBatch::new_empty(Arc::clone(schema));
            Ok(steps.apply(nothing, |_| false)?.batch.schema())
        };
        let (one, other) = (behind(left, schemas[0])?, behind(&right, schemas[1])?);
        let work = match spec.kind {
            JoinKind::Table | JoinKind::Tables => {
                Work::Tables(Box::new(TableJoin::new(&spec, &one, &other)?))
            }
            _ => Work::Streams(Box::new(Operator::new(&spec, &one, &other)?)),
        };
        let metrics = metrics(&spec.name);
        let (work, is_silent) = (Mutex::new(work), AtomicBool::new(false));
        Ok(Self { name: spec.name, right, work, metrics, is_fed, is_silent })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes what it has kept from the state.
    ///
    /// # Errors
    ///
    /// If that cannot be read, or is of another declaration.
    pub(super) fn restore(&self, kept: &Arc<Kept>) -> Result<()> {
        match &mut *self.work.lock() {
            Work::Streams(operator) => operator.restore(&JoinState::of(kept)),
            // What tables have is read when it is asked for.
            Work::Tables(_) => Ok(()),
        }
    }

    /// The watermark that `side` had reached, in ms.
    pub(super) fn watermark(&self, side: Side) -> Option<i64> {
        match &*self.work.lock() {
            Work::Streams(operator) => {
                Some(operator.watermark_of(side)).filter(|&watermark| watermark != NONE)
            }
            Work::Tables(_) => None,
        }
    }

    /// Does something depend on how far `side` is?
    pub(super) fn waits_for(&self, side: Side) -> bool {
        match &*self.work.lock() {
            Work::Streams(operator) => !operator.is_idle(side) || operator.kept_rows() > 0,
            Work::Tables(_) => {
                self.is_fed && side == Side::Left && !self.is_silent.load(Ordering::Relaxed)
            }
        }
    }

    /// How far it is behind a batch of which that was `told`: of rows that meet a table, their own time.
    pub(super) fn progress(&self, told: Told) -> feeding::Told {
        match &*self.work.lock() {
            Work::Streams(operator) => feeding::Told {
                watermark_ms: known(operator.watermark()),
                is_silent: Side::BOTH.into_iter().all(|side| operator.is_idle(side)),
            },
            Work::Tables(_) => {
                let watermark_ms = told.watermark.filter(|_| told.side == Side::Left);
                if told.side == Side::Left && (told.is_silent || watermark_ms.is_some()) {
                    self.is_silent.store(told.is_silent, Ordering::Relaxed);
                }
                let is_silent = self.is_silent.load(Ordering::Relaxed);
                feeding::Told { watermark_ms, is_silent }
            }
        }
    }

    /// What the steps in front of the join leave of `rows`.
    pub(super) fn before(
        &self,
        left: &Steps,
        side: Side,
        rows: RecordBatch,
    ) -> Result<Option<RecordBatch>> {
        apply(if side == Side::Left { left } else { &self.right }, rows)
    }

    /// Takes rows of one side in, and what is known of its time; the joined rows.
    ///
    /// # Errors
    ///
    /// What the join returns; then it is not to be used any more.
    pub(super) fn step(
        &self,
        told: Told,
        rows: Option<RecordBatch>,
        state: &mut JoinState,
    ) -> Result<Vec<RecordBatch>> {
        let mut work = self.work.lock();
        let (results, late) = match &mut *work {
            Work::Tables(join) => {
                let joined = rows.map(|rows| join.update(told.side, &rows, state)).transpose()?;
                (joined.flatten().into_iter().collect(), 0)
            }
            Work::Streams(operator) => {
                let before = operator.counters().late_rows;
                let results = stream(operator, told, rows)?;
                let mut writes = Writes::default();
                operator.changes(&mut writes)?;
                state.put(writes);
                let kept = i64::try_from(operator.kept_rows()).unwrap_or(i64::MAX);
                self.metrics.open.set(kept);
                (results, operator.counters().late_rows - before)
            }
        };
        self.metrics.late_dropped.inc_by(late);
        Ok(results)
    }
}

fn stream(
    operator: &mut Operator,
    told: Told,
    rows: Option<RecordBatch>,
) -> Result<Vec<RecordBatch>> {
    let mut results = Vec::new();
    if let Some(rows) = rows {
        results.extend(operator.update(told.side, &rows)?.results);
    }
    if let Some(watermark) = told.watermark {
        results.extend(operator.advance(told.side, watermark)?.results);
    }
    if told.is_silent {
        results.extend(operator.idle(told.side)?.results);
    }
    Ok(results)
}
