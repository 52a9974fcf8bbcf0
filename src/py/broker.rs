//! The embedded broker, for Python.

use crate::broker::{Broker, BrokerConfig};
use pyo3::prelude::*;
use std::path::PathBuf;

/// A Kafka-protocol broker inside this process, on loopback.
#[pyclass(frozen, module = "turbine._native")]
pub struct EmbeddedBroker(Broker);

#[pymethods]
impl EmbeddedBroker {
    #[new]
    #[pyo3(signature = (
        *,
        host = String::from("127.0.0.1"),
        port = 0,
        data_dir = None,
        default_partitions = 4,
        auto_create_topics = true,
    ), text_signature = "(*, host='127.0.0.1', port=0, data_dir=None, default_partitions=4, auto_create_topics=True)")]
    fn new(
        py: Python<'_>,
        host: String,
        port: u16,
        data_dir: Option<PathBuf>,
        default_partitions: i32,
        auto_create_topics: bool,
    ) -> PyResult<Self> {
        let config = BrokerConfig {
            host,
            port,
            data_dir,
            default_partitions,
            auto_create_topics,
            ..BrokerConfig::default()
        };
        Ok(Self(py.detach(|| Broker::start(config))?))
    }

    /// `host:port` to give to clients.
    #[getter]
    fn address(&self) -> String {
        self.0.address()
    }

    /// Closes every connection and the log; idempotent.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}
