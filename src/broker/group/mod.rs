//! A consumer group of the classic protocol, as a state machine: requests and the clock in, answers
//! out.
//!
//! ```text
//!            join                everyone joined            leader synced
//!  Empty ───────────▶ Preparing ─────────────────▶ Completing ─────────────▶ Stable
//!    ▲                  │   ▲                           │                      │
//!    └── nobody left ───┘   └──── join, leave, time-out ┴──────────────────────┘
//! ```
//!
//! Join and sync are answered later than they are asked, so a request brings a handle `T` with it;
//! [`Group::take_answers`] gives handles back with what to tell them. The caller asks
//! [`Group::next_deadline`] when to call [`Group::expire`].
//!
//! # Guarantees
//!
//! * Every handle is given back exactly once.
//! * In a generation every member was given the same protocol, and one of them is the leader.
//!
//! # Not here
//!
//! Locks, timers and persistence ([`crate::broker::groups`]).

mod join;
mod kept;
mod member;
mod offsets;
mod outside;
mod rebalance;
mod subscription;
#[cfg(test)]
mod tests;

pub(crate) use join::{Join, JoinRefused, Joined, JoinedMember, Sync, Synced};
pub(crate) use kept::Kept;
pub(crate) use member::Member;
pub(crate) use offsets::{Committed, CommittedOffsets};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::time::{Duration, Instant};

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; there may be committed offsets.
    Empty,
    /// Members have until `deadline` to join the next generation.
    Preparing {
        /// Nothing is complete before then, so that members who start together share a generation.
        not_before: Instant,
        /// Who has not joined by then is out.
        deadline: Instant,
    },
    /// The leader has until `deadline` to say who gets what.
    Completing {
        /// Who has not asked by then is out.
        deadline: Instant,
    },
    /// Everybody knows what is theirs.
    Stable,
}

impl State {
    /// The name that clients know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing { .. } => "PreparingRebalance",
            Self::Completing { .. } => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What a waiting request is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// For a join.
    Joined(Result<Joined, JoinRefused>),
    /// For a sync.
    Synced(Result<Synced, ResponseError>),
}

/// An id that was handed out, and not used yet.
#[derive(Debug)]
struct Pending {
    id: String,
    session_timeout: Duration,
    /// Until when its owner may join with it.
    deadline: Instant,
}

/// A group; `T` is the handle of a waiting request.
#[derive(Debug)]
pub(crate) struct Group<T> {
    state: State,
    /// How long the first members of an empty group wait for others.
    initial_delay: Duration,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    /// In the order in which they came.
    members: Vec<Member<T>>,
    /// Ids whose owners may join with them.
    pending: Vec<Pending>,
    answers: Vec<(T, Answer)>,
    /// True if something has changed that has to survive a restart.
    has_news: bool,
    /// What the group has committed.
    pub(crate) offsets: CommittedOffsets,
}

impl<T> Group<T> {
    /// An empty group, whose first members wait `initial_delay` for others.
    pub(crate) fn new(initial_delay: Duration) -> Self {
        Self {
            state: State::Empty,
            initial_delay,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: Vec::new(),
            pending: Vec::new(),
            answers: Vec::new(),
            has_news: false,
            offsets: CommittedOffsets::default(),
        }
    }

    /// Where the group stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// What kind of members it has: `consumer`, or another tool's word.
    pub(crate) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// How the leader assigns, once that is settled.
    pub(crate) fn protocol(&self) -> &str {
        &self.protocol
    }

    /// The members.
    pub(crate) fn members(&self) -> &[Member<T>] {
        &self.members
    }

    /// The member's metadata for the protocol of this generation.
    pub(crate) fn metadata(&self, member: &Member<T>) -> Bytes {
        member.metadata(&self.protocol)
    }

    /// True if there are no members; those who were given an id and have not come do not count.
    pub(crate) fn is_deletable(&self) -> bool {
        self.members.is_empty()
    }

    /// The requests that can be answered now.
    pub(crate) fn take_answers(&mut self) -> Vec<(T, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// A member is alive; an error tells it to join again.
    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.member_in(member_id, instance_id, generation)?.seen(now);
        match self.state {
            State::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether this caller may commit offsets; a negative generation is nobody's member.
    pub(crate) fn may_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.member_in(member_id, instance_id, generation)?.seen(now);
        match self.state {
            State::Completing { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether this caller is a member in this generation; a negative generation is nobody's, as long
    /// as there are no members.
    pub(crate) fn is_member_in(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.find(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    /// A member goes; with an empty id, the member with this instance id is sent away.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if let Some(at) = self.pending.iter().position(|p| p.id == member_id) {
            self.pending.remove(at);
            self.complete_if_ready(now);
            return Ok(());
        }
        let at = match (member_id, instance_id) {
            ("", Some(instance_id)) => self
                .members
                .iter()
                .position(|m| m.instance_id.as_deref() == Some(instance_id))
                .ok_or(ResponseError::UnknownMemberId)?,
            _ => self.find(member_id, instance_id)?,
        };
        self.remove(at);
        self.rebalance(now);
        Ok(())
    }

    fn find(&self, id: &str, instance_id: Option<&str>) -> Result<usize, ResponseError> {
        if let Some(instance_id) = instance_id {
            let holder =
                self.members.iter().find(|m| m.instance_id.as_deref() == Some(instance_id));
            match holder {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder.id != id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members.iter().position(|m| m.id == id).ok_or(ResponseError::UnknownMemberId)
    }

    fn member_in(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<&mut Member<T>, ResponseError> {
        let at = self.find(id, instance_id)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(&mut self.members[at])
    }

    /// Takes a member out and tells its waiting requests so.
    fn remove(&mut self, at: usize) {
        let member = self.members.remove(at);
        self.dismiss(member.join, member.sync, &member.id, ResponseError::UnknownMemberId);
    }

    fn dismiss(&mut self, join: Option<T>, sync: Option<T>, id: &str, error: ResponseError) {
        let refused = JoinRefused { error, member_id: id.to_owned() };
        self.answers.extend(join.map(|to| (to, Answer::Joined(Err(refused)))));
        self.answers.extend(sync.map(|to| (to, Answer::Synced(Err(error)))));
    }
}
