//! The one request of the protocol: a heartbeat joins, stays and leaves.

use super::{
    Assignor, ConsumerGroup, JOIN_EPOCH, LEAVE_PLACE_EPOCH, Member, Partitions, Progress, Refused,
    Subscription,
};
use crate::broker::topics::Catalog;
use kafka_protocol::ResponseError;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A heartbeat; `None` is "as before".
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat {
    /// Who speaks.
    pub(crate) member_id: String,
    /// Id that its owner gave it.
    pub(crate) instance_id: Option<String>,
    /// The epoch it is in; 0 to join.
    pub(crate) epoch: i32,
    /// Where it runs.
    pub(crate) rack_id: Option<String>,
    /// `client.id` of the client.
    pub(crate) client_id: String,
    /// Address of the client.
    pub(crate) client_host: String,
    /// How long it may take to give partitions up.
    pub(crate) rebalance_timeout: Option<Duration>,
    /// Topics that it wants.
    pub(crate) topics: Option<BTreeSet<String>>,
    /// Pattern of topics that it wants; empty for none.
    pub(crate) pattern: Option<String>,
    /// How it wants partitions shared.
    pub(crate) assignor: Option<Assignor>,
    /// What it holds.
    pub(crate) owned: Option<Partitions>,
}

impl Heartbeat {
    /// True if it says everything, so that it is told everything.
    fn is_full(&self) -> bool {
        let has_subscription = self.topics.is_some() || self.pattern.is_some();
        self.rebalance_timeout.is_some() && has_subscription && self.owned.is_some()
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Id of the member.
    pub(crate) member_id: String,
    /// Its epoch from now on.
    pub(crate) epoch: i32,
    /// What it may read, if it has to be told.
    pub(crate) assigned: Option<Partitions>,
}

impl ConsumerGroup {
    /// A client joins, or a member is alive.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Heartbeat,
        catalog: &Catalog,
        now: Instant,
    ) -> Result<Answer, Refused> {
        let place = self.place(beat)?;
        let known = match &place {
            Place::New => None,
            Place::Known => self.members.get(&beat.member_id),
            Place::Left(former) => self.members.get(former),
        };
        let member = update(known, beat, now)?;
        let nothing = Subscription::default();
        let has_changed = known.map_or(&nothing, |m| &m.subscription) != &member.subscription;
        let before =
            if place == Place::Known { member.assigned.clone() } else { Partitions::new() };
        if let Place::Left(former) = &place {
            self.members.remove(former);
        }
        if has_changed || place != Place::Known {
            self.revision += 1;
        }
        self.members.insert(member.id.clone(), member);
        let has_news = has_changed || self.catalog_version != Some(catalog.version);
        if (has_news && self.look_at(catalog)) || has_changed || self.epoch == 0 {
            self.bump();
        }
        if self.epoch > self.assignment_epoch {
            self.retarget();
        }
        self.reconcile(&beat.member_id, beat.owned.as_ref(), now);
        if self.has_given_up_everything() {
            self.is_starting_over = false;
            self.bump();
            self.retarget();
            self.reconcile(&beat.member_id, beat.owned.as_ref(), now);
        }
        let deadline = now + self.session_timeout;
        let member = self.members.get_mut(&beat.member_id).expect("it was put there");
        member.deadline = deadline;
        let is_told = beat.epoch == JOIN_EPOCH || beat.is_full() || member.assigned != before;
        Ok(Answer {
            member_id: member.id.clone(),
            epoch: member.epoch,
            assigned: is_told.then(|| member.assigned.clone()),
        })
    }

    /// A member goes, for good or until its next self comes.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        epoch: i32,
    ) -> Result<Answer, Refused> {
        match instance_id {
            None => drop(self.known(member_id)?),
            Some(instance_id) => drop(self.holder(member_id, instance_id)?),
        }
        match self.members.get_mut(member_id) {
            Some(member) if epoch == LEAVE_PLACE_EPOCH => {
                member.epoch = LEAVE_PLACE_EPOCH;
                member.revoking.clear();
                member.must_revoke_by = None;
                self.revision += 1;
            }
            _ => self.remove(member_id),
        }
        Ok(Answer { member_id: member_id.to_owned(), epoch, assigned: None })
    }

    /// Which member the heartbeat is of, if it may be.
    fn place(&self, beat: &Heartbeat) -> Result<Place, Refused> {
        let is_joining = beat.epoch == JOIN_EPOCH;
        if let Some(instance_id) = &beat.instance_id {
            if !is_joining {
                check_epoch(self.holder(&beat.member_id, instance_id)?, beat)?;
                return Ok(Place::Known);
            }
            if let Some(holder) = self.instance(instance_id) {
                if holder.is_away() {
                    return Ok(Place::Left(holder.id.clone()));
                }
                return Err(Refused::new(
                    ResponseError::UnreleasedInstanceId,
                    format!(
                        "Static member {} with instance id {instance_id} cannot join the group \
                         because the instance id is owned by {} member.",
                        beat.member_id, holder.id
                    ),
                ));
            }
        }
        match self.members.get(&beat.member_id) {
            Some(member) => check_epoch(member, beat).map(|()| Place::Known),
            None if is_joining => Ok(Place::New),
            None => self.known(&beat.member_id).map(|_| Place::Known),
        }
    }

    fn known(&self, member_id: &str) -> Result<&Member, Refused> {
        self.members.get(member_id).ok_or_else(|| {
            let message = format!("Member {member_id} is not a member of group {}.", self.id);
            Refused::new(ResponseError::UnknownMemberId, message)
        })
    }

    pub(super) fn instance(&self, instance_id: &str) -> Option<&Member> {
        self.members.values().find(|m| m.instance_id.as_deref() == Some(instance_id))
    }

    /// The member with the instance id, which has to be `member_id`.
    fn holder(&self, member_id: &str, instance_id: &str) -> Result<&Member, Refused> {
        let holder = self.instance(instance_id).ok_or_else(|| {
            let message = format!("Instance id {instance_id} is unknown.");
            Refused::new(ResponseError::UnknownMemberId, message)
        })?;
        if holder.id == member_id {
            return Ok(holder);
        }
        let message = format!(
            "Static member {member_id} with instance id {instance_id} was fenced by member {}.",
            holder.id
        );
        Err(Refused::new(ResponseError::FencedInstanceId, message))
    }

    fn has_given_up_everything(&self) -> bool {
        let is_done = |m: &Member| m.is_away() || m.has_reached(self.assignment_epoch);
        self.is_starting_over && self.members.values().all(is_done)
    }
}

/// Where the sender of a heartbeat stands in the group.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere yet.
    New,
    /// It is a member.
    Known,
    /// It takes the place that this member has left.
    Left(String),
}

fn check_epoch(member: &Member, beat: &Heartbeat) -> Result<(), Refused> {
    let (said, is) = (beat.epoch, member.epoch);
    let owns_no_more =
        || beat.owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned));
    let word = match said.cmp(&is) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less if said == member.previous_epoch && owns_no_more() => {
            return Ok(());
        }
        std::cmp::Ordering::Less => "smaller",
        std::cmp::Ordering::Greater => "greater",
    };
    Err(Refused::new(
        ResponseError::FencedMemberEpoch,
        format!(
            "The consumer group member has a {word} member epoch ({said}) than the one known by \
             the group coordinator ({is}). The member must abandon all its partitions and rejoin."
        ),
    ))
}

/// The member with what the heartbeat says about it.
fn update(before: Option<&Member>, beat: &Heartbeat, now: Instant) -> Result<Member, Refused> {
    let mut member = before.cloned().unwrap_or_else(|| new_member(beat, now));
    if member.is_away() {
        // Its next self takes the place with all that is in it.
        member.id.clone_from(&beat.member_id);
        (member.epoch, member.previous_epoch) = (JOIN_EPOCH, JOIN_EPOCH);
        member.progress = Progress::Stable;
    }
    member.client_id.clone_from(&beat.client_id);
    member.client_host.clone_from(&beat.client_host);
    if let Some(timeout) = beat.rebalance_timeout {
        member.rebalance_timeout = timeout;
    }
    if beat.rack_id.is_some() {
        member.rack_id.clone_from(&beat.rack_id);
    }
    member.assignor = beat.assignor.or(member.assignor);
    let said = &member.subscription;
    let topics = beat.topics.as_ref().unwrap_or(&said.topics);
    let pattern = beat.pattern.as_deref().or(said.pattern()).filter(|p| !p.is_empty());
    if *topics != said.topics || pattern != said.pattern() {
        member.subscription = Subscription::new(topics.clone(), pattern).map_err(|why| {
            let pattern = pattern.unwrap_or_default();
            let message = format!(
                "SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}."
            );
            Refused::new(ResponseError::InvalidRegularExpression, message)
        })?;
    }
    Ok(member)
}

fn new_member(beat: &Heartbeat, now: Instant) -> Member {
    Member {
        id: beat.member_id.clone(),
        instance_id: beat.instance_id.clone(),
        rack_id: None,
        client_id: String::new(),
        client_host: String::new(),
        rebalance_timeout: Duration::ZERO,
        subscription: Subscription::default(),
        assignor: None,
        epoch: JOIN_EPOCH,
        previous_epoch: JOIN_EPOCH,
        progress: Progress::Stable,
        assigned: Partitions::new(),
        revoking: Partitions::new(),
        target: Partitions::new(),
        deadline: now,
        must_revoke_by: None,
    }
}
