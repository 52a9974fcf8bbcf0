//! Join and sync: how a member gets into a generation and learns what is its own.

use super::{Answer, Group, Member, Pending, State};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::time::{Duration, Instant};

/// A request to join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty for a client that is not a member yet.
    pub(crate) member_id: String,
    /// The id that a new member gets.
    pub(crate) new_member_id: String,
    /// Id that the owner gave, for static membership.
    pub(crate) instance_id: Option<String>,
    /// `client.id` of the client.
    pub(crate) client_id: String,
    /// Address of the client.
    pub(crate) client_host: String,
    /// Longest silence before the member is out.
    pub(crate) session_timeout: Duration,
    /// Longest time that it may take to join again in a rebalance.
    pub(crate) rebalance_timeout: Duration,
    /// `consumer`, or another tool's word.
    pub(crate) protocol_type: String,
    /// Name and metadata of the protocols it speaks, preferred ones first.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// True if the client knows the answer "join again with this id".
    pub(crate) takes_id_first: bool,
    /// True if the client knows the answer "you lead, but need not assign".
    pub(crate) may_skip_assignment: bool,
}

/// The answer to a join that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Generation of the group.
    pub(crate) generation: i32,
    /// Kind of the members.
    pub(crate) protocol_type: String,
    /// Protocol of the generation.
    pub(crate) protocol: String,
    /// Id of the leader.
    pub(crate) leader: String,
    /// Id of the member itself.
    pub(crate) member_id: String,
    /// True if the leader must not assign again.
    pub(crate) skip_assignment: bool,
    /// All members, for the leader only.
    pub(crate) members: Vec<JoinedMember>,
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    /// Id of the member.
    pub(crate) id: String,
    /// Id that its owner gave it.
    pub(crate) instance_id: Option<String>,
    /// Its metadata for the protocol of the generation.
    pub(crate) metadata: Bytes,
}

/// The answer to a join that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinRefused {
    /// Why.
    pub(crate) error: ResponseError,
    /// The id to join with next, where that is the reason.
    pub(crate) member_id: String,
}

/// A request for the assignment; the leader's brings all of them.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    /// Who asks.
    pub(crate) member_id: String,
    /// Id that its owner gave it.
    pub(crate) instance_id: Option<String>,
    /// Generation that the member is in.
    pub(crate) generation: i32,
    /// Kind of members that it takes the group for, where it says so.
    pub(crate) protocol_type: Option<String>,
    /// Protocol that it takes for the group's, where it says so.
    pub(crate) protocol: Option<String>,
    /// Member ids and what they get.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// The answer to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    /// Kind of the members.
    pub(crate) protocol_type: String,
    /// Protocol of the generation.
    pub(crate) protocol: String,
    /// What is the member's own.
    pub(crate) assignment: Bytes,
}

impl<T> Group<T> {
    /// A client wants in, or a member wants into the next generation.
    pub(crate) fn join(&mut self, join: Join, reply: T, now: Instant) {
        if !self.accepts(&join) {
            return self.refuse(reply, ResponseError::InconsistentGroupProtocol, &join.member_id);
        }
        let holder = join.instance_id.as_ref().and_then(|instance_id| {
            self.members.iter().position(|m| m.instance_id.as_ref() == Some(instance_id))
        });
        if let Some(at) = self.pending.iter().position(|p| p.id == join.member_id) {
            self.pending.remove(at);
            let id = join.member_id.clone();
            return self.add(id, join, reply, now);
        }
        match (join.member_id.as_str(), holder) {
            ("", Some(holder)) => self.replace(holder, join, reply, now),
            ("", None) if join.instance_id.is_none() && join.takes_id_first => {
                let id = join.new_member_id;
                self.refuse(reply, ResponseError::MemberIdRequired, &id);
                let session_timeout = join.session_timeout;
                self.pending.push(Pending { id, session_timeout, deadline: now + session_timeout });
            }
            ("", None) => self.add(join.new_member_id.clone(), join, reply, now),
            (id, _) => match self.find(id, join.instance_id.as_deref()) {
                Ok(at) => self.rejoin(at, join, reply, now),
                Err(error) => self.refuse(reply, error, &join.member_id),
            },
        }
    }

    /// A member asks what is its own.
    pub(crate) fn sync(&mut self, sync: Sync, reply: T, now: Instant) {
        if let Err(error) = self.check_sync(&sync, now) {
            return self.answers.push((reply, Answer::Synced(Err(error))));
        }
        let at = self.members.iter().position(|m| m.id == sync.member_id);
        let at = at.expect("the check has found the member");
        if self.state == State::Stable {
            let synced = self.synced(at);
            return self.answers.push((reply, Answer::Synced(Ok(synced))));
        }
        let earlier = self.members[at].sync.replace(reply);
        let error = ResponseError::RebalanceInProgress;
        self.answers.extend(earlier.map(|to| (to, Answer::Synced(Err(error)))));
        if sync.member_id == self.leader {
            self.assign(sync.assignments, now);
        }
    }

    fn accepts(&self, join: &Join) -> bool {
        if self.members.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let common = |name: &str| self.members.iter().all(|m| m.speaks(name));
        join.protocol_type == self.protocol_type && join.protocols.iter().any(|(n, _)| common(n))
    }

    fn refuse(&mut self, reply: T, error: ResponseError, member_id: &str) {
        let refused = JoinRefused { error, member_id: member_id.to_owned() };
        self.answers.push((reply, Answer::Joined(Err(refused))));
    }

    fn add(&mut self, id: String, join: Join, reply: T, now: Instant) {
        if self.members.is_empty() {
            self.protocol_type = join.protocol_type;
        }
        self.members.push(Member {
            id,
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            assignment: Bytes::new(),
            protocols: join.protocols,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            deadline: now + join.session_timeout,
            join: Some(reply),
            sync: None,
        });
        self.rebalance(now);
    }

    /// A member joins again: in a rebalance, because it starts one, or because it lost the answer.
    fn rejoin(&mut self, at: usize, join: Join, reply: T, now: Instant) {
        let member = &mut self.members[at];
        member.seen(now);
        let is_same = member.protocols == join.protocols;
        let answers_at_once = match self.state {
            State::Completing { .. } => is_same,
            State::Stable => is_same && member.id != self.leader,
            State::Empty | State::Preparing { .. } => false,
        };
        if answers_at_once {
            let joined = self.joined(at);
            return self.answers.push((reply, Answer::Joined(Ok(joined))));
        }
        self.update(at, join, reply, now);
        self.rebalance(now);
    }

    /// A restarted owner takes the place of its former self, without a rebalance if it can.
    fn replace(&mut self, at: usize, mut join: Join, reply: T, now: Instant) {
        let member = &mut self.members[at];
        let former = std::mem::replace(&mut member.id, join.new_member_id.clone());
        self.has_news = true;
        let waiting = (member.join.take(), member.sync.take());
        let was_leader = self.leader == former;
        if was_leader {
            self.leader.clone_from(&join.new_member_id);
        }
        self.dismiss(waiting.0, waiting.1, &former, ResponseError::FencedInstanceId);
        let may_skip = join.may_skip_assignment;
        let member = &mut self.members[at];
        member.protocols = std::mem::take(&mut join.protocols);
        if self.state == State::Stable && self.select_protocol() == self.protocol {
            self.members[at].seen(now);
            let mut joined = self.joined(at);
            if was_leader && may_skip {
                joined.skip_assignment = true;
            } else if was_leader {
                // A client that cannot skip would assign again if it knew that it leads.
                joined.leader = former;
                joined.members.clear();
            }
            return self.answers.push((reply, Answer::Joined(Ok(joined))));
        }
        join.protocols = std::mem::take(&mut self.members[at].protocols);
        self.update(at, join, reply, now);
        self.rebalance(now);
    }

    fn update(&mut self, at: usize, join: Join, reply: T, now: Instant) {
        let member = &mut self.members[at];
        member.protocols = join.protocols;
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.client_id = join.client_id;
        member.client_host = join.client_host;
        member.seen(now);
        let id = member.id.clone();
        let earlier = member.join.replace(reply);
        self.dismiss(earlier, None, &id, ResponseError::RebalanceInProgress);
    }

    fn check_sync(&mut self, sync: &Sync, now: Instant) -> Result<(), ResponseError> {
        let instance_id = sync.instance_id.as_deref();
        self.member_in(&sync.member_id, instance_id, sync.generation)?.seen(now);
        let differs = |said: &Option<String>, is: &str| said.as_deref().is_some_and(|s| s != is);
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::Completing { .. } | State::Stable => Ok(()),
        }
    }

    /// The leader has spoken: everybody gets their own.
    fn assign(&mut self, assignments: Vec<(String, Bytes)>, now: Instant) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.iter_mut().find(|m| m.id == id) {
                member.assignment = assignment;
            }
        }
        self.state = State::Stable;
        self.has_news = true;
        for at in 0..self.members.len() {
            let synced = self.synced(at);
            let member = &mut self.members[at];
            if let Some(reply) = member.sync.take() {
                member.seen(now);
                self.answers.push((reply, Answer::Synced(Ok(synced))));
            }
        }
    }

    fn synced(&self, at: usize) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members[at].assignment.clone(),
        }
    }

    /// What the member at `at` is told about this generation.
    pub(super) fn joined(&self, at: usize) -> Joined {
        let member_id = self.members[at].id.clone();
        let mut members = Vec::new();
        if member_id == self.leader {
            members.extend(self.members.iter().map(|m| JoinedMember {
                id: m.id.clone(),
                instance_id: m.instance_id.clone(),
                metadata: m.metadata(&self.protocol),
            }));
        }
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id,
            skip_assignment: false,
            members,
        }
    }
}
