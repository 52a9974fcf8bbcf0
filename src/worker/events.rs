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
}

impl Events {
    /// An empty queue.
    #[must_use]
    pub fn new(wake: Arc<WakeFd>) -> Self {
        Self { queue: Mutex::default(), wake }
    }

    /// Adds an event.
    pub fn put(&self, event: Event) {
        self.queue.lock().push_back(event);
        self.wake.signal();
    }

    /// Takes all events.
    pub fn take(&self) -> Vec<Event> {
        self.queue.lock().drain(..).collect()
    }
}
