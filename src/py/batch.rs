//! A batch in the hands of a subscription's handler.

use super::{error::EncodeError, state::State};
use crate::error::Error;
use crate::task::{
    sink::Outlet,
    state::Savepoint,
    subscription::{Content, Feed, Job, state::BatchState},
};
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use pyo3::{intern, prelude::*};
use pyo3_arrow::{PyRecordBatch, input::AnyRecordBatch};
use std::sync::Arc;

/// Rows of one partition on their way through a subscription's handler.
#[pyclass(frozen, module = "turbine._native")]
pub struct Batch {
    batch: RecordBatch,
    content: Content,
    watermark_ms: Option<i64>,
    first_offset: i64,
    is_replay: bool,
    topic: String,
    partition: i32,
    job: Mutex<Option<Job>>,
}

/// A place in the writes to a state.
#[pyclass(frozen, module = "turbine._native")]
pub struct Undo(Option<(Arc<BatchState>, Savepoint)>);

#[pymethods]
impl Undo {
    /// Takes back every write since.
    fn roll_back(&self) {
        if let Some((state, savepoint)) = &self.0 {
            state.rollback(*savepoint);
        }
    }
}

/// The name of a window and rows as a pyarrow object.
type Named<'py> = (String, Bound<'py, PyAny>);

impl Batch {
    pub(super) fn new(mut job: Job) -> Self {
        job.hand_over();
        let tp = job.tp().clone();
        Self {
            batch: job.batch.clone(),
            content: job.content.clone(),
            watermark_ms: job.watermark(),
            first_offset: job.first(),
            is_replay: job.is_replay(),
            topic: tp.topic.to_string(),
            partition: tp.partition,
            job: Mutex::new(Some(job)),
        }
    }

    fn take(&self) -> PyResult<Job> {
        self.job.lock().take().ok_or_else(is_complete)
    }
}

fn is_complete() -> PyErr {
    pyo3::exceptions::PyRuntimeError::new_err("the batch is complete already")
}

fn named<'py>(py: Python<'py>, results: &[(Arc<str>, RecordBatch)]) -> PyResult<Vec<Named<'py>>> {
    let one = |(name, rows): &(Arc<str>, RecordBatch)| {
        Ok((name.to_string(), PyRecordBatch::new(rows.clone()).into_pyarrow(py)?))
    };
    results.iter().map(one).collect()
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
    fn watermark_ms(&self) -> Option<i64> {
        self.watermark_ms
    }

    #[getter]
    fn first_offset(&self) -> i64 {
        self.first_offset
    }

    #[getter]
    fn is_replay(&self) -> bool {
        self.is_replay
    }

    #[getter]
    fn is_silence(&self) -> bool {
        matches!(self.content, Content::Silence | Content::Progress)
    }

    /// Results of the windows that come first, with their names; None for rows.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Named<'py>>>> {
        match &self.content {
            Content::Results(results) => named(py, results).map(Some),
            Content::Rows | Content::Silence | Content::Progress => Ok(None),
        }
    }

    fn to_arrow<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        PyRecordBatch::new(self.batch.clone()).into_pyarrow(py)
    }

    /// The state of the handler, if it keeps any.
    fn state(&self) -> PyResult<Option<State>> {
        let job = self.job.lock();
        let job = job.as_ref().ok_or_else(is_complete)?;
        Ok(job.state().map(|state| State::root(Arc::clone(state))))
    }

    /// Where writes to the state can be taken back to.
    fn savepoint(&self) -> PyResult<Undo> {
        let job = self.job.lock();
        let job = job.as_ref().ok_or_else(is_complete)?;
        let place = |state: &Arc<BatchState>| Ok((Arc::clone(state), state.savepoint()?));
        Ok(Undo(job.state().map(place).transpose().map_err(|e: Error| PyErr::from(e))?))
    }

    /// The next timer that is due, disarmed, with the state that it was set on.
    fn next_timer(&self, py: Python<'_>) -> PyResult<Option<(String, State)>> {
        let job = self.job.lock();
        let job = job.as_ref().ok_or_else(is_complete)?;
        let Some(state) = job.state() else { return Ok(None) };
        let timer = py.detach(|| job.next_timer())?;
        Ok(timer.map(|timer| {
            let id = String::from_utf8_lossy(&timer.id).into_owned();
            (id, State::of_timer(Arc::clone(state), &timer))
        }))
    }

    /// Gives rows to windows, by their index, once the handler is done; what came out.
    #[pyo3(signature = (feeds, /))]
    fn feed<'py>(
        &self,
        py: Python<'py>,
        feeds: Vec<(usize, Bound<'py, PyAny>)>,
    ) -> PyResult<Vec<Named<'py>>> {
        let mut rows: Vec<Feed> = Vec::new();
        for (window, one) in &feeds {
            let one = batches(one, "a window was updated with")?;
            rows.extend(one.into_iter().map(|batch| (*window, batch)));
        }
        let mut job = self.job.lock();
        let job = job.as_mut().ok_or_else(is_complete)?;
        let results = py.detach(|| job.feed(&rows))?;
        named(py, &results)
    }

    #[pyo3(signature = (outputs, bad_rows = Vec::new(), /))]
    fn complete(
        &self,
        py: Python<'_>,
        outputs: Vec<(Option<usize>, Bound<'_, PyAny>)>,
        bad_rows: Vec<(usize, String)>,
    ) -> PyResult<()> {
        let mut all = Vec::new();
        for (side, output) in &outputs {
            let (outlet, what) = match side {
                None => (Outlet::Main, "a handler returned"),
                Some(index) => (Outlet::Side(*index), "a side output was given"),
            };
            all.extend(batches(output, what)?.into_iter().map(|batch| (outlet, batch)));
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

/// What a handler returned or gave away, as record batches; `what` begins the sentence of an error.
pub(super) fn batches(output: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<RecordBatch>> {
    let py = output.py();
    if output.is_none() {
        return Ok(Vec::new());
    }
    let is_arrow = output.hasattr(intern!(py, "__arrow_c_array__"))?
        || output.hasattr(intern!(py, "__arrow_c_stream__"))?;
    if !is_arrow {
        return Err(EncodeError::new_err(format!(
            "{what} {}: {} a RecordBatch (or a polars DataFrame, a pyarrow Table: anything with an Arrow interface), or None to publish nothing",
            output.get_type().name()?,
            if what.starts_with("a handler") { "return" } else { "give" },
        )));
    }
    let not_rows = |e: PyErr| {
        EncodeError::new_err(format!(
            "{what} Arrow data that is not rows of named columns: {}",
            e.value(py)
        ))
    };
    let reader = output.extract::<AnyRecordBatch>().map_err(not_rows)?;
    let reader = reader.into_reader().map_err(not_rows)?;
    reader.map(|batch| batch.map_err(|e| EncodeError::new_err(e.to_string()))).collect()
}
