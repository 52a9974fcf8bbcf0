//! The embedded broker, for Python.

use super::{
    clock::Clock,
    detached::Detached,
    faults::{self, ErrorCode, Fault},
    registry::{RegistryPort, SchemaRegistry},
    security::{TlsFiles, security},
};
use crate::{
    broker::{Broker, BrokerConfig, Wanted},
    faults::{Action, Direction},
};
use pyo3::{prelude::*, types::PyBytes};
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

type Headers<'py> = Vec<(String, Option<Bound<'py, PyBytes>>)>;
/// Partition, offset, timestamp in ms, key, value, headers.
type Row<'py> =
    (i32, i64, i64, Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>, Headers<'py>);

/// A Kafka-protocol broker inside this process, on loopback.
#[pyclass(frozen, module = "turbine._native")]
pub struct EmbeddedBroker(Detached<Broker>, Option<Py<SchemaRegistry>>);

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
        memory_bytes = Some(1 << 30),
        initial_rebalance_delay_ms = 0,
        consumer_heartbeat_interval_ms = 5_000,
        consumer_session_timeout_ms = 45_000,
        tls = None,
        verify_clients = false,
        users = None,
        mechanisms = None,
        clock = None,
        schema_registry = None,
    ), text_signature = "(*, host='127.0.0.1', port=0, data_dir=None, default_partitions=4, auto_create_topics=True, nodes=1, advertised=None, retention_bytes=None, memory_bytes=1073741824, initial_rebalance_delay_ms=0, consumer_heartbeat_interval_ms=5000, consumer_session_timeout_ms=45000, tls=None, verify_clients=False, users=None, mechanisms=None, clock=None, schema_registry=None)")]
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
        memory_bytes: Option<u64>,
        initial_rebalance_delay_ms: u64,
        consumer_heartbeat_interval_ms: u64,
        consumer_session_timeout_ms: u64,
        tls: Option<TlsFiles>,
        verify_clients: bool,
        users: Option<HashMap<String, String>>,
        mechanisms: Option<Vec<String>>,
        clock: Option<&Bound<'_, Clock>>,
        schema_registry: Option<RegistryPort>,
    ) -> PyResult<Self> {
        let registry = RegistryPort::start(py, schema_registry, &host, data_dir.clone())?;
        let config = BrokerConfig {
            host,
            port,
            data_dir,
            default_partitions,
            auto_create_topics,
            nodes,
            advertised,
            retention_bytes,
            memory_bytes,
            initial_rebalance_delay_ms,
            consumer_heartbeat_interval_ms,
            consumer_session_timeout_ms,
            security: security(tls, verify_clients, users, mechanisms)?,
            clock: Clock::or_system(clock),
            ..BrokerConfig::default()
        };
        let broker = py.detach(|| Broker::start(config))?;
        Ok(Self(Detached::new(Arc::new(broker)), registry))
    }

    /// `host:port` to give to clients.
    #[getter]
    fn address(&self) -> String {
        self.0.address()
    }

    /// The schema registry that was started with it.
    #[getter]
    fn schema_registry(&self, py: Python<'_>) -> Option<Py<SchemaRegistry>> {
        self.1.as_ref().map(|registry| registry.clone_ref(py))
    }

    /// `http://host:port` of that registry.
    #[getter]
    fn schema_registry_url(&self) -> Option<String> {
        self.1.as_ref().map(|registry| registry.get().url())
    }

    /// `host:port` of every node, of node 1 first.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.0.addresses()
    }

    /// Certificate, in PEM, that clients have to trust, if one was made at the start.
    #[getter]
    fn ca_certificate(&self) -> Option<&str> {
        self.0.ca_certificate()
    }

    /// Certificate and key, in PEM, for clients, if they must show one and it was made at the start.
    #[getter]
    fn client_certificate(&self) -> Option<(&str, &str)> {
        self.0.client_certificate()
    }

    /// Topics and their number of partitions.
    fn topics(&self, py: Python<'_>) -> BTreeMap<String, usize> {
        py.detach(|| self.0.topics())
    }

    /// Records of a topic, without a client.
    #[pyo3(signature = (topic, partition = None, start = 0, limit = None, *, committed = true))]
    fn records<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        partition: Option<i32>,
        start: i64,
        limit: Option<usize>,
        committed: bool,
    ) -> PyResult<Vec<Row<'py>>> {
        let limit = limit.unwrap_or(usize::MAX);
        let wanted = Wanted { partition, from: start, limit, committed };
        let records = py.detach(|| self.0.records(topic, wanted))?;
        let bytes = |bytes: Option<Vec<u8>>| bytes.map(|bytes| PyBytes::new(py, &bytes));
        let rows = records.into_iter().map(|record| {
            let headers = record.headers.into_iter().map(|(name, value)| (name, bytes(value)));
            let (key, value) = (bytes(record.key), bytes(record.value));
            let place = (record.partition, record.offset, record.timestamp_ms);
            (place.0, place.1, place.2, key, value, headers.collect())
        });
        Ok(rows.collect())
    }

    /// Groups: their state, and the `client.id` of each member by member id.
    fn groups(&self, py: Python<'_>) -> BTreeMap<String, (String, BTreeMap<String, String>)> {
        let groups = py.detach(|| self.0.groups());
        groups.into_iter().map(|(id, group)| (id, (group.state, group.members))).collect()
    }

    /// Committed offsets of a group.
    fn committed(&self, py: Python<'_>, group: &str) -> BTreeMap<(String, i32), i64> {
        py.detach(|| self.0.committed(group))
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
        if let Some(registry) = &self.1 {
            registry.get().stop(py);
        }
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
