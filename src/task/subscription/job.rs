//! A batch on its way through the handler.

use super::{shared::Shared, windows::Feed};
use crate::{
    engine::tracker::Ticket,
    error::Result,
    kafka::messages::Messages,
    task::{
        dead_letter::{Phase, dead_letter},
        sink::Outlet,
    },
    types::{OwnedRecord, TopicPartition},
    window::operator::Cause,
};
use arrow::array::RecordBatch;
use std::{sync::Arc, time::Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// What a job asks the handler to do.
#[derive(Clone, Debug)]
pub enum Content {
    /// Handle the rows.
    Rows,
    /// Handle results of windows, each with the name of its window.
    Results(Vec<(Arc<str>, RecordBatch)>),
    /// Nothing has come for a while: close windows.
    Silence,
    /// No rows came, but word of how far the sources are: close windows that it has passed.
    Progress,
}

/// Where a batch lies in its partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) ticket: Ticket,
    /// Offset of its first record.
    pub(super) first: i64,
    /// Offset behind its last record.
    pub(super) next: i64,
    /// The watermark before its first row and behind its last one, in ms.
    pub(super) before: Option<i64>,
    pub(super) after: Option<i64>,
    /// Latest event time of its rows, in ms.
    pub(super) latest: Option<i64>,
}

/// A batch between poll and complete.
pub struct Job {
    /// What is to be done.
    pub content: Content,
    /// Late rows that are handed out.
    pub(super) late: Vec<RecordBatch>,
    /// The rows, with the metadata columns that were asked for.
    pub batch: RecordBatch,
    pub(super) task: Arc<Shared>,
    pub(super) extent: Extent,
    /// Source records, kept only where a row may still become a dead letter.
    pub(super) records: Option<Messages>,
    /// Index in `records` of each row; none if they are the same.
    pub(super) rows: Option<Vec<u32>>,
    pub(super) letters: Vec<OwnedRecord>,
    pub(super) began: Instant,
    pub(super) handed: Instant,
    pub(super) outputs: mpsc::UnboundedSender<Outputs>,
    pub(super) place: OwnedSemaphorePermit,
}

/// What a handler made of a batch.
pub(super) struct Outputs {
    pub(super) batches: Vec<(Outlet, RecordBatch)>,
    pub(super) letters: Vec<OwnedRecord>,
    pub(super) ticket: Ticket,
    pub(super) began: Instant,
    /// Given back once the producer has everything.
    pub(super) place: OwnedSemaphorePermit,
}

impl Job {
    /// The partition it came from.
    #[must_use]
    pub fn tp(&self) -> &TopicPartition {
        &self.task.status.tp
    }

    /// The watermark before the first row, in ms.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        self.extent.before
    }

    /// Notes that the handler begins now.
    pub fn hand_over(&mut self) {
        self.handed = Instant::now();
    }

    /// The handler is done: `batches` go out, `bad` rows (index in the batch, error) by the policy,
    /// then the offset moves.
    pub fn complete(mut self, mut batches: Vec<(Outlet, RecordBatch)>, bad: &[(usize, String)]) {
        let metrics = &self.task.status.metrics;
        metrics.process.observe(self.handed.elapsed().as_secs_f64());
        metrics.bad_records.inc_by(bad.len() as u64);
        let mut letters = std::mem::take(&mut self.letters);
        if let Some(records) = &self.records {
            // A record may have given several rows: it is one dead letter, with the first reason.
            let mut buried = None;
            for (row, error) in bad {
                let source = self.rows.as_ref().map_or(*row, |rows| rows[*row] as usize);
                if buried.replace(source) != Some(source) {
                    let tp = &self.task.status.tp;
                    letters.push(dead_letter(records, source, tp, Phase::Process, error));
                }
            }
        }
        batches.extend(self.late.drain(..).map(|late| (Outlet::Late, late)));
        if self.task.is_repeat(self.extent.next) {
            batches.clear();
            letters.clear();
        }
        if batches.is_empty() && letters.is_empty() {
            metrics.batch.observe(self.began.elapsed().as_secs_f64());
            let ticket = self.extent.ticket;
            let done = (!self.task.is_halted(ticket)).then_some(ticket);
            return self.task.end(done);
        }
        let (ticket, began, place) = (self.extent.ticket, self.began, self.place);
        let outputs = Outputs { batches, letters, ticket, began, place };
        // Only a task that is gone does not take it, and then nobody waits for the batch.
        let _ = self.outputs.send(outputs);
    }

    /// Gives rows to the windows that the handler feeds, and closes what the watermark has passed; call
    /// it once, after the handler. What came out, each with the name of its window.
    ///
    /// # Errors
    ///
    /// What the windows return; then the batch is to fail.
    pub fn feed(&mut self, feeds: &[Feed]) -> Result<Vec<(Arc<str>, RecordBatch)>> {
        let is_silence = matches!(self.content, Content::Silence);
        let cause = if is_silence { Cause::Idle } else { Cause::Watermark };
        let step = self.task.step(feeds, cause, self.extent)?;
        self.late.extend(step.late);
        Ok(step.results)
    }

    /// The partition stops in front of this batch.
    pub fn fail(self, reason: &str) {
        self.task.halt(self.extent.ticket, reason);
        self.task.end(None);
    }

    /// Gives the batch back if an earlier one of its partition failed.
    #[must_use]
    pub fn unless_halted(self) -> Option<Self> {
        if self.task.is_halted(self.extent.ticket) {
            self.task.end(None);
            return None;
        }
        Some(self)
    }
}
