//! A consumer group of the `consumer` protocol (KIP-848), as a state machine: heartbeats, the topics
//! and the clock in, answers out.
//!
//! The broker assigns. A *target* says who is to own what, and each heartbeat takes its member a step
//! towards it:
//!
//! ```text
//!                         has to give up some            heartbeat without them
//!  Stable ── new target ──────────────────▶ Unrevoked ───────────────────────────┐
//!    ▲            │                                                              │
//!    │            └─────────▶ takes what nobody holds ◀──────────────────────────┘
//!    │                          │                 │ somebody still holds some
//!    └──── that was all ────────┘                 ▼
//!    └──── they were given up ─────────────── Unreleased
//! ```
//!
//! The group's *epoch* counts its changes, the *assignment epoch* says which of them the target knows,
//! and a member's epoch which target it has reached.
//!
//! # Guarantees
//!
//! * No partition is held by two members: one gets it after the other has said that it let it go, or
//!   is out.
//! * When every member is stable at the group's epoch, every partition that somebody subscribes to is
//!   owned.
//! * No epoch goes back as long as the group exists.
//!
//! # Not here
//!
//! Committed offsets, which a group keeps when its protocol changes ([`super::group`]); locks, timers
//! and persistence ([`super::groups`]). Members of the classic protocol in a group of this one.

mod assign;
mod heartbeat;
mod kept;
mod member;
mod outside;
mod reconcile;
#[cfg(test)]
mod tests;

pub(crate) use assign::Assignor;
pub(crate) use heartbeat::{Answer, Heartbeat};
pub(crate) use kept::{Kept, KeptMember, by_topic};
pub(crate) use member::{Member, Progress, Subscription};

use super::topics::Catalog;
use kafka_protocol::ResponseError;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use uuid::Uuid;

/// Partitions, by topic id and number.
pub(crate) type Partitions = BTreeSet<(Uuid, i32)>;

/// Epoch with which a member joins.
pub(crate) const JOIN_EPOCH: i32 = 0;
/// Epoch with which a member leaves for good.
pub(crate) const LEAVE_EPOCH: i32 = -1;
/// Epoch with which a member with an instance id leaves its place for its next self.
pub(crate) const LEAVE_PLACE_EPOCH: i32 = -2;

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The error.
    pub(crate) error: ResponseError,
    /// What was wrong, for people.
    pub(crate) message: String,
}

impl Refused {
    /// An error with its words.
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No members.
    Empty,
    /// The target does not know the latest change.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    /// Everybody has what is theirs.
    Stable,
}

impl State {
    /// The name that clients know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    id: String,
    /// Longest silence before a member is out.
    session_timeout: Duration,
    epoch: i32,
    assignment_epoch: i32,
    /// By member id.
    members: BTreeMap<String, Member>,
    /// The topics that somebody subscribes to, as of the epoch.
    topics: BTreeMap<String, (Uuid, i32)>,
    /// Version of the catalog that `topics` is from.
    catalog_version: Option<u64>,
    /// True while everybody gives up everything, to share it anew afterwards.
    is_starting_over: bool,
    /// Counts the changes that have to survive a restart.
    revision: u64,
}

impl ConsumerGroup {
    /// A group without members.
    pub(crate) fn new(id: &str, session_timeout: Duration) -> Self {
        Self {
            id: id.to_owned(),
            session_timeout,
            epoch: 0,
            assignment_epoch: 0,
            members: BTreeMap::new(),
            topics: BTreeMap::new(),
            catalog_version: None,
            is_starting_over: false,
            revision: 0,
        }
    }

    /// Where the group stands.
    pub(crate) fn state(&self) -> State {
        if self.members.is_empty() {
            State::Empty
        } else if self.epoch > self.assignment_epoch {
            State::Assigning
        } else if self.members.values().all(|m| m.has_reached(self.assignment_epoch)) {
            State::Stable
        } else {
            State::Reconciling
        }
    }

    /// Number of the latest change.
    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Number of the latest change that the target knows.
    pub(crate) fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// The members, by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// True if there are no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// True if a member wants records of the topic.
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        self.members.values().any(|m| m.subscription.matches(topic))
    }

    /// How the target is made: as most of the members who care want it.
    pub(crate) fn assignor(&self) -> Assignor {
        let wanted = self.members.values().filter_map(|m| m.assignor);
        let (range, uniform): (Vec<_>, Vec<_>) = wanted.partition(|a| *a == Assignor::Range);
        if range.len() > uniform.len() { Assignor::Range } else { Assignor::Uniform }
    }

    /// Whether this caller may commit offsets; a negative epoch is nobody's member.
    pub(crate) fn may_commit(&self, member_id: &str, epoch: i32) -> Result<(), ResponseError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.check_member(member_id, epoch)
    }

    /// Whether this caller, if it claims to be a member, may see committed offsets.
    pub(crate) fn may_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        match member {
            None if epoch < 0 => Ok(()),
            member => self.check_member(member.unwrap_or_default(), epoch),
        }
    }

    fn check_member(&self, member_id: &str, epoch: i32) -> Result<(), ResponseError> {
        let member = self.members.get(member_id).ok_or(ResponseError::UnknownMemberId)?;
        if member.epoch == epoch { Ok(()) } else { Err(ResponseError::StaleMemberEpoch) }
    }

    /// Takes a member out; its partitions are free.
    fn remove(&mut self, id: &str) {
        if self.members.remove(id).is_some() {
            self.bump();
        }
        if self.members.is_empty() {
            self.is_starting_over = false;
        }
    }

    fn bump(&mut self) {
        self.epoch += 1;
        self.revision += 1;
    }

    /// Learns which of the topics that somebody subscribes to there are; true if that has changed.
    fn look_at(&mut self, catalog: &Catalog) -> bool {
        self.catalog_version = Some(catalog.version);
        let wanted = |(name, _): &(&String, &(Uuid, i32))| self.subscribes_to(name);
        let topics: BTreeMap<String, (Uuid, i32)> =
            catalog.topics.iter().filter(wanted).map(|(n, t)| (n.clone(), *t)).collect();
        let has_changed = topics != self.topics;
        self.topics = topics;
        has_changed
    }

    /// Makes the target of the group's epoch.
    fn retarget(&mut self) {
        let mut targets = if self.is_starting_over {
            BTreeMap::new()
        } else {
            assign::assign(self.assignor(), &self.members, &self.topics)
        };
        for (id, member) in &mut self.members {
            member.target = targets.remove(id).unwrap_or_default();
        }
        self.assignment_epoch = self.epoch;
        self.revision += 1;
    }
}
