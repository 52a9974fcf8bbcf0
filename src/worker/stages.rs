//! How the first stage of a repartitioned subscription begins.

use super::{
    Worker,
    build::{batch_bytes, schema_of, status},
    exact::ledger_parts,
    group::{Group, Spawn},
    label,
    opening::{Job, Opening},
    task::Task,
};
use crate::{
    codec::{DecodeOptions, format::Decoders, json::SharedSchema},
    config::{Guarantee, OnError, RepartitionConfig, StartAt},
    error::{Error, Result},
    expr::Expression,
    kafka::queue::PartitionQueue,
    task::{
        commit::{Ended, Ledger},
        repartition::{Exact, Made, Shared, Source, Target},
        restore::Progress,
        subscription::event_time::{self, EventClock},
        watch::watch,
    },
    types::TopicPartition,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// Pause before a broker that does not answer is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// `known` has the partitions of every topic.
pub(super) fn stage_spawn(
    worker: &Arc<Worker>,
    runtime: &Handle,
    config: &RepartitionConfig,
    known: &BTreeMap<String, usize>,
) -> Result<Spawn> {
    let mut config = config.clone();
    config.dlq = config.dlq.filter(|_| config.on_error == OnError::Dlq);
    let schema = schema_of(worker, &config.rows_of);
    if let (Some(time), Some(schema)) = (&config.event_time, &schema) {
        event_time::check(time, schema)?;
    }
    let learned = Arc::new(SharedSchema::new(&config.name, worker.metrics.schema_widened.clone()));
    let options = DecodeOptions { tombstones_as_nulls: config.tombstones_as_nulls };
    let registry = worker.registry.clone();
    let decoders = Decoders::new(config.value_format.clone(), schema, learned, options, registry)?;
    // What is wrong is said at the start, not with the first partition.
    config.key.as_ref().map(Expression::parse).transpose()?;
    let count = |topic: &str| {
        known.get(topic).copied().ok_or_else(|| {
            Error::Config(format!("{}: the topic {topic} does not exist: create it", config.name))
        })
    };
    let (partitions, target_partitions) = (count(&config.topic)?, count(&config.to)?);
    let (weak, runtime) = (Arc::downgrade(worker), runtime.clone());
    let recipe = Arc::new(Recipe { config, runtime, decoders, partitions, target_partitions });
    Ok(Box::new(move |group, (tp, queue), _, _| {
        let worker = weak.upgrade().expect("a worker leaves its groups before it goes");
        if recipe.config.guarantee == Guarantee::AtLeastOnce {
            return recipe.begin(&worker, tp, queue, None);
        }
        let (recipe, group, name) = (Arc::clone(&recipe), Arc::clone(group), &recipe.config.name);
        let label = label(name, &tp);
        let progress = Progress::new(label.clone(), worker.metrics.restore(&label));
        let status = status(&worker, name, tp.clone());
        let job: Job = Box::new(move |opening| recipe.open(&worker, &group, tp, queue, opening));
        Task::Opening(Opening::new(status, progress, job))
    }))
}

/// What every task of a stage is made from.
struct Recipe {
    config: RepartitionConfig,
    runtime: Handle,
    decoders: Decoders,
    partitions: usize,
    target_partitions: usize,
}

impl Recipe {
    /// An exactly-once task: finds out what is committed first.
    fn open(
        &self,
        worker: &Arc<Worker>,
        group: &Arc<Group>,
        tp: TopicPartition,
        queue: PartitionQueue,
        opening: &Opening,
    ) -> Result<(Task, Option<i64>), Ended> {
        let name = &self.config.name;
        let parts = ledger_parts(worker, group, &tp, name, Some(name), &opening.gate);
        let (ledger, live) = Ledger::boot(parts)?;
        // Marks are committed in front of the first record too, beside the offset that reading begins at.
        let at = live.at.map_or_else(|| begins_at(worker, group, &tp, opening), Ok)?;
        let task = self.begin(worker, tp, queue, Some(Exact::new(ledger, at)));
        if live.at.is_some() {
            task.status().note_committed(at);
        }
        Ok((task, Some(at)))
    }

    fn begin(
        &self,
        worker: &Arc<Worker>,
        tp: TopicPartition,
        queue: PartitionQueue,
        exact: Option<Exact>,
    ) -> Task {
        let Self { config, runtime, decoders, partitions, target_partitions } = self;
        let metrics = worker.metrics.event_time(&label(&config.name, &tp));
        let task = Shared::new(status(worker, &config.name, tp), exact);
        let events =
            config.event_time.as_ref().map(|time| EventClock::new(time, metrics)).transpose();
        let made = || -> Result<Made> {
            Ok(Made {
                queue,
                decoder: decoders.decoder()?,
                producer: Arc::clone(&worker.producer),
                target: Target::new(&config.to, *target_partitions),
                clock: worker.clock.clone(),
                partitions: *partitions,
                events: events?,
                key: config.key.as_ref().map(Expression::parse).transpose()?,
                batch_bytes: batch_bytes(worker),
            })
        };
        match made() {
            Ok(made) => {
                let source = Source::new(Arc::clone(&task), config.clone(), made);
                let run = runtime.spawn(source.run());
                watch(runtime, Arc::clone(&task), run, |task| &task.status);
            }
            Err(error) => task.status.fail(&error.to_string()),
        }
        Task::Repartition(task)
    }
}

/// Where a group without offsets begins to read `tp`. Blocks until a broker says.
fn begins_at(
    worker: &Worker,
    group: &Group,
    tp: &TopicPartition,
    opening: &Opening,
) -> Result<i64, Ended> {
    while !opening.gate.is_closed() {
        if let Some((first, end)) = group.member.get().and_then(|member| member.log(tp)) {
            let is_first = worker.config.start_at == StartAt::Earliest;
            return Ok(if is_first { first } else { end });
        }
        opening.gate.wait(RETRY_PAUSE);
    }
    Err(Ended::Gone)
}
