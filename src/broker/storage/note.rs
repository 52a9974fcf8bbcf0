//! What is written down besides records, and which of it still holds.

use super::group_note::{GroupNote, HeldGroups};
use crate::broker::{group::Committed, transaction::Transaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A change that is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// Which cluster this is.
    Cluster {
        /// Its id.
        id: String,
        /// Format of the data directory.
        format: u32,
    },
    /// Producer ids below this one may be in use.
    ProducerIds {
        /// The first id that is certainly free.
        below: i64,
    },
    /// A topic exists, or has other settings or more partitions.
    Topic(TopicNote),
    /// A topic is deleted, and with it what was committed for it.
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
    /// A partition has another leader.
    Epoch {
        /// Id of the topic.
        topic: Uuid,
        /// Partition.
        partition: i32,
        /// Epoch of the leader.
        epoch: i32,
    },
    /// A group has committed, or (`None`) no longer has.
    Commit {
        /// The group.
        group: String,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What it has committed.
        committed: Option<Committed>,
    },
    /// A transactional id has another owner, or its transaction stands elsewhere; `None`: it is
    /// forgotten.
    Transaction {
        /// The transactional id.
        id: String,
        /// What is known of it.
        transaction: Option<Box<Transaction>>,
    },
    /// The members of a group have changed.
    Group(GroupNote),
    /// A group is deleted.
    GroupGone {
        /// The group.
        group: String,
    },
}

/// A topic, written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicNote {
    /// Its name.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: Uuid,
    /// Number of partitions.
    pub(crate) partitions: i32,
    /// What was set.
    pub(crate) config: BTreeMap<String, String>,
    /// The nodes of each partition.
    #[serde(default)]
    pub(crate) replicas: Vec<Vec<i32>>,
}

/// The notes that hold: of each thing, the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Id of the cluster, and the format of its data.
    pub(crate) cluster: Option<(String, u32)>,
    /// The first producer id that is certainly free.
    pub(crate) producer_ids_below: i64,
    /// Topics, by name.
    pub(crate) topics: BTreeMap<String, TopicNote>,
    /// First offsets, by topic and partition.
    pub(crate) starts: BTreeMap<(Uuid, i32), i64>,
    /// Epochs of leaders, by topic and partition; 0 where there is none.
    pub(crate) epochs: BTreeMap<(Uuid, i32), i32>,
    /// Committed offsets, by group, topic and partition.
    pub(crate) commits: BTreeMap<String, BTreeMap<(String, i32), Committed>>,
    /// What is known of transactional ids.
    pub(crate) transactions: BTreeMap<String, Transaction>,
    /// Groups and their members.
    pub(crate) groups: HeldGroups,
}

impl Held {
    /// Lets a note take effect.
    pub(crate) fn apply(&mut self, note: Note) {
        match note {
            Note::Cluster { id, format } => self.cluster = Some((id, format)),
            Note::ProducerIds { below } => self.producer_ids_below = below,
            Note::Topic(topic) => {
                self.topics.insert(topic.name.clone(), topic);
            }
            Note::TopicGone { name } => {
                if let Some(topic) = self.topics.remove(&name) {
                    self.starts.retain(|(id, _), _| *id != topic.id);
                    self.epochs.retain(|(id, _), _| *id != topic.id);
                }
                for commits in self.commits.values_mut() {
                    commits.retain(|(topic, _), _| *topic != name);
                }
                self.transactions.values_mut().for_each(|t| t.forget_topic(&name));
            }
            Note::Start { topic, partition, offset } => {
                self.starts.insert((topic, partition), offset);
            }
            Note::Epoch { topic, partition, epoch } => {
                self.epochs.insert((topic, partition), epoch);
            }
            Note::Commit { group, topic, partition, committed } => {
                let commits = self.commits.entry(group).or_default();
                match committed {
                    Some(committed) => commits.insert((topic, partition), committed),
                    None => commits.remove(&(topic, partition)),
                };
            }
            Note::Transaction { id, transaction } => {
                match transaction {
                    Some(transaction) => self.transactions.insert(id, *transaction),
                    None => self.transactions.remove(&id),
                };
            }
            Note::Group(note) => self.groups.apply(note),
            Note::GroupGone { group } => {
                self.groups.forget(&group);
                self.commits.remove(&group);
                self.transactions.values_mut().for_each(|t| t.forget_group(&group));
            }
        }
    }

    /// The fewest notes that say the same.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some((id, format)) = &self.cluster {
            notes.push(Note::Cluster { id: id.clone(), format: *format });
        }
        notes.push(Note::ProducerIds { below: self.producer_ids_below });
        notes.extend(self.topics.values().cloned().map(Note::Topic));
        notes.extend(self.starts.iter().map(|(&(topic, partition), &offset)| Note::Start {
            topic,
            partition,
            offset,
        }));
        notes.extend(self.epochs.iter().map(|(&(topic, partition), &epoch)| Note::Epoch {
            topic,
            partition,
            epoch,
        }));
        notes.extend(self.groups.notes().into_iter().map(Note::Group));
        for (group, commits) in &self.commits {
            notes.extend(commits.iter().map(|((topic, partition), committed)| Note::Commit {
                group: group.clone(),
                topic: topic.clone(),
                partition: *partition,
                committed: Some(committed.clone()),
            }));
        }
        notes.extend(self.transactions.iter().map(|(id, transaction)| {
            let (id, transaction) = (id.clone(), Some(Box::new(transaction.clone())));
            Note::Transaction { id, transaction }
        }));
        notes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn notes() -> impl Strategy<Value = Vec<Note>> {
        let name = || prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
        let topic_id = |name: &str| Uuid::from_u128(u128::from(name.as_bytes()[0]));
        let topic = (name(), 1..4i32).prop_map(move |(name, partitions)| {
            let id = topic_id(&name);
            let replicas = vec![vec![1, 2]; partitions as usize];
            Note::Topic(TopicNote { name, id, partitions, config: BTreeMap::new(), replicas })
        });
        let epoch = (name(), 0..3i32, 0..9i32).prop_map(move |(name, partition, epoch)| {
            Note::Epoch { topic: topic_id(&name), partition, epoch }
        });
        let start = (name(), 0..3i32, 0..99i64).prop_map(move |(name, partition, offset)| {
            Note::Start { topic: topic_id(&name), partition, offset }
        });
        let commit = (name(), name(), 0..3i32, proptest::option::of(0..99i64)).prop_map(
            |(group, topic, partition, offset)| {
                let committed = offset.map(|offset| Committed {
                    offset,
                    leader_epoch: -1,
                    metadata: "m".repeat(offset as usize % 7),
                });
                Note::Commit { group, topic, partition, committed }
            },
        );
        let note = prop_oneof![
            (0..99i64).prop_map(|below| Note::ProducerIds { below }),
            topic,
            name().prop_map(|name| Note::TopicGone { name }),
            start,
            epoch,
            commit,
            group_notes().prop_map(Note::Group),
            name().prop_map(|group| Note::GroupGone { group }),
        ];
        proptest::collection::vec(note, 0..40)
    }

    fn group_notes() -> impl Strategy<Value = GroupNote> {
        use crate::broker::{consumer_group, group};
        let name = || prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
        let classic = (name(), any::<i32>(), proptest::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(group, generation, bytes)| {
                let kept = group::Kept::of_one(generation, bytes);
                GroupNote::Classic { group, kept }
            });
        let consumers = (name(), 0..9i32).prop_map(|(group, epoch)| {
            let kept = consumer_group::Kept { epoch, ..consumer_group::Kept::default() };
            GroupNote::Consumers { group, kept }
        });
        let member = (name(), name(), 0..9i32).prop_map(|(group, id, partition)| {
            let kept = consumer_group::KeptMember::with_partition(&id, partition);
            GroupNote::Member { group, kept }
        });
        let gone = (name(), name())
            .prop_map(|(group, member_id)| GroupNote::MemberGone { group, member_id });
        prop_oneof![classic, consumers, member, gone]
    }

    pub(crate) fn held(notes: &[Note]) -> Held {
        let mut held = Held::default();
        notes.iter().cloned().for_each(|note| held.apply(note));
        held
    }

    proptest! {
        #[test]
        fn fewer_notes_say_the_same(notes in notes()) {
            let mut before = held(&notes);
            let after = held(&before.notes());
            before.commits.retain(|_, commits| !commits.is_empty());
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn a_deleted_topic_takes_its_commits_and_starts_along() {
        let id = Uuid::from_u128(7);
        let (config, replicas) = (BTreeMap::new(), Vec::new());
        let topic = TopicNote { name: "t".into(), id, partitions: 1, config, replicas };
        let committed = Some(Committed { offset: 3, leader_epoch: 0, metadata: String::new() });
        let (group, name) = ("g".to_owned(), "t".to_owned());
        let held = held(&[
            Note::Topic(topic),
            Note::Start { topic: id, partition: 0, offset: 2 },
            Note::Epoch { topic: id, partition: 0, epoch: 2 },
            Note::Commit { group, topic: name.clone(), partition: 0, committed },
            Note::TopicGone { name },
        ]);
        assert!(held.topics.is_empty() && held.starts.is_empty() && held.epochs.is_empty());
        assert!(held.commits.values().all(BTreeMap::is_empty));
    }
}
