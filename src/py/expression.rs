//! Expressions and operators on batches, for `turbine.functions`.

use crate::engine::shard;
use crate::error::Error;
use crate::expr::{self, OnComputeError};
use arrow::array::RecordBatch;
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

fn parts(py: Python<'_>, batches: Vec<Option<RecordBatch>>) -> PyResult<Parts<'_>> {
    let part = |batch: Option<RecordBatch>| {
        batch.map(|batch| PyRecordBatch::new(batch).into_pyarrow(py)).transpose()
    };
    batches.into_iter().map(part).collect()
}

/// Divides a batch by predicates: the part of each, the rest behind them, and the failures.
#[pyfunction]
#[pyo3(signature = (batch, predicates, strict=false, /))]
pub fn split<'py>(
    py: Python<'py>,
    batch: PyRecordBatch,
    predicates: Vec<String>,
    strict: bool,
) -> PyResult<(Parts<'py>, u64)> {
    let batch = batch.into_inner();
    let mut done = py.detach(|| -> Result<_, Error> {
        let predicates = predicates
            .iter()
            .map(|tree| expr::Expression::parse_text(tree))
            .collect::<Result<Vec<_>, _>>()?;
        expr::split(&batch, &predicates, policy(strict))
    })?;
    done.branches.push(done.unmatched);
    Ok((parts(py, done.branches)?, done.failed))
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
    let batches = py.detach(|| shard::shard(&batch, column, shards))?;
    parts(py, batches)
}
