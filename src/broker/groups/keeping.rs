//! Groups survive a restart: what changes of a group is written down before anybody is told.
//!
//! A heartbeat that changes nothing writes nothing. A group of the classic protocol is written when a
//! generation is stable and when nobody is left; a rebalance that a kill cuts short begins anew.

use super::{Groups, Known};
use crate::broker::{
    consumer_group::ConsumerGroup,
    storage::{GroupNote, HeldConsumers, HeldGroups, Note},
};

/// What was last written of a group of the `consumer` protocol.
#[derive(Default)]
pub(super) struct Written {
    revision: Option<u64>,
    held: HeldConsumers,
}

impl Groups {
    /// Writes down what has changed of a group, if anything survives this process at all.
    pub(super) fn keep(&self, id: &str, known: &mut Known) {
        if !self.storage.is_durable() {
            return;
        }
        let notes = known.news(id);
        if notes.is_empty() {
            return;
        }
        let notes: Vec<Note> = notes.into_iter().map(Note::Group).collect();
        if let Err(error) = self.storage.note(&notes) {
            tracing::error!(%error, group = id, "cannot write a group down");
        }
    }

    /// Puts back the groups that there were before a restart.
    pub(crate) fn restore_members(&self, held: HeldGroups) {
        let (mut inner, now) = (self.inner.lock(), self.clock.now());
        for (id, kept) in held.classic {
            let known = inner.by_id.entry(id).or_insert_with(|| self.new_group());
            known.group.restore(kept, now);
        }
        for (id, held) in held.consumers {
            let members = held.members.values().cloned();
            let kept = held.kept.clone();
            let consumers = ConsumerGroup::restore(&id, self.consumer_session, kept, members, now);
            let known = inner.by_id.entry(id).or_insert_with(|| self.new_group());
            known.written = Written { revision: Some(consumers.revision()), held };
            known.consumers = Some(consumers);
        }
    }
}

impl Known {
    fn news(&mut self, id: &str) -> Vec<GroupNote> {
        let group = || id.to_owned();
        let classic = self.group.take_news();
        let mut notes: Vec<GroupNote> =
            classic.into_iter().map(|kept| GroupNote::Classic { group: group(), kept }).collect();
        let Some(consumers) = &self.consumers else {
            self.written = Written::default();
            return notes;
        };
        if self.written.revision == Some(consumers.revision()) {
            return notes;
        }
        let (kept, members) = consumers.kept();
        let is_first = self.written.revision.is_none();
        let before = &self.written.held;
        if is_first || kept != before.kept {
            notes.push(GroupNote::Consumers { group: group(), kept: kept.clone() });
        }
        for member_id in before.members.keys().filter(|id| !members.contains_key(*id)) {
            let member_id = member_id.clone();
            notes.push(GroupNote::MemberGone { group: group(), member_id });
        }
        for (id, kept) in &members {
            if before.members.get(id) != Some(kept) {
                notes.push(GroupNote::Member { group: group(), kept: kept.clone() });
            }
        }
        let held = HeldConsumers { kept, members };
        self.written = Written { revision: Some(consumers.revision()), held };
        notes
    }
}
