//! Steps that take batches to batches, one behind the other: what a fluent plan does between operators.
//!
//! ```json
//! [{"filter": TREE}, {"select": [["name", TREE], ...]}, {"with_columns": [["name", TREE], ...]},
//!  {"drop": ["name"]}, {"explode": "tags", "keep_empty": false}]
//! ```
//!
//! # Guarantees
//!
//! * All expressions of a step read the columns that the step before it left.
//! * What comes out for a row depends on that row alone, and rows keep their order.
//! * Columns that the caller carries along (event time, for one) survive `select` and `drop`.

use super::{Evaluated, Expression, OnComputeError, explode};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, FieldRef, Schema};
use serde_json::Value;
use std::sync::Arc;

/// Columns by their names.
type Columns = Vec<(String, Expression)>;

#[derive(Debug)]
enum Step {
    Filter(Expression),
    Select(Columns),
    WithColumns(Columns),
    Drop(Vec<String>),
    Explode { column: String, keep_empty: bool },
}

/// See the module; may be used from several threads at once.
#[derive(Debug)]
pub struct Steps {
    steps: Vec<Step>,
    policy: OnComputeError,
}

/// A batch, and what it cost.
#[derive(Clone, Debug)]
pub struct Stepped {
    /// What the last step gave.
    pub batch: RecordBatch,
    /// How many values on the way could not be computed and are null.
    pub failed: u64,
}

impl Steps {
    /// Reads the list that a plan writes.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if it is none.
    pub fn parse(list: &Value, policy: OnComputeError) -> Result<Self> {
        let steps = list.as_array().ok_or_else(|| unreadable(list))?;
        Ok(Self { steps: steps.iter().map(Step::parse).collect::<Result<_>>()?, policy })
    }

    /// Takes `batch` through all steps; columns that `carried` is true for are never left out.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if a step cannot work on the columns there are; [`Error::Compute`] if a value
    /// cannot be computed and the policy is to fail.
    pub fn apply(&self, batch: RecordBatch, carried: fn(&Field) -> bool) -> Result<Stepped> {
        let mut stepped = Stepped { batch, failed: 0 };
        for step in &self.steps {
            let (batch, failed) = step.apply(stepped.batch, self.policy, carried)?;
            stepped = Stepped { batch, failed: stepped.failed + failed };
        }
        Ok(stepped)
    }
}

impl Step {
    fn parse(step: &Value) -> Result<Self> {
        let get = |name: &str| step.get(name);
        if let Some(tree) = get("filter") {
            return Ok(Self::Filter(Expression::parse(tree)?));
        }
        if let Some(columns) = get("select") {
            return Ok(Self::Select(named(columns)?));
        }
        if let Some(columns) = get("with_columns") {
            return Ok(Self::WithColumns(named(columns)?));
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(Value::Array(names)) = get("drop") {
            let names: Option<_> = names.iter().map(text).collect();
            return names.map(Self::Drop).ok_or_else(|| unreadable(step));
        }
        if let Some(column) = get("explode").and_then(text) {
            let keep_empty = get("keep_empty").and_then(Value::as_bool).unwrap_or_default();
            return Ok(Self::Explode { column, keep_empty });
        }
        Err(unreadable(step))
    }

    fn apply(
        &self,
        batch: RecordBatch,
        policy: OnComputeError,
        carried: fn(&Field) -> bool,
    ) -> Result<(RecordBatch, u64)> {
        match self {
            Self::Filter(predicate) => {
                let (mask, failed) = predicate.matches(&batch, policy)?;
                if mask.true_count() == batch.num_rows() {
                    return Ok((batch, failed));
                }
                Ok((filter_record_batch(&batch, &mask).map_err(|e| broken(&e))?, failed))
            }
            Self::Select(columns) => {
                let kept = kept(&batch, |field| carried(field) && !names(columns, field.name()));
                put_together(&batch, columns, policy, kept, Vec::new())
            }
            Self::WithColumns(columns) => {
                // What is there stays where it is, with its new values.
                let there = |name: &str| batch.schema_ref().index_of(name).ok();
                let all = batch.schema_ref().fields().iter().cloned().zip(batch.columns().to_vec());
                let replaced = columns.iter().map(|(name, _)| there(name)).collect();
                put_together(&batch, columns, policy, all.collect(), replaced)
            }
            Self::Drop(left_out) => {
                let kept = kept(&batch, |f| carried(f) || !left_out.contains(f.name()));
                Ok((batch_of(&batch, kept)?, 0))
            }
            Self::Explode { column, keep_empty } => Ok((explode(&batch, column, *keep_empty)?, 0)),
        }
    }
}

fn named(columns: &Value) -> Result<Columns> {
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(name), tree]) => Ok((name.clone(), Expression::parse(tree)?)),
        _ => Err(unreadable(columns)),
    };
    columns.as_array().ok_or_else(|| unreadable(columns))?.iter().map(pair).collect()
}

fn names(columns: &Columns, name: &str) -> bool {
    columns.iter().any(|(one, _)| one == name)
}

fn kept(batch: &RecordBatch, keeps: impl Fn(&Field) -> bool) -> Vec<(FieldRef, ArrayRef)> {
    let fields = batch.schema_ref().fields().iter().cloned();
    fields.zip(batch.columns().to_vec()).filter(|(field, _)| keeps(field)).collect()
}

/// A batch of `others` and of the computed `columns`: column `i` in the place `replaced[i]` of `others`, or, if
/// nothing is said, selected ones in front of them and further ones behind.
fn put_together(
    batch: &RecordBatch,
    columns: &Columns,
    policy: OnComputeError,
    others: Vec<(FieldRef, ArrayRef)>,
    replaced: Vec<Option<usize>>,
) -> Result<(RecordBatch, u64)> {
    let mut failures = 0;
    let mut computed = Vec::with_capacity(columns.len());
    for (name, expression) in columns {
        let Evaluated { array, failed } = expression.evaluate_with(batch, policy)?;
        failures += failed;
        let field = Arc::new(Field::new(name, array.data_type().clone(), true));
        computed.push((field, array));
    }
    if replaced.is_empty() {
        computed.extend(others);
        return Ok((batch_of(batch, computed)?, failures));
    }
    let mut all = others;
    for (column, place) in computed.into_iter().zip(replaced) {
        match place {
            Some(place) => all[place] = column,
            None => all.push(column),
        }
    }
    Ok((batch_of(batch, all)?, failures))
}

fn batch_of(like: &RecordBatch, columns: Vec<(FieldRef, ArrayRef)>) -> Result<RecordBatch> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let schema = Schema::new_with_metadata(fields, like.schema_ref().metadata().clone());
    let options = RecordBatchOptions::new().with_row_count(Some(like.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options).map_err(|e| broken(&e))
}

fn unreadable(value: &Value) -> Error {
    let text: String = value.to_string().chars().take(80).collect();
    Error::Declaration(format!(
        "{text} is no step of a plan: build it with filter(), select(), with_columns(), drop() or explode()"
    ))
}

fn broken(error: &arrow::error::ArrowError) -> Error {
    Error::Compute(error.to_string())
}

#[cfg(test)]
#[path = "steps/tests.rs"]
mod tests;
