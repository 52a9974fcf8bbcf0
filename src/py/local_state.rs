//! The state of a stopped worker, for the commands of an operator.

use crate::{
    engine::{
        identity::Identity,
        receipt::{Metadata, Receipt},
        reconcile::{Decision, Local, Remote, Then, Undecided, Undo, reconcile},
    },
    error::{Error, Result},
    state::{StateDb, StateOptions, TaskLook},
};
use parking_lot::Mutex;
use pyo3::prelude::*;
use std::{path::Path, time::Duration};

/// Enough to look around.
const MEMORY_BYTES: usize = 16 << 20;

/// Owner, topic, partition, partitions of the topic, and what its content has seen: offset, token, hash.
type Task = (String, String, i32, i32, Option<(i64, u64, u64)>);

/// Holds the lock of the directory until it is closed.
#[pyclass(frozen, module = "turbine._native")]
pub struct LocalState(Mutex<Option<StateDb>>);

impl LocalState {
    fn with<T>(&self, look: impl FnOnce(&StateDb) -> Result<T>) -> Result<T> {
        let db = self.0.lock();
        look(db.as_ref().ok_or_else(|| Error::State("the state is closed".into()))?)
    }
}

#[pymethods]
impl LocalState {
    #[new]
    #[pyo3(signature = (directory, app_id, /))]
    fn new(py: Python<'_>, directory: &str, app_id: &str) -> PyResult<Self> {
        let (memory_bytes, wait) = (MEMORY_BYTES, Duration::ZERO);
        let options = StateOptions { memory_bytes, app_id: app_id.to_owned(), wait };
        let db = py.detach(|| StateDb::open(Path::new(directory), &options))?;
        Ok(Self(Mutex::new(Some(db))))
    }

    fn close(&self) {
        self.0.lock().take();
    }

    fn tasks(&self, py: Python<'_>) -> PyResult<Vec<Task>> {
        let tasks = py.detach(|| self.with(StateDb::tasks))?;
        let task = |TaskLook { task, mark, .. }| {
            let mark = mark.map(|mark| (mark.next, mark.token, mark.hash));
            (task.owner, task.topic, task.partition, task.partitions, mark)
        };
        Ok(tasks.into_iter().map(task).collect())
    }

    #[pyo3(signature = (owner, topic, partition, committed, log, identity = (None, None)))]
    #[expect(clippy::too_many_arguments, reason = "Python's own signature")]
    fn judge(
        &self,
        py: Python<'_>,
        owner: &str,
        topic: &str,
        partition: i32,
        committed: Option<(i64, String)>,
        log: Option<(i64, i64)>,
        identity: Ids,
    ) -> PyResult<String> {
        let local = py.detach(|| self.with(|db| local(db, owner, topic, partition)))?;
        let committed = committed.map(|(offset, text)| (offset, Metadata::read(offset, &text)));
        let remote = Remote { committed, log, identity: of(identity) };
        Ok(verdict(&local, &remote).to_string())
    }

    #[pyo3(signature = (owner, topic, partition, identity))]
    fn adopt(
        &self,
        py: Python<'_>,
        owner: &str,
        topic: &str,
        partition: i32,
        identity: Ids,
    ) -> PyResult<()> {
        let adopt = |db: &StateDb| {
            let known = local(db, owner, topic, partition)?.identity;
            let generation = known.as_ref().map_or(0, |known| known.generation);
            let now = Identity { generation, ..of(identity) }.or(known);
            db.set_note(owner, topic, partition, &now.to_note())
        };
        Ok(py.detach(|| self.with(adopt))?)
    }

    fn generation(
        &self,
        py: Python<'_>,
        owner: &str,
        topic: &str,
        partition: i32,
    ) -> PyResult<u32> {
        let known = py.detach(|| self.with(|db| local(db, owner, topic, partition)))?.identity;
        Ok(known.map_or(0, |known| known.generation))
    }

    fn forget(&self, py: Python<'_>, owner: &str, topic: &str, partition: i32) -> PyResult<()> {
        Ok(py.detach(|| self.with(|db| db.forget(owner, topic, partition)))?)
    }

    fn remove(&self, py: Python<'_>, owner: &str, topic: &str) -> PyResult<()> {
        Ok(py.detach(|| self.with(|db| db.remove(owner, topic)))?)
    }
}

/// Ids of a cluster and of a topic.
type Ids = (Option<String>, Option<String>);

fn of((cluster, topic): Ids) -> Identity {
    Identity { cluster, topic, generation: 0 }
}

fn local(db: &StateDb, owner: &str, topic: &str, partition: i32) -> Result<Local> {
    let is_it = |one: &TaskLook| {
        one.task.owner == owner && one.task.topic == topic && one.task.partition == partition
    };
    let Some(found) = db.tasks()?.into_iter().find(is_it) else { return Ok(Local::default()) };
    let pending =
        found.pending.map(|(from, mark)| Undecided { from, next: mark.next, token: mark.token });
    let identity = found.note.and_then(|note| Identity::from_note(&note));
    Ok(Local { mark: found.mark, pending, identity })
}

/// What a worker would do with it at its start.
fn verdict(local: &Local, remote: &Remote) -> serde_json::Value {
    let Decision { pending, then } = reconcile(local, remote);
    let pending = match pending {
        Undo::Leave => serde_json::Value::Null,
        Undo::RollForward => "roll_forward".into(),
        Undo::Discard => "discard".into(),
    };
    let (word, at, halt) = match then {
        Then::Fresh => ("fresh", None, None),
        Then::Live(at) => ("live", Some(at), None),
        Then::Adopt(at) => ("adopt", Some(at), None),
        Then::CatchUp { to, .. } => ("catch_up", Some(to), None),
        Then::Halt(halt) => ("halt", None, Some(halt)),
    };
    let text = halt.as_ref().map(ToString::to_string);
    serde_json::json!({
        "pending": pending,
        "then": word,
        "at": at,
        "local": local.mark.map(|mark| mark.next),
        "committed": remote.position(),
        "halt": halt,
        "text": text,
    })
}

/// Did a reset commit `offset` with this text beside it, and nobody since?
#[pyfunction]
pub fn is_beginning(offset: i64, text: &str) -> bool {
    Metadata::read(offset, text).receipt().is_some_and(Receipt::is_beginning)
}

/// The text beside a committed offset, of a commit that an operator makes.
#[pyfunction]
#[pyo3(signature = (position, token = 0, digest = 0, generation = 0, time_ms = 0))]
pub fn receipt(position: i64, token: u64, digest: u64, generation: u32, time_ms: i64) -> String {
    let plain = Receipt::plain(position, token);
    Receipt { hash: digest, generation, time_ms, ..plain }.to_metadata()
}
