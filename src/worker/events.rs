//! What happened in a worker, for its front end to tell its users.

use super::wake::WakeFd;
use crate::types::TopicPartition;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Something that users may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The group gave us partitions.
    Assigned {
        /// Group id.
        group: String,
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// The group took partitions away.
    Revoked {
        /// Group id.
        group: String,
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// Every partition of agents that came lately has its tables as they were; none is on its way any more.
    Restored {
        /// Group id.
        group: String,
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// Offsets of partitions of agents are about to be committed; told only to who asks for it.
    Commits {
        /// Group id.
        group: String,
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// They are committed.
    Committed {
        /// Group id.
        group: String,
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// A partition stopped in front of a record.
    Failed {
        /// Subscription, or agents.
        name: String,
        /// Which.
        partition: TopicPartition,
        /// Why, and what to do.
        reason: String,
    },
    /// The worker is to end: a partition stands still, and the app has said that nothing may go on then.
    Fatal {
        /// Subscription, or agents.
        name: String,
        /// Which.
        partition: TopicPartition,
        /// Why, and what to do.
        reason: String,
    },
}

/// A queue of events; each wakes the front end.
pub struct Events {
    queue: Mutex<VecDeque<Event>>,
    wake: Arc<WakeFd>,
    /// Does somebody want to know of commits?
    commits: bool,
}

impl Events {
    /// An empty queue.
    #[must_use]
    pub fn new(wake: Arc<WakeFd>, commits: bool) -> Self {
        Self { queue: Mutex::default(), wake, commits }
    }

    /// Adds an event.
    pub fn put(&self, event: Event) {
        self.queue.lock().push_back(event);
        self.wake.signal();
    }

    /// Adds an event of a commit, where somebody wants to know.
    pub fn put_commit(&self, event: impl FnOnce() -> Event) {
        if self.commits {
            self.put(event());
        }
    }

    /// Takes all events.
    pub fn take(&self) -> Vec<Event> {
        self.queue.lock().drain(..).collect()
    }
}
