//! Rows in the hands of an agent.

use super::{decode::Decode, table::Turn};
use crate::{
    codec::{
        Decode as _,
        json::{DecodeOptions, Decoder, SharedSchema},
    },
    config::OnError,
    error::{Act, Error},
    kafka::{outgoing::Outgoing, producer::Producer},
    task::{
        commit::Outbound,
        cursor,
        dead_letter::{Phase, dead_letter},
        tables::TooLate,
    },
    types::{Header, Records},
};
use arrow::datatypes::SchemaRef;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyList, PyString},
};
use pyo3_arrow::PyRecordBatch;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What all cursors of one agent share.
pub(super) struct AgentSide {
    pub(super) name: String,
    pub(super) key: Decode,
    pub(super) value: Decode,
    /// Schema for `stream.batches()`; inferred without one.
    pub(super) schema: Option<SchemaRef>,
    pub(super) learned: Arc<SharedSchema>,
    pub(super) on_error: OnError,
    pub(super) dlq: Option<String>,
    pub(super) producer: Arc<Producer>,
}

impl AgentSide {
    /// Enqueues a dead letter; blocks while the producer is full, as a flood of bad records makes it.
    fn bury(
        &self,
        cursor: &cursor::Cursor,
        topic: &str,
        record: &Outgoing<'_>,
    ) -> crate::error::Result<()> {
        let task = cursor.task();
        if let Some(cuts) = task.cuts.as_ref().filter(|cuts| cuts.is_exact) {
            // The row is in progress, so its cut cannot be over.
            return task
                .send(cuts.number(), topic.into(), Outbound::from(record))
                .map_err(|TooLate| Error::Stopped);
        }
        let deadline = Instant::now() + BURY_LIMIT;
        loop {
            self.producer.wait_room(deadline.saturating_duration_since(Instant::now()));
            match self.producer.send(topic, record, None, None) {
                // The client library counts more than we do.
                Err(Error::Kafka { act: Act::Retry, code, .. })
                    if code == "QueueFull" && Instant::now() < deadline =>
                {
                    std::thread::sleep(BURY_POLL);
                }
                result => return result,
            }
        }
    }

    /// A bad record: by the policy it is counted, becomes a dead letter, or stops the partition.
    fn refuse(&self, py: Python<'_>, cursor: &cursor::Cursor, row: usize, phase: Phase, why: &str) {
        let (records, tp) = (cursor.records(), cursor.tp());
        let status = &cursor.task().status;
        status.metrics.bad_records.inc();
        let what = match phase {
            Phase::Decode => "cannot be decoded",
            Phase::Process => "made the agent fail",
            Phase::Produce => "has an output that cannot be written",
        };
        let report = format!(
            "agent {}: record {tp} at offset {} {what}: {why}",
            self.name,
            records.offset(row)
        );
        match (self.on_error, &self.dlq) {
            (OnError::Dlq, Some(topic)) => {
                let letter = dead_letter(records, row, tp, phase, why);
                let record = Outgoing {
                    key: letter.key.as_deref(),
                    value: letter.value.as_deref(),
                    partition: None,
                    timestamp_ms: (letter.timestamp_ms >= 0).then_some(letter.timestamp_ms),
                    headers: &letter.headers,
                };
                match py.detach(|| self.bury(cursor, topic, &record)) {
                    Ok(()) => status.metrics.dead_letters.inc(),
                    Err(error) => status.fail(&format!("{report}; its dead letter: {error}")),
                }
            }
            (OnError::Skip, _) => {
                tracing::warn!(target: "turbine.task", "{report}. It is left out (on_error=\"skip\")");
            }
            _ => status.fail(&format!(
                "{report}. Nothing is lost: the partition waits in front of it. Mend the cause and restart, or declare on_error=\"skip\" or on_error=\"dlq\" to go on without such records"
            )),
        }
    }
}

type MaybeBytes<'py> = Option<Bound<'py, PyBytes>>;
/// Key, headers, offset, timestamp in ms.
/// Longest wait for room for a dead letter.
const BURY_LIMIT: Duration = Duration::from_secs(60);
/// How often room is looked for.
const BURY_POLL: Duration = Duration::from_millis(5);

type Envelope<'py> = (Bound<'py, PyAny>, Vec<(String, MaybeBytes<'py>)>, i64, i64);

/// Decoded rows of one partition for one agent instance; an iterator of values.
#[pyclass(frozen, module = "turbine._native")]
pub struct Cursor {
    pub(super) cursor: Arc<cursor::Cursor>,
    pub(super) agent: Arc<AgentSide>,
}

impl Cursor {
    fn row(&self) -> PyResult<usize> {
        self.cursor.current().ok_or_else(|| {
            pyo3::exceptions::PyRuntimeError::new_err("no row has been handed out yet")
        })
    }

    fn handed_row(&self, row: usize) -> PyResult<usize> {
        if row >= self.cursor.handed() {
            return Err(pyo3::exceptions::PyIndexError::new_err("the row was not handed out"));
        }
        Ok(self.cursor.row(row))
    }
}

#[pymethods]
impl Cursor {
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, &self.cursor.tp().topic)
    }

    #[getter]
    fn partition(&self) -> i32 {
        self.cursor.tp().partition
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        loop {
            let row = self.cursor.advance()?;
            match self.agent.value.decode(py, self.cursor.records().value(row)) {
                Ok(value) => return Some(value),
                Err(why) => self.agent.refuse(py, &self.cursor, row, Phase::Decode, &why),
            }
            if !self.cursor.task().status.is_live() {
                // The bad row stopped the partition: it must not count as done.
                self.cursor.abandon();
                return None;
            }
            // Nobody sees it, and nobody could acknowledge it.
            self.cursor.finish_row(self.cursor.handed() - 1);
        }
    }

    /// Values of up to *limit* rows that are held; fewer in front of a record that stops the partition.
    #[pyo3(signature = (limit, /))]
    fn values<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let (values, first) = (PyList::empty(py), self.cursor.handed());
        let rows = self.cursor.take(limit);
        for (i, &row) in rows.iter().enumerate() {
            match self.agent.value.decode(py, self.cursor.records().value(row)) {
                Ok(value) => values.append(value)?,
                Err(why) => {
                    self.agent.refuse(py, &self.cursor, row, Phase::Decode, &why);
                    if !self.cursor.task().status.is_live() {
                        self.cursor.give_back(rows.len() - i);
                        self.cursor.abandon();
                        break;
                    }
                    self.cursor.finish_row(first + i);
                }
            }
        }
        Ok(values)
    }

    fn finish(&self) {
        self.cursor.finish();
    }

    fn hold(&self) {
        self.cursor.hold();
    }

    fn follow(&self) {
        self.cursor.follow();
    }

    fn handed(&self) -> usize {
        self.cursor.handed()
    }

    #[pyo3(signature = (rows, /))]
    fn done_through(&self, rows: usize) {
        self.cursor.done_through(rows);
    }

    fn abandon(&self) {
        self.cursor.abandon();
    }

    fn release(&self) {
        self.cursor.release();
    }

    #[pyo3(signature = (row, /))]
    fn ack(&self, row: usize) {
        self.cursor.finish_row(row);
    }

    /// Value of row *row* of those handed out, decoded anew.
    #[pyo3(signature = (row, /))]
    fn value_of<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyAny>> {
        let value = self.cursor.records().value(self.handed_row(row)?);
        self.agent.value.decode(py, value).map_err(super::error::DecodeError::new_err)
    }

    /// Headers of that row.
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, MaybeBytes<'py>)>> {
        let convert = |(name, value): Header| (name, value.map(|v| PyBytes::new(py, &v)));
        Ok(self.cursor.records().headers(self.row()?).into_iter().map(convert).collect())
    }

    /// Key and value bytes of row *row* of those handed out.
    #[pyo3(signature = (row, /))]
    fn raw_of<'py>(
        &self,
        py: Python<'py>,
        row: usize,
    ) -> PyResult<(MaybeBytes<'py>, MaybeBytes<'py>)> {
        let (records, row) = (self.cursor.records(), self.handed_row(row)?);
        let bytes = |b: Option<&[u8]>| b.map(|b| PyBytes::new(py, b));
        Ok((bytes(records.key(row)), bytes(records.value(row))))
    }

    /// What the rows in hand belong to; None where nothing but their offset is committed.
    fn turn(&self) -> Option<Turn> {
        let task = self.cursor.task();
        let cuts = task.cuts.as_ref()?;
        Some(Turn { task: Arc::clone(task), cut: cuts.number() })
    }

    /// Must the rows in hand be done soon, because a commit waits for them?
    fn is_hurried(&self) -> bool {
        self.cursor.task().cuts.as_ref().is_some_and(crate::task::cut::Cuts::is_in_a_hurry)
    }

    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let key = self.cursor.records().key(self.row()?);
        let text = |why| super::error::DecodeError::new_err(format!("key: {why}"));
        self.agent.key.decode(py, key).map_err(text)
    }

    fn raw<'py>(&self, py: Python<'py>) -> PyResult<(MaybeBytes<'py>, MaybeBytes<'py>)> {
        let (records, row) = (self.cursor.records(), self.row()?);
        let bytes = |b: Option<&[u8]>| b.map(|b| PyBytes::new(py, b));
        Ok((bytes(records.key(row)), bytes(records.value(row))))
    }

    #[pyo3(signature = (message, /))]
    fn bad(&self, py: Python<'_>, message: &str) -> PyResult<()> {
        self.agent.refuse(py, &self.cursor, self.row()?, Phase::Process, message);
        if !self.cursor.task().status.is_live() {
            self.cursor.abandon();
        }
        Ok(())
    }

    /// As `bad`, for the rows handed out from *start* up to *end*.
    #[pyo3(signature = (start, end, message, /))]
    fn bad_rows(&self, py: Python<'_>, start: usize, end: usize, message: &str) {
        for i in start..end {
            if !self.cursor.task().status.is_live() {
                return;
            }
            self.agent.refuse(py, &self.cursor, self.cursor.row(i), Phase::Process, message);
        }
    }

    /// (key, headers, offset, timestamp in ms) of the row handed out last.
    fn envelope<'py>(&self, py: Python<'py>) -> PyResult<Envelope<'py>> {
        let (records, row) = (self.cursor.records(), self.row()?);
        let headers = self.headers(py)?;
        Ok((self.key(py)?, headers, records.offset(row), records.timestamp_ms(row)))
    }

    fn rest_to_arrow<'py>(
        &self,
        py: Python<'py>,
        limit: usize,
    ) -> PyResult<(Bound<'py, PyAny>, usize)> {
        let rows = self.cursor.take(limit);
        let picked = Picked { cursor: &self.cursor, rows: &rows };
        let decoded = py.detach(|| -> crate::error::Result<_> {
            let options = DecodeOptions { tombstones_as_nulls: false };
            let mut decoder = match &self.agent.schema {
                Some(schema) => Decoder::new(Arc::clone(schema), options)?,
                None => Decoder::inferring(Arc::clone(&self.agent.learned), options)?,
            };
            Ok(decoder.decode(&picked, 0..rows.len()))
        })?;
        let mut batch = decoded.batch;
        let stops = self.agent.on_error == OnError::Fail;
        for bad in &decoded.bad {
            self.agent.refuse(py, &self.cursor, rows[bad.index], Phase::Decode, &bad.message);
            if stops {
                let before = decoded.rows.as_ref().map_or(bad.index, |good| {
                    good.partition_point(|&row| (row as usize) < bad.index)
                });
                batch = batch.slice(0, before);
                self.cursor.give_back(rows.len() - bad.index);
                break;
            }
        }
        let taken = rows.len();
        Ok((PyRecordBatch::new(batch).into_pyarrow(py)?, taken))
    }
}

/// Some rows of a cursor, as the decoder reads them.
struct Picked<'a> {
    cursor: &'a cursor::Cursor,
    rows: &'a [usize],
}

impl Records for Picked<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }
    fn value(&self, i: usize) -> Option<&[u8]> {
        self.cursor.records().value(self.rows[i])
    }
    fn key(&self, i: usize) -> Option<&[u8]> {
        self.cursor.records().key(self.rows[i])
    }
    fn offset(&self, i: usize) -> i64 {
        self.cursor.records().offset(self.rows[i])
    }
    fn timestamp_ms(&self, i: usize) -> i64 {
        self.cursor.records().timestamp_ms(self.rows[i])
    }
    fn headers(&self, i: usize) -> Vec<Header> {
        self.cursor.records().headers(self.rows[i])
    }
}
