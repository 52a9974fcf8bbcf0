//! An expression on its way through batches.

use super::bind::{Typed, bind};
use super::call::true_rows;
use super::plan::Rows;
use super::tally::{OnComputeError, counted};
use super::tree::Node;
use super::types::describe;
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use parking_lot::Mutex;
use std::{fmt, sync::Arc};

/// An expression, as it was declared; may be used from several threads at once.
pub struct Expression {
    node: Node,
    // Batches of one source share their schema: the last one is nearly always the next one.
    bound: Mutex<Option<(SchemaRef, Arc<Typed>)>>,
}

/// A column, and what it cost.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// A value for each row.
    pub array: ArrayRef,
    /// How many values on the way could not be computed and are null.
    pub failed: u64,
}

impl Expression {
    /// Reads the tree that `turbine.functions` writes.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if it is none.
    pub fn parse(tree: &serde_json::Value) -> Result<Self> {
        Ok(Self { node: Node::parse(tree)?, bound: Mutex::new(None) })
    }

    /// [`Expression::parse`] of JSON as text.
    ///
    /// # Errors
    ///
    /// As it.
    pub fn parse_text(json: &str) -> Result<Self> {
        let tree = serde_json::from_str(json).map_err(|e| {
            Error::Declaration(format!("an expression cannot be read, or is nested too deep: {e}"))
        })?;
        Self::parse(&tree)
    }

    /// Names of the columns that it reads, each once; `a.b` may be field `b` of column `a`.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.node.columns(&mut found);
        found
    }

    /// Type of its values on batches of `schema`.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if it cannot work on them; the sentence says why.
    pub fn check(&self, schema: &Schema) -> Result<DataType> {
        bind(&self.node, schema).map(|typed| typed.data_type)
    }

    /// As [`Expression::check`], for a predicate.
    ///
    /// # Errors
    ///
    /// Also if its values are not booleans.
    pub fn check_predicate(&self, schema: &Schema) -> Result<()> {
        let data_type = self.check(schema)?;
        if matches!(data_type, DataType::Boolean | DataType::Null) {
            return Ok(());
        }
        Err(Error::Declaration(format!(
            "{} is {} and no predicate: compare it, as col('a') > 0",
            self.node,
            describe(&data_type)
        )))
    }

    /// Its value for each row; what cannot be computed is null.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if it cannot work on the columns of `batch`.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        Ok(self.evaluate_with(batch, OnComputeError::Null)?.array)
    }

    /// Its value for each row.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate`]; [`Error::Compute`] if a value cannot be computed and `policy` says so.
    pub fn evaluate_with(&self, batch: &RecordBatch, policy: OnComputeError) -> Result<Evaluated> {
        let typed = self.bound_to(batch.schema_ref())?;
        let (array, failed) = counted(policy, || {
            typed.plan.evaluate(&Rows::all(batch)).and_then(|value| value.column(batch.num_rows()))
        });
        Ok(Evaluated { array: array.map_err(compute_error)?, failed })
    }

    /// The rows for which it is true; null is false.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate_with`]; [`Error::Declaration`] if its values are not booleans.
    pub fn matches(
        &self,
        batch: &RecordBatch,
        policy: OnComputeError,
    ) -> Result<(BooleanArray, u64)> {
        self.check_bound_predicate(batch)?;
        let Evaluated { array, failed } = self.evaluate_with(batch, policy)?;
        let rows = match array.as_any().downcast_ref::<BooleanArray>() {
            Some(rows) => true_rows(rows),
            None => BooleanArray::from(vec![false; batch.num_rows()]),
        };
        Ok((rows, failed))
    }

    fn check_bound_predicate(&self, batch: &RecordBatch) -> Result<()> {
        match self.bound_to(batch.schema_ref())?.data_type {
            DataType::Boolean | DataType::Null => Ok(()),
            _ => self.check_predicate(batch.schema_ref()),
        }
    }

    fn bound_to(&self, schema: &SchemaRef) -> Result<Arc<Typed>> {
        let mut bound = self.bound.lock();
        if let Some((known, typed)) = &*bound
            && (Arc::ptr_eq(known, schema) || known == schema)
        {
            return Ok(Arc::clone(typed));
        }
        let typed = Arc::new(bind(&self.node, schema)?);
        *bound = Some((Arc::clone(schema), Arc::clone(&typed)));
        Ok(typed)
    }
}

fn compute_error(error: ArrowError) -> Error {
    Error::Compute(match error {
        ArrowError::ComputeError(text) => text,
        other => other.to_string(),
    })
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.node)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.node)
    }
}
