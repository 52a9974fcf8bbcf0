//! Groups of the `consumer` protocol, and how a group changes its protocol.
//!
//! A group without members may change it: its committed offsets stay, its epochs or generations begin
//! anew. While it has members, requests of the other protocol are refused.

use super::{Groups, Known};
use crate::broker::{
    consumer_group::{
        Answer, ConsumerGroup, Heartbeat, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_PLACE_EPOCH, Refused,
    },
    group::Group,
    peer::Peer,
    topics::Catalog,
};
use kafka_protocol::ResponseError;
use std::{sync::Arc, time::Instant};

impl Groups {
    /// A member of the `consumer` protocol joins, stays or leaves.
    pub(crate) fn consumer_heartbeat(
        &self,
        id: &str,
        beat: &Heartbeat,
        catalog: &Catalog,
        peer: &Arc<Peer>,
    ) -> Result<Answer, Refused> {
        let mut inner = self.inner.lock();
        let may_become = |known: &Known| known.consumers.is_none() && known.group.is_deletable();
        if beat.epoch == JOIN_EPOCH && inner.by_id.get(id).is_none_or(may_become) {
            // A join that is refused leaves no group behind.
            ConsumerGroup::new(id, self.consumer_session).heartbeat(
                beat,
                catalog,
                self.clock.now(),
            )?;
            let known = inner.by_id.entry(id.to_owned()).or_insert_with(|| self.new_group());
            self.become_consumers(id, known);
        }
        let answer = self.work(&mut inner, id, |known, now| {
            let answer = known.speak(id, beat, catalog, now);
            if self.clock.is_virtual() {
                known.heard(&beat.member_id, peer);
            }
            answer
        });
        let is_leaving = beat.epoch < JOIN_EPOCH;
        let missing = if is_leaving { "Group" } else { "Consumer group" };
        answer.unwrap_or_else(|| Err(not_found(format!("{missing} {id} not found."))))
    }

    /// Looks at a group of the `consumer` protocol.
    pub(crate) fn look_at_consumers<R>(
        &self,
        id: &str,
        look: impl FnOnce(&ConsumerGroup) -> R,
    ) -> Result<R, Refused> {
        match self.inner.lock().by_id.get(id) {
            None => Err(not_found(format!("Group {id} not found."))),
            Some(known) => known.consumers(id).map(look),
        }
    }

    fn become_consumers(&self, id: &str, known: &mut Known) {
        known.consumers = Some(ConsumerGroup::new(id, self.consumer_session));
        let offsets = std::mem::take(&mut known.group.offsets);
        known.group = Group::new(self.initial_delay);
        known.group.offsets = offsets;
    }
}

impl Known {
    fn consumers(&self, id: &str) -> Result<&ConsumerGroup, Refused> {
        let message = || not_found(format!("Group {id} is not a consumer group."));
        self.consumers.as_ref().ok_or_else(message)
    }

    fn speak(
        &mut self,
        id: &str,
        beat: &Heartbeat,
        catalog: &Catalog,
        now: Instant,
    ) -> Result<Answer, Refused> {
        self.consumers(id)?;
        let consumers = self.consumers.as_mut().expect("looked at a line above");
        match beat.epoch {
            LEAVE_EPOCH | LEAVE_PLACE_EPOCH => {
                consumers.leave(&beat.member_id, beat.instance_id.as_deref(), beat.epoch)
            }
            _ => consumers.heartbeat(beat, catalog, now),
        }
    }
}

fn not_found(message: String) -> Refused {
    Refused::new(ResponseError::GroupIdNotFound, message)
}
