//! A task as the worker holds it, whichever kind it is.

use crate::task::{agent, shelf::Shelf, status::Status, subscription, subscription::Job};
use std::sync::Arc;

/// One assigned partition.
#[derive(Clone)]
pub enum Task {
    /// Of a subscription, with the shelf that its batches lie on.
    Subscription(Arc<subscription::Shared>, Arc<Shelf<Job>>),
    /// Of the agents.
    Agents(Arc<agent::Shared>),
}

impl Task {
    /// State and metrics.
    #[must_use]
    pub fn status(&self) -> &Status {
        match self {
            Self::Subscription(task, _) => &task.status,
            Self::Agents(task) => &task.status,
        }
    }

    /// Offset that is safe to commit as far as handlers go.
    #[must_use]
    pub fn position(&self) -> Option<i64> {
        match self {
            Self::Subscription(task, _) => task.position(),
            Self::Agents(task) => task.position(),
        }
    }

    /// Stops polling; takes back what no handler has begun.
    pub fn drain(&self) {
        match self {
            Self::Subscription(task, shelf) => task.drain(shelf),
            Self::Agents(task) => task.drain(),
        }
    }

    /// Resolves when no handler has anything of it.
    pub async fn settle(&self) {
        match self {
            Self::Subscription(task, _) => task.settle().await,
            Self::Agents(task) => task.settle().await,
        }
    }

    /// Records that handlers have and have not finished.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        match self {
            Self::Subscription(task, _) => task.rows_in_flight(),
            Self::Agents(task) => task.in_flight() as u64,
        }
    }
}
