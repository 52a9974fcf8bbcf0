//! One input of a task of agents: a partition, and how far each agent is in it.

use super::agent::Lane;
use crate::{
    kafka::messages::Messages,
    types::{Records as _, TopicPartition},
};
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;

/// See the module.
pub struct Input {
    /// The partition.
    pub tp: TopicPartition,
    /// The agents that read it.
    pub lanes: Vec<Lane>,
    /// Offset that it is read from, where that is known beforehand; always, where there are other inputs.
    pub begins: Option<i64>,
    /// Offset of the first record; -1 before it.
    first: AtomicI64,
    /// Offset behind the last record fetched; -1 before it.
    fetched: AtomicI64,
    pub(super) stopping: Notify,
}

impl Input {
    /// One of which nothing was read.
    #[must_use]
    pub fn new(tp: TopicPartition, lanes: Vec<Lane>, begins: Option<i64>) -> Self {
        let (first, fetched) = (AtomicI64::new(-1), AtomicI64::new(-1));
        Self { tp, lanes, begins, first, fetched, stopping: Notify::new() }
    }

    /// Takes note of records that are handed out.
    pub(super) fn note(&self, records: &Messages) {
        if self.began().is_none() {
            self.first.store(records.offset(0), Ordering::Relaxed);
        }
        self.fetched.store(records.offset(records.len() - 1) + 1, Ordering::Relaxed);
    }

    /// Offset of the first record that was handed out.
    pub(super) fn began(&self) -> Option<i64> {
        Some(self.first.load(Ordering::Relaxed)).filter(|&at| at >= 0)
    }

    /// Offset behind the last record fetched.
    #[must_use]
    pub fn fetched(&self) -> Option<i64> {
        Some(self.fetched.load(Ordering::Relaxed)).filter(|&at| at >= 0)
    }

    /// Offset behind the last row that any agent was given.
    pub(super) fn reached(&self) -> Option<i64> {
        let of_lane = |lane: &Lane| {
            let live = lane.live.lock().iter().filter_map(|cursor| cursor.reached()).max();
            // Behind the live ones: what ends in between is in one of the two.
            live.max(Some(lane.reached.load(Ordering::SeqCst)).filter(|&at| at >= 0))
        };
        self.lanes.iter().filter_map(of_lane).max()
    }

    /// Offset that is safe to commit as far as handlers go.
    #[must_use]
    pub fn position(&self) -> Option<i64> {
        let of_lane = |lane: &Lane| {
            let live: Vec<_> = lane.live.lock().clone();
            live.iter().for_each(|cursor| cursor.apply());
            lane.tracker.lock().position()
        };
        // A lane without a position has begun nothing, and then no lane has.
        let begun = self.lanes.iter().map(of_lane).collect::<Option<Vec<_>>>();
        begun.and_then(|all| all.into_iter().min()).or(self.begins)
    }

    /// Offset behind everything that was handed out.
    pub(super) fn begun(&self) -> Option<i64> {
        let end = self.lanes.first().and_then(|lane| lane.tracker.lock().end());
        end.or(self.begins)
    }

    /// Goes on to `to`: there is no record in front of it that was not handed out.
    pub(super) fn pass_over(&self, to: i64) {
        for lane in &self.lanes {
            let mut tracker = lane.tracker.lock();
            let from = tracker.end().unwrap_or(to);
            let ticket = tracker.begin(from, to);
            tracker.finish(ticket);
            lane.reached.fetch_max(to, Ordering::SeqCst);
        }
        self.fetched.fetch_max(to, Ordering::Relaxed);
    }

    /// Records that agents have and have not finished.
    pub(super) fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.tracker.lock().in_flight()).max().unwrap_or(0)
    }
}
