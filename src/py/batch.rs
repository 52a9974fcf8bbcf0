//! A batch in the hands of a subscription's handler.

use super::error::EncodeError;
use crate::task::subscription::Job;
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use pyo3::{intern, prelude::*};
use pyo3_arrow::{PyRecordBatch, input::AnyRecordBatch};

/// Rows of one partition on their way through a subscription's handler.
#[pyclass(frozen, module = "turbine._native")]
pub struct Batch {
    batch: RecordBatch,
    topic: String,
    partition: i32,
    job: Mutex<Option<Job>>,
}

impl Batch {
    pub(super) fn new(mut job: Job) -> Self {
        job.hand_over();
        let tp = job.tp().clone();
        Self {
            batch: job.batch.clone(),
            topic: tp.topic.to_string(),
            partition: tp.partition,
            job: Mutex::new(Some(job)),
        }
    }

    fn take(&self) -> PyResult<Job> {
        self.job.lock().take().ok_or_else(|| {
            pyo3::exceptions::PyRuntimeError::new_err("the batch is complete already")
        })
    }
}

#[pymethods]
impl Batch {
    #[getter]
    fn topic(&self) -> &str {
        &self.topic
    }

    #[getter]
    fn partition(&self) -> i32 {
        self.partition
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn to_arrow<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        PyRecordBatch::new(self.batch.clone()).into_pyarrow(py)
    }

    fn slice<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        length: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        PyRecordBatch::new(self.batch.slice(start, length)).into_pyarrow(py)
    }

    #[pyo3(signature = (output, /))]
    fn complete(&self, py: Python<'_>, output: &Bound<'_, PyAny>) -> PyResult<()> {
        let batches = batches(output)?;
        let job = self.take()?;
        py.detach(|| job.complete(batches, &[]));
        Ok(())
    }

    #[pyo3(signature = (outputs, bad_rows, /))]
    fn complete_parts(
        &self,
        py: Python<'_>,
        outputs: Vec<Bound<'_, PyAny>>,
        bad_rows: Vec<(usize, String)>,
    ) -> PyResult<()> {
        let mut all = Vec::new();
        for output in &outputs {
            all.extend(batches(output)?);
        }
        let job = self.take()?;
        py.detach(|| job.complete(all, &bad_rows));
        Ok(())
    }

    #[pyo3(signature = (message, /))]
    fn fail(&self, py: Python<'_>, message: &str) -> PyResult<()> {
        let job = self.take()?;
        py.detach(|| job.fail(message));
        Ok(())
    }
}

/// What a handler returned, as record batches.
fn batches(output: &Bound<'_, PyAny>) -> PyResult<Vec<RecordBatch>> {
    let py = output.py();
    if output.is_none() {
        return Ok(Vec::new());
    }
    let is_arrow = output.hasattr(intern!(py, "__arrow_c_array__"))?
        || output.hasattr(intern!(py, "__arrow_c_stream__"))?;
    if !is_arrow {
        return Err(EncodeError::new_err(format!(
            "a handler returned {}: return a RecordBatch (or a polars DataFrame, a pyarrow Table: anything with an Arrow interface), or None to publish nothing",
            output.get_type().name()?
        )));
    }
    let not_rows = |e: PyErr| {
        EncodeError::new_err(format!(
            "a handler returned Arrow data that is not rows of named columns: {}",
            e.value(py)
        ))
    };
    let reader = output.extract::<AnyRecordBatch>().map_err(not_rows)?;
    let reader = reader.into_reader().map_err(not_rows)?;
    reader.map(|batch| batch.map_err(|e| EncodeError::new_err(e.to_string()))).collect()
}
