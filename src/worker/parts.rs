//! What a subscription's task is made of, apart from its rows: topics to write, windows, their store.

use super::{Worker, label, positions::InputSpace, restoring::Keeping};
use crate::{
    codec::{KeyForm, Output, format::encoder, registry::Registry},
    config::{Format, Guarantee, StoreKind, SubscriptionConfig},
    engine::horizon::Point,
    error::{Error, Result},
    state::{SpaceName, Store},
    task::{
        sink::{Gate, Gates},
        state::TaskState,
        subscription::{
            ChangelogWriter, Checkpoints, Feeding, Held, Plan, Resume, Shards, Windows,
            event_time::{self, EventClock},
            state::Kept,
        },
    },
    types::TopicPartition,
    window::{dedup::Dedup, operator::Operator, spec::WindowSpec},
};
use arrow::datatypes::SchemaRef;
use serde::Deserialize as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What one partition has, and its event time.
pub(super) type Opened = (Held, Option<EventClock>);

/// See the module.
pub(super) struct Parts {
    config: SubscriptionConfig,
    specs: Vec<WindowSpec>,
    registry: Option<Arc<Registry>>,
    /// Of the rows that are read, of each topic.
    schemas: [Option<SchemaRef>; 2],
    /// Tasks that write what it writes, and partitions of that.
    counts: (usize, usize),
}

impl Parts {
    /// Checks what is declared.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for what cannot work; the sentence says what to write instead.
    pub(super) fn new(
        worker: &Worker,
        config: &SubscriptionConfig,
        schemas: [Option<SchemaRef>; 2],
        known: &BTreeMap<String, usize>,
    ) -> Result<Self> {
        let specs = config.windows.iter().flat_map(|windows| &windows.specs);
        let read = |spec: &serde_json::Value| {
            WindowSpec::deserialize(spec)
                .map_err(|e| Error::Config(format!("subscription {}: window: {e}", config.name)))
        };
        let specs = specs.map(read).collect::<Result<_>>()?;
        let registry = worker.registry.clone();
        let times = [config.event_time.as_ref(), config.join().map(|join| &join.right.event_time)];
        for (time, schema) in times.into_iter().zip(&schemas) {
            if let (Some(time), Some(schema)) = (time, schema) {
                event_time::check(time, schema)?;
            }
        }
        let count = |topic: Option<&String>| {
            topic.and_then(|topic| known.get(topic)).copied().unwrap_or_default()
        };
        let counts = (count(config.topics.first()), count(config.publish_to.as_ref()));
        let parts = Self { config: config.clone(), specs, registry, schemas, counts };
        let kept = if config.state.is_some() { "state" } else { "a persistent window" };
        let is_on_disk = worker.config.store == StoreKind::Rocksdb;
        if parts.keeps() && is_on_disk && worker.config.state_dir.is_none() {
            return Err(Error::Config(format!(
                "subscription {}: {kept} needs a directory: set state_dir",
                config.name
            )));
        }
        // What is wrong is said at the start, not with the first partition.
        parts.gates()?;
        parts.plan(worker, "")?;
        KeyForm::of(config.key_format.as_ref())?;
        parts.specs.iter().try_for_each(|spec| Operator::new(spec).map(|_| ()))?;
        Ok(parts)
    }

    fn is_persistent(&self) -> bool {
        self.specs.iter().any(|spec| spec.persistent)
    }

    pub(super) fn idle_close(&self) -> Option<Duration> {
        self.config.event_time.as_ref()?.idle_close_ms.map(Duration::from_millis)
    }

    /// The topics that the task writes.
    pub(super) fn gates(&self) -> Result<Gates> {
        let config = &self.config;
        let mut left_out = config.with_metadata.clone();
        if config.event_time.is_some() || self.config.join().is_some() {
            left_out.extend(["event_time".to_owned(), "watermark".to_owned()]);
        }
        let output = |topic: &str, format: &Format| -> Result<Output> {
            let key = config.message_key.as_deref();
            // Rows with something of their own cannot share a record.
            let row_by_row =
                key.is_some() || config.write_tombstones || !config.write_metadata.is_empty();
            let encoder = encoder(format, row_by_row, topic, self.registry.as_ref())?;
            let output = Output::new(encoder, key)
                .with_key_form(KeyForm::of(config.output_key_format.as_ref())?);
            Ok(output.without_metadata(&left_out))
        };
        let side = |topic: &str, format: &Format| -> Result<Gate> {
            Ok(Gate::new(topic.to_owned(), Box::new(output(topic, format)?.with_optional_key())))
        };
        let topic = config.publish_to.as_deref().unwrap_or_default();
        let main = output(topic, &config.output_format)?
            .with_written(&config.write_metadata)
            .with_tombstones(config.write_tombstones);
        let late = config.windows.as_ref().and_then(|windows| windows.late_data.as_ref());
        Ok(Gates {
            main: config.publish_to.clone().map(|topic| Gate::new(topic, Box::new(main))),
            late: late.map(|late| side(&late.topic, &late.value_format)).transpose()?,
            sides: config
                .side_outputs
                .iter()
                .map(|one| side(&one.topic, &one.value_format))
                .collect::<Result<_>>()?,
        })
    }

    /// What is done to rows that no handler takes.
    pub(super) fn plan(&self, worker: &Worker, label: &str) -> Result<Option<Plan>> {
        let [left, right] = self.schemas.each_ref().map(Option::as_ref);
        let metrics = |join: &str| worker.metrics.window(label, join);
        let is_fed = self.config.feeds.is_some();
        let plan = |plan| Plan::new(plan, [left, right], &metrics, is_fed);
        self.config.plan.as_ref().map(plan).transpose()
    }

    /// What tells windows behind the topic that it writes how far the task of `tp` is.
    pub(super) fn feeding(&self, tp: &TopicPartition) -> Option<Feeding> {
        let (sources, partitions) = self.counts;
        Some(Feeding::new(self.config.feeds.as_ref()?, tp, sources, partitions))
    }

    /// What tells duplicates from other rows, without memory.
    pub(super) fn dedup(&self) -> Option<Dedup> {
        let config = self.config.dedup.as_ref()?;
        Some(Dedup::new(&config.key, config.within_ms))
    }

    /// How rows are divided, if they are. Without event time of the line, a window learns the time from
    /// the rows of all keys.
    fn shards(&self) -> Option<Shards> {
        let config = &self.config;
        let column = config.partition_key.clone().filter(|_| config.parallelism > 1)?;
        config.event_time.as_ref()?;
        Some(Shards { column, count: config.parallelism })
    }

    fn windows(&self, worker: &Worker, label: &str) -> Result<Option<Windows>> {
        if self.specs.is_empty() {
            return Ok(None);
        }
        let metrics = |window: &str| worker.metrics.window(label, window);
        let shards = self.shards();
        Windows::new(&self.specs, shards.as_ref(), self.config.batch_size, &metrics).map(Some)
    }

    /// True if a restart reads from where open windows need it.
    pub(super) fn resumes(&self) -> bool {
        self.config.event_time.is_some() && self.specs.iter().any(WindowSpec::is_resumable)
    }

    /// Does a partition keep anything in a store?
    fn keeps(&self) -> bool {
        self.config.state.is_some() || self.is_persistent()
    }

    /// What its tasks keep, if they keep anything.
    pub(super) fn keeping(&self) -> Option<Keeping> {
        // Windows in memory would have to be read again from somewhere else.
        let can_replay = !self.resumes() || self.is_persistent();
        let mut spaces = Self::spaces().to_vec();
        let inputs = 1 + usize::from(self.config.join().is_some());
        // How the rows of two topics came to follow each other is not known any more.
        let can_replay = can_replay && inputs == 1;
        spaces.extend((inputs > 1).then(InputSpace::name));
        let of = |spaces| Keeping::of_subscription(&self.config, spaces, (can_replay, inputs));
        self.keeps().then(|| of(spaces))
    }

    /// Spaces of a subscription's store, as `state::Space` numbers them.
    fn spaces() -> [SpaceName; 3] {
        [SpaceName::scoped("state"), SpaceName::plain("windows"), SpaceName::plain("timers")]
    }

    /// Makes what partition `tp` needs, from what is in its `store`; without one it begins at `point`.
    /// Blocks for the disk.
    pub(super) fn open(
        &self,
        worker: &Worker,
        tp: &TopicPartition,
        point: Option<Point>,
        store: Option<Arc<dyn Store>>,
        changelog: Option<Box<dyn ChangelogWriter>>,
    ) -> Result<Opened> {
        let label = label(&self.config.name, tp);
        let mut windows = self.windows(worker, &label)?;
        let time = self.config.event_time.as_ref();
        let mut events = time
            .map(|time| EventClock::new(time, worker.metrics.event_time(&label)))
            .transpose()?;
        if self.config.is_repartitioned {
            events = events.map(EventClock::of_sources);
        }
        let Some(store) = store else {
            let resume = self.resumes().then(|| begin_at(point, events.as_mut()));
            return Ok((Held { windows, resume, ..Held::default() }, events));
        };
        let kept = self.kept(worker, &store)?;
        let of_windows =
            windows.as_mut().map(|windows| windows.restore(&*store)).transpose()?.flatten();
        let of_state = kept.as_ref().map(|kept| kept.watermark()).transpose()?.flatten();
        let reached = of_windows.max(of_state);
        let stored = store.mark()?.map(|mark| mark.next);
        let resume = self.resumes().then(|| self.resume(point, stored, reached, events.as_mut()));
        if let (Some(events), Some(reached)) = (&mut events, reached)
            && resume.as_ref().is_none_or(|resume| resume.begins_at().is_none())
        {
            events.reach(reached);
        }
        let checkpoints = match self.config.guarantee {
            Guarantee::ExactlyOnce => None,
            Guarantee::AtLeastOnce => {
                let interval = Duration::from_millis(worker.config.checkpoint_interval_ms);
                let metrics = worker.metrics.state(&label);
                let state = kept.as_ref().map(|kept| Arc::clone(kept.task_state()));
                let checkpoints = Checkpoints::new(store, changelog, interval, metrics)?;
                Some(checkpoints.telling(state).with_windows(self.is_persistent()))
            }
        };
        Ok((Held { kept, windows, checkpoints, resume, ..Held::default() }, events))
    }

    /// What handlers keep in `store`.
    fn kept(&self, worker: &Worker, store: &Arc<dyn Store>) -> Result<Option<Arc<Kept>>> {
        let Some(config) = &self.config.state else { return Ok(None) };
        let state = Arc::new(TaskState::new(Arc::clone(store)));
        let has_time = self.config.event_time.is_some();
        let shards = if config.keyed { 1 } else { self.config.parallelism };
        let kept = Kept::new(state, config, worker.clock.clone(), has_time, shards)?;
        Ok(Some(Arc::new(kept)))
    }

    /// Where windows in memory begin again beside a store that is at offset `stored`.
    fn resume(
        &self,
        point: Option<Point>,
        stored: Option<i64>,
        reached: Option<i64>,
        events: Option<&mut EventClock>,
    ) -> Resume {
        let (Some(stored), Some(reached)) = (stored, reached) else {
            return begin_at(point, events);
        };
        if self.is_persistent() {
            // No row so far was newer than that.
            let bound = self.config.event_time.as_ref().map_or(0, |time| time.out_of_orderness_ms);
            return Resume::restored(point, stored, reached, reached.saturating_add(bound));
        }
        // What is in the store was given out: until there, rows are for the windows alone.
        let given_out = |point: Point| Point {
            position: point.position.max(stored),
            watermark: point.watermark.max(reached),
            ..point
        };
        begin_at(point.filter(|point| point.offset < stored).map(given_out), events)
    }
}

/// Begins at `point`, with the watermark that there was.
fn begin_at(point: Option<Point>, events: Option<&mut EventClock>) -> Resume {
    if let (Some(point), Some(events)) = (point, events) {
        events.reach(point.watermark_before);
    }
    Resume::from(point)
}
