//! Sending records, for Python.

use super::{
    detached::Detached,
    encode::to_bytes,
    error::{SendError, send_error},
};
use crate::{
    error::{Act, Error},
    kafka::{
        answer::{Answer, Receipt},
        outgoing::Outgoing,
        producer,
    },
    metrics::Metrics,
    types::Header,
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyString},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Idempotent producer; one for each running app or client.
#[pyclass(frozen, module = "turbine._native")]
pub struct Producer(pub(super) Detached<producer::Producer>);

pub(super) type PyHeaders<'py> = Vec<(String, Option<Bound<'py, PyBytes>>)>;

#[pymethods]
impl Producer {
    #[new]
    #[pyo3(signature = (brokers, kafka, buffer_bytes, /))]
    fn new(brokers: &str, kafka: BTreeMap<String, String>, buffer_bytes: usize) -> PyResult<Self> {
        let producer = producer::Producer::new(
            brokers,
            &kafka,
            buffer_bytes,
            Metrics::new().acknowledged.clone(),
        )?;
        Ok(Self(Detached::new(producer)))
    }

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
    ) -> PyResult<Option<Delivery>> {
        if !self.0.has_room() {
            return Ok(None);
        }
        let headers = owned_headers(headers);
        let (key, value) = (to_bytes(key)?, to_bytes(value)?);
        let record = Outgoing {
            key: key.as_deref(),
            value: value.as_deref(),
            partition: (partition >= 0).then_some(partition),
            timestamp_ms: (timestamp_ms >= 0).then_some(timestamp_ms),
            headers: &headers,
        };
        let answer = Arc::new(Answer::default());
        match self.0.send(topic.to_str()?, &record, None, Some(Arc::clone(&answer))) {
            Ok(()) => Ok(Some(Delivery { topic: topic.clone().unbind(), answer })),
            // A queue limit of the user's own, below ours.
            Err(Error::Kafka { act: Act::Retry, code, .. }) if code == "QueueFull" => Ok(None),
            Err(error) => Err(send_error(&error)),
        }
    }

    fn wait_room(&self, py: Python<'_>, timeout_ms: u64) -> bool {
        py.detach(|| self.0.wait_room(Duration::from_millis(timeout_ms)))
    }

    fn flush(&self, py: Python<'_>, timeout_ms: u64) -> usize {
        py.detach(|| self.0.flush(Duration::from_millis(timeout_ms)))
    }
}

pub(super) fn owned_headers(headers: Option<PyHeaders<'_>>) -> Vec<Header> {
    let owned = |(name, value): (String, Option<Bound<'_, PyBytes>>)| {
        (name, value.map(|v| v.as_bytes().to_vec()))
    };
    headers.unwrap_or_default().into_iter().map(owned).collect()
}

/// The acknowledgement of one sent record.
#[pyclass(frozen, module = "turbine._native")]
pub struct Delivery {
    topic: Py<PyString>,
    answer: Arc<Answer>,
}

impl Delivery {
    /// Of a record that goes out with a commit: its offset is not known before.
    pub(super) fn staged(topic: &Bound<'_, PyString>, partition: i32, timestamp_ms: i64) -> Self {
        let answer = Answer::default();
        answer.set(Ok(Receipt { partition, offset: -1, timestamp_ms }));
        Self { topic: topic.clone().unbind(), answer: Arc::new(answer) }
    }
}

#[pymethods]
impl Delivery {
    fn done(&self) -> bool {
        self.answer.get().is_some()
    }

    #[pyo3(signature = (timeout_ms = 30_000))]
    fn result(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<(Py<PyString>, i32, i64, i64)> {
        let timeout = Duration::from_millis(timeout_ms);
        match py.detach(|| self.answer.wait(timeout)) {
            Some(Ok(Receipt { partition, offset, timestamp_ms })) => {
                Ok((self.topic.clone_ref(py), partition, offset, timestamp_ms))
            }
            Some(Err(error)) => Err(send_error(&error)),
            None => Err(SendError::new_err(format!(
                "the record is not acknowledged after {} s: is a broker in reach?",
                timeout.as_secs_f64()
            ))),
        }
    }

    /// Call *callback* from a core thread once acknowledged or failed.
    #[pyo3(signature = (callback, /))]
    fn add_done_callback(slf: Bound<'_, Self>, callback: Py<PyAny>) {
        let delivery = slf.clone().unbind();
        let answer = Arc::clone(&slf.get().answer);
        let then = move || {
            Python::attach(|py| {
                if let Err(error) = callback.call1(py, (delivery,)) {
                    error.write_unraisable(py, None);
                }
            });
        };
        // Where the answer is there already, the callback runs at once, in this thread.
        answer.on_answer(move |_| then());
    }
}
