//! One group as the broker knows it: what it has committed, its members in either protocol, and the
//! clients that speak for them.

use super::{Reply, keeping::Written};
use crate::broker::{consumer_group::ConsumerGroup, group::Group, peer::Peer};
use std::{collections::HashMap, sync::Arc, time::Instant};

/// A group.
pub(super) struct Known {
    /// Its members of the classic protocol, and what it has committed.
    pub(super) group: Group<Reply>,
    /// Its members of the `consumer` protocol, if it is a group of that one.
    pub(super) consumers: Option<ConsumerGroup>,
    /// The client that last spoke for a member, by member id; kept only where it is asked for.
    pub(super) peers: HashMap<String, Arc<Peer>>,
    /// What is written down of `consumers`.
    pub(super) written: Written,
}

impl Known {
    /// A group that nobody is in.
    pub(super) fn new(group: Group<Reply>) -> Self {
        Self { group, consumers: None, peers: HashMap::new(), written: Written::default() }
    }

    /// True if there are no members, in no protocol.
    pub(super) fn is_deletable(&self) -> bool {
        self.group.is_deletable() && self.consumers.as_ref().is_none_or(ConsumerGroup::is_empty)
    }

    /// When something happens by itself next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let consumers = self.consumers.as_ref().and_then(ConsumerGroup::next_deadline);
        [consumers, self.group.next_deadline()].into_iter().flatten().min()
    }

    /// Lets happen what is due; if `may_be_excused`, not to members whose clients are connected.
    pub(super) fn expire(&mut self, now: Instant, may_be_excused: bool) {
        let peers = &self.peers;
        let is_there = |id: &str| peers.get(id).is_some_and(|p| p.is_connected());
        if may_be_excused {
            self.group.excuse(now, is_there);
        }
        self.group.expire(now);
        if let Some(consumers) = &mut self.consumers {
            if may_be_excused {
                consumers.excuse(now, is_there);
            }
            consumers.expire(now);
        }
    }

    /// A coordinator that has heard of nobody yet takes over at `now`.
    pub(super) fn renew(&mut self, now: Instant) {
        self.group.renew(now);
        if let Some(consumers) = &mut self.consumers {
            consumers.renew(now);
        }
    }

    /// Takes members out that have this member id, instance id or client id. Returns how many.
    pub(super) fn expel(&mut self, name: &str, now: Instant) -> usize {
        let consumers = self.consumers.as_mut().map_or(0, |consumers| consumers.expel(name));
        consumers + self.group.expel(name, now)
    }

    /// Sends all members through a new generation; false if there are none.
    pub(super) fn start_over(&mut self, now: Instant) -> bool {
        match &mut self.consumers {
            Some(consumers) => consumers.start_over(),
            None => self.group.start_over(now),
        }
    }

    /// `peer` has spoken for a member.
    pub(super) fn heard(&mut self, member_id: &str, peer: &Arc<Peer>) {
        let Self { group, consumers, peers, .. } = self;
        let knows = |id: &str| group.knows(id) || consumers.as_ref().is_some_and(|c| c.knows(id));
        peers.retain(|id, _| knows(id));
        if knows(member_id) {
            peers.insert(member_id.to_owned(), Arc::clone(peer));
        }
    }
}
