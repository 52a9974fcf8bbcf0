//! Expressions and operators on batches, for `turbine.functions`.

use super::batch::batches;
use crate::engine::{groups, shard};
use crate::error::Error;
use crate::expr::{self, OnComputeError};
use crate::task::subscription::is_of_the_line;
use arrow::compute::filter_record_batch;
use pyo3::{intern, prelude::*};
use pyo3_arrow::{PyArray, PyDataType, PyRecordBatch, PySchema};

/// An expression over the columns of batches.
#[pyclass(frozen, module = "turbine._native")]
pub struct Expression(expr::Expression);

#[pymethods]
impl Expression {
    #[new]
    #[pyo3(signature = (tree, /))]
    fn new(tree: &str) -> PyResult<Self> {
        Ok(Self(expr::Expression::parse_text(tree)?))
    }

    #[getter]
    fn columns(&self) -> Vec<String> {
        self.0.columns()
    }

    #[pyo3(signature = (schema, /))]
    fn check<'py>(&self, py: Python<'py>, schema: PySchema) -> PyResult<Bound<'py, PyAny>> {
        let schema = schema.into_inner();
        PyDataType::new(self.0.check(&schema)?).into_pyarrow(py)
    }

    #[pyo3(signature = (batch, strict=false, /))]
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        batch: PyRecordBatch,
        strict: bool,
    ) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let batch = batch.into_inner();
        let done = py.detach(|| self.0.evaluate_with(&batch, policy(strict)))?;
        let array = PyArray::from_array_ref(done.array);
        let array =
            py.import(intern!(py, "pyarrow"))?.call_method1(intern!(py, "array"), (array,))?;
        Ok((array, done.failed))
    }

    #[pyo3(signature = (batch, strict=false, /))]
    fn filter<'py>(
        &self,
        py: Python<'py>,
        batch: PyRecordBatch,
        strict: bool,
    ) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let batch = batch.into_inner();
        let (rows, failed) = py.detach(|| -> Result<_, Error> {
            let (mask, failed) = self.0.matches(&batch, policy(strict))?;
            let rows = filter_record_batch(&batch, &mask);
            Ok((rows.map_err(|e| Error::Compute(e.to_string()))?, failed))
        })?;
        Ok((PyRecordBatch::new(rows).into_pyarrow(py)?, failed))
    }
}

fn policy(strict: bool) -> OnComputeError {
    if strict { OnComputeError::Fail } else { OnComputeError::Null }
}

type Parts<'py> = Vec<Option<Bound<'py, PyAny>>>;

/// Index of a branch, and its rows.
type Part<'py> = (usize, Bound<'py, PyAny>);

/// The predicates of the branches of one subscription.
#[pyclass(frozen, module = "turbine._native")]
pub struct Splitter(Vec<expr::Expression>);

#[pymethods]
impl Splitter {
    #[new]
    #[pyo3(signature = (predicates, /))]
    fn new(predicates: Vec<String>) -> PyResult<Self> {
        let parsed = predicates.iter().map(|tree| expr::Expression::parse_text(tree));
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    #[pyo3(signature = (rows, strict=false, /))]
    fn split<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
        strict: bool,
    ) -> PyResult<(Vec<Part<'py>>, u64)> {
        let (mut found, mut failed) = (Vec::new(), 0);
        for batch in batches(rows, "a handler returned")? {
            let done = py.detach(|| expr::split(&batch, &self.0, policy(strict)))?;
            failed += done.failed;
            let parts = done.branches.into_iter().chain([done.unmatched]);
            for (part, rows) in parts.enumerate().filter_map(|(i, rows)| Some((i, rows?))) {
                found.push((part, PyRecordBatch::new(rows).into_pyarrow(py)?));
            }
        }
        Ok((found, failed))
    }
}

/// The steps of a fluent plan.
#[pyclass(frozen, module = "turbine._native")]
pub struct Steps(expr::Steps);

#[pymethods]
impl Steps {
    #[new]
    #[pyo3(signature = (steps, strict=false, /))]
    fn new(steps: &str, strict: bool) -> PyResult<Self> {
        let list = serde_json::from_str(steps).map_err(|e| Error::Declaration(e.to_string()))?;
        Ok(Self(expr::Steps::parse(&list, policy(strict))?))
    }

    #[pyo3(signature = (batch, /))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        batch: PyRecordBatch,
    ) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let batch = batch.into_inner();
        let done = py.detach(|| self.0.apply(batch, is_of_the_line))?;
        Ok((PyRecordBatch::new(done.batch).into_pyarrow(py)?, done.failed))
    }
}

/// Rows for the elements of a list column.
#[pyfunction]
#[pyo3(signature = (batch, column, keep_empty, /))]
pub fn explode<'py>(
    py: Python<'py>,
    batch: PyRecordBatch,
    column: &str,
    keep_empty: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let batch = batch.into_inner();
    let rows = py.detach(|| expr::explode(&batch, column, keep_empty))?;
    PyRecordBatch::new(rows).into_pyarrow(py)
}

/// Rows of a batch by the hash of their key.
#[pyfunction]
#[pyo3(signature = (batch, column, shards, /))]
pub fn shard_rows<'py>(
    py: Python<'py>,
    batch: PyRecordBatch,
    column: &str,
    shards: usize,
) -> PyResult<Parts<'py>> {
    let batch = batch.into_inner();
    let part =
        |rows: Option<_>| rows.map(|rows| PyRecordBatch::new(rows).into_pyarrow(py)).transpose();
    py.detach(|| shard::shard(&batch, column, shards))?.into_iter().map(part).collect()
}

/// Rows side by side by their key, the keys, and where each begins.
type Grouped<'py> = (Bound<'py, PyAny>, Vec<Bound<'py, PyAny>>, Vec<usize>);

/// Rows brought together by their key, in the order of the first row of each.
#[pyfunction]
#[pyo3(signature = (batch, column, /))]
pub(super) fn group_rows<'py>(
    py: Python<'py>,
    batch: PyRecordBatch,
    column: &str,
) -> PyResult<Grouped<'py>> {
    let batch = batch.into_inner();
    let found = py.detach(|| groups::group(&batch, column))?;
    let keys = found.keys.iter().map(|key| super::state::named(py, key, true)).collect();
    Ok((PyRecordBatch::new(found.rows).into_pyarrow(py)?, keys, found.starts))
}

/// The shard that `shard_rows` gives the rows of a key to.
#[pyfunction]
#[pyo3(signature = (key, shards, /))]
pub(super) fn shard_of(key: &Bound<'_, PyAny>, shards: usize) -> PyResult<usize> {
    Ok(shard::shard_of(&super::state_columns::key(key)?, shards))
}
