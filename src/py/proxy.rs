//! The fault proxy, for Python.

use super::{
    detached::Detached,
    faults::{self, ErrorCode, Fault},
};
use crate::{faults::Action, proxy};
use pyo3::prelude::*;
use std::sync::Arc;

/// A proxy between Kafka clients and a cluster that lets things go wrong on purpose.
#[pyclass(frozen, module = "turbine._native")]
pub struct FaultProxy(Detached<proxy::FaultProxy>);

impl FaultProxy {
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
impl FaultProxy {
    #[new]
    #[pyo3(signature = (upstream, /))]
    fn new(py: Python<'_>, upstream: &str) -> PyResult<Self> {
        let proxy = py.detach(|| proxy::FaultProxy::start(upstream))?;
        Ok(Self(Detached::new(Arc::new(proxy))))
    }

    /// `host:port` to give to clients; of several nodes all, with commas between.
    #[getter]
    fn address(&self) -> &str {
        self.0.address()
    }

    /// Number of connections that clients have through the proxy.
    #[getter]
    fn connections(&self) -> usize {
        self.0.connections()
    }

    /// The next requests get an error and do not arrive.
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

    /// Requests, responses or both wait, and what comes behind them on their connection.
    #[pyo3(signature = (api, ms, times = None, *, topic = None, client = None, direction = "requests"))]
    fn delay(
        &self,
        api: &str,
        ms: u64,
        times: Option<u64>,
        topic: Option<String>,
        client: Option<String>,
        direction: &str,
    ) -> PyResult<Fault> {
        let way = faults::direction(direction)?;
        self.add(faults::delay(ms, way), api, times, topic, client)
    }

    /// The next requests arrive, but their connections close instead of the responses.
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

    /// The next requests close their connections and do not arrive.
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

    /// Requests, responses or both wait until `release`.
    #[pyo3(signature = (direction = "both", api = "*", *, topic = None, client = None))]
    fn hold(
        &self,
        direction: &str,
        api: &str,
        topic: Option<String>,
        client: Option<String>,
    ) -> PyResult<Fault> {
        let way = faults::direction(direction)?;
        self.add(Action::Hold(way), api, None, topic, client)
    }

    /// What is held goes on.
    fn release(&self) {
        self.0.rules().release();
    }

    /// All rules since the last `clear_faults`.
    fn faults(&self) -> Vec<Fault> {
        faults::listed(self.0.rules())
    }

    /// Nothing goes wrong any more, and what is held goes on.
    fn clear_faults(&self) {
        self.0.rules().clear();
    }

    /// Resets all connections; clients may connect again.
    fn reset(&self, py: Python<'_>) {
        py.detach(|| self.0.reset());
    }

    /// Resets all connections, and every new one until `restore`.
    fn cut(&self, py: Python<'_>) {
        py.detach(|| self.0.cut());
    }

    /// Clients may connect again.
    fn restore(&self, py: Python<'_>) {
        py.detach(|| self.0.restore());
    }

    /// Ends the proxy with all its connections; idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}
