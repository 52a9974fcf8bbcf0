//! From one generation to the next, and what happens when somebody does not come.

use super::{Answer, Group, State};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::time::{Duration, Instant};

impl<T> Group<T> {
    /// When something happens by itself next; a member's silence, or the end of a phase.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.state {
            State::Preparing { not_before, deadline } if self.is_ready() => {
                Some(not_before.min(deadline))
            }
            State::Preparing { deadline, .. } | State::Completing { deadline } => Some(deadline),
            State::Empty | State::Stable => None,
        };
        let silent = self.members.iter().filter(|m| !m.is_waiting()).map(|m| m.deadline);
        silent.chain(self.pending.iter().map(|p| p.deadline)).chain(phase).min()
    }

    /// Lets happen what is due at `now`.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.pending.retain(|p| p.deadline > now);
        let before = self.members.len();
        for at in (0..before).rev() {
            let member = &self.members[at];
            if !member.is_waiting() && member.deadline <= now {
                self.remove(at);
            }
        }
        if self.members.len() < before {
            self.rebalance(now);
        }
        self.complete_if_ready(now);
        match self.state {
            State::Preparing { deadline, .. } if deadline <= now => self.complete(now),
            State::Completing { deadline } if deadline <= now => {
                for at in (0..self.members.len()).rev() {
                    if self.members[at].sync.is_none() {
                        self.remove(at);
                    }
                }
                self.rebalance(now);
            }
            _ => {}
        }
    }

    /// Goes for the next generation: at once if everybody is there, else after they have come.
    pub(super) fn rebalance(&mut self, now: Instant) {
        if !matches!(self.state, State::Preparing { .. }) {
            for member in &mut self.members {
                member.assignment = Bytes::new();
                if let Some(reply) = member.sync.take() {
                    // It was not silent, it waited.
                    member.seen(now);
                    let error = ResponseError::RebalanceInProgress;
                    self.answers.push((reply, Answer::Synced(Err(error))));
                }
            }
            let wait = if self.state == State::Empty { self.initial_delay } else { Duration::ZERO };
            self.prepare(now, wait);
        }
        self.complete_if_ready(now);
    }

    /// Ends the preparation if nobody is missing, or nobody is left.
    pub(super) fn complete_if_ready(&mut self, now: Instant) {
        if let State::Preparing { not_before, .. } = self.state
            && (self.members.is_empty() || (not_before <= now && self.is_ready()))
        {
            self.complete(now);
        }
    }

    fn prepare(&mut self, now: Instant, wait: Duration) {
        let deadline = now + self.longest_rebalance();
        self.state = State::Preparing { not_before: (now + wait).min(deadline), deadline };
    }

    fn is_ready(&self) -> bool {
        self.members.iter().all(|m| m.join.is_some()) && self.pending.is_empty()
    }

    /// Starts the next generation with those who have joined; a member with an instance id keeps its
    /// place until its session ends.
    fn complete(&mut self, now: Instant) {
        for at in (0..self.members.len()).rev() {
            let member = &self.members[at];
            if member.join.is_none() && member.instance_id.is_none() {
                self.remove(at);
            }
        }
        let is_there = |id: &str| self.members.iter().any(|m| m.id == id && m.join.is_some());
        if !is_there(&self.leader) {
            let first = self.members.iter().find(|m| m.join.is_some());
            self.leader = first.map(|m| m.id.clone()).unwrap_or_default();
        }
        if self.members.is_empty() {
            self.generation += 1;
            self.protocol.clear();
            self.state = State::Empty;
            self.has_news = true;
            return;
        }
        if self.leader.is_empty() {
            // Only absent members with an instance id: nobody could lead the generation.
            return self.prepare(now, Duration::ZERO);
        }
        self.generation += 1;
        self.protocol = self.select_protocol();
        self.state = State::Completing { deadline: now + self.longest_rebalance() };
        for at in 0..self.members.len() {
            if let Some(reply) = self.members[at].join.take() {
                self.members[at].seen(now);
                let joined = self.joined(at);
                self.answers.push((reply, Answer::Joined(Ok(joined))));
            }
        }
    }

    /// The protocol, of those that everybody speaks, that most members prefer.
    pub(super) fn select_protocol(&self) -> String {
        let common = |name: &str| self.members.iter().all(|m| m.speaks(name));
        let votes: Vec<&str> = self
            .members
            .iter()
            .filter_map(|m| m.protocols.iter().map(|(name, _)| name.as_str()).find(|n| common(n)))
            .collect();
        let count = |name: &str| votes.iter().filter(|v| **v == name).count();
        let mut best = "";
        for name in &votes {
            if count(name) > count(best) {
                best = name;
            }
        }
        best.to_owned()
    }

    pub(super) fn longest_rebalance(&self) -> Duration {
        self.members.iter().map(|m| m.rebalance_timeout).max().unwrap_or_default()
    }
}
