//! A task as the worker holds it, whichever kind it is.

use super::cuts::Ended;
use super::opening::Opening;
use crate::engine::horizon::Point;
use crate::task::{
    agent, cut::Cuts, cut::End, repartition, restore::Seen, shelf::Shelf, status::State,
    status::Status, subscription, subscription::Job,
};
use crate::types::TopicPartition;
use std::{sync::Arc, time::Duration};

/// Longest wait for the last commit of a partition that goes.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// One assigned partition.
#[derive(Clone)]
pub enum Task {
    /// Of a subscription, with the shelf that its batches lie on.
    Subscription(Arc<subscription::Shared>, Arc<Shelf<Job>>),
    /// Of the agents, and whether what commits their cuts has ended.
    Agents(Arc<agent::Shared>, Arc<Ended>),
    /// Of a first stage.
    Repartition(Arc<repartition::Shared>),
    /// One that is not there yet.
    Opening(Arc<Opening>),
}

impl Task {
    /// State and metrics.
    #[must_use]
    pub fn status(&self) -> &Status {
        match self {
            Self::Subscription(task, _) => &task.status,
            Self::Agents(task, _) => &task.status,
            Self::Repartition(task) => &task.status,
            Self::Opening(opening) => &opening.status,
        }
    }

    /// Offset that is safe to commit as far as handlers go.
    #[must_use]
    pub fn position(&self) -> Option<i64> {
        match self {
            Self::Subscription(task, _) => task.position(),
            Self::Agents(task, _) => task.position(),
            Self::Repartition(task) => task.position(),
            Self::Opening(_) => None,
        }
    }

    /// What to commit for that, and where a successor is to begin.
    #[must_use]
    pub fn point(&self) -> Option<Point> {
        match self {
            Self::Subscription(task, _) => task.point(),
            Self::Agents(task, _) => task.committable().map(Point::plain),
            Self::Repartition(task) => task.committable().map(Point::plain),
            Self::Opening(_) => None,
        }
    }

    /// What to commit for each input, of a task with several.
    pub(super) fn committable_of_each(&self) -> Option<Vec<(TopicPartition, i64)>> {
        match self.inputs() {
            Some(_) => {
                Some(self.position().and_then(|at| self.commit_upto(at)).unwrap_or_default())
            }
            None => self.shared_inputs()?.committable_of_each(),
        }
    }

    fn commit_upto(&self, number: i64) -> Option<Vec<(TopicPartition, i64)>> {
        self.inputs()?.upto(number)
    }

    /// The inputs of a subscription that joins several topics.
    fn inputs(&self) -> Option<&Arc<subscription::Inputs>> {
        match self {
            Self::Subscription(task, _) => task.inputs.as_ref(),
            _ => None,
        }
    }

    /// Each partition that it reads, and how far its records are done for good.
    pub(super) fn seen(&self) -> Vec<(TopicPartition, Option<i64>)> {
        if let Some(inputs) = self.inputs() {
            return inputs.done().into_iter().map(|(tp, at)| (tp, Some(at))).collect();
        }
        let Some(task) = self.shared_inputs() else {
            let status = self.status();
            return vec![(status.tp.clone(), status.committed().or_else(|| self.position()))];
        };
        let each = task.cuts.as_ref().and_then(Cuts::stored_each).unwrap_or_default();
        let inputs = task.inputs.iter().enumerate();
        inputs.map(|(index, input)| (input.tp.clone(), each.get(index).copied())).collect()
    }

    /// Each partition that it reads: what is committed of it, and the offset behind the last record fetched.
    pub(super) fn fetched(&self) -> Vec<(TopicPartition, Option<i64>, Option<i64>)> {
        if let Some(inputs) = self.inputs() {
            let each = inputs.done().into_iter().zip(inputs.fetched());
            return each.map(|((tp, done), (_, at))| (tp, Some(done), Some(at))).collect();
        }
        let Some(task) = self.shared_inputs() else {
            let status = self.status();
            return vec![(status.tp.clone(), status.committed(), status.fetched())];
        };
        let each = self.seen().into_iter().zip(&task.inputs);
        each.map(|((tp, committed), input)| (tp, committed, input.fetched())).collect()
    }

    /// Each partition that it reads, and where that begins; `at` is where a single one does.
    pub(super) fn begins(&self, at: Option<i64>) -> Vec<(TopicPartition, Option<i64>)> {
        if let Some(inputs) = self.inputs() {
            return inputs.begins().into_iter().map(|(tp, at)| (tp, Some(at))).collect();
        }
        match self.shared_inputs() {
            Some(task) => task.inputs.iter().map(|one| (one.tp.clone(), one.begins)).collect(),
            None => vec![(self.status().tp.clone(), at)],
        }
    }

    /// The task, if it has several inputs.
    pub(super) fn shared_inputs(&self) -> Option<&agent::Shared> {
        match self {
            Self::Agents(task, _) if task.inputs.len() > 1 => Some(task),
            _ => None,
        }
    }

    /// Stops polling; takes back what no handler has begun.
    pub fn drain(&self) {
        match self {
            Self::Subscription(task, shelf) => task.drain(shelf),
            Self::Agents(task, _) => task.drain(),
            Self::Repartition(task) => task.drain(),
            Self::Opening(opening) => opening.drain(),
        }
    }

    /// Resolves when no handler has anything of it.
    pub async fn settle(&self) {
        match self {
            Self::Subscription(task, _) => task.settle().await,
            Self::Agents(task, _) => task.settle().await,
            Self::Repartition(task) => task.settle().await,
            Self::Opening(_) => {}
        }
    }

    /// Where reading goes on although the group may have committed another offset.
    #[must_use]
    pub fn starts_at(&self) -> Option<i64> {
        match self {
            Self::Subscription(task, _) => task.starts_at(),
            Self::Agents(task, _) => task.cuts.as_ref()?.stored(),
            Self::Repartition(_) | Self::Opening(_) => None,
        }
    }

    /// True if the partition has a store and nothing is in it.
    #[must_use]
    pub fn has_empty_store(&self) -> bool {
        matches!(self, Self::Subscription(task, _) if task.has_empty_store())
    }

    /// Counts that the state of the partition is elsewhere.
    pub fn note_missing_state(&self) {
        if let Self::Subscription(task, _) = self {
            task.note_missing_state();
        }
    }

    /// How far its state is, while that is brought back.
    #[must_use]
    pub fn restoring(&self) -> Option<Seen> {
        match self {
            Self::Opening(opening) if opening.status.state() == State::Restoring => {
                Some(opening.progress.seen())
            }
            _ => None,
        }
    }

    /// Are the two the same?
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.status(), other.status())
    }

    /// Is its partition held until it is there?
    #[must_use]
    pub fn is_opening(&self) -> bool {
        matches!(self, Self::Opening(_))
    }

    /// Lets go of everything at once: nothing more is committed.
    pub fn abandon(&self) {
        match self {
            Self::Subscription(task, _) => task.abandon(),
            Self::Agents(task, _) => {
                if let Some(cuts) = &task.cuts {
                    cuts.end(End::AtOnce);
                }
            }
            Self::Opening(opening) => opening.gate.close(),
            Self::Repartition(task) => task.close(false),
        }
    }

    /// Makes the checkpoints durable whose batches are done.
    pub fn settle_checkpoints(&self) {
        if let Self::Subscription(task, _) = self {
            task.settle_checkpoints();
        }
    }

    /// Closes the store, after a last checkpoint if all is `in_order`.
    pub fn close_state(&self, in_order: bool) {
        match self {
            Self::Subscription(task, _) => task.close_state(in_order),
            Self::Agents(task, ended) => {
                if let Some(cuts) = &task.cuts {
                    cuts.end(if in_order { End::InOrder } else { End::AtOnce });
                    // A partition that is lost is nobody's to wait for.
                    if in_order && !ended.wait(CLOSE_LIMIT) {
                        cuts.end(End::AtOnce);
                    }
                }
            }
            Self::Repartition(task) => task.close(in_order),
            Self::Opening(_) => {}
        }
    }

    /// Names of its windows.
    #[must_use]
    pub fn window_names(&self) -> Vec<String> {
        match self {
            Self::Subscription(task, _) => task.window_names(),
            Self::Agents(..) | Self::Repartition(_) | Self::Opening(_) => Vec::new(),
        }
    }

    /// Records that handlers have and have not finished.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        match self {
            Self::Subscription(task, _) => task.rows_in_flight(),
            Self::Agents(task, _) => task.in_flight() as u64,
            Self::Repartition(task) => task.in_flight(),
            Self::Opening(_) => 0,
        }
    }
}
