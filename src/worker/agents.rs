//! The tasks of agents: one a partition, for all agents of the app that read its topic.
//!
//! An app with tables commits cuts (see [`crate::task::cut`]): what agents sent is acknowledged, then
//! the changelog has what changed, then the store has it together with the offset, and the group's
//! offset follows when its time comes. A restart reads from the offset in the store.

use super::{
    Worker,
    build::{batch_bytes, status},
    cuts::{Committer, Committing, Driver, Ended},
    epochs::Epochs,
    group::Spawn,
    task::Task,
};
use crate::{
    config::{AgentConfig, TableConfig},
    error::{Act, Error, Result},
    kafka::{flight::Flight, outgoing::Outgoing, producer::Producer, queue::PartitionQueue},
    state::{Delta, Mark, SpaceName, Store, TaskName},
    task::{
        agent::{self, Lane},
        cut::{Cuts, Sealed},
        tables::Tables,
        watch::watch,
    },
    types::{Header, TopicPartition},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// Header of changelog records: the topic whose records made the change.
const SOURCE: &str = "source";
/// Header of changelog records: the offset behind the last of those records.
const NEXT: &str = "next";
/// Longest wait for one step of a commit before it is told of and tried again.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// How often room for a record is looked for.
const FULL_POLL: Duration = Duration::from_millis(5);

pub(super) fn agents_spawn(
    worker: &Arc<Worker>,
    runtime: &Handle,
    configs: &[&AgentConfig],
    epochs: &Arc<Epochs>,
    known: &BTreeMap<String, usize>,
) -> Spawn {
    let configs: Vec<AgentConfig> = configs.iter().copied().cloned().collect();
    let partitions = known.clone();
    let (weak, runtime, epochs) = (Arc::downgrade(worker), runtime.clone(), Arc::clone(epochs));
    Box::new(move |_, tp, queue, _| {
        let worker = weak.upgrade().expect("a worker leaves its groups before it goes");
        let readers: Vec<&AgentConfig> =
            configs.iter().filter(|c| c.topics.iter().any(|t| **t == *tp.topic)).collect();
        let partitions = partitions.get(&*tp.topic).copied().unwrap_or_default();
        let store = (!worker.config.tables.is_empty())
            .then(|| open_store(&worker, &readers, &tp, partitions));
        agents_task(&worker, &runtime, &epochs, &readers, (tp, queue), store)
    })
}

fn open_store(
    worker: &Worker,
    readers: &[&AgentConfig],
    tp: &TopicPartition,
    partitions: usize,
) -> Result<Arc<dyn Store>> {
    let task = TaskName {
        owner: readers.first().map(|reader| reader.group.clone()).unwrap_or_default(),
        topic: tp.topic.to_string(),
        partition: tp.partition,
        partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
    };
    let spaces = worker.config.tables.iter().map(|table| SpaceName::by_key(&table.name));
    worker.stores.open(&task, &spaces.collect::<Vec<_>>())
}

/// The task of a partition; with the store of its tables, if the app has any.
fn agents_task(
    worker: &Arc<Worker>,
    runtime: &Handle,
    epochs: &Arc<Epochs>,
    readers: &[&AgentConfig],
    (tp, queue): (TopicPartition, PartitionQueue),
    store: Option<Result<Arc<dyn Store>>>,
) -> Task {
    let name = readers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join("+");
    let lanes = readers
        .iter()
        .map(|c| Lane::new(c.name.clone(), worker.mailboxes[&c.name].clone()))
        .collect();
    let status = status(worker, &name, tp.clone());
    let opened = store.map(|store| cuts(worker, store?)).transpose();
    let cuts = match opened {
        Ok(cuts) => cuts,
        Err(error) => {
            status.fail(&format!("its tables cannot be read: {error}"));
            None
        }
    };
    let task = agent::Shared::new(status, lanes, cuts);
    let ended = Arc::new(Ended::default());
    if let Some(cuts) = &task.cuts {
        worker.partitions.add(&task, worker.config.tables.len());
        let committer = Box::new(AtLeastOnce {
            tp,
            store: Arc::clone(cuts.tables.store()),
            tables: worker.config.tables.clone(),
            epochs: Arc::clone(epochs),
            producer: Arc::clone(&worker.producer),
        });
        let interval = Duration::from_millis(worker.config.commit_interval_ms.max(1));
        let driver =
            Driver { task: Arc::clone(&task), committer, interval, ended: Arc::clone(&ended) };
        runtime.spawn(driver.run());
    }
    let run = runtime.spawn(Arc::clone(&task).run(queue, batch_bytes(worker)));
    watch(runtime, Arc::clone(&task), run, |task| &task.status);
    Task::Agents(task, ended)
}

fn cuts(worker: &Worker, store: Arc<dyn Store>) -> Result<Cuts> {
    let limit = (worker.config.state_memory_bytes / 8).clamp(1 << 20, 64 << 20);
    Cuts::new(Tables::new(store, worker.config.tables.len(), limit)?)
}

/// Commits so that nothing is lost: outputs, then the changelog, then store and offset together.
struct AtLeastOnce {
    tp: TopicPartition,
    store: Arc<dyn Store>,
    tables: Vec<TableConfig>,
    epochs: Arc<Epochs>,
    producer: Arc<Producer>,
}

impl Committer for AtLeastOnce {
    fn commit<'a>(&'a self, cut: &'a Sealed) -> Committing<'a> {
        Box::pin(async move {
            let delta = cut.writes.delta();
            self.settle().await?;
            self.write_changelog(&delta, cut.next).await?;
            let mark = Mark { next: cut.next, token: 0, hash: 0, log: -1 };
            let store = Arc::clone(&self.store);
            blocking(move || store.commit(&delta, mark)).await
        })
    }
}

impl AtLeastOnce {
    async fn settle(&self) -> Result<()> {
        let epochs = Arc::clone(&self.epochs);
        blocking(move || epochs.settle(STEP_LIMIT)).await
    }

    /// One record a changed key, in the partition with this task's number; done when they are acknowledged.
    async fn write_changelog(&self, delta: &Delta, next: i64) -> Result<()> {
        if delta.is_empty() {
            return Ok(());
        }
        let (landed, landing) = tokio::sync::oneshot::channel();
        let flight = Flight::new(move |result| {
            // Nobody listens any more once the partition is gone.
            let _ = landed.send(result);
        });
        let headers: Vec<Header> = vec![
            (SOURCE.to_owned(), Some(self.tp.topic.as_bytes().to_vec())),
            (NEXT.to_owned(), Some(next.to_string().into_bytes())),
        ];
        let sent = self.send(delta, &headers, &flight).await;
        flight.seal();
        let landed = landing.await.map_err(|_| Error::Stopped)?;
        sent.and(landed)
    }

    async fn send(&self, delta: &Delta, headers: &[Header], flight: &Arc<Flight>) -> Result<()> {
        for (space, writes) in &delta.0 {
            let Some(table) = self.tables.get(usize::from(space.0)) else { continue };
            for (key, value) in &writes.0 {
                self.producer.reserve().await;
                let record = Outgoing {
                    key: Some(key),
                    value: value.as_deref(),
                    partition: Some(self.tp.partition),
                    timestamp_ms: None,
                    headers,
                };
                while let Err(error) =
                    self.producer.send(&table.changelog, &record, Some(flight), None)
                {
                    // The client library counts more than we do.
                    if error.act() != Act::Retry {
                        return Err(error);
                    }
                    tokio::time::sleep(FULL_POLL).await;
                }
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Stopped))
}
