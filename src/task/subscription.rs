//! The line of one partition of a subscription.
//!
//! Two loops: [`Source`] polls and decodes, one batch ahead of the handler; `write_outputs` encodes,
//! produces and, once everything is acknowledged, lets the offset move. The handler is between them,
//! behind a [`Shelf`].

use super::{
    dead_letter::{Phase, dead_letter},
    order::order_broken,
    shelf::Shelf,
    sink::Sink,
    status::{State, Status, retry_later},
    watch::watch,
};
use crate::{
    clock::Clock,
    codec::{BadRecord, Decode, Decoded, metadata},
    config::{OnError, SubscriptionConfig},
    engine::tracker::{Ticket, Tracker},
    kafka::{flight::Flight, messages::Messages, queue::PartitionQueue},
    types::{OwnedRecord, Records, TopicPartition},
};
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
};

/// Batches of one partition in memory: one decoded, one with the handler, one being written. A
/// handler that is quicker than the producer waits here, instead of piling its outputs up.
const PLACES: usize = 3;
/// Looks at the queue at least this often, should a wake-up be lost.
const RECHECK: Duration = Duration::from_millis(500);

/// What the loops of one task share, and what the worker holds of it.
pub struct Shared {
    /// State and metrics.
    pub status: Status,
    config: SubscriptionConfig,
    clock: Clock,
    tracker: Mutex<Tracker>,
    /// Batches begun and not ended, wherever they are.
    open: AtomicUsize,
    /// The first batch that must not take effect any more.
    halted_at: AtomicU64,
    stopping: Notify,
    settled: Notify,
}

/// A batch between poll and complete.
pub struct Job {
    /// The rows, with the metadata columns that were asked for.
    pub batch: RecordBatch,
    task: Arc<Shared>,
    ticket: Ticket,
    /// Source records, kept only where a row may still become a dead letter.
    records: Option<Messages>,
    /// Index in `records` of each row; none if they are the same.
    rows: Option<Vec<u32>>,
    letters: Vec<OwnedRecord>,
    began: Instant,
    handed: Instant,
    outputs: mpsc::UnboundedSender<Outputs>,
    place: OwnedSemaphorePermit,
}

/// What a handler made of a batch.
struct Outputs {
    batches: Vec<RecordBatch>,
    letters: Vec<OwnedRecord>,
    ticket: Ticket,
    began: Instant,
    /// Given back once the producer has everything.
    place: OwnedSemaphorePermit,
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

impl Shared {
    /// A task at its beginning.
    #[must_use]
    pub fn new(status: Status, config: SubscriptionConfig, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            status,
            config,
            clock,
            tracker: Mutex::default(),
            open: AtomicUsize::new(0),
            halted_at: AtomicU64::new(Ticket::MAX),
            stopping: Notify::new(),
            settled: Notify::new(),
        })
    }

    /// Offset that is safe to commit.
    pub fn position(&self) -> Option<i64> {
        self.tracker.lock().position()
    }

    /// Stops the partition in front of batch `at`; batches before it still take effect.
    fn halt(&self, at: Ticket, reason: &str) {
        self.halted_at.fetch_min(at, Ordering::AcqRel);
        self.status.fail(reason);
    }

    fn is_halted(&self, ticket: Ticket) -> bool {
        ticket >= self.halted_at.load(Ordering::Acquire)
    }

    /// Rows fetched and not done, wherever they are.
    pub fn rows_in_flight(&self) -> u64 {
        let tracker = self.tracker.lock();
        let rows = tracker.end().zip(tracker.position()).map_or(0, |(end, at)| end - at);
        u64::try_from(rows).unwrap_or(0)
    }

    fn end(&self, done: Option<Ticket>) {
        if let Some(ticket) = done {
            self.tracker.lock().finish(ticket);
        }
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.settled.notify_waiters();
    }

    /// Stops polling and gives back what no handler has seen; what a handler has may still finish.
    pub fn drain(&self, shelf: &Shelf<Job>) {
        self.status.become_state(State::Draining);
        self.stopping.notify_waiters();
        self.stopping.notify_one();
        let tp = &self.status.tp;
        for job in shelf.remove(|job| job.tp() == tp) {
            job.task.end(None);
        }
    }

    /// Resolves when nothing of this task is with a handler or on its way out.
    pub async fn settle(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            settled.await;
        }
    }
}

/// What the policy for bad records made of a poll.
struct Sorted {
    /// Offset behind what is handed out.
    next: i64,
    letters: Vec<OwnedRecord>,
    /// Why the partition stops there, if it does.
    stop: Option<String>,
}

/// Polls and decodes one partition.
pub struct Source {
    /// What is shared with the rest of the task.
    pub task: Arc<Shared>,
    /// The partition's records.
    pub queue: PartitionQueue,
    /// Bytes to rows.
    pub decoder: Box<dyn Decode>,
    /// Where batches wait for the handler.
    pub shelf: Arc<Shelf<Job>>,
    /// Most bytes of records in one batch.
    pub batch_bytes: usize,
}

impl Source {
    /// Runs both loops until the task drains or fails.
    pub async fn run(self, sink: Sink) {
        let (outputs, inbox) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write_outputs(Arc::clone(&self.task), sink, inbox));
        // It ends when the last job, which holds the other end of the channel, is gone.
        watch(&Handle::current(), Arc::clone(&self.task), writer, |task| &task.status);
        self.read_batches(outputs).await;
    }

    async fn read_batches(mut self, outputs: mpsc::UnboundedSender<Outputs>) {
        let places = Arc::new(Semaphore::new(PLACES));
        self.task.status.become_state(State::Running);
        while self.task.status.is_live() {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let asked = Instant::now();
            let records = match self.collect().await {
                Ok(Some(records)) => records,
                Ok(None) => return,
                Err(error) => return self.task.status.fail(&error.to_string()),
            };
            self.task.status.metrics.poll.observe(asked.elapsed().as_secs_f64());
            self.shelve(records, place, &outputs);
        }
    }

    /// The next batch: as much as has arrived, up to the batch size; more is waited for only while
    /// the handler is busy. `None` when the task is to stop.
    async fn collect(&self) -> crate::error::Result<Option<Messages>> {
        let config = &self.task.config;
        let mut records = Messages::default();
        let mut deadline = None;
        loop {
            if !self.task.status.is_live() {
                return Ok(None);
            }
            let hungry = self.shelf.became_hungry();
            tokio::pin!(hungry);
            let room = self.batch_bytes.saturating_sub(records.bytes());
            let rows = config.batch_size - records.len();
            retry_later(&self.task.status, self.queue.take(&mut records, rows, room))?;
            let full = records.len() >= config.batch_size || records.bytes() >= self.batch_bytes;
            if !records.is_empty() {
                let wait = Duration::from_millis(config.batch_timeout_ms);
                let due = *deadline.get_or_insert_with(|| self.task.clock.now() + wait);
                if full || self.shelf.is_hungry() || self.task.clock.now() >= due {
                    return Ok(Some(records));
                }
            }
            tokio::select! {
                () = self.queue.arrived() => {}
                () = &mut hungry, if !records.is_empty() => {}
                () = self.task.stopping.notified() => {}
                () = reach(&self.task.clock, deadline) => {}
                () = tokio::time::sleep(RECHECK) => {}
            }
        }
    }

    fn shelve(
        &mut self,
        records: Messages,
        place: OwnedSemaphorePermit,
        outputs: &mpsc::UnboundedSender<Outputs>,
    ) {
        let began = Instant::now();
        let task = &self.task;
        let end = task.tracker.lock().end();
        if let Some(reason) = order_broken(&records, end, &task.status.tp) {
            return task.status.fail(&reason);
        }
        let metrics = &task.status.metrics;
        metrics.records_in.inc_by(records.len() as u64);
        let mut decoded = self.decoder.decode(&records, 0..records.len());
        let names = &task.config.with_metadata;
        let tp = &task.status.tp;
        let source = metadata::Source { topic: &tp.topic, partition: tp.partition };
        let rows = decoded.rows.as_deref();
        match metadata::append(&decoded.batch, source, &records, rows, 0, names) {
            Ok(batch) => decoded.batch = batch,
            Err(error) => return task.status.fail(&error.to_string()),
        }
        metrics.bad_records.inc_by(decoded.bad.len() as u64);
        let Sorted { next, letters, stop } = self.sort_out(&records, &mut decoded);
        metrics.decode.observe(began.elapsed().as_secs_f64());
        task.status.note_fetched(next);
        let first = records.offset(0);
        if next > first {
            let ticket = task.tracker.lock().begin(first, next);
            task.open.fetch_add(1, Ordering::AcqRel);
            let job = Job {
                batch: decoded.batch,
                task: Arc::clone(task),
                ticket,
                rows: decoded.rows,
                records: (task.config.on_error == OnError::Dlq).then_some(records),
                letters,
                began,
                handed: began,
                outputs: outputs.clone(),
                place,
            };
            if job.batch.num_rows() == 0 {
                job.complete(Vec::new(), &[]);
            } else {
                self.shelf.put(job);
            }
        }
        if let Some(reason) = stop {
            task.status.fail(&reason);
        }
        if matches!(task.status.state(), State::Draining | State::Revoked) {
            // Drained between the poll and the shelf: the batch is read again by the next owner.
            task.drain(&self.shelf);
        }
    }

    /// Applies the policy to the records that could not be decoded.
    fn sort_out(&self, records: &Messages, decoded: &mut Decoded) -> Sorted {
        let tp = &self.task.status.tp;
        let next = records.offset(records.len() - 1) + 1;
        let mut sorted = Sorted { next, letters: Vec::new(), stop: None };
        let Some(first) = decoded.bad.first() else { return sorted };
        match self.task.config.on_error {
            OnError::Fail => {
                sorted.stop = Some(self.refusal(records, first));
                sorted.next = records.offset(first.index);
                let before = decoded.rows.as_ref().map_or(first.index, |rows| {
                    rows.partition_point(|&row| (row as usize) < first.index)
                });
                decoded.batch = decoded.batch.slice(0, before);
            }
            OnError::Skip => self.note_skipped(records, &decoded.bad),
            OnError::Dlq => {
                let letter = |bad: &BadRecord| {
                    dead_letter(records, bad.index, tp, Phase::Decode, &bad.message)
                };
                sorted.letters = decoded.bad.iter().map(letter).collect();
            }
        }
        sorted
    }

    fn refusal(&self, records: &Messages, bad: &BadRecord) -> String {
        let tp = &self.task.status.tp;
        format!(
            "record {tp} at offset {} cannot be decoded: {}. Nothing is lost: the partition waits in front of it. \
             Mend the record's producer or the model and restart, or declare on_error=\"skip\" or on_error=\"dlq\" to go on without such records",
            records.offset(bad.index),
            bad.message
        )
    }

    fn note_skipped(&self, records: &Messages, bad: &[BadRecord]) {
        let Some(first) = bad.first() else { return };
        tracing::warn!(
            target: "turbine.task",
            "{} {}: {} bad record(s) left out, the first at offset {}: {}",
            self.task.status.name,
            self.task.status.tp,
            bad.len(),
            records.offset(first.index),
            first.message
        );
    }
}

/// Returns at `deadline`; never, without one.
async fn reach(clock: &Clock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Produces what handlers completed, in the order of the batches.
async fn write_outputs(
    task: Arc<Shared>,
    mut sink: Sink,
    mut inbox: mpsc::UnboundedReceiver<Outputs>,
) {
    while let Some(outputs) = inbox.recv().await {
        if task.is_halted(outputs.ticket) {
            task.end(None);
            continue;
        }
        let began = Instant::now();
        let flight = {
            let (task, ticket, batch_began) = (Arc::clone(&task), outputs.ticket, outputs.began);
            Flight::new(move |landed| {
                let metrics = &task.status.metrics;
                metrics.produce.observe(began.elapsed().as_secs_f64());
                metrics.batch.observe(batch_began.elapsed().as_secs_f64());
                match landed {
                    Ok(()) => task.end(Some(ticket)),
                    Err(error) => {
                        task.halt(ticket, &format!("an output was not delivered: {error}"));
                        task.end(None);
                    }
                }
            })
        };
        let written = sink.write(&outputs.batches, &outputs.letters, &flight, &task.status).await;
        if let Err(error) = written {
            task.halt(outputs.ticket, &error.to_string());
            flight.failed_whole(error);
        }
        flight.seal();
        drop(outputs.place);
    }
}
