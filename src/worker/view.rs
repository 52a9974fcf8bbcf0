//! What a running worker shows to the outside; the HTTP routes read nothing else.

use super::snapshots::SnapshotView;
use crate::engine::halt::Halt;
use crate::state::inspect::Opened;
use crate::task::restore::Seen;
use serde::Serialize;

/// One line of `/assignments`.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct AssignmentView {
    /// Subscription name, or `agents` names joined by `+`.
    pub name: String,
    /// Consumer group.
    pub group: String,
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// `assigned`, `restoring`, `running`, `draining`, `revoked` or `failed`.
    pub state: &'static str,
    /// Next offset to read on a restart; none before the first commit.
    pub committed: Option<i64>,
    /// Offset behind the last record fetched.
    pub position: Option<i64>,
    /// Broker's end offset, as of the last fetch.
    pub end: Option<i64>,
    /// Records handed to a handler and not done yet.
    pub in_flight: u64,
    /// Why the task failed.
    pub error: Option<String>,
    /// The same as data, where somebody has to decide: `turbine doctor` explains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// How far its state is, while that is brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restoring: Option<Seen>,
}

/// Answer of `/health` and `/ready`.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Health {
    /// Why not; empty when all is well.
    pub reasons: Vec<String>,
    /// What is wrong although the work is done.
    pub troubles: Vec<String>,
}

/// Answer of `/snapshots`.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct SnapshotsView {
    /// Where they are; none if the worker takes none.
    pub url: Option<String>,
    /// Every task whose snapshots are taken.
    pub tasks: Vec<SnapshotView>,
}

/// A running worker, as its observers see it.
pub trait View: Send + Sync {
    /// Partitions that are read outside of groups, for tables that every worker has whole.
    fn followed(&self) -> Vec<AssignmentView> {
        Vec::new()
    }

    /// App id.
    fn app_id(&self) -> String;
    /// Is every task well and the broker in reach?
    fn health(&self) -> Health;
    /// Has every group got its assignment?
    fn ready(&self) -> Health;
    /// Every assigned partition.
    fn assignments(&self) -> Vec<AssignmentView>;
    /// The newest snapshot of every task.
    fn snapshots(&self) -> SnapshotsView;
    /// Asks for a snapshot of every task.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Config`] if the worker takes none; the sentence says how it does.
    fn take_snapshots(&self) -> crate::error::Result<SnapshotsView>;
    /// Prometheus text.
    fn metrics(&self) -> String;
    /// State that is open, of every task that keeps some.
    fn stores(&self) -> Vec<Opened> {
        Vec::new()
    }
}
