//! What a subscription without a handler does to its rows.
//!
//! ```text
//! rows -> steps -> windows -> steps -> output
//! rows of the left, of the right -> steps of each -> join -> steps -> output
//! ```
//!
//! # Guarantees
//!
//! * A batch never leaves the core; it goes through and is complete before the next one is decoded.
//! * Steps that cannot work stop the partition in front of the batch, as a failing handler does.

use super::{
    job::Job,
    joined::{Joined, Told},
    shared::Shared,
    windows::Step,
};
use crate::{
    codec::metadata::MARK,
    config::PlanConfig,
    error::{Error, Result},
    expr::{OnComputeError, Steps},
    join::Side,
    metrics::WindowMetrics,
    task::sink::Outlet,
    window::{operator::Cause, time::EVENT_TIME},
};
use arrow::{
    array::RecordBatch,
    datatypes::{Field, FieldRef, Schema, SchemaRef},
};
use std::{collections::HashMap, sync::Arc, time::Instant};

/// See the module.
pub struct Plan {
    before: Steps,
    join: Option<Joined>,
    after: Steps,
    /// Does somebody want the event time of joined rows?
    is_fed: bool,
}

impl Plan {
    /// Reads what is declared. `schemas` are those of the rows that are read, of each topic; `metrics` gives
    /// those of a join by its name; `is_fed`: the event time of joined rows is wanted behind the steps.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if it cannot be read, or does not fit the columns.
    pub fn new(
        config: &PlanConfig,
        schemas: [Option<&SchemaRef>; 2],
        metrics: &dyn Fn(&str) -> WindowMetrics,
        is_fed: bool,
    ) -> Result<Self> {
        let policy = if config.is_strict { OnComputeError::Fail } else { OnComputeError::Null };
        let steps = |list| Steps::parse(list, policy);
        let (before, after) = (steps(&config.before)?, steps(&config.after)?);
        let unknown = || {
            Error::Config("both topics of a join need a model: their columns are asked for".into())
        };
        let join = |join| {
            let [Some(left), Some(right)] = schemas else { return Err(unknown()) };
            Joined::new(join, (&before, policy), [left, right], metrics, is_fed)
        };
        let join = config.join.as_ref().map(join).transpose()?;
        Ok(Self { before, join, after, is_fed })
    }

    /// Takes what it has kept from the state of `task`, in front of the first batch.
    ///
    /// # Errors
    ///
    /// If that cannot be read.
    pub fn restore(&self, task: &Shared) -> Result<()> {
        match (&self.join, &task.kept) {
            (Some(join), Some(kept)) => join.restore(kept),
            _ => Ok(()),
        }
    }

    /// The watermark that a side of its join had reached, in ms.
    #[must_use]
    pub fn watermark(&self, side: Side) -> Option<i64> {
        self.join.as_ref()?.watermark(side)
    }

    /// What its join is called.
    #[must_use]
    pub fn join_name(&self) -> Option<&str> {
        self.join.as_ref().map(Joined::name)
    }

    /// Does its join depend on how far `side` is?
    pub(super) fn waits_for(&self, side: Side) -> bool {
        self.join.as_ref().is_some_and(|join| join.waits_for(side))
    }

    /// Takes `job` from its rows to its end.
    pub(super) fn run(&self, mut job: Job, cause: Cause) {
        match &self.join {
            Some(_) => job.hand_over(),
            None => job.handed = Some(Instant::now()),
        }
        match self.outputs(&mut job, cause) {
            Ok(batches) => {
                let batches = batches.into_iter().map(|batch| (Outlet::Main, batch));
                job.complete(batches.collect(), &[]);
            }
            Err(error) => {
                let name = &job.task.config.name;
                let said = format!(
                    "the plan of {name} cannot go on: {error}. Nothing is lost: the partition waits in \
                     front of the batch. Mend the plan or the model, and restart"
                );
                job.fail(&said);
            }
        }
    }

    fn outputs(&self, job: &mut Job, cause: Cause) -> Result<Vec<RecordBatch>> {
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let rows = std::mem::replace(&mut job.batch, nothing);
        if let (Some(join), Some(told)) = (&self.join, job.told) {
            return self.joined(join, job, (told, rows));
        }
        let mut results = apply(&self.before, rows)?;
        let task = Arc::clone(&job.task);
        if task.windows_come_first() {
            let rows = results.take();
            let feeds: Vec<_> =
                (0..task.window_count()).filter_map(|index| Some((index, rows.clone()?))).collect();
            let Step { results, late, delta } = task.step(&feeds, cause, job.extent)?;
            (job.late, job.delta) = (late, delta);
            return results.into_iter().filter_map(|(_, rows)| self.finish(rows)).collect();
        }
        results.and_then(|rows| self.finish(rows)).into_iter().collect()
    }

    fn joined(
        &self,
        join: &Joined,
        job: &mut Job,
        (told, rows): (Told, RecordBatch),
    ) -> Result<Vec<RecordBatch>> {
        let rows = join.before(&self.before, told.side, rows)?;
        let state = job.state.as_ref().map(|state| state.joins()).transpose()?;
        let no_state = || Error::State("a join has no state to keep its rows in".into());
        let results = join.step(told, rows, &mut state.ok_or_else(no_state)?)?;
        job.progress = join.progress(told);
        let timed = |rows| if self.is_fed { with_time(rows) } else { Ok(rows) };
        results
            .into_iter()
            .filter_map(|rows| timed(rows).and_then(|rows| self.finish_one(rows)).transpose())
            .collect()
    }

    fn finish(&self, rows: RecordBatch) -> Option<Result<RecordBatch>> {
        self.finish_one(rows).transpose()
    }

    fn finish_one(&self, rows: RecordBatch) -> Result<Option<RecordBatch>> {
        apply(&self.after, rows)
    }
}

/// Joined rows whose event time goes through the steps behind the join.
fn with_time(rows: RecordBatch) -> Result<RecordBatch> {
    let of_the_line = |field: &FieldRef| match field.name() == EVENT_TIME {
        true => {
            let mark = HashMap::from([(MARK.to_owned(), "event_time".to_owned())]);
            Arc::new(field.as_ref().clone().with_metadata(mark))
        }
        false => Arc::clone(field),
    };
    let fields: Vec<_> = rows.schema().fields().iter().map(of_the_line).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), rows.columns().to_vec());
    batch.map_err(|e| Error::Config(e.to_string()))
}

/// What the steps leave of `rows`, if that is anything. A batch without rows may have no columns.
pub(super) fn apply(steps: &Steps, rows: RecordBatch) -> Result<Option<RecordBatch>> {
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let left = steps.apply(rows, is_of_the_line)?.batch;
    Ok((left.num_rows() > 0).then_some(left))
}

/// Event time, watermark and metadata: columns that the line has added.
#[must_use]
pub fn is_of_the_line(field: &Field) -> bool {
    field.metadata().contains_key(MARK)
}
