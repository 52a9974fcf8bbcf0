//! How the first stage of a repartitioned subscription begins.

use super::{
    Worker,
    build::{batch_bytes, schema_of, status},
    group::Spawn,
    label,
    task::Task,
};
use crate::{
    codec::{DecodeOptions, format::Decoders, json::SharedSchema},
    config::{OnError, RepartitionConfig},
    error::{Error, Result},
    task::{
        repartition::{Made, Shared, Source, Target},
        subscription::event_time::{self, EventClock},
        watch::watch,
    },
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::runtime::Handle;

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
    let count = |topic: &str| {
        known.get(topic).copied().ok_or_else(|| {
            Error::Config(format!("{}: the topic {topic} does not exist: create it", config.name))
        })
    };
    let (partitions, target_partitions) = (count(&config.topic)?, count(&config.to)?);
    let (weak, runtime) = (Arc::downgrade(worker), runtime.clone());
    Ok(Box::new(move |_, tp, queue, _| {
        let worker = weak.upgrade().expect("a worker leaves its groups before it goes");
        let metrics = worker.metrics.event_time(&label(&config.name, &tp));
        let task = Shared::new(status(&worker, &config.name, tp));
        let events =
            config.event_time.as_ref().map(|time| EventClock::new(time, metrics)).transpose();
        let made = || -> Result<Made> {
            Ok(Made {
                queue,
                decoder: decoders.decoder()?,
                producer: Arc::clone(&worker.producer),
                target: Target::new(&config.to, target_partitions),
                clock: worker.clock.clone(),
                partitions,
                events: events?,
                batch_bytes: batch_bytes(&worker),
            })
        };
        match made() {
            Ok(made) => {
                let source = Source::new(Arc::clone(&task), config.clone(), made);
                let run = runtime.spawn(source.run());
                watch(&runtime, Arc::clone(&task), run, |task| &task.status);
            }
            Err(error) => task.status.fail(&error.to_string()),
        }
        Task::Repartition(task)
    }))
}
