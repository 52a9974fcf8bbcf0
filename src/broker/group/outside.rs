//! What happens to members from outside: tests and operators act on them.

use super::{Group, State};
use std::time::Instant;

impl<T> Group<T> {
    /// True if the id is a member's, or was given to somebody who may still join with it.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.members.iter().any(|m| m.id == id) || self.pending.iter().any(|p| p.id == id)
    }

    /// A coordinator that has heard of nobody yet takes over: all have their time from `now` on.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.members.iter_mut().for_each(|member| member.seen(now));
        for pending in &mut self.pending {
            pending.deadline = now + pending.session_timeout;
        }
        let longer = now + self.longest_rebalance();
        match &mut self.state {
            State::Preparing { deadline, .. } | State::Completing { deadline } => {
                *deadline = longer
            }
            State::Empty | State::Stable => {}
        }
    }

    /// Counts as heard of, at `now`, whoever is overdue but still there; a phase that waits for one
    /// of them goes on.
    pub(crate) fn excuse(&mut self, now: Instant, is_there: impl Fn(&str) -> bool) {
        for member in &mut self.members {
            if member.deadline <= now && is_there(&member.id) {
                member.seen(now);
            }
        }
        for pending in &mut self.pending {
            if pending.deadline <= now && is_there(&pending.id) {
                pending.deadline = now + pending.session_timeout;
            }
        }
        let (joining, syncing) = match self.state {
            State::Preparing { deadline, .. } => (deadline <= now, false),
            State::Completing { deadline } => (false, deadline <= now),
            State::Empty | State::Stable => (false, false),
        };
        let is_awaited = self.members.iter().any(|m| {
            let is_missing = (joining && m.join.is_none()) || (syncing && m.sync.is_none());
            is_missing && is_there(&m.id)
        });
        if is_awaited {
            let longer = now + self.longest_rebalance();
            match &mut self.state {
                State::Preparing { deadline, .. } | State::Completing { deadline } => {
                    *deadline = longer;
                }
                State::Empty | State::Stable => {}
            }
        }
    }

    /// Takes members out as if they had been silent: those with this member id, instance id or
    /// client id. Returns how many.
    pub(crate) fn expel(&mut self, name: &str, now: Instant) -> usize {
        let before = self.members.len();
        for at in (0..before).rev() {
            let member = &self.members[at];
            let instance_id = member.instance_id.as_deref();
            if member.id == name || member.client_id == name || instance_id == Some(name) {
                self.remove(at);
            }
        }
        let gone = before - self.members.len();
        if gone > 0 {
            self.rebalance(now);
        }
        gone
    }

    /// Sends all members through a new generation; false if there are none.
    pub(crate) fn start_over(&mut self, now: Instant) -> bool {
        let has_members = !self.members.is_empty();
        if has_members {
            self.rebalance(now);
        }
        has_members
    }
}
