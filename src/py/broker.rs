//! The embedded broker, for Python.

use super::{
    clock::Clock,
    faults::{self, ErrorCode, Fault},
};
use crate::{
    broker::{Broker, BrokerConfig},
    faults::{Action, Direction},
};
use pyo3::prelude::*;
use std::path::PathBuf;

/// A Kafka-protocol broker inside this process, on loopback.
#[pyclass(frozen, module = "turbine._native")]
pub struct EmbeddedBroker(Broker);

impl EmbeddedBroker {
    fn add(
        &self,
        action: Action,
        api: &str,
        times: Option<u64>,
        topic: Option<String>,
        client: Option<String>,
    ) -> PyResult<Fault> {
        let target = faults::target(api, times, topic, client)?;
        Ok(Fault(self.0.add_fault(target, action, times)?))
    }
}

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
        nodes = 1,
        advertised = None,
        retention_bytes = None,
        initial_rebalance_delay_ms = 0,
        consumer_heartbeat_interval_ms = 5000,
        consumer_session_timeout_ms = 45000,
        clock = None,
    ), text_signature = "(*, host='127.0.0.1', port=0, data_dir=None, default_partitions=4, auto_create_topics=True, nodes=1, advertised=None, retention_bytes=None, initial_rebalance_delay_ms=0, consumer_heartbeat_interval_ms=5000, consumer_session_timeout_ms=45000, clock=None)")]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn new(
        py: Python<'_>,
        host: String,
        port: u16,
        data_dir: Option<PathBuf>,
        default_partitions: i32,
        auto_create_topics: bool,
        nodes: i32,
        advertised: Option<String>,
        retention_bytes: Option<u64>,
        initial_rebalance_delay_ms: u64,
        consumer_heartbeat_interval_ms: u64,
        consumer_session_timeout_ms: u64,
        clock: Option<&Bound<'_, Clock>>,
    ) -> PyResult<Self> {
        let config = BrokerConfig {
            host,
            port,
            data_dir,
            default_partitions,
            auto_create_topics,
            nodes,
            advertised,
            retention_bytes,
            initial_rebalance_delay_ms,
            consumer_heartbeat_interval_ms,
            consumer_session_timeout_ms,
            clock: Clock::or_system(clock),
            ..BrokerConfig::default()
        };
        Ok(Self(py.detach(|| Broker::start(config))?))
    }

    /// `host:port` to give to clients.
    #[getter]
    fn address(&self) -> String {
        self.0.address()
    }

    /// `host:port` of every node, of node 1 first.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.0.addresses()
    }

    /// A node goes: nobody can reach it, and others lead and coordinate what it did.
    fn down(&self, py: Python<'_>, node: i32) -> PyResult<()> {
        Ok(py.detach(|| self.0.down(node))?)
    }

    /// A node comes back.
    fn up(&self, py: Python<'_>, node: i32) -> PyResult<()> {
        Ok(py.detach(|| self.0.up(node))?)
    }

    /// Members of a group, or of every group, share their partitions anew; the number of groups.
    #[pyo3(signature = (group = None))]
    fn rebalance(&self, py: Python<'_>, group: Option<&str>) -> usize {
        py.detach(|| self.0.rebalance(group))
    }

    /// Takes members out of a group, by member id, instance id or `client.id`; their number.
    fn expire_member(&self, py: Python<'_>, group: &str, member: &str) -> usize {
        py.detach(|| self.0.expire_member(group, member))
    }

    /// Closes every connection and the log; idempotent.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }

    /// The next requests get an error and have no effect.
    #[pyo3(signature = (api, error, times = 1, *, topic = None, client = None))]
    fn fail(
        &self,
        api: &str,
        error: ErrorCode,
        times: Option<u64>,
        topic: Option<String>,
        client: Option<String>,
    ) -> PyResult<Fault> {
        self.add(Action::Fail(error.code()?), api, times, topic, client)
    }

    /// Requests wait before they are served, and what their connection sends behind them.
    #[pyo3(signature = (api, ms, times = None, *, topic = None, client = None))]
    fn delay(
        &self,
        api: &str,
        ms: u64,
        times: Option<u64>,
        topic: Option<String>,
        client: Option<String>,
    ) -> PyResult<Fault> {
        self.add(faults::delay(ms, Direction::Requests), api, times, topic, client)
    }

    /// The next requests take effect, and then their connections close.
    #[pyo3(signature = (api, times = 1, *, topic = None, client = None))]
    fn drop_response(
        &self,
        api: &str,
        times: Option<u64>,
        topic: Option<String>,
        client: Option<String>,
    ) -> PyResult<Fault> {
        self.add(Action::DropResponse, api, times, topic, client)
    }

    /// The next requests close their connections and have no effect.
    #[pyo3(signature = (api, times = 1, *, topic = None, client = None))]
    fn disconnect(
        &self,
        api: &str,
        times: Option<u64>,
        topic: Option<String>,
        client: Option<String>,
    ) -> PyResult<Fault> {
        self.add(Action::Disconnect, api, times, topic, client)
    }

    /// Requests wait until `release`.
    #[pyo3(signature = (api = "*", *, topic = None, client = None))]
    fn hold(&self, api: &str, topic: Option<String>, client: Option<String>) -> PyResult<Fault> {
        self.add(Action::Hold(Direction::Requests), api, None, topic, client)
    }

    /// What is held goes on.
    fn release(&self) {
        self.0.faults().release();
    }

    /// All rules since the last `clear_faults`.
    fn faults(&self) -> Vec<Fault> {
        faults::listed(self.0.faults())
    }

    /// Nothing goes wrong any more, and what is held goes on.
    fn clear_faults(&self) {
        self.0.faults().clear();
    }
}
