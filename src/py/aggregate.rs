//! Aggregates of batches in memory, for `turbine.aggregates`.

use crate::{
    error::Error,
    window::aggregate::{AggregateSpec, aggregate as of_batch},
};
use arrow::{array::RecordBatch, compute::concat_batches};
use pyo3::prelude::*;
use pyo3_arrow::{PyRecordBatch, input::AnyRecordBatch};

/// One row each group: keys, then aggregates.
#[pyfunction]
#[pyo3(signature = (rows, keys, specs, time=None, /))]
pub(super) fn aggregate<'py>(
    py: Python<'py>,
    rows: AnyRecordBatch,
    keys: Vec<String>,
    specs: &str,
    time: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let specs: Vec<AggregateSpec> =
        serde_json::from_str(specs).map_err(|e| Error::Declaration(e.to_string()))?;
    let batch = one_batch(rows)?;
    let done = py.detach(|| of_batch(&batch, &keys, &specs, time))?;
    PyRecordBatch::new(done).into_pyarrow(py)
}

/// All rows as one batch.
fn one_batch(rows: AnyRecordBatch) -> PyResult<RecordBatch> {
    let reader = rows.into_reader()?;
    let schema = reader.schema();
    let batches: Vec<_> =
        reader.collect::<Result<_, _>>().map_err(|e| Error::Declaration(e.to_string()))?;
    Ok(concat_batches(&schema, &batches).map_err(|e| Error::Declaration(e.to_string()))?)
}
