//! State of a worker that does not run, for the command line.

use crate::{
    error::{Error, Result},
    join::inspect::OfJoins,
    state::{
        StateDb,
        inspect::{self, Asked, Meaning, Part},
    },
};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest time that one page is looked for.
const LOOKING: Duration = Duration::from_secs(30);

/// The state in a directory that no worker has; answers are JSON.
#[pyclass(frozen, module = "turbine._native")]
pub struct StoredState {
    parts: Vec<Part>,
}

#[pymethods]
impl StoredState {
    #[new]
    #[pyo3(signature = (directory, /))]
    fn new(py: Python<'_>, directory: PathBuf) -> PyResult<Self> {
        let parts = py.detach(|| -> Result<_> {
            let parts = inspect::parts(&StateDb::open_to_read(&directory)?.stored()?);
            let joins: Arc<dyn Meaning> = Arc::new(OfJoins);
            Ok(parts.into_iter().map(|part| part.meaning(&joins)).collect())
        })?;
        Ok(Self { parts })
    }

    #[getter]
    fn tables(&self) -> Vec<String> {
        let mut names: Vec<_> = self.parts.iter().map(|part| part.table.clone()).collect();
        names.dedup();
        names
    }

    #[pyo3(signature = (*, table = None))]
    fn stats(&self, py: Python<'_>, table: Option<&str>) -> PyResult<String> {
        let parts = self.of(table)?;
        Ok(py.detach(|| parts.iter().map(stats).collect::<Result<Value>>())?.to_string())
    }

    #[pyo3(signature = (table, key, *, scope = None, partition = None))]
    fn get(
        &self,
        py: Python<'_>,
        table: &str,
        key: &str,
        scope: Option<&str>,
        partition: Option<i32>,
    ) -> PyResult<String> {
        let parts = self.of(Some(table))?;
        let rows = py.detach(|| -> Result<Vec<_>> {
            let asked =
                parts.iter().filter(|part| partition.is_none_or(|p| p == part.task.partition));
            let rows = asked.map(|part| part.find(key, scope)).collect::<Result<Vec<_>>>()?;
            Ok(rows.into_iter().flatten().collect())
        })?;
        Ok(json!(rows).to_string())
    }

    #[pyo3(signature = (table, *, prefix = "", scope = None, partition = None, after = None, limit = 100))]
    #[expect(clippy::too_many_arguments, reason = "each is a word of the command line")]
    fn page(
        &self,
        py: Python<'_>,
        table: &str,
        prefix: &str,
        scope: Option<String>,
        partition: Option<i32>,
        after: Option<String>,
        limit: usize,
    ) -> PyResult<String> {
        let parts = self.of(Some(table))?;
        let until = Instant::now() + LOOKING;
        let asked = Asked { prefix: prefix.into(), scope, partition, after, limit, until };
        let page = py.detach(|| inspect::page(&parts, &asked))?;
        Ok(json!(page).to_string())
    }
}

impl StoredState {
    /// The parts of one table, or all.
    fn of(&self, table: Option<&str>) -> Result<Vec<Part>> {
        let parts = self.parts.iter().filter(|part| table.is_none_or(|name| name == part.table));
        let parts: Vec<_> = parts.cloned().collect();
        match table {
            Some(table) if parts.is_empty() => Err(Error::Config(format!(
                "there is no table {table} here; there are: {}",
                self.tables().join(", ")
            ))),
            _ => Ok(parts),
        }
    }
}

fn stats(part: &Part) -> Result<Value> {
    let (mark, stats) = (part.mark()?, part.stats()?);
    Ok(json!({
        "table": part.table, "topic": part.task.topic, "partition": part.task.partition,
        "position": mark.map(|mark| mark.next), "keys": stats.keys,
        "key_bytes": stats.key_bytes, "value_bytes": stats.value_bytes,
    }))
}
