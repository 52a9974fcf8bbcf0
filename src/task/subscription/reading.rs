//! One source of a task among others: the sides of a join.
//!
//! A source that is alone has the offsets of its partition and waits for nobody.

use super::{inputs::Inputs, joined::Told, source::Source};
use crate::{engine::tracker::Ticket, join::Side, kafka::messages::Messages, types::Records as _};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How often who waits for the other input looks again, should a wake-up be lost.
const LOOK: Duration = Duration::from_millis(500);

/// An input of a task that joins two.
pub struct Reading {
    /// What it shares with the other one.
    pub inputs: Arc<Inputs>,
    /// Its place among them.
    pub which: usize,
    /// The side of the join that its rows are.
    pub side: Side,
    /// Does it go on where batches of both overlap in time?
    pub goes_first: bool,
}

impl Source {
    /// Offset behind everything begun.
    pub(super) fn begun(&self) -> Option<i64> {
        match &self.reading {
            Some(one) => Some(one.inputs.at(one.which)),
            None => self.task.begun(),
        }
    }

    /// Begins a batch; in a join the numbers of both inputs take the place of the offsets.
    pub(super) fn begin(&self, first: i64, next: i64) -> (Ticket, i64, i64) {
        let (first, next) = match &self.reading {
            Some(one) => one.inputs.advance(one.which, next),
            None => (first, next),
        };
        let ticket = self.task.tracker.lock().begin(first, next);
        self.task.open.fetch_add(1, Ordering::AcqRel);
        (ticket, first, next)
    }

    /// As [`super::Shared::begin_nothing`], where `upto` is an offset of this input.
    pub(super) fn begin_nothing(&self, upto: Option<i64>) -> Option<(Ticket, i64, i64)> {
        match &self.reading {
            Some(one) => Some(self.begin(0, upto.unwrap_or_else(|| one.inputs.at(one.which)))),
            None => self.task.begin_nothing(upto),
        }
    }

    /// What a batch of a join says besides its rows.
    pub(super) fn told(&self, watermark: Option<i64>, is_silent: bool) -> Option<Told> {
        let side = self.reading.as_ref()?.side;
        Some(Told { side, watermark, is_silent })
    }

    /// Tells the other input of a join that this one has nothing more, if that is so: nothing was there to be taken.
    pub(super) fn tell_end(&self) {
        if let Some(one) = self.reading.as_ref().filter(|_| self.queue.is_at_end()) {
            one.inputs.ended(one.which);
        }
    }

    /// Waits until it is the turn of `records`: the other input of a join has nothing that was written before them.
    /// False if the task is to stop meanwhile.
    pub(super) async fn in_step(&self, records: &Messages) -> bool {
        let Some(one) = &self.reading else { return true };
        let times = || (0..records.len()).map(|i| records.timestamp_ms(i));
        let span = times().min().zip(times().max());
        one.inputs.offer(one.which, span.unwrap_or_default());
        loop {
            let moved = one.inputs.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if !self.task.status.is_live() {
                return false;
            }
            if one.inputs.may_go(one.which, one.goes_first) {
                return true;
            }
            tokio::select! {
                () = moved => {}
                () = self.task.stopping.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// The records whose turn it was are through.
    pub(super) fn stepped(&self) {
        if let Some(one) = &self.reading {
            one.inputs.taken(one.which);
        }
    }
}
