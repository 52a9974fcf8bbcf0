//! What transactions ask of groups.

use super::{Groups, Inner};
use crate::broker::{group::Committed, storage::Note, transaction::Offsets};
use kafka_protocol::ResponseError;
use std::io;

impl Groups {
    /// Whether offsets of this member may be in a transaction. A producer that knows no member says
    /// neither id nor generation, and may.
    pub(crate) fn may_commit_in_transaction(
        &self,
        id: &str,
        (member_id, instance_id): (&str, Option<&str>),
        generation: i32,
    ) -> Result<(), ResponseError> {
        let is_nobody = generation < 0 && member_id.is_empty() && instance_id.is_none();
        let mut inner = self.inner.lock();
        if generation < 0 {
            // It is there from now on, also if nothing comes of the transaction.
            inner.by_id.entry(id.to_owned()).or_insert_with(|| self.new_group());
        }
        match inner.by_id.get(id) {
            _ if is_nobody => Ok(()),
            None => Err(ResponseError::IllegalGeneration),
            Some(known) => match &known.consumers {
                Some(consumers) => {
                    consumers.may_commit(member_id, generation).map_err(|error| match error {
                        // Producers know only the error of the classic protocol.
                        ResponseError::StaleMemberEpoch => ResponseError::IllegalGeneration,
                        error => error,
                    })
                }
                None => known.group.is_member_in(member_id, instance_id, generation),
            },
        }
    }

    /// Commits offsets of several groups and writes `then` down behind them, in one piece.
    pub(crate) fn commit_all(&self, offsets: &Offsets, then: Note) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if self.storage.is_durable() {
            let note = |(group, topic, partition, committed): Place<'_>| {
                let (group, topic, committed) =
                    (group.to_owned(), topic.to_owned(), Some(committed.clone()));
                Note::Commit { group, topic, partition, committed }
            };
            let mut notes: Vec<Note> = each(offsets).map(note).collect();
            notes.push(then);
            self.storage.note(&notes)?;
        }
        for (group, topic, partition, committed) in each(offsets) {
            let Inner { by_id, .. } = &mut *inner;
            let known = by_id.entry(group.to_owned()).or_insert_with(|| self.new_group());
            known.group.offsets.set(topic, partition, committed.clone());
        }
        Ok(())
    }
}

/// Group, topic, partition, and what is committed for it.
type Place<'a> = (&'a str, &'a str, i32, &'a Committed);

fn each<'a>(offsets: &'a Offsets) -> impl Iterator<Item = Place<'a>> {
    offsets.iter().flat_map(|(group, topics)| {
        topics.iter().flat_map(move |(topic, partitions)| {
            let place = move |(partition, committed): (&i32, &'a Committed)| {
                (group.as_str(), topic.as_str(), *partition, committed)
            };
            partitions.iter().map(place)
        })
    })
}
