//! Joins, for `turbine.joins`.

use super::{batch::batches, state::State, state_columns::column};
use crate::{
    error::{Error, Result},
    join::{Counters, JoinKind, JoinSpec, Latest, Operator, Side, Sides, TableJoin},
    state::Writes,
    task::{state::TaskState, subscription::state::JoinState},
};
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::concat_batches,
    datatypes::SchemaRef,
};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3_arrow::{PyRecordBatch, PySchema};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

/// A join with the rows that it keeps of each partition; without a state it keeps them for itself.
#[pyclass(frozen, module = "turbine._native")]
pub struct Join {
    spec: JoinSpec,
    schemas: [SchemaRef; 2],
    output: SchemaRef,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    held: Vec<(Option<Weak<TaskState>>, Operator)>,
    latest: Memory,
    counters: Counters,
}

/// Rows of tables of a join that has no state.
#[derive(Default)]
struct Memory(HashMap<Vec<u8>, Vec<u8>>);

impl Latest for Memory {
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        Ok(keys.iter().map(|key| self.0.get(*key).cloned()).collect())
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<()> {
        match value {
            Some(value) => self.0.insert(key, value),
            None => self.0.remove(&key),
        };
        Ok(())
    }
}

/// Joined rows, and rows that came too late.
#[derive(Default)]
struct Done {
    results: Vec<RecordBatch>,
    late: Option<RecordBatch>,
}

type Given<'py> = (Vec<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

#[pymethods]
impl Join {
    #[new]
    #[pyo3(signature = (spec, left, right, /))]
    fn new(spec: &str, left: PySchema, right: PySchema) -> PyResult<Self> {
        let spec: JoinSpec =
            serde_json::from_str(spec).map_err(|e| Error::Declaration(e.to_string()))?;
        let schemas = [left.into_inner(), right.into_inner()];
        let output = if is_of_tables(&spec) {
            TableJoin::new(&spec, &schemas[0], &schemas[1])?.schema()
        } else {
            Operator::new(&spec, &schemas[0], &schemas[1])?.schema()
        };
        Ok(Self { spec, schemas, output, inner: Mutex::default() })
    }

    /// The schema of joined rows.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        PySchema::new(Arc::clone(&self.output)).into_pyarrow(py)
    }

    /// Rows that matched, were given alone, came late, could not match.
    #[getter]
    fn counters(&self) -> (u64, u64, u64, u64) {
        let all = self.inner.lock().counters;
        (all.matched_rows, all.padded_rows, all.late_rows, all.unmatchable_rows)
    }

    /// Takes rows in; `right` says whose they are, all of them or each.
    #[pyo3(signature = (state, rows, right, /))]
    fn update<'py>(
        &self,
        py: Python<'py>,
        state: Option<PyRef<'py, State>>,
        rows: &Bound<'py, PyAny>,
        right: &Bound<'py, PyAny>,
    ) -> PyResult<Given<'py>> {
        let rows = one_batch(batches(rows, "a join was updated with")?)?;
        let Some(rows) = rows else { return Ok((Vec::new(), None)) };
        let mask = mask(right)?;
        let sides = match &mask {
            Some(mask) => Sides::Each(mask),
            None if right.extract::<bool>()? => Sides::One(Side::Right),
            None => Sides::One(Side::Left),
        };
        let entries = state.map(|state| state.joins()).transpose()?;
        let done = py.detach(|| self.run(entries, |one| one.rows(sides, &rows)))?;
        given(py, done)
    }

    /// Moves the watermark of one side, of a join without a state.
    #[pyo3(signature = (right, watermark_ms, /))]
    fn advance<'py>(
        &self,
        py: Python<'py>,
        right: bool,
        watermark_ms: i64,
    ) -> PyResult<Given<'py>> {
        let side = if right { Side::Right } else { Side::Left };
        let done = py.detach(|| self.run(None, |one| one.advance(side, watermark_ms)))?;
        given(py, done)
    }
}

/// A join, and where the rows of its tables are.
enum One<'a> {
    Streams(&'a mut Operator),
    Tables(&'a mut TableJoin, &'a mut dyn Latest),
}

impl One<'_> {
    fn rows(&mut self, sides: Sides<'_>, rows: &RecordBatch) -> Result<Done> {
        match self {
            Self::Streams(operator) => {
                let out = operator.update(sides, rows)?;
                Ok(Done { results: out.results, late: out.late })
            }
            Self::Tables(join, latest) => {
                let results = join.update(sides, rows, *latest)?.into_iter().collect();
                Ok(Done { results, late: None })
            }
        }
    }

    fn advance(&mut self, side: Side, watermark_ms: i64) -> Result<Done> {
        match self {
            Self::Streams(operator) => {
                Ok(Done { results: operator.advance(side, watermark_ms)?.results, late: None })
            }
            Self::Tables(..) => Ok(Done::default()),
        }
    }
}

impl Join {
    fn run(
        &self,
        entries: Option<JoinState>,
        work: impl FnOnce(&mut One<'_>) -> Result<Done>,
    ) -> Result<Done> {
        let mut inner = self.inner.lock();
        let Inner { held, latest, counters } = &mut *inner;
        if is_of_tables(&self.spec) {
            let mut join = TableJoin::new(&self.spec, &self.schemas[0], &self.schemas[1])?;
            let mut entries = entries;
            let latest: &mut dyn Latest = match &mut entries {
                Some(entries) => entries,
                None => latest,
            };
            let done = work(&mut One::Tables(&mut join, latest))?;
            add(counters, Counters::default(), join.counters());
            return Ok(done);
        }
        // Whatever goes wrong, the next batch begins with what the state has.
        let mut operator = self.take(held, entries.as_ref())?;
        let before = operator.counters();
        let done = work(&mut One::Streams(&mut operator))?;
        add(counters, before, operator.counters());
        if let Some(entries) = &entries {
            let mut writes = Writes::default();
            operator.changes(&mut writes)?;
            entries.put(writes);
        }
        held.push((entries.map(|entries| entries.task()), operator));
        Ok(done)
    }

    /// The operator of a partition, as it was behind the batch before.
    fn take(
        &self,
        held: &mut Vec<(Option<Weak<TaskState>>, Operator)>,
        entries: Option<&JoinState>,
    ) -> Result<Operator> {
        held.retain(|(task, _)| task.as_ref().is_none_or(|task| task.strong_count() > 0));
        let own = entries.map(JoinState::task);
        let is_own = |task: &Option<Weak<TaskState>>| match (task, &own) {
            (Some(task), Some(own)) => task.ptr_eq(own),
            (None, None) => true,
            _ => false,
        };
        let found = held.iter().position(|(task, _)| is_own(task));
        let found = found.map(|at| held.swap_remove(at).1);
        let Some(entries) = entries else { return found.map_or_else(|| self.made(), Ok) };
        // A handler that failed has its writes taken back, and rows come again.
        if let Some(operator) = found
            && operator.is_at(entries)?
        {
            return Ok(operator);
        }
        let mut operator = self.made()?;
        operator.restore(entries)?;
        Ok(operator)
    }

    fn made(&self) -> Result<Operator> {
        Operator::new(&self.spec, &self.schemas[0], &self.schemas[1])
    }
}

fn is_of_tables(spec: &JoinSpec) -> bool {
    matches!(spec.kind, JoinKind::Table | JoinKind::Tables)
}

fn add(sum: &mut Counters, before: Counters, now: Counters) {
    sum.matched_rows += now.matched_rows - before.matched_rows;
    sum.padded_rows += now.padded_rows - before.padded_rows;
    sum.late_rows += now.late_rows - before.late_rows;
    sum.unmatchable_rows += now.unmatchable_rows - before.unmatchable_rows;
}

fn one_batch(rows: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
    let Some(first) = rows.first() else { return Ok(None) };
    let one = concat_batches(&first.schema(), &rows);
    one.map(Some).map_err(|e| Error::Declaration(e.to_string()))
}

/// A truth value for each row; none if it is one for all.
fn mask(right: &Bound<'_, PyAny>) -> PyResult<Option<BooleanArray>> {
    let column: Option<ArrayRef> = column(right)?;
    let Some(column) = column else { return Ok(None) };
    let mask = column.as_boolean_opt().cloned();
    let wrong =
        || Error::Declaration("is_right is a column of truth values, or one of them".into());
    Ok(Some(mask.ok_or_else(wrong)?))
}

fn given(py: Python<'_>, done: Done) -> PyResult<Given<'_>> {
    let one = |batch: RecordBatch| PyRecordBatch::new(batch).into_pyarrow(py);
    let results = done.results.into_iter().map(one).collect::<PyResult<_>>()?;
    Ok((results, done.late.map(one).transpose()?))
}
