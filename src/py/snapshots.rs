//! Snapshots of an object store, for Python.

use crate::{
    error::{Error, Result},
    state::{
        StateDb, StateOptions, TaskName,
        snapshot::{Archive, Listed, Manifest, Shelf, SnapshotId, SpaceParts, Unit, Wanted},
    },
};
use pyo3::{prelude::*, types::PyTuple};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// How long a restore waits for a worker that is on its way out.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Memory of a store that is only filled.
const MEMORY_BYTES: usize = 64 << 20;

/// The snapshots at a URL; every call blocks without the interpreter and returns JSON.
#[pyclass(frozen, module = "turbine._native")]
pub struct Snapshots(Archive);

#[pymethods]
impl Snapshots {
    #[new]
    #[pyo3(signature = (url, /))]
    fn new(url: &str) -> PyResult<Self> {
        Ok(Self(Archive::open(url)?))
    }

    /// Whose snapshots there are: `[[app, name, topic, partition], ...]`.
    #[pyo3(signature = (app = None))]
    fn units(
        &self,
        py: Python<'_>,
        app: Option<&str>,
    ) -> PyResult<Vec<(String, String, String, i32)>> {
        let units = py.detach(|| run(self.0.units(app)))?;
        Ok(units
            .into_iter()
            .map(|unit| (unit.app, unit.name, unit.topic, unit.partition))
            .collect())
    }

    /// The snapshots of one unit, the freshest first.
    #[pyo3(signature = (app, name, topic, partition, /))]
    fn list(
        &self,
        py: Python<'_>,
        app: &str,
        name: &str,
        topic: &str,
        partition: i32,
    ) -> PyResult<String> {
        let shelf = self.shelf(app, name, topic, partition)?;
        Ok(py.detach(|| run(list(&shelf)))?)
    }

    /// Restores one unit into the directory of a worker that does not run; without one, only checks it.
    #[pyo3(signature = (app, name, topic, partition, /, *, snapshot = None, state_dir = None))]
    #[expect(clippy::too_many_arguments, reason = "what names a unit, as Python writes it")]
    fn restore(
        &self,
        py: Python<'_>,
        app: &str,
        name: &str,
        topic: &str,
        partition: i32,
        snapshot: Option<&Bound<'_, PyTuple>>,
        state_dir: Option<PathBuf>,
    ) -> PyResult<String> {
        let shelf = self.shelf(app, name, topic, partition)?;
        let id = snapshot.map(|id| id.extract::<(u64, u64, i64)>()).transpose()?;
        let id = id.map(|(epoch, sequence, next)| SnapshotId { epoch, sequence, next });
        Ok(py.detach(|| restore(&shelf, id, state_dir))?)
    }
}

impl Snapshots {
    fn shelf(&self, app: &str, name: &str, topic: &str, partition: i32) -> Result<Shelf> {
        self.0.of(&Unit { app: app.into(), name: name.into(), topic: topic.into(), partition })
    }
}

fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::io("starting a thread for snapshots", &e))?;
    runtime.block_on(work)
}

async fn list(shelf: &Shelf) -> Result<String> {
    let mut found = Vec::new();
    for Listed { id, at_ms } in shelf.list().await? {
        let mut line = match shelf.manifest(id).await? {
            Ok(manifest) => about(&manifest),
            Err(why) => json!({ "error": why }),
        };
        line["id"] = json!([id.epoch, id.sequence, id.next]);
        line["at_ms"] = at_ms.into();
        found.push(line);
    }
    Ok(Value::from(found).to_string())
}

fn about(manifest: &Manifest) -> Value {
    json!({
        "next": manifest.mark().next,
        "log": manifest.mark().log,
        "created_ms": manifest.created_ms,
        "partitions": manifest.partitions,
        "rows": manifest.kept_rows(),
        "bytes": manifest.bytes,
        "stored_bytes": manifest.stored_bytes,
        "parts": manifest.parts().count(),
    })
}

fn restore(shelf: &Shelf, id: Option<SnapshotId>, state_dir: Option<PathBuf>) -> Result<String> {
    let unit = shelf.unit();
    let wanted = Wanted { id, ..Wanted::default() };
    let scratch = tempfile::tempdir().map_err(|e| Error::io("creating a folder", &e))?;
    let staging = state_dir.as_deref().unwrap_or(scratch.path());
    let Some(staged) = run(shelf.fetch(&wanted, staging))? else {
        let what = id.map_or_else(|| "no snapshot".to_owned(), |id| format!("no snapshot {id}"));
        return Err(Error::State(format!("there is {what} of {unit} of app {}", unit.app)));
    };
    let mut said = about(staged.manifest());
    said["id"] = staged.manifest().id().to_string().into();
    if let Some(state_dir) = state_dir {
        let task = TaskName {
            owner: unit.name.clone(),
            topic: unit.topic.clone(),
            partition: unit.partition,
            partitions: staged.manifest().partitions,
        };
        let options =
            StateOptions { memory_bytes: MEMORY_BYTES, app_id: unit.app.clone(), wait: LOCK_WAIT };
        let spaces: Vec<_> = staged.manifest().spaces.iter().map(SpaceParts::space).collect();
        let db = StateDb::open(&state_dir, &options)?;
        let restored = staged.load(&*db.store(&task, &spaces)?, &spaces)?;
        said["passed_over"] = restored.passed_over.into();
    }
    Ok(said.to_string())
}
