//! What happens to members from outside: time passes, tests and operators act on them.

use super::ConsumerGroup;
use kafka_protocol::ResponseError;
use std::time::Instant;

impl ConsumerGroup {
    /// When something happens by itself next: a member's silence, or its partitions not given up.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.members.values().map(super::Member::due).min()
    }

    /// Takes out who is overdue at `now`.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.remove_where(|m| m.due() <= now);
    }

    /// A coordinator that has heard of nobody yet takes over: all have their time from `now` on.
    pub(crate) fn renew(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            member.deadline = member.deadline.max(now + self.session_timeout);
            member.must_revoke_by = member.must_revoke_by.map(|_| now + member.rebalance_timeout);
        }
    }

    /// True if the id is a member's.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    /// Counts as heard of, at `now`, whoever is overdue but still there.
    pub(crate) fn excuse(&mut self, now: Instant, is_there: impl Fn(&str) -> bool) {
        let session_timeout = self.session_timeout;
        let overdue = |m: &&mut super::Member| m.due() <= now && !m.is_away() && is_there(&m.id);
        for member in self.members.values_mut().filter(overdue) {
            member.deadline = member.deadline.max(now + session_timeout);
            member.must_revoke_by = member.must_revoke_by.map(|_| now + member.rebalance_timeout);
        }
    }

    /// Takes members out as if they had been silent: those with this member id, instance id or
    /// client id. Returns how many.
    pub(crate) fn expel(&mut self, name: &str) -> usize {
        self.remove_where(|m| {
            m.id == name || m.client_id == name || m.instance_id.as_deref() == Some(name)
        })
    }

    /// An operator sends a member away, by its id or by its instance id.
    pub(crate) fn dismiss(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ResponseError> {
        let id = match instance_id {
            None => member_id.to_owned(),
            Some(instance_id) => {
                let holder = self.instance(instance_id).ok_or(ResponseError::UnknownMemberId)?;
                if !member_id.is_empty() && holder.id != member_id {
                    return Err(ResponseError::FencedInstanceId);
                }
                holder.id.clone()
            }
        };
        if !self.knows(&id) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.remove(&id);
        Ok(())
    }

    /// Makes all members give up everything, and then share it anew; false if there are none.
    pub(crate) fn start_over(&mut self) -> bool {
        let has_members = !self.members.is_empty();
        if has_members {
            self.is_starting_over = true;
            self.bump();
        }
        has_members
    }

    fn remove_where(&mut self, is_out: impl Fn(&super::Member) -> bool) -> usize {
        let out: Vec<String> =
            self.members.values().filter(|m| is_out(m)).map(|m| m.id.clone()).collect();
        out.iter().for_each(|id| self.remove(id));
        out.len()
    }
}
