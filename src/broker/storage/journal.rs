//! The journal: everything but records that must be known after a restart.

use crate::broker::group::Committed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A change that is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// The cluster has this id.
    Cluster {
        /// The id.
        id: String,
    },
    /// A topic exists, or has new settings or more partitions.
    Topic {
        /// Its name.
        name: String,
        /// Its id.
        id: Uuid,
        /// Number of partitions.
        partitions: i32,
        /// What was set.
        config: BTreeMap<String, String>,
    },
    /// A topic is deleted.
    TopicGone {
        /// Its name.
        name: String,
    },
    /// Records in front of an offset are deleted.
    Start {
        /// Id of the topic.
        topic: Uuid,
        /// Partition.
        partition: i32,
        /// First offset that is left.
        offset: i64,
    },
    /// A group has committed.
    Commit {
        /// The group.
        group: String,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What was committed; `None` if it was deleted.
        committed: Option<Committed>,
    },
    /// A group is deleted.
    GroupGone {
        /// The group.
        group: String,
    },
    /// Producer ids below this one may be in use.
    ProducerIds {
        /// The first id that is certainly free.
        below: i64,
    },
}
