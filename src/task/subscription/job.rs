//! A batch on its way through the handler.

use super::shared::Shared;
use crate::{
    engine::tracker::Ticket,
    kafka::messages::Messages,
    task::dead_letter::{Phase, dead_letter},
    types::{OwnedRecord, TopicPartition},
};
use arrow::array::RecordBatch;
use std::{sync::Arc, time::Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A batch between poll and complete.
pub struct Job {
    /// The rows, with the metadata columns that were asked for.
    pub batch: RecordBatch,
    pub(super) task: Arc<Shared>,
    pub(super) ticket: Ticket,
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
    pub(super) batches: Vec<RecordBatch>,
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

    /// Notes that the handler begins now.
    pub fn hand_over(&mut self) {
        self.handed = Instant::now();
    }

    /// The handler is done: `batches` go out, `bad` rows (index in the batch, error) by the policy,
    /// then the offset moves.
    pub fn complete(mut self, batches: Vec<RecordBatch>, bad: &[(usize, String)]) {
        let metrics = &self.task.status.metrics;
        metrics.process.observe(self.handed.elapsed().as_secs_f64());
        metrics.bad_records.inc_by(bad.len() as u64);
        let mut letters = std::mem::take(&mut self.letters);
        if let Some(records) = &self.records {
            letters.extend(bad.iter().map(|(row, error)| {
                let source = self.rows.as_ref().map_or(*row, |rows| rows[*row] as usize);
                dead_letter(records, source, &self.task.status.tp, Phase::Process, error)
            }));
        }
        let (ticket, began, place) = (self.ticket, self.began, self.place);
        let outputs = Outputs { batches, letters, ticket, began, place };
        // Only a task that is gone does not take it, and then nobody waits for the batch.
        let _ = self.outputs.send(outputs);
    }

    /// The partition stops in front of this batch.
    pub fn fail(self, reason: &str) {
        self.task.halt(self.ticket, reason);
        self.task.end(None);
    }

    /// Gives the batch back if an earlier one of its partition failed.
    #[must_use]
    pub fn unless_halted(self) -> Option<Self> {
        if self.task.is_halted(self.ticket) {
            self.task.end(None);
            return None;
        }
        Some(self)
    }
}
