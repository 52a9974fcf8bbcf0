//! One source of a task among others: the sides of a join.
//!
//! A source that is alone has the offsets of its partition and waits for nobody.

use super::{inputs::Inputs, joined::Told, source::Source};
use crate::{engine::tracker::Ticket, join::Side};
use std::sync::{Arc, atomic::Ordering};

/// An input of a task that joins two.
pub struct Reading {
    /// What it shares with the other one.
    pub inputs: Arc<Inputs>,
    /// Its place among them.
    pub which: usize,
    /// The side of the join that its rows are.
    pub side: Side,
    /// Does it go on where both are equally far in time?
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

    /// Is the other input of a join behind this one in time, with something to read?
    pub(super) fn waits_for_other(&self) -> bool {
        self.reading.as_ref().is_some_and(|one| one.inputs.must_wait(one.which, one.goes_first))
    }

    /// Tells the other input of a join how far this one is; `is_empty` if nothing was there to be taken.
    pub(super) fn tell_end(&self, is_empty: bool) {
        if let Some(one) = &self.reading {
            one.inputs.note(one.which, self.watermark(), is_empty && self.queue.is_at_end());
        }
    }

    /// Resolves when the other input of a join has gone on.
    pub(super) async fn moved(&self) {
        match &self.reading {
            Some(one) => one.inputs.moved.notified().await,
            None => std::future::pending().await,
        }
    }
}
