//! The loop of a stage: poll, decode, write on.

use super::{
    letters::{Letters, Way},
    quiet::Quiet,
    shared::Shared,
    target::Target,
};
use crate::{
    clock::Clock,
    codec::{Decode, Decoded, row_keys},
    config::RepartitionConfig,
    engine::origin::{Kind, Origin},
    error::{Error, Result},
    expr::Expression,
    kafka::{flight::Flight, messages::Messages, producer::Producer, queue::PartitionQueue},
    task::{
        bad_records::{Sorted, sort_out},
        order::order_broken,
        ready::until_ready,
        status::{State, retry_later},
        subscription::event_time::EventClock,
        trailing::{QUIET, Trailing},
    },
    types::Records,
};
use arrow::array::RecordBatch;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Most records of one step.
const ROWS: usize = 10_000;
/// Looks at the queue at least this often, should a wake-up be lost.
const RECHECK: Duration = Duration::from_millis(500);
/// A step of the watermark is told to those who got no record of it after this time, of the machine.
const MARK_INTERVAL: Duration = Duration::from_millis(100);
/// A source is silent after this time without records, where no `idle_close` is declared.
pub const QUIET_AFTER: Duration = Duration::from_secs(10);

/// Polls one partition and writes its records on.
pub struct Source {
    task: Arc<Shared>,
    config: RepartitionConfig,
    queue: PartitionQueue,
    decoder: Box<dyn Decode>,
    letters: Letters,
    target: Target,
    clock: Clock,
    /// Partitions of the topic that is read.
    partitions: i32,
    /// Event time and when the source is silent, if rows have a time.
    time: Option<(EventClock, Quiet)>,
    marked: Instant,
    trailing: Trailing,
    batch_bytes: usize,
    key: Option<Expression>,
    says_no_column: bool,
}

/// What a stage is made of besides its configuration.
pub struct Made {
    /// The partition's records.
    pub queue: PartitionQueue,
    /// Bytes to rows.
    pub decoder: Box<dyn Decode>,
    /// Where records go.
    pub producer: Arc<Producer>,
    /// The topic written.
    pub target: Target,
    /// Time of the app.
    pub clock: Clock,
    /// Partitions of the topic that is read.
    pub partitions: usize,
    /// Event time, if rows have one.
    pub events: Option<EventClock>,
    /// What gives the key, if rows have no column of it.
    pub key: Option<Expression>,
    /// Most bytes of records in one step.
    pub batch_bytes: usize,
}

/// Why the loop goes on.
enum Next {
    Records(Messages),
    Marks,
    Silence,
    /// There is no record in front of this offset that was not taken.
    Trailing(i64),
    Stop,
}

impl Source {
    /// A loop that has not begun.
    #[must_use]
    pub fn new(task: Arc<Shared>, config: RepartitionConfig, made: Made) -> Self {
        let idle_close = config.event_time.as_ref().and_then(|time| time.idle_close_ms);
        let limit = idle_close.map_or(QUIET_AFTER, Duration::from_millis);
        let now = made.clock.now();
        let dead_letters = config.dlq.as_deref().map(Arc::from);
        let trailing = Trailing::after(if task.exact.is_some() { QUIET } else { Duration::ZERO });
        let way = match &task.exact {
            Some(_) => Way::Together(Vec::new()),
            None => Way::Alone(made.producer),
        };
        Self {
            task,
            config,
            queue: made.queue,
            decoder: made.decoder,
            letters: Letters { way, dead_letters },
            target: made.target,
            clock: made.clock,
            partitions: i32::try_from(made.partitions).unwrap_or(i32::MAX),
            time: made.events.map(|events| (events, Quiet::new(limit, now))),
            marked: Instant::now(),
            trailing,
            batch_bytes: made.batch_bytes,
            key: made.key,
            says_no_column: false,
        }
    }

    /// Runs until the task drains or fails.
    pub async fn run(mut self) {
        self.task.status.become_state(State::Running);
        while self.task.status.is_live() {
            let asked = Instant::now();
            let done = match self.next().await {
                Ok(Next::Stop) => return,
                Ok(Next::Records(records)) => {
                    self.task.status.metrics.poll.observe(asked.elapsed().as_secs_f64());
                    self.pass_on(records).await
                }
                Ok(Next::Marks) => self.mark(Kind::Mark).await,
                Ok(Next::Trailing(to)) => self.task.pass_over(to, self.clock.now_ms()).await,
                Ok(Next::Silence) => self.mark(Kind::Idle).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => {}
                // Its commits have ended, and the task has been told.
                Err(Error::Stopped) => return,
                Err(error) => self.task.status.fail(&error.to_string()),
            }
        }
    }

    async fn next(&self) -> Result<Next> {
        let mut records = Messages::default();
        loop {
            if !self.task.status.is_live() {
                return Ok(Next::Stop);
            }
            let taken = self.queue.take(&mut records, ROWS, self.batch_bytes);
            retry_later(&self.task.status, taken)?;
            if !records.is_empty() {
                return Ok(Next::Records(records));
            }
            let begun = self.task.end();
            if let Some(to) = self.trailing.look(self.queue.reached(), begun, Instant::now()) {
                return Ok(Next::Trailing(to));
            }
            let marks = self.marks_due();
            if marks.is_some_and(|due| due <= Instant::now()) {
                return Ok(Next::Marks);
            }
            let silence = self.time.as_ref().map(|(_, quiet)| quiet.due());
            if silence.is_some_and(|due| due <= self.clock.now()) && self.queue.is_at_end() {
                return Ok(Next::Silence);
            }
            let mut wait = self.trailing.wait(RECHECK, Instant::now());
            if let Some(due) = marks {
                wait = wait.min(due.saturating_duration_since(Instant::now()));
            }
            tokio::select! {
                () = self.queue.arrived() => {}
                () = self.task.stopping.notified() => {}
                () = silent(&self.clock, silence) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// When partitions are to be told of a watermark that came with no record of theirs.
    fn marks_due(&self) -> Option<Instant> {
        let (events, _) = self.time.as_ref()?;
        (!self.target.behind(events.watermark()).is_empty()).then(|| self.marked + MARK_INTERVAL)
    }

    fn origin(&self, kind: Kind, offset: i64, watermark_ms: Option<i64>) -> Origin {
        let tp = &self.task.status.tp;
        Origin {
            kind,
            topic: tp.topic.to_string(),
            partition: tp.partition,
            partitions: self.partitions,
            offset,
            watermark_ms,
        }
    }

    async fn pass_on(&mut self, records: Messages) -> Result<()> {
        let task = Arc::clone(&self.task);
        let decoder = &mut self.decoder;
        let ask = || Ok(decoder.prepare(&records, 0..records.len()));
        if !until_ready(&task.status, &task.stopping, State::Running, ask).await? {
            return Ok(());
        }
        let began = Instant::now();
        if let Some(reason) = order_broken(&records, task.end(), &task.status.tp) {
            task.status.fail(&reason);
            return Ok(());
        }
        let metrics = &task.status.metrics;
        metrics.records_in.inc_by(records.len() as u64);
        let mut decoded = self.decoder.decode(&records, 0..records.len());
        metrics.bad_records.inc_by(decoded.bad.len() as u64);
        let Sorted { next, letters, stop } =
            sort_out((&task.status, &task.status.tp), self.config.on_error, &records, &mut decoded);
        metrics.decode.observe(began.elapsed().as_secs_f64());
        task.status.note_fetched(next);
        let first = records.offset(0);
        if next > first {
            let flight = task.fly(Some((first, next)), began);
            let mut written = self.write_rows(&records, &decoded, &flight).await;
            if written.is_ok() {
                written = self.letters.bury(&task, &letters, &flight).await;
            }
            if written.is_ok() {
                written = self.commit(next).await;
            }
            if let Err(error) = &written {
                flight.failed_whole(error.clone());
            }
            flight.seal();
            written?;
        }
        if let Some(reason) = stop {
            task.status.fail(&reason);
        }
        if self.marks_due().is_some_and(|due| due <= Instant::now()) {
            self.mark(Kind::Mark).await?;
        }
        Ok(())
    }

    async fn write_rows(
        &mut self,
        records: &Messages,
        decoded: &Decoded,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let count = decoded.batch.num_rows();
        let keys = match &self.key {
            Some(key) if count > 0 => {
                let values = key.evaluate(&decoded.batch)?;
                let rows = [(&*self.config.column, values, true)];
                let rows = RecordBatch::try_from_iter_with_nullable(rows)
                    .map_err(|e| Error::Config(e.to_string()))?;
                row_keys(&rows, &self.config.column)?
            }
            _ => {
                self.warn_without_column(decoded);
                row_keys(&decoded.batch, &self.config.column)?
            }
        };
        let rows = decoded.rows.as_deref();
        let watermarks = match &mut self.time {
            None => vec![None; count],
            Some((events, quiet)) => {
                quiet.broken(self.clock.now());
                events.behind(&decoded.batch, records, rows)?
            }
        };
        for (row, watermark) in watermarks.into_iter().enumerate() {
            let source = rows.map_or(row, |rows| rows[row] as usize);
            let key = keys.key(row);
            let to = self.target.place(key);
            let origin = self.origin(Kind::Row, records.offset(source), watermark);
            let record = (records as &dyn Records, source);
            self.letters.pass_on(record, (&self.target, to), key, &origin, flight).await?;
            self.target.tell(to, watermark);
        }
        self.task.status.metrics.records_out.inc_by(count as u64);
        Ok(())
    }

    /// Commits what was collected, with the offset `next`, where that is promised.
    async fn commit(&mut self, next: i64) -> Result<()> {
        let outputs = self.letters.take();
        let time_ms = self.clock.now_ms();
        self.task.commit(outputs, next, time_ms).await
    }

    /// Rows of a model always have the column; others may not, and then a word is in place.
    fn warn_without_column(&mut self, decoded: &Decoded) {
        let has = decoded.batch.column_by_name(&self.config.column).is_some();
        if has || self.says_no_column || decoded.batch.num_rows() == 0 {
            return;
        }
        self.says_no_column = true;
        tracing::warn!(
            target: "turbine.task",
            "{} {}: no record has a column {:?} yet: such records have no key and go to partition 0. Is repartition_by spelled right?",
            self.task.status.name, self.task.status.tp, self.config.column
        );
    }

    /// Tells partitions how far the source is: those that do not know, or all of a silent one.
    async fn mark(&mut self, kind: Kind) -> Result<()> {
        let Some((events, quiet)) = &mut self.time else { return Ok(()) };
        let watermark = events.watermark();
        let to = match kind {
            Kind::Idle => {
                quiet.told(self.clock.now());
                self.target.all()
            }
            _ => self.target.behind(watermark),
        };
        self.marked = Instant::now();
        let origin = self.origin(kind, self.task.end().unwrap_or(0), watermark);
        let flight = self.task.fly(None, Instant::now());
        let mut written = self.letters.mark(&self.target, &to, &origin, &flight).await;
        if let (Ok(()), Some(at)) = (&written, self.task.committed()) {
            written = self.commit(at).await;
        }
        if let Err(error) = &written {
            flight.failed_whole(error.clone());
        }
        flight.seal();
        to.into_iter().for_each(|partition| self.target.tell(partition, watermark));
        written
    }
}

async fn silent(clock: &Clock, due: Option<Instant>) {
    match due {
        // What is over already waits for the end of the partition.
        Some(due) if due > clock.now() => clock.sleep_until(due).await,
        _ => std::future::pending().await,
    }
}
