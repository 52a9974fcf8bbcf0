//! A batch on its way through the handler.

use super::{
    feeding,
    joined::Told,
    shared::Shared,
    state::{BatchState, Due},
    windows::Feed,
};
use crate::{
    config::Guarantee,
    engine::tracker::Ticket,
    error::Result,
    kafka::messages::Messages,
    state::{Delta, Space},
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
    /// What the batch changed apart from what its handler wrote; only where each batch is committed.
    pub(super) delta: Delta,
    pub(super) began: Instant,
    /// When a handler got it; none if it needs no handler.
    pub(super) handed: Option<Instant>,
    /// The state in the hands of its handler.
    pub(super) state: Option<Arc<BatchState>>,
    /// Whose rows they are, where two topics are joined.
    pub(super) told: Option<Told>,
    /// How far the task is behind it, where that is told on.
    pub(super) progress: feeding::Told,
    pub(super) outputs: mpsc::UnboundedSender<Outputs>,
    pub(super) place: OwnedSemaphorePermit,
}

/// What a handler made of a batch.
pub(super) struct Outputs {
    pub(super) batches: Vec<(Outlet, RecordBatch)>,
    pub(super) letters: Vec<OwnedRecord>,
    /// What is to take effect together with them; empty where checkpoints have it.
    pub(super) delta: Delta,
    pub(super) ticket: Ticket,
    /// Offset behind the last record of the batch.
    pub(super) next: i64,
    pub(super) began: Instant,
    /// When the handler was done.
    pub(super) handled: Instant,
    /// Given back once the producer has everything, or where each batch is committed, once it is encoded.
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

    /// Offset of its first record.
    #[must_use]
    pub fn first(&self) -> i64 {
        self.extent.first
    }

    /// Does the handler see records again whose outputs were written? Then nothing that it gives out is.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        let (task, next) = (&self.task, self.extent.next);
        let replays = |one: &super::Replaying| one.until().is_some() && one.has(next);
        task.is_repeat(next) || task.replaying().is_some_and(replays)
    }

    /// Notes that the handler begins now.
    pub fn hand_over(&mut self) {
        self.handed = Some(Instant::now());
        let Extent { before, after, .. } = self.extent;
        let of_batch = |kept| Arc::new(BatchState::new(Arc::clone(kept), before, after));
        self.state = self.task.kept.as_ref().map(of_batch);
    }

    /// The state in the hands of its handler, if it keeps any.
    #[must_use]
    pub fn state(&self) -> Option<&Arc<BatchState>> {
        self.state.as_ref()
    }

    /// The next timer that is due behind the batch, disarmed: the earliest first.
    ///
    /// # Errors
    ///
    /// If the state cannot be read.
    pub fn next_timer(&self) -> Result<Option<Due>> {
        match &self.state {
            Some(state) if !self.task.is_repeat(self.extent.next) => state.next_timer(),
            _ => Ok(None),
        }
    }

    /// The handler is done: `batches` go out, `bad` rows (index in the batch, error) by the policy,
    /// then the offset moves.
    pub fn complete(mut self, mut batches: Vec<(Outlet, RecordBatch)>, bad: &[(usize, String)]) {
        let metrics = &self.task.status.metrics;
        if let Some(handed) = self.handed {
            metrics.process.observe(handed.elapsed().as_secs_f64());
        }
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
        match self.fed(batches) {
            Ok(fed) => batches = fed,
            Err(error) => return self.fail(&error.to_string()),
        }
        let Extent { ticket, next, .. } = self.extent;
        let mut delta = match self.changes() {
            Ok(delta) => delta,
            Err(error) => return self.fail(&error.to_string()),
        };
        let commits_each = self.task.config.guarantee == Guarantee::ExactlyOnce;
        if !commits_each && !self.task.is_repeat(next) {
            self.task.note(ticket, next, std::mem::take(&mut delta));
        }
        if batches.is_empty() && letters.is_empty() && !commits_each {
            self.task.status.metrics.batch.observe(self.began.elapsed().as_secs_f64());
            let done = (!self.task.is_halted(ticket)).then_some(ticket);
            return self.task.end(done);
        }
        let (task, began, place) = (self.task, self.began, self.place);
        let handled = Instant::now();
        let outputs = Outputs { batches, letters, delta, ticket, next, began, handled, place };
        // Only a task that is gone does not take it, and then nobody waits for the batch.
        let send = |outputs| drop(self.outputs.send(outputs));
        if !commits_each {
            send(outputs);
        } else if task.done.pass(ticket, outputs, send).is_err() {
            task.end(None);
        }
    }

    /// What goes out, with word of how far the task is, where windows behind a topic wait for that.
    fn fed(&self, batches: Vec<(Outlet, RecordBatch)>) -> Result<Vec<(Outlet, RecordBatch)>> {
        match &self.task.feeding {
            Some(feeding) => feeding.lock().apply(batches, self.progress, self.extent.next),
            None => Ok(batches),
        }
    }

    /// What takes effect with the batch.
    fn changes(&mut self) -> Result<Delta> {
        let mut delta = std::mem::take(&mut self.delta);
        // One that no handler got may end while the handler writes for an earlier one.
        if let Some(state) = &self.state {
            if self.task.is_repeat(self.extent.next) {
                state.discard();
            }
            delta.extend(state.finish(self.extent.ticket)?);
        }
        let Extent { first, next, .. } = self.extent;
        if let Some(inputs) = self.task.inputs.as_ref().filter(|_| first < next) {
            delta.push(Space::INPUTS, inputs.writes(next));
        }
        Ok(delta)
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
        self.delta.extend(step.delta);
        Ok(step.results)
    }

    /// The partition stops in front of this batch.
    pub fn fail(self, reason: &str) {
        if let Some(state) = &self.state {
            state.discard();
        }
        self.task.halt(self.extent.ticket, reason);
        self.task.end(None);
    }

    /// No handler will get it here: whoever has the partition next reads it again.
    pub(super) fn give_back(self) {
        self.task.close_behind(self.extent.ticket);
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
