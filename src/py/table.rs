//! Tables, for Python: the partitions of this worker, through one handle a table.

use super::{
    detached::Detached,
    encode::to_bytes,
    error::{SendError, StateError},
    producer::{Delivery, PyHeaders, owned_headers},
    table_codec::TableCodec,
};
use crate::{
    state::Space,
    task::{agent::Shared, commit::Outbound, tables::TooLate},
    worker::{self, partitions::Refused},
};
use bytes::Bytes;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyList, PyString},
};
use std::{borrow::Cow, sync::Arc};

/// Partition, rows, and where the next page begins.
type Found<'py> = (i32, Bound<'py, PyList>, Option<Bound<'py, PyBytes>>);

/// Keys that are removed together. Each page looks at every key that was written since the last commit.
const PAGE: usize = 8_192;

/// The rows that an agent has: what is written now belongs to their partition, and to their cut.
#[pyclass(frozen, module = "turbine._native")]
pub struct Turn {
    pub(super) task: Arc<Shared>,
    pub(super) cut: u64,
}

#[pymethods]
impl Turn {
    #[getter]
    fn topic(&self) -> String {
        self.task.status.tp.topic.to_string()
    }

    #[getter]
    fn partition(&self) -> i32 {
        self.task.status.tp.partition
    }

    /// Do records that are sent now belong to the commit of the rows?
    #[getter]
    fn is_exact(&self) -> bool {
        self.task.cuts.as_ref().is_some_and(|cuts| cuts.is_exact)
    }

    /// As `Producer.send`; the record goes out when the rows are committed, or never.
    #[pyo3(
        signature = (topic, key, value, partition = -1, timestamp_ms = -1, headers = None),
        text_signature = "($self, topic, key, value, partition=-1, timestamp_ms=-1, headers=None)"
    )]
    fn send(
        &self,
        topic: &Bound<'_, PyString>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        partition: i32,
        timestamp_ms: i64,
        headers: Option<PyHeaders<'_>>,
    ) -> PyResult<Delivery> {
        let bytes = |b: Option<Cow<'_, [u8]>>| b.map(|b| Bytes::from(b.into_owned()));
        let record = Outbound {
            key: bytes(to_bytes(key)?),
            value: bytes(to_bytes(value)?),
            partition: (partition >= 0).then_some(partition),
            timestamp_ms: (timestamp_ms >= 0).then_some(timestamp_ms),
            headers: owned_headers(headers),
        };
        let name: Arc<str> = topic.to_str()?.into();
        self.task.send(self.cut, name, record).map_err(|TooLate| {
            SendError::new_err(format!(
                "the record to {topic} comes too late: the event that it belongs to is done and committed. What an agent has begun for an event must end before it asks for the next one: await it"
            ))
        })?;
        Ok(Delivery::staged(topic, partition, timestamp_ms))
    }
}

/// One table of a running worker.
#[pyclass(frozen, module = "turbine._native")]
pub struct Table {
    worker: Detached<worker::Worker>,
    space: Space,
    codec: Py<TableCodec>,
}

impl Table {
    pub(super) fn new(
        worker: Detached<worker::Worker>,
        space: Space,
        codec: Py<TableCodec>,
    ) -> Self {
        Self { worker, space, codec }
    }

    fn read(&self, turn: Option<&Turn>, key: &[u8]) -> crate::error::Result<Option<Vec<u8>>> {
        let partitions = &self.worker.partitions;
        match turn {
            Some(turn) => partitions.get_in(&turn.task, self.space, key),
            None => partitions.get(self.space, key),
        }
    }

    fn write(&self, turn: Option<&Turn>, key: &[u8], change: Option<Vec<u8>>) -> PyResult<()> {
        let Some(turn) = turn else { return Err(self.refused(None, None)) };
        let put = self.worker.partitions.put(&turn.task, turn.cut, self.space, key, change);
        put.map_err(|refused| self.refused(Some(turn), Some(&refused)))
    }

    fn refused(&self, turn: Option<&Turn>, why: Option<&Refused>) -> PyErr {
        let name = self.codec.get().name();
        let topic = turn.map_or("", |turn| &*turn.task.status.tp.topic);
        StateError::new_err(match why {
            None => format!(
                "Cannot modify table {name} outside of a stream: only an agent may, while it has an event. Send to a topic that an agent reads, and write there"
            ),
            Some(Refused::TooLate) => format!(
                "Cannot modify table {name} any more: the event that this belongs to is done and committed. What an agent has begun for an event must end before it asks for the next one: await it"
            ),
            Some(Refused::OtherWriter(writer)) => format!(
                "table {name} is written by agents of topic {writer}, so an agent of topic {topic} cannot write it: topics share a table if they have the same number of partitions and their agents name the table in their code. See to that, send to {writer} and write there, or keep a second table"
            ),
            Some(Refused::NoTables) => {
                format!("Cannot modify table {name} here: topic {topic} has no tables")
            }
        })
    }
}

#[pymethods]
impl Table {
    #[pyo3(signature = (turn, key, default, /))]
    fn get<'py>(
        &self,
        turn: Option<&Turn>,
        key: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let codec = self.codec.get();
        let bytes = codec.key_bytes(key)?;
        match self.read(turn, &bytes)? {
            Some(value) => codec.value_object(key.py(), &value),
            None => Ok(default),
        }
    }

    #[pyo3(signature = (turn, keys, default, /))]
    fn get_many<'py>(
        &self,
        turn: Option<&Turn>,
        keys: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let each = |key: PyResult<Bound<'py, PyAny>>| self.get(turn, &key?, default.clone());
        keys.try_iter()?.map(each).collect()
    }

    #[pyo3(signature = (turn, key, /))]
    fn has(&self, turn: Option<&Turn>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let bytes = self.codec.get().key_bytes(key)?;
        Ok(self.read(turn, &bytes)?.is_some())
    }

    #[pyo3(signature = (turn, key, value, /))]
    fn put(
        &self,
        turn: Option<&Turn>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let codec = self.codec.get();
        let (key, value) = (codec.key_bytes(key)?, codec.value_bytes(value)?);
        self.write(turn, &key, Some(value.into_owned()))
    }

    /// As `put` for each of *pairs*; nothing is written if one of them cannot be stored.
    #[pyo3(signature = (turn, pairs, /))]
    fn put_many(&self, turn: Option<&Turn>, pairs: &Bound<'_, PyAny>) -> PyResult<()> {
        let codec = self.codec.get();
        let mut rows = Vec::new();
        for pair in pairs.try_iter()? {
            let (key, value) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            rows.push((
                codec.key_bytes(&key)?.into_owned(),
                codec.value_bytes(&value)?.into_owned(),
            ));
        }
        rows.into_iter().try_for_each(|(key, value)| self.write(turn, &key, Some(value)))
    }

    /// Remove a key; whether it was there.
    #[pyo3(signature = (turn, key, /))]
    fn delete(&self, turn: Option<&Turn>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let bytes = self.codec.get().key_bytes(key)?;
        let there = turn.is_some() && self.read(turn, &bytes)?.is_some();
        if there || turn.is_none() {
            self.write(turn, &bytes, None)?;
        }
        Ok(there)
    }

    /// Remove every key of the rows' partition.
    #[pyo3(signature = (turn, /))]
    fn clear(&self, turn: Option<&Turn>) -> PyResult<()> {
        let Some(Turn { task, .. }) = turn else { return Err(self.refused(None, None)) };
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.worker.partitions.page_of(task, self.space, after.as_deref(), PAGE)?;
            page.rows.iter().try_for_each(|(key, _)| self.write(turn, key, None))?;
            after = page.end;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Some keys of the first partition from *partition* on, behind *after*: (partition, rows, end).
    #[pyo3(signature = (turn, partition, after, limit, what, /))]
    fn page<'py>(
        &self,
        py: Python<'py>,
        turn: Option<&Turn>,
        partition: i32,
        after: Option<&[u8]>,
        limit: usize,
        what: &str,
    ) -> PyResult<Option<Found<'py>>> {
        let partitions = &self.worker.partitions;
        let task = turn.map(|turn| &*turn.task);
        let found = py.detach(|| partitions.page(task, self.space, partition, after, limit))?;
        let Some((partition, page)) = found else { return Ok(None) };
        let (codec, list) = (self.codec.get(), PyList::empty(py));
        for (key, value) in &page.rows {
            match what {
                "keys" => list.append(codec.key_object(py, key)?)?,
                "values" => list.append(codec.value_object(py, value)?)?,
                _ => list.append((codec.key_object(py, key)?, codec.value_object(py, value)?))?,
            }
        }
        Ok(Some((partition, list, page.end.map(|end| PyBytes::new(py, &end)))))
    }

    /// How many keys there are; reads all of them.
    #[pyo3(signature = (turn, /))]
    fn count(&self, py: Python<'_>, turn: Option<&Turn>) -> PyResult<usize> {
        let (partitions, task) = (&self.worker.partitions, turn.map(|turn| &*turn.task));
        Ok(py.detach(|| partitions.count(task, self.space))?)
    }

    /// Partitions of the table that this worker has.
    #[getter]
    fn partitions(&self) -> Vec<i32> {
        self.worker.partitions.numbers(self.space)
    }
}
