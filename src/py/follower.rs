//! What is written to one partition from now on, for Python; outside of any group.

use crate::{
    kafka::log_reader::{LogReader, Logs, Read},
    types::{Records as _, TopicPartition},
};
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyBytes};
use std::{collections::BTreeMap, time::Duration};

/// Most records of one call.
const MOST: usize = 1024;

type MaybeBytes<'py> = Option<Bound<'py, PyBytes>>;

/// Follows one partition; only what is committed comes.
#[pyclass(frozen, module = "turbine._native")]
pub struct Follower(Mutex<Option<LogReader>>);

#[pymethods]
impl Follower {
    /// Blocks without the GIL until it is known where the partition ends.
    #[new]
    #[pyo3(signature = (brokers, kafka, topic, partition, /))]
    fn new(
        py: Python<'_>,
        brokers: String,
        kafka: BTreeMap<String, String>,
        topic: &str,
        partition: i32,
    ) -> PyResult<Self> {
        let tp = TopicPartition { topic: topic.into(), partition };
        let reader =
            py.detach(|| Logs::new(brokers, kafka, "turbine-follower".into()).follow(&tp))?;
        Ok(Self(Mutex::new(Some(reader))))
    }

    /// (key, value) of the next records; blocks without the GIL, at most *timeout_ms*.
    #[pyo3(signature = (timeout_ms, /))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        timeout_ms: u64,
    ) -> PyResult<Vec<(MaybeBytes<'py>, MaybeBytes<'py>)>> {
        let found = py.detach(|| match self.0.lock().as_mut() {
            Some(reader) => reader.read(MOST, Duration::from_millis(timeout_ms)),
            None => Ok(Read::End),
        })?;
        let Read::Records(records) = found else { return Ok(Vec::new()) };
        let bytes = |b: Option<&[u8]>| b.map(|b| PyBytes::new(py, b));
        let pair = |i| (bytes(records.key(i)), bytes(records.value(i)));
        Ok((0..records.len()).map(pair).collect())
    }

    /// Ends its connection; idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.0.lock().take()));
    }
}
