//! The reading side: polls and decodes one partition, one batch ahead of the handler.
//!
//! A task that joins two topics has two of them, each with the time of its rows and its silence; their batches
//! take turns.

use super::{
    encoding::encode_outputs,
    event_time::EventClock,
    exact::commit_outputs,
    feeding,
    job::{Content, Extent, Job, Outputs},
    origins::{Bare, decode_rows, origins},
    plan::Plan,
    reading::Reading,
    shared::Shared,
    silence::Silence,
    windows::Step,
    writer::write_outputs,
};
use crate::{
    clock::Clock,
    codec::{Decode, Decoded, KeyForm, metadata, refuse_bad_keys},
    config::{OnError, SubscriptionConfig},
    kafka::{messages::Messages, queue::PartitionQueue},
    state::Delta,
    task::{
        bad_records::{Sorted, sort_out},
        order::order_broken,
        ready::until_ready,
        shelf::Shelf,
        sink::Sink,
        status::{State, retry_later},
        trailing::Trailing,
        watch::watch,
    },
    types::{Records, TopicPartition},
    window::{dedup::Dedup, operator::Cause, time::EVENT_TIME, watermark::NONE},
};
use arrow::{
    array::{AsArray, RecordBatch},
    compute::max,
    datatypes::{Int64Type, Schema},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

/// Batches of one partition in memory: one decoded, one with the handler, one being written. A
/// handler that is quicker than the producer waits here, instead of piling its outputs up.
const PLACES: usize = 3;
/// Looks at the queue at least this often, should a wake-up be lost.
const RECHECK: Duration = Duration::from_millis(500);

/// Polls and decodes one partition.
pub struct Source {
    /// What is shared with the rest of the task.
    pub task: Arc<Shared>,
    /// The partition.
    pub tp: TopicPartition,
    /// Is it one of a topic that a first stage writes?
    pub is_repartitioned: bool,
    /// Which input it is of a task that joins two.
    pub reading: Option<Reading>,
    /// The partition's records.
    pub queue: PartitionQueue,
    /// Bytes to rows.
    pub decoder: Box<dyn Decode>,
    /// Where batches wait for the handler.
    pub shelf: Arc<Shelf<Job>>,
    /// Most bytes of records in one batch.
    pub batch_bytes: usize,
    /// Event time, if rows have one.
    pub events: Option<EventClock>,
    /// What leaves duplicates out, if it is asked for.
    pub dedup: Option<Dedup>,
    /// What is done to rows where no handler takes them.
    pub plan: Option<Arc<Plan>>,
    /// How long nothing has come.
    pub silence: Silence,
    /// When to go on behind the last record.
    pub trailing: Trailing,
}

/// Runs the loops of a task until it drains or fails: one for each of its `sources`, of which there is one or,
/// in a join, one a side; and what writes.
pub async fn read(mut sources: Vec<Source>, sink: Sink) {
    let Some(last) = sources.pop() else { return };
    let (outputs, inbox) = mpsc::unbounded_channel();
    let task = Arc::clone(&last.task);
    // They end when the last job, which holds the other end of the channel, is gone.
    if task.exact.is_some() {
        let (ready, waiting) = mpsc::unbounded_channel();
        start(&task, encode_outputs(Arc::clone(&task), sink, inbox, ready));
        start(&task, commit_outputs(Arc::clone(&task), waiting));
    } else {
        start(&task, write_outputs(Arc::clone(&task), sink, inbox));
    }
    sources.into_iter().for_each(|one| start(&task, one.read_batches(outputs.clone())));
    last.read_batches(outputs).await;
}

fn start(task: &Arc<Shared>, part: impl Future<Output = ()> + Send + 'static) {
    watch(&Handle::current(), Arc::clone(task), tokio::spawn(part), |task| &task.status);
}

impl Source {
    async fn read_batches(mut self, outputs: mpsc::UnboundedSender<Outputs>) {
        let places = Arc::new(Semaphore::new(PLACES));
        let _counts_as_open = self.task.hold_open();
        self.task.status.become_state(State::Running);
        while self.task.status.is_live() {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let asked = Instant::now();
            let records = match self.collect().await {
                Ok(Some(records)) => records,
                Ok(None) => return,
                Err(error) => return self.task.status.fail(&error.to_string()),
            };
            if records.is_empty() {
                self.go_on_without_records(place, &outputs);
                continue;
            }
            self.task.status.metrics.poll.observe(asked.elapsed().as_secs_f64());
            match self.prepare(&records).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.task.status.fail(&error.to_string()),
            }
            if !self.in_step(&records).await {
                return;
            }
            self.take(records, place, &places, &outputs).await;
            self.stepped();
        }
    }

    /// Waits for the schemas of `records`; false if the task is to stop.
    async fn prepare(&mut self, records: &Messages) -> crate::error::Result<bool> {
        let (decoder, task) = (&mut self.decoder, &self.task);
        until_ready(&task.status, &task.stopping, State::Running, || {
            Ok(decoder.prepare(records, 0..records.len()))
        })
        .await
    }

    /// The next batch: as much as has arrived, up to the batch size; more is waited for only while
    /// the handler is busy. Empty when a timer is due or windows are to be closed by the clock, `None`
    /// when the task is to stop.
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
            let settled = self.task.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let room = self.batch_bytes.saturating_sub(records.bytes());
            let rows = config.batch_size - records.len();
            retry_later(&self.task.status, self.queue.take(&mut records, rows, room))?;
            if records.is_empty() {
                self.tell_end();
            }
            let full = records.len() >= config.batch_size || records.bytes() >= self.batch_bytes;
            if !records.is_empty() {
                let wait = Duration::from_millis(config.batch_timeout_ms);
                let due = *deadline.get_or_insert_with(|| self.task.clock.now() + wait);
                let is_waited_for = self.plan.is_some() || self.shelf.is_hungry();
                if full || is_waited_for || self.task.clock.now() >= due {
                    return Ok(Some(records));
                }
            } else if self.closes_by_clock()
                || self.task.has_due_timer(self.watermark())
                || self.trailing().is_some()
            {
                return Ok(Some(records));
            }
            let timer = if records.is_empty() { self.task.next_timer() } else { None };
            tokio::select! {
                () = self.queue.arrived() => {}
                () = &mut hungry, if !records.is_empty() => {}
                () = self.task.stopping.notified() => {}
                () = reach(&self.task.clock, deadline) => {}
                () = reach(&self.task.clock, self.silence.due(self.task.clock.now())), if records.is_empty() => {}
                () = reach(&self.task.clock, timer) => {}
                () = &mut settled, if self.task.fires_timers() => {}
                () = tokio::time::sleep(self.trailing.wait(RECHECK, Instant::now())) => {}
            }
        }
    }

    /// Hands records on; those that are only read again in batches of their own.
    async fn take(
        &mut self,
        mut records: Messages,
        place: OwnedSemaphorePermit,
        places: &Arc<Semaphore>,
        outputs: &mpsc::UnboundedSender<Outputs>,
    ) {
        let Some((position, watermark)) = self.task.repeats() else {
            return self.shelve(records, place, outputs);
        };
        let rest = records.split_off(position);
        if !records.is_empty() {
            self.shelve(records, place, outputs);
        } else if !rest.is_empty() {
            self.catch_up(watermark, place, outputs);
        }
        while !rest.is_empty() && self.task.status.is_live() {
            let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
            match self.task.repeats() {
                // Its last records are gone: holes, or the markers of transactions.
                Some(_) => self.catch_up(watermark, place, outputs),
                None => return self.shelve(rest, place, outputs),
            }
        }
    }

    /// What is only read again ends here: windows that were closed by then are closed.
    fn catch_up(
        &mut self,
        watermark: i64,
        place: OwnedSemaphorePermit,
        outputs: &mpsc::UnboundedSender<Outputs>,
    ) {
        self.task.skip_to_position();
        let watermark = Some(watermark).filter(|&watermark| watermark != NONE);
        self.move_watermark(Content::Progress, (watermark, None), place, outputs);
    }

    fn shelve(
        &mut self,
        records: Messages,
        place: OwnedSemaphorePermit,
        outputs: &mpsc::UnboundedSender<Outputs>,
    ) {
        let began = Instant::now();
        let task = &self.task;
        if let Some(reason) = order_broken(&records, self.begun(), &self.tp) {
            return task.status.fail(&reason);
        }
        let metrics = &task.status.metrics;
        metrics.records_in.inc_by(records.len() as u64);
        let is_written_on = self.is_repartitioned;
        let origins = if is_written_on { origins(&records) } else { Vec::new() };
        let mut decoded = if is_written_on {
            decode_rows(&mut *self.decoder, &records, &origins)
        } else {
            self.decoder.decode(&records, 0..records.len())
        };
        let bare = Bare::all(&records);
        let all: &dyn Records = if is_written_on { &bare } else { &records };
        if let Err(error) = add_metadata(&mut decoded, all, &self.tp, &task.config) {
            return task.status.fail(&error.to_string());
        }
        metrics.bad_records.inc_by(decoded.bad.len() as u64);
        let Sorted { next, letters, stop } =
            sort_out((&task.status, &self.tp), task.config.on_error, &records, &mut decoded);
        metrics.decode.observe(began.elapsed().as_secs_f64());
        task.status.note_fetched(next);
        let first = records.offset(0);
        if next > first {
            let before = self.events.as_ref().and_then(EventClock::watermark);
            let repeats = task.repeats();
            let batch = match &mut self.events {
                None => Ok(decoded.batch),
                Some(events) => {
                    events.append(&decoded.batch, &records, decoded.rows.as_deref(), &origins)
                }
            };
            let mut rows = decoded.rows;
            let batch = batch.and_then(|batch| match &mut self.dedup {
                None => Ok(batch),
                Some(dedup) => dedup.apply(batch, &mut rows),
            });
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return task.status.fail(&error.to_string()),
            };
            if let (Some((position, watermark)), Some(events)) = (repeats, &mut self.events)
                && position == next
                && watermark != NONE
            {
                events.reach(watermark);
            }
            let latest = latest(&batch);
            let after = self.events.as_ref().and_then(EventClock::watermark);
            let _turn = self.reading.as_ref().map(|one| one.inputs.turn());
            let (ticket, first, next) = self.begin(first, next);
            let has_rows = batch.num_rows() > 0;
            let only_progress = !has_rows && after > before;
            // Word that a source is silent does not end the silence.
            if has_rows || after > before || !is_written_on {
                self.silence.broken(task.clock.now(), after);
            }
            // Word of a silent side, without rows, does not make it one that is waited for.
            let told = self.told(after.filter(|_| has_rows || after > before), false);
            let (before, after) = if told.is_some() { (None, None) } else { (before, after) };
            let job = Job {
                content: if only_progress { Content::Progress } else { Content::Rows },
                extent: Extent { ticket, first, next, before, after, latest },
                told,
                progress: feeding::Told::default(),
                late: Vec::new(),
                batch,
                task: Arc::clone(task),
                rows,
                records: (task.config.on_error == OnError::Dlq).then_some(records),
                letters,
                delta: Delta::default(),
                began,
                handed: None,
                state: None,
                outputs: outputs.clone(),
                place,
            };
            self.put(job, Cause::Watermark);
        }
        if let Some(reason) = stop {
            task.status.fail(&reason);
        }
        if matches!(task.status.state(), State::Draining | State::Revoked) {
            // Drained between the poll and the shelf: the batch is read again by the next owner.
            task.drain(&self.shelf);
        }
    }

    /// Hands `job` to the handler, or its rows to the windows that come first and then their results.
    fn put(&self, mut job: Job, cause: Cause) {
        if let Some(plan) = &self.plan {
            return plan.run(job, cause);
        }
        let task = &self.task;
        if task.windows_come_first() {
            let feeds: Vec<_> =
                (0..task.window_count()).map(|index| (index, job.batch.clone())).collect();
            match task.step(&feeds, cause, job.extent) {
                Ok(Step { results, late, delta }) => {
                    job.late = late;
                    job.delta = delta;
                    job.batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
                    // They are not the rows of records, so that no record can be blamed for them.
                    job.records = None;
                    if !results.is_empty() {
                        job.content = Content::Results(results);
                    } else if task.fires_timers() {
                        job.content = Content::Progress;
                    } else {
                        return job.complete(Vec::new(), &[]);
                    }
                }
                Err(error) => return job.fail(&error.to_string()),
            }
        } else if job.batch.num_rows() == 0
            && (matches!(job.content, Content::Rows) || task.window_count() == 0)
            && (matches!(job.content, Content::Rows) || !task.fires_timers())
        {
            return job.complete(Vec::new(), &[]);
        }
        self.shelf.put(job);
    }

    /// Is it time to let the watermark go on with the clock?
    fn closes_by_clock(&self) -> bool {
        self.silence.is_over(self.task.clock.now())
            && self.queue.is_at_end()
            && match (&self.reading, &self.plan) {
                (Some(one), Some(plan)) => plan.waits_for(one.side),
                _ => self.task.waits_for_watermark(),
            }
    }

    /// Where reading goes on behind what is no record, if it is time to go there. What is only read again ends
    /// with a record.
    fn trailing(&self) -> Option<i64> {
        let reached = self.queue.reached().filter(|_| self.task.repeats().is_none());
        self.trailing.look(reached, self.begun(), Instant::now())
    }

    pub(super) fn watermark(&self) -> Option<i64> {
        self.events.as_ref().and_then(EventClock::watermark)
    }

    /// Nothing has come for a while: lets the watermark go on with the clock, and windows close; or
    /// only lets timers fire.
    fn go_on_without_records(
        &mut self,
        place: OwnedSemaphorePermit,
        outputs: &mpsc::UnboundedSender<Outputs>,
    ) {
        if self.closes_by_clock() {
            let watermark = self.silence.watermark(self.task.clock.now());
            self.move_watermark(Content::Silence, (watermark, None), place, outputs);
        } else {
            self.move_watermark(Content::Progress, (None, self.trailing()), place, outputs);
        }
    }

    /// A batch without rows behind all others, that lets windows go on to `watermark`, and the position to `upto`.
    fn move_watermark(
        &mut self,
        content: Content,
        (watermark, upto): (Option<i64>, Option<i64>),
        place: OwnedSemaphorePermit,
        outputs: &mpsc::UnboundedSender<Outputs>,
    ) {
        let before = self.watermark();
        if let (Some(events), Some(watermark)) = (&mut self.events, watermark) {
            events.reach(watermark);
        }
        let after = self.watermark();
        let _turn = self.reading.as_ref().map(|one| one.inputs.turn());
        let Some((ticket, first, next)) = self.begin_nothing(upto) else { return };
        if upto.is_some() {
            self.task.status.note_fetched(next);
        }
        let began = Instant::now();
        let is_silent = matches!(content, Content::Silence);
        let told = self.told(after.filter(|_| is_silent), is_silent);
        let (before, after) = if told.is_some() { (None, None) } else { (before, after) };
        let cause = if is_silent { Cause::Idle } else { Cause::Watermark };
        let job = Job {
            content,
            extent: Extent { ticket, first, next, before, after, latest: None },
            told,
            progress: feeding::Told::default(),
            late: Vec::new(),
            batch: RecordBatch::new_empty(Arc::new(Schema::empty())),
            task: Arc::clone(&self.task),
            rows: None,
            records: None,
            letters: Vec::new(),
            delta: Delta::default(),
            began,
            handed: None,
            state: None,
            outputs: outputs.clone(),
            place,
        };
        self.put(job, cause);
    }
}

/// Adds the metadata columns that are asked for; a record whose key cannot be read is bad then.
fn add_metadata(
    decoded: &mut Decoded,
    records: &dyn Records,
    tp: &TopicPartition,
    config: &SubscriptionConfig,
) -> crate::error::Result<()> {
    let names = &config.with_metadata;
    let key_form = KeyForm::of(config.key_format.as_ref())?;
    if names.iter().any(|name| name == "key") {
        refuse_bad_keys(key_form, records, decoded)?;
    }
    let source = metadata::Source { topic: &tp.topic, partition: tp.partition, key_form };
    let rows = decoded.rows.as_deref();
    decoded.batch = metadata::append(&decoded.batch, source, records, rows, 0, names)?;
    Ok(())
}

/// Latest event time of rows that have one.
fn latest(batch: &RecordBatch) -> Option<i64> {
    max(batch.column_by_name(EVENT_TIME)?.as_primitive::<Int64Type>())
}

/// Returns at `deadline`; never, without one.
async fn reach(clock: &Clock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
