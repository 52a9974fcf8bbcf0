//! A worker, for Python.

use super::{
    batch::Batch,
    clock::Clock,
    cursor::{AgentSide, Cursor},
    decode::Decode,
    detached::Detached,
    error::stopped,
    logs,
    producer::Producer,
    table::Table,
    table_codec::TableCodec,
    visit::Visit,
};
use crate::{
    codec::json::SharedSchema,
    config::WorkerConfig,
    error::Error,
    http,
    task::{shelf::Closed, subscription::Job},
    types::TopicPartition,
    worker::{self, events::Event, view::View},
};
use parking_lot::Mutex;
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};
use pyo3_arrow::PySchema;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// One process of an app: consumers, tasks, producer, HTTP server.
#[pyclass(frozen, module = "turbine._native")]
pub struct Worker {
    worker: Detached<worker::Worker>,
    agents: Mutex<HashMap<String, Arc<AgentSide>>>,
    server: Mutex<Option<http::Server>>,
}

#[pymethods]
impl Worker {
    #[new]
    #[pyo3(signature = (config, /, clock = None))]
    fn new(py: Python<'_>, config: &str, clock: Option<&Bound<'_, Clock>>) -> PyResult<Self> {
        let config: WorkerConfig = serde_json::from_str(config)
            .map_err(|e| Error::Config(format!("worker configuration: {e}")))?;
        let clock = Clock::or_system(clock);
        let worker = py.detach(|| worker::Worker::new(config, clock))?;
        logs::attach(Arc::downgrade(worker.wake()));
        let worker = Detached::new(worker);
        Ok(Self { worker, agents: Mutex::default(), server: Mutex::default() })
    }

    #[pyo3(signature = (subscription, schema, /))]
    fn set_schema(&self, subscription: &str, schema: Option<PySchema>) {
        if let Some(schema) = schema {
            self.worker.set_schema(subscription, schema.into_inner());
        }
    }

    #[pyo3(signature = (agent, key, value, batch_schema, /))]
    fn set_decoder(
        &self,
        agent: &str,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        batch_schema: Option<PySchema>,
    ) -> PyResult<()> {
        let config = self.worker.config.agents.iter().find(|a| a.name == agent);
        let config = config.ok_or_else(|| Error::Config(format!("no agent is called {agent}")))?;
        let widened = self.worker.metrics.schema_widened.clone();
        let side = AgentSide {
            name: agent.to_owned(),
            key: Decode::new(key)?,
            value: Decode::new(value)?,
            schema: batch_schema.map(PySchema::into_inner),
            learned: Arc::new(SharedSchema::new(agent, widened)),
            on_error: config.on_error,
            dlq: config.dlq.clone(),
            producer: Arc::clone(self.worker.producer()),
        };
        self.agents.lock().insert(agent.to_owned(), Arc::new(side));
        Ok(())
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            if let Some(config) = &self.worker.config.http {
                let view: Arc<dyn View> = Arc::clone(&self.worker) as _;
                *self.server.lock() = Some(http::Server::start(config, view)?);
            }
            self.worker.start()
        })
        .inspect_err(|_| {
            py.detach(|| self.server.lock().take());
        })?;
        Ok(())
    }

    #[getter]
    fn producer(&self) -> Producer {
        Producer(Detached::new(Arc::clone(self.worker.producer())))
    }

    #[getter]
    fn http_address(&self) -> Option<String> {
        self.server.lock().as_ref().map(|server| server.address().to_string())
    }

    fn wake_fd(&self) -> i32 {
        self.worker.wake().fd()
    }

    fn clear_wake(&self) {
        self.worker.wake().clear();
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let events = self.worker.events().into_iter().map(|event| describe(py, event));
        PyList::new(py, events.collect::<PyResult<Vec<_>>>()?)
    }

    fn next_batch(
        &self,
        py: Python<'_>,
        subscription: &str,
        timeout_ms: u64,
    ) -> PyResult<Option<Batch>> {
        let shelf = self.worker.shelf(subscription)?;
        let timeout = Duration::from_millis(timeout_ms);
        let next = py.detach(|| shelf.next(timeout).map(|job| job.and_then(Job::unless_halted)));
        hand_over(next)
    }

    fn try_next_batch(&self, subscription: &str) -> PyResult<Option<Batch>> {
        let shelf = self.worker.shelf(subscription)?;
        hand_over(shelf.try_next().map(|job| job.and_then(Job::unless_halted)))
    }

    fn next_cursor(&self, agent: &str, index: usize) -> PyResult<Option<Cursor>> {
        let next = self.worker.mailbox(agent, index)?.try_next();
        let Some(cursor) = next.map_err(|Closed| stopped())? else { return Ok(None) };
        let side = self.agents.lock().get(agent).cloned();
        let agent = side.ok_or_else(|| Error::Config(format!("agent {agent} has no decoder")))?;
        Ok(Some(Cursor { cursor, agent }))
    }

    /// The table that was declared as *name*.
    #[pyo3(signature = (name, codec, /))]
    fn table(&self, name: &str, codec: Py<TableCodec>) -> PyResult<Table> {
        let index = self.worker.config.tables.iter().position(|table| table.name == name);
        let index = index.ok_or_else(|| Error::Config(format!("no table is called {name}")))?;
        let worker = Detached::new(Arc::clone(&self.worker));
        Ok(Table::new(worker, crate::task::tables::space(index), codec))
    }

    /// Let an agent read more topics, each with its number of partitions.
    #[pyo3(signature = (agent, topics, /))]
    fn read_also(
        &self,
        py: Python<'_>,
        agent: &str,
        topics: BTreeMap<String, usize>,
    ) -> PyResult<()> {
        Ok(py.detach(|| self.worker.read_also(agent, topics))?)
    }

    /// A turn of a partition without a record; none if a commit waits for records there for so long, and of
    /// a partition that is not here.
    #[pyo3(signature = (topic, partition, timeout_ms, /))]
    fn visit(&self, py: Python<'_>, topic: &str, partition: i32, timeout_ms: u64) -> Option<Visit> {
        let (tp, timeout) =
            (TopicPartition::new(topic, partition), Duration::from_millis(timeout_ms));
        py.detach(|| self.worker.visit(&tp, timeout)).map(Visit::new)
    }

    /// (end offset, whether all in front of it is done); none while something is under way there.
    #[pyo3(signature = (topic, partition, /))]
    fn ahead(&self, py: Python<'_>, topic: &str, partition: i32) -> PyResult<Option<(i64, bool)>> {
        let tp = TopicPartition::new(topic, partition);
        let ahead = py.detach(|| self.worker.ahead(&tp))?;
        Ok(ahead.map(|ahead| (ahead.end, ahead.is_done)))
    }

    /// Partitions of agents in which something is written and not committed.
    fn behind(&self) -> Vec<(String, i32)> {
        let behind = self.worker.partitions.behind().into_iter();
        behind.map(|tp| (tp.topic.to_string(), tp.partition)).collect()
    }

    #[pyo3(signature = (agent, message, /))]
    fn agent_failed(&self, agent: &str, message: &str) {
        self.worker.agent_failed(agent, message);
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.worker.stop());
    }

    fn join(&self, py: Python<'_>, timeout_ms: u64) -> Vec<String> {
        py.detach(|| {
            let hanging = self.worker.join(Duration::from_millis(timeout_ms));
            self.server.lock().take();
            hanging
        })
    }

    /// End the last threads of a worker that has been joined.
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            self.worker.producer().close();
            self.server.lock().take();
        });
    }

    fn kill(&self, py: Python<'_>) {
        py.detach(|| self.worker.kill());
    }

    fn assignments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let rows = py.detach(|| self.worker.assignments());
        let json = serde_json::to_string(&rows).map_err(|e| Error::Encode(e.to_string()))?;
        py.import("json")?.call_method1("loads", (json,))
    }

    fn health(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.worker.health().reasons)
    }

    fn ready(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.worker.ready().reasons)
    }

    /// Counts keys that a lookup found in its cache, or not, calls that failed, and how long each took.
    #[pyo3(signature = (lookup, hits, misses, errors, seconds, /))]
    fn note_lookups(&self, lookup: &str, hits: u64, misses: u64, errors: u64, seconds: Vec<f64>) {
        self.worker.metrics.lookups.note(lookup, (hits, misses, errors), &seconds);
    }

    fn metrics(&self, py: Python<'_>) -> String {
        py.detach(|| self.worker.metrics())
    }
}

fn hand_over(next: Result<Option<Job>, Closed>) -> PyResult<Option<Batch>> {
    next.map(|job| job.map(Batch::new)).map_err(|Closed| stopped())
}

fn describe<'py>(py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let (kind, whose, partitions, reason) = match event {
        Event::Assigned { group, partitions } => ("assigned", group, partitions, None),
        Event::Revoked { group, partitions } => ("revoked", group, partitions, None),
        Event::Restored { group, partitions } => ("restored", group, partitions, None),
        Event::Commits { group, partitions } => ("commits", group, partitions, None),
        Event::Committed { group, partitions } => ("committed", group, partitions, None),
        Event::Fatal { name, partition, reason } => ("fatal", name, vec![partition], Some(reason)),
        Event::Failed { name, partition, reason } => {
            ("failed", name, vec![partition], Some(reason))
        }
    };
    let pairs = partitions.into_iter().map(|tp| (tp.topic.to_string(), tp.partition));
    dict.set_item("kind", kind)?;
    dict.set_item(if reason.is_none() { "group" } else { "name" }, whose)?;
    dict.set_item("partitions", pairs.collect::<Vec<_>>())?;
    if let Some(reason) = reason {
        dict.set_item("reason", reason)?;
    }
    Ok(dict)
}
