//! Topics of a cluster, for Python.

use crate::{
    error::{Error, Result},
    kafka::{self, consumer::GroupOffset},
    types::TopicPartition,
};
use pyo3::prelude::*;
use std::{collections::BTreeMap, time::Duration};

/// Topics of a cluster; every call blocks without the interpreter.
#[pyclass(frozen, module = "turbine._native")]
pub struct Admin(kafka::admin::Admin);

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|e| Error::io("starting an admin call", &e))
}

#[pymethods]
impl Admin {
    #[new]
    #[pyo3(signature = (brokers, kafka, /))]
    fn new(brokers: &str, kafka: BTreeMap<String, String>) -> PyResult<Self> {
        Ok(Self(kafka::admin::Admin::new(brokers, &kafka)?))
    }

    #[pyo3(signature = (timeout_ms = 10_000))]
    fn list_topics(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<BTreeMap<String, usize>> {
        Ok(py.detach(|| self.0.list_topics(Duration::from_millis(timeout_ms)))?)
    }

    #[pyo3(
        signature = (topics, replication = -1, config = None, timeout_ms = 10_000),
        text_signature = "($self, topics, replication=-1, config=None, timeout_ms=10000)"
    )]
    fn create_topics(
        &self,
        py: Python<'_>,
        topics: BTreeMap<String, i32>,
        replication: i32,
        config: Option<BTreeMap<String, String>>,
        timeout_ms: u64,
    ) -> PyResult<Vec<String>> {
        let timeout = Duration::from_millis(timeout_ms);
        let settings = config.unwrap_or_default();
        Ok(py.detach(|| {
            runtime()?.block_on(self.0.create_topics(&topics, replication, &settings, timeout))
        })?)
    }

    #[pyo3(signature = (topic, timeout_ms = 10_000))]
    fn watermarks(
        &self,
        py: Python<'_>,
        topic: &str,
        timeout_ms: u64,
    ) -> PyResult<BTreeMap<i32, (i64, i64)>> {
        Ok(py.detach(|| self.0.watermarks(topic, Duration::from_millis(timeout_ms)))?)
    }

    #[pyo3(signature = (topic, timeout_ms = 10_000))]
    fn identity(
        &self,
        py: Python<'_>,
        topic: &str,
        timeout_ms: u64,
    ) -> PyResult<(Option<String>, Option<String>)> {
        let found = py.detach(|| self.0.identity(topic, Duration::from_millis(timeout_ms)))?;
        Ok((found.cluster, found.topic))
    }

    #[pyo3(
        signature = (group, topic, timeout_ms = 10_000),
        text_signature = "($self, group, topic, timeout_ms=10000)"
    )]
    fn committed(
        &self,
        py: Python<'_>,
        group: &str,
        topic: &str,
        timeout_ms: u64,
    ) -> PyResult<BTreeMap<i32, i64>> {
        Ok(py.detach(|| self.0.committed(group, topic, Duration::from_millis(timeout_ms)))?)
    }

    #[pyo3(signature = (group, other, timeout_ms = 10_000))]
    fn rebalance(&self, py: Python<'_>, group: &str, other: &str, timeout_ms: u64) -> PyResult<()> {
        Ok(py.detach(|| self.0.rebalance(group, other, Duration::from_millis(timeout_ms)))?)
    }

    #[pyo3(signature = (group, timeout_ms = 10_000))]
    fn members(&self, py: Python<'_>, group: &str, timeout_ms: u64) -> PyResult<Vec<String>> {
        Ok(py.detach(|| self.0.members(group, Duration::from_millis(timeout_ms)))?)
    }

    #[pyo3(
        signature = (group, topic, timeout_ms = 10_000),
        text_signature = "($self, group, topic, timeout_ms=10000)"
    )]
    fn group_offsets(
        &self,
        py: Python<'_>,
        group: &str,
        topic: &str,
        timeout_ms: u64,
    ) -> PyResult<BTreeMap<i32, (i64, String)>> {
        Ok(py.detach(|| self.0.group_offsets(group, topic, Duration::from_millis(timeout_ms)))?)
    }

    #[pyo3(signature = (group, topic, offsets))]
    fn set_group_offsets(
        &self,
        py: Python<'_>,
        group: &str,
        topic: &str,
        offsets: BTreeMap<i32, (i64, String)>,
    ) -> PyResult<()> {
        let offsets = offsets.into_iter().map(|(partition, (offset, metadata))| GroupOffset {
            tp: TopicPartition::new(topic, partition),
            offset,
            metadata,
        });
        let offsets: Vec<_> = offsets.collect();
        Ok(py.detach(|| self.0.set_group_offsets(group, &offsets))?)
    }

    #[pyo3(signature = (group, timeout_ms = 10_000))]
    fn delete_group(&self, py: Python<'_>, group: &str, timeout_ms: u64) -> PyResult<bool> {
        let timeout = Duration::from_millis(timeout_ms);
        Ok(py.detach(|| runtime()?.block_on(self.0.delete_group(group, timeout)))?)
    }

    #[pyo3(signature = (topics, timeout_ms = 10_000))]
    fn delete_topics(
        &self,
        py: Python<'_>,
        topics: Vec<String>,
        timeout_ms: u64,
    ) -> PyResult<Vec<String>> {
        let timeout = Duration::from_millis(timeout_ms);
        Ok(py.detach(|| runtime()?.block_on(self.0.delete_topics(&topics, timeout)))?)
    }

    #[pyo3(signature = (timeout_ms = 10_000))]
    fn cluster(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<(usize, String)> {
        Ok(py.detach(|| self.0.cluster(Duration::from_millis(timeout_ms)))?)
    }
}
