//! What a group has to know after a restart so that its members go on as if nothing had happened.

use super::{Assignor, ConsumerGroup, Member, Partitions, Progress, Subscription};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// A group without its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Counts its changes.
    pub(crate) epoch: i32,
    /// The change that the target knows.
    pub(crate) assignment_epoch: i32,
    /// The topics that somebody subscribes to, with id and number of partitions.
    pub(crate) topics: BTreeMap<String, (Uuid, i32)>,
    /// True while everybody gives up everything.
    pub(crate) is_starting_over: bool,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptMember {
    /// Its id.
    pub(crate) id: String,
    instance_id: Option<String>,
    rack_id: Option<String>,
    client_id: String,
    client_host: String,
    rebalance_timeout: Duration,
    topics: BTreeSet<String>,
    pattern: Option<String>,
    assignor: Option<Assignor>,
    epoch: i32,
    previous_epoch: i32,
    progress: Progress,
    assigned: ByTopic,
    revoking: ByTopic,
    target: ByTopic,
}

/// Partitions with each topic's id once.
type ByTopic = BTreeMap<Uuid, Vec<i32>>;

impl ConsumerGroup {
    /// What has to be known of the group after a restart, and of its members.
    pub(crate) fn kept(&self) -> (Kept, BTreeMap<String, KeptMember>) {
        let kept = Kept {
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            topics: self.topics.clone(),
            is_starting_over: self.is_starting_over,
        };
        (kept, self.members.iter().map(|(id, m)| (id.clone(), keep(m))).collect())
    }

    /// A count that grows with every change of what has to be kept.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// A group as it was before a restart; sessions begin anew.
    pub(crate) fn restore(
        id: &str,
        session_timeout: Duration,
        kept: Kept,
        members: impl IntoIterator<Item = KeptMember>,
        now: Instant,
    ) -> Self {
        let deadline = now + session_timeout;
        let members = members.into_iter().map(|m| (m.id.clone(), give_back(m, deadline, now)));
        Self {
            epoch: kept.epoch,
            assignment_epoch: kept.assignment_epoch,
            topics: kept.topics,
            is_starting_over: kept.is_starting_over,
            members: members.collect(),
            ..Self::new(id, session_timeout)
        }
    }
}

fn keep(member: &Member) -> KeptMember {
    KeptMember {
        id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout,
        topics: member.subscription.topics.clone(),
        pattern: member.subscription.pattern().map(ToOwned::to_owned),
        assignor: member.assignor,
        epoch: member.epoch,
        previous_epoch: member.previous_epoch,
        progress: member.progress,
        assigned: by_topic(&member.assigned),
        revoking: by_topic(&member.revoking),
        target: by_topic(&member.target),
    }
}

fn give_back(kept: KeptMember, deadline: Instant, now: Instant) -> Member {
    let must_revoke_by =
        (kept.progress == Progress::Unrevoked).then(|| now + kept.rebalance_timeout);
    let subscription = Subscription::new(kept.topics.clone(), kept.pattern.as_deref());
    Member {
        id: kept.id,
        instance_id: kept.instance_id,
        rack_id: kept.rack_id,
        client_id: kept.client_id,
        client_host: kept.client_host,
        rebalance_timeout: kept.rebalance_timeout,
        // The pattern was good when it was kept.
        subscription: subscription.unwrap_or_default(),
        assignor: kept.assignor,
        epoch: kept.epoch,
        previous_epoch: kept.previous_epoch,
        progress: kept.progress,
        assigned: partitions(kept.assigned),
        revoking: partitions(kept.revoking),
        target: partitions(kept.target),
        deadline,
        must_revoke_by,
    }
}

/// Partitions, topic by topic.
pub(crate) fn by_topic(partitions: &Partitions) -> ByTopic {
    let mut topics = ByTopic::new();
    for (topic, partition) in partitions {
        topics.entry(*topic).or_default().push(*partition);
    }
    topics
}

fn partitions(topics: ByTopic) -> Partitions {
    topics.into_iter().flat_map(|(id, ns)| ns.into_iter().map(move |n| (id, n))).collect()
}

#[cfg(test)]
impl KeptMember {
    /// A member with a partition, for tests of those that keep it.
    pub(crate) fn with_partition(id: &str, partition: i32) -> Self {
        let partitions = ByTopic::from([(Uuid::from_u128(1), vec![partition])]);
        Self {
            id: id.into(),
            instance_id: Some("i".into()),
            rack_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout: Duration::from_secs(60),
            topics: BTreeSet::from(["t".to_owned()]),
            pattern: Some("a.*".into()),
            assignor: Some(Assignor::Range),
            epoch: 3,
            previous_epoch: 2,
            progress: Progress::Unrevoked,
            assigned: partitions.clone(),
            revoking: ByTopic::new(),
            target: partitions,
        }
    }
}
