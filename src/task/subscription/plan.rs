//! What a subscription without a handler does to its rows.
//!
//! ```text
//! rows -> steps -> windows -> steps -> output
//! ```
//!
//! # Guarantees
//!
//! * A batch never leaves the core; it goes through and is complete before the next one is decoded.
//! * Steps that cannot work stop the partition in front of the batch, as a failing handler does.

use super::{job::Job, windows::Step};
use crate::{
    codec::metadata::MARK,
    config::PlanConfig,
    error::Result,
    expr::{OnComputeError, Steps},
    task::sink::Outlet,
    window::operator::Cause,
};
use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema},
};
use std::{sync::Arc, time::Instant};

/// See the module.
#[derive(Debug)]
pub struct Plan {
    before: Steps,
    after: Steps,
}

impl Plan {
    /// Reads what is declared.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Declaration`] if it cannot be read.
    pub fn new(config: &PlanConfig) -> Result<Self> {
        let policy = if config.is_strict { OnComputeError::Fail } else { OnComputeError::Null };
        let steps = |list| Steps::parse(list, policy);
        Ok(Self { before: steps(&config.before)?, after: steps(&config.after)? })
    }

    /// Takes `job` from its rows to its end.
    pub(super) fn run(&self, mut job: Job, cause: Cause) {
        job.handed = Some(Instant::now());
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

    fn finish(&self, rows: RecordBatch) -> Option<Result<RecordBatch>> {
        apply(&self.after, rows).transpose()
    }
}

/// What the steps leave of `rows`, if that is anything. A batch without rows may have no columns.
fn apply(steps: &Steps, rows: RecordBatch) -> Result<Option<RecordBatch>> {
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let left = steps.apply(rows, is_of_the_line)?.batch;
    Ok((left.num_rows() > 0).then_some(left))
}

/// Event time, watermark and metadata: columns that the line has added.
fn is_of_the_line(field: &Field) -> bool {
    field.metadata().contains_key(MARK)
}
