//! What is written down of groups besides what they have committed.

use crate::broker::{consumer_group, group};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A change of a group that is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GroupNote {
    /// A group of the classic protocol, with all its members.
    Classic {
        /// The group.
        group: String,
        /// What is to be known.
        kept: group::Kept,
    },
    /// A group of the `consumer` protocol, without its members.
    Consumers {
        /// The group.
        group: String,
        /// What is to be known.
        kept: consumer_group::Kept,
    },
    /// A member of a group of the `consumer` protocol.
    Member {
        /// The group.
        group: String,
        /// What is to be known.
        kept: consumer_group::KeptMember,
    },
    /// A member of a group of the `consumer` protocol is out.
    MemberGone {
        /// The group.
        group: String,
        /// The member.
        member_id: String,
    },
}

/// The notes of groups that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldGroups {
    /// Groups of the classic protocol.
    pub(crate) classic: BTreeMap<String, group::Kept>,
    /// Groups of the `consumer` protocol, with their members by id.
    pub(crate) consumers: BTreeMap<String, HeldConsumers>,
}

/// A group of the `consumer` protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldConsumers {
    /// The group.
    pub(crate) kept: consumer_group::Kept,
    /// Its members, by id.
    pub(crate) members: BTreeMap<String, consumer_group::KeptMember>,
}

impl HeldGroups {
    /// Lets a note take effect: the protocol of a group is that of its last note.
    pub(super) fn apply(&mut self, note: GroupNote) {
        match note {
            GroupNote::Classic { group, kept } => {
                self.consumers.remove(&group);
                self.classic.insert(group, kept);
            }
            GroupNote::Consumers { group, kept } => {
                self.classic.remove(&group);
                self.consumers.entry(group).or_default().kept = kept;
            }
            GroupNote::Member { group, kept } => {
                self.classic.remove(&group);
                let members = &mut self.consumers.entry(group).or_default().members;
                members.insert(kept.id.clone(), kept);
            }
            GroupNote::MemberGone { group, member_id } => {
                if let Some(held) = self.consumers.get_mut(&group) {
                    held.members.remove(&member_id);
                }
            }
        }
    }

    /// A group is deleted.
    pub(super) fn forget(&mut self, group: &str) {
        self.classic.remove(group);
        self.consumers.remove(group);
    }

    /// The fewest notes that say the same.
    pub(super) fn notes(&self) -> Vec<GroupNote> {
        let classic = self.classic.iter().map(|(group, kept)| {
            let (group, kept) = (group.clone(), kept.clone());
            GroupNote::Classic { group, kept }
        });
        let mut notes: Vec<GroupNote> = classic.collect();
        for (group, held) in &self.consumers {
            let kept = held.kept.clone();
            notes.push(GroupNote::Consumers { group: group.clone(), kept });
            notes.extend(held.members.values().map(|kept| {
                let (group, kept) = (group.clone(), kept.clone());
                GroupNote::Member { group, kept }
            }));
        }
        notes
    }
}
