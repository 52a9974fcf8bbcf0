//! Where each input of a task is that has several: kept with its state, and found again when it begins.
//!
//! # Guarantees
//!
//! * The positions are in the store, and in the changelogs, with the commit that they belong to.
//! * Tables that were written together with a topic that is not read any more are not gone on with: the
//!   records of that topic would be missing, or counted twice once it comes back.

use super::{Worker, group::Group, opening::Opening, restoring::Committed};
use crate::{
    config::StartAt,
    engine::{
        halt::{Halt, Reason},
        inputs::{self, Positions},
    },
    error::Error,
    state::{Delta, Space, SpaceName, Store, Writes},
    task::{commit::Ended, cut::Sealed, tables},
    types::TopicPartition,
};
use std::{sync::Arc, time::Duration};

/// Pause before a broker that does not answer is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Where a task with several inputs keeps their positions; one with a single input keeps none.
#[derive(Clone)]
pub(super) struct InputSpace {
    space: Space,
    topics: Vec<Arc<str>>,
}

impl InputSpace {
    /// That of a task which reads `inputs`, of an app with so many tables.
    pub(super) fn new(tables: usize, inputs: &[TopicPartition]) -> Self {
        let topics = inputs.iter().map(|tp| Arc::clone(&tp.topic)).collect();
        Self { space: Self::space(tables), topics }
    }

    /// That of a subscription which reads `inputs`.
    pub(super) fn of_subscription(inputs: &[TopicPartition]) -> Self {
        let topics = inputs.iter().map(|tp| Arc::clone(&tp.topic)).collect();
        Self { space: Space::INPUTS, topics }
    }

    /// The space behind those of the tables.
    pub(super) fn space(tables: usize) -> Space {
        tables::space(tables)
    }

    /// What it is called.
    pub(super) fn name() -> SpaceName {
        SpaceName::plain(inputs::SPACE)
    }

    fn is_shared(&self) -> bool {
        self.topics.len() > 1
    }

    /// Where each input is behind `cut`, if there are several.
    pub(super) fn each(&self, cut: &Sealed) -> Vec<i64> {
        if self.is_shared() { cut.each.clone() } else { Vec::new() }
    }

    /// What `cut` changes, the positions among it.
    pub(super) fn with_positions(&self, cut: &Sealed) -> Delta {
        let mut delta = cut.writes.delta();
        if self.is_shared() {
            let each = self.topics.iter().cloned().zip(cut.each.iter().copied());
            let positions = Positions(each.collect()).to_bytes();
            delta.push(self.space, Writes(vec![(inputs::KEY.to_vec(), Some(positions))]));
        }
        delta
    }

    /// The positions in `store`; none if a task with a single input has written it.
    ///
    /// # Errors
    ///
    /// A halt if they are those of other topics.
    pub(super) fn stored(&self, store: &dyn Store) -> Result<Option<Positions>, Ended> {
        let failed =
            |error: Error| Ended::Halted(Halt::of(Reason::StoreFailed).because(error.to_string()));
        let Some(bytes) = store.get(self.space, inputs::KEY).map_err(failed)? else {
            return Ok(None);
        };
        let damaged = || failed(Error::State("the positions of the inputs are damaged".into()));
        let stored = Positions::of_bytes(&bytes).ok_or_else(damaged)?;
        let gone = stored.0.keys().find(|topic| !self.topics.contains(topic));
        match gone {
            None => Ok(Some(stored)),
            Some(topic) => Err(Ended::Halted(Halt::of(Reason::ForeignOffsets).because(format!(
                "the state was written by a task that reads {topic} too, and none does here. Run the program as \
                 it was, or give its tables, or its plan, another name to begin anew"
            )))),
        }
    }
}

/// What the group has committed of each input. Blocks until a broker says; [`Ended::Gone`] once nobody wants
/// to know.
pub(super) fn committed_of_each(
    group: &Group,
    inputs: &[TopicPartition],
    opening: &Opening,
) -> Result<Vec<Option<Committed>>, Ended> {
    inputs.iter().map(|tp| super::restoring::committed(group, tp, opening)).collect()
}

/// What is committed of all inputs together: their number, with what stands beside the first.
pub(super) fn together(
    inputs: &[TopicPartition],
    committed: &[Option<Committed>],
) -> Option<Committed> {
    let known = inputs.iter().zip(committed);
    let known = known.filter_map(|(tp, at)| Some((Arc::clone(&tp.topic), at.as_ref()?.offset)));
    let offset = Positions(known.collect()).number()?;
    let receipt = committed.first().copied().flatten().and_then(|one| one.receipt);
    Some(Committed { offset, receipt })
}

/// Where each input begins to be read: at the offset that is wanted, or where a group without offsets does.
///
/// # Errors
///
/// A halt if the records that come next are gone.
pub(super) fn begin_each(
    worker: &Worker,
    group: &Group,
    wanted: Vec<(TopicPartition, Option<i64>)>,
    opening: &Opening,
) -> Result<Vec<i64>, Ended> {
    let start_at = worker.config.start_at;
    let wanted = wanted.into_iter().map(|(tp, at)| (tp, at, start_at));
    begin_each_at(group, wanted, opening)
}

/// As [`begin_each`], where each input says where it starts without an offset.
pub(super) fn begin_each_at(
    group: &Group,
    wanted: impl Iterator<Item = (TopicPartition, Option<i64>, StartAt)>,
    opening: &Opening,
) -> Result<Vec<i64>, Ended> {
    let begin = |(tp, at, start_at): (TopicPartition, Option<i64>, StartAt)| {
        let (start, end) = log(group, &tp, opening)?;
        match at {
            Some(at) if at < start && start < end => {
                let detail = format!("{tp} is one of several inputs of the task");
                let halt = Halt::of(Reason::InputTruncated).because(detail);
                Err(Ended::Halted(Halt { local: Some(at), log: Some((start, end)), ..halt }))
            }
            Some(at) => Ok(at.max(start)),
            None if start_at == StartAt::Earliest => Ok(start),
            None => Ok(end),
        }
    };
    wanted.map(begin).collect()
}

/// First record of `tp` and its end. Blocks until a broker says.
fn log(group: &Group, tp: &TopicPartition, opening: &Opening) -> Result<(i64, i64), Ended> {
    while !opening.gate.is_closed() {
        if let Some(found) = group.member.get().and_then(|member| member.log(tp)) {
            return Ok(found);
        }
        opening.gate.wait(RETRY_PAUSE);
    }
    Err(Ended::Gone)
}
