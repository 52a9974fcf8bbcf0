//! One member of a group.

use super::{Assignor, LEAVE_PLACE_EPOCH, Partitions};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// What a member wants to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscription {
    /// Names of topics.
    pub(crate) topics: BTreeSet<String>,
    /// What a topic's whole name may look like, besides.
    pattern: Option<(String, Regex)>,
}

impl Subscription {
    /// A subscription; an empty pattern is none.
    ///
    /// # Errors
    ///
    /// What is wrong with the pattern.
    pub(crate) fn new(topics: BTreeSet<String>, pattern: Option<&str>) -> Result<Self, String> {
        let compile = |pattern: &str| match Regex::new(&format!(r"\A(?:{pattern})\z")) {
            Ok(regex) => Ok((pattern.to_owned(), regex)),
            Err(error) => {
                // The rest shows the pattern with what was added to it.
                let all = error.to_string();
                let last = all.lines().last().unwrap_or_default();
                Err(last.trim_start_matches("error: ").to_owned())
            }
        };
        let pattern = pattern.filter(|p| !p.is_empty()).map(compile).transpose()?;
        Ok(Self { topics, pattern })
    }

    /// True if records of the topic are wanted.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        let fits = |(_, regex): &(String, Regex)| regex.is_match(topic);
        self.topics.contains(topic) || self.pattern.as_ref().is_some_and(fits)
    }

    /// The pattern as the member gave it.
    pub(crate) fn pattern(&self) -> Option<&str> {
        self.pattern.as_ref().map(|(pattern, _)| pattern.as_str())
    }
}

impl PartialEq for Subscription {
    fn eq(&self, other: &Self) -> bool {
        self.topics == other.topics && self.pattern() == other.pattern()
    }
}

/// How far a member is on its way to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// It has what the target of its epoch gives it.
    Stable,
    /// It has been told to give up partitions.
    Unrevoked,
    /// It waits for partitions that others hold.
    Unreleased,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its id.
    pub(crate) id: String,
    /// Id that its owner gave it, which survives a restart.
    pub(crate) instance_id: Option<String>,
    /// Where it runs, if its owner said so.
    pub(crate) rack_id: Option<String>,
    /// `client.id` of its client.
    pub(crate) client_id: String,
    /// Address of its client.
    pub(crate) client_host: String,
    /// How long it may take to give partitions up.
    pub(crate) rebalance_timeout: Duration,
    /// What it wants to read.
    pub(crate) subscription: Subscription,
    /// How it wants partitions shared, if it cares.
    pub(crate) assignor: Option<Assignor>,
    /// The target it has reached.
    pub(crate) epoch: i32,
    /// The epoch before: the answer with the new one may have been lost.
    pub(crate) previous_epoch: i32,
    /// How far it is.
    pub(crate) progress: Progress,
    /// What it may read.
    pub(crate) assigned: Partitions,
    /// What it has to give up, and holds until it says that it has.
    pub(crate) revoking: Partitions,
    /// What it is to have.
    pub(crate) target: Partitions,
    /// Out, if nothing is heard of it until then.
    pub(super) deadline: Instant,
    /// Out, if it has not given up `revoking` by then.
    pub(super) must_revoke_by: Option<Instant>,
}

impl Member {
    /// True if it has what the target of this epoch gives it.
    pub(super) fn has_reached(&self, epoch: i32) -> bool {
        self.progress == Progress::Stable && self.epoch == epoch
    }

    /// True if it has left its place for its next self.
    pub(super) fn is_away(&self) -> bool {
        self.epoch == LEAVE_PLACE_EPOCH
    }

    /// True if nobody else may have the partition.
    pub(super) fn holds(&self, partition: &(uuid::Uuid, i32)) -> bool {
        self.assigned.contains(partition) || self.revoking.contains(partition)
    }

    /// When it is out unless it speaks or gives up.
    pub(super) fn due(&self) -> Instant {
        self.must_revoke_by.map_or(self.deadline, |by| by.min(self.deadline))
    }
}
