//! The offsets that a group has committed.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    /// The next offset to read.
    pub(crate) offset: i64,
    /// Leader epoch of the record in front of it, -1 if the client did not say.
    pub(crate) leader_epoch: i32,
    /// Whatever the client wants to remember.
    pub(crate) metadata: String,
}

/// The committed offsets of a group, by topic and partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommittedOffsets {
    by_topic: BTreeMap<String, BTreeMap<i32, Committed>>,
}

impl CommittedOffsets {
    /// Remembers an offset.
    pub(crate) fn set(&mut self, topic: &str, partition: i32, committed: Committed) {
        match self.by_topic.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, committed);
            }
            None => {
                let partitions = BTreeMap::from([(partition, committed)]);
                self.by_topic.insert(topic.to_owned(), partitions);
            }
        }
    }

    /// What was committed for a partition.
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.by_topic.get(topic)?.get(&partition)
    }

    /// Forgets a partition; true if there was something to forget.
    pub(crate) fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let Some(partitions) = self.by_topic.get_mut(topic) else { return false };
        let found = partitions.remove(&partition).is_some();
        if partitions.is_empty() {
            self.by_topic.remove(topic);
        }
        found
    }

    /// Forgets a topic.
    pub(crate) fn remove_topic(&mut self, topic: &str) {
        self.by_topic.remove(topic);
    }

    /// Topics with partitions, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, Committed>)> {
        self.by_topic.iter().map(|(topic, partitions)| (topic.as_str(), partitions))
    }
}
