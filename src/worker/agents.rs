//! The tasks of agents: one a partition, for all agents of the app that read its topic.
//!
//! An app with tables, and agents that are exactly-once, commit cuts: see [`crate::task::cut`].

use super::{
    Worker,
    build::{batch_bytes, status},
    committers::{AtLeastOnce, ExactlyOnce, changelog, log_records},
    cuts::{Committer, Driver, Ended},
    epochs::Epochs,
    exact::ledger_parts,
    group::{Group, Spawn},
    opening::{Job, Opening},
    task::Task,
};
use crate::{
    config::{AgentConfig, Guarantee},
    error::Result,
    kafka::queue::PartitionQueue,
    state::{MemoryStore, SpaceName, Store, TaskName},
    task::{
        agent::{self, Lane},
        commit::{Ended as NoLedger, Ledger, LedgerParts},
        cut::Cuts,
        tables::Tables,
        watch::watch,
    },
    types::TopicPartition,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::runtime::Handle;

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
    Box::new(move |group, tp, queue, _| {
        let worker = weak.upgrade().expect("a worker leaves its groups before it goes");
        let readers: Vec<AgentConfig> =
            configs.iter().filter(|c| c.topics.iter().any(|t| **t == *tp.topic)).cloned().collect();
        let partitions = partitions.get(&*tp.topic).map_or(0, |&count| count);
        let task = TaskName {
            owner: group.id.clone(),
            topic: tp.topic.to_string(),
            partition: tp.partition,
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        };
        let recipe =
            Recipe { worker, runtime: runtime.clone(), epochs: Arc::clone(&epochs), readers };
        // A commit has the offset of all who read the partition: the strongest promise counts.
        if recipe.readers.iter().any(|reader| reader.guarantee == Guarantee::ExactlyOnce) {
            return recipe.open(Arc::clone(group), task, tp, queue);
        }
        let begin = (!recipe.worker.config.tables.is_empty())
            .then(|| open_store(&recipe.worker, &task).and_then(Begin::stored))
            .transpose();
        recipe.begin(tp, queue, begin)
    })
}

/// What a task with cuts begins with.
struct Begin {
    store: Arc<dyn Store>,
    /// Offset behind the last record that is committed.
    at: Option<i64>,
    /// Commits in transactions, if they are exactly-once.
    ledger: Option<Arc<Ledger>>,
}

impl Begin {
    /// At the mark of `store`.
    fn stored(store: Arc<dyn Store>) -> Result<Self> {
        let at = store.mark()?.map(|mark| mark.next);
        Ok(Self { store, at, ledger: None })
    }
}

fn open_store(worker: &Worker, task: &TaskName) -> Result<Arc<dyn Store>> {
    let spaces = worker.config.tables.iter().map(|table| SpaceName::by_key(&table.name));
    worker.stores.open(task, &spaces.collect::<Vec<_>>())
}

/// What every task of the agents that read one topic is made from.
struct Recipe {
    worker: Arc<Worker>,
    runtime: Handle,
    epochs: Arc<Epochs>,
    readers: Vec<AgentConfig>,
}

impl Recipe {
    fn name(&self) -> String {
        self.readers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join("+")
    }

    /// The task of an exactly-once partition, which finds out first what is committed.
    fn open(
        self,
        group: Arc<Group>,
        task: TaskName,
        tp: TopicPartition,
        queue: PartitionQueue,
    ) -> Task {
        let status = status(&self.worker, &self.name(), tp.clone());
        let job: Job = Box::new(move |opening| {
            let tables = &self.worker.config.tables;
            let store = if tables.is_empty() {
                Ok(Arc::new(MemoryStore::default()) as Arc<dyn Store>)
            } else {
                open_store(&self.worker, &task)
            };
            let store = store.map_err(|error| {
                opening.status.fail(&format!("its tables cannot be read: {error}"));
                NoLedger::Gone
            })?;
            let base = ledger_parts(&self.worker, &group, &tp, &self.name(), None, &opening.gate);
            let parts = LedgerParts {
                store: (!tables.is_empty()).then(|| Arc::clone(&store)),
                log: log_records(tables, &tp),
                ..base
            };
            let (ledger, live) = Ledger::boot(parts)?;
            let begin = Begin { store, at: live.at, ledger: Some(ledger) };
            let task = self.begin(tp, queue, Ok(Some(begin)));
            if let Some(at) = live.at {
                task.status().note_committed(at);
            }
            Ok((task, live.at))
        });
        Task::Opening(Opening::new(status, job))
    }

    /// The task of a partition; with cuts, if there is something to `begin` them with.
    fn begin(
        self,
        tp: TopicPartition,
        queue: PartitionQueue,
        begin: Result<Option<Begin>>,
    ) -> Task {
        let Self { worker, runtime, epochs, readers } = &self;
        let lanes = readers
            .iter()
            .map(|c| Lane::new(c.name.clone(), worker.mailboxes[&c.name].clone()))
            .collect();
        let status = status(worker, &self.name(), tp.clone());
        let made = begin.and_then(|begin| begin.map(|begin| cuts(worker, begin)).transpose());
        let (cuts, begin) = match made {
            Ok(made) => made.unzip(),
            Err(error) => {
                status.fail(&format!("its tables cannot be read: {error}"));
                (None, None)
            }
        };
        let task = agent::Shared::new(status, lanes, cuts);
        let ended = Arc::new(Ended::default());
        if let Some(begin) = begin {
            worker.partitions.add(&task, worker.config.tables.len());
            let interval = Duration::from_millis(worker.config.commit_interval_ms.max(1));
            let committer = committer(worker, epochs, &tp, begin);
            let (task, ended) = (Arc::clone(&task), Arc::clone(&ended));
            runtime.spawn(Driver { task, committer, interval, ended }.run());
        }
        let run = runtime.spawn(Arc::clone(&task).run(queue, batch_bytes(worker)));
        watch(runtime, Arc::clone(&task), run, |task| &task.status);
        Task::Agents(task, ended)
    }
}

fn committer(
    worker: &Worker,
    epochs: &Arc<Epochs>,
    tp: &TopicPartition,
    begin: Begin,
) -> Box<dyn Committer> {
    match begin.ledger {
        Some(ledger) => Box::new(ExactlyOnce { ledger, clock: worker.clock.clone() }),
        None => Box::new(AtLeastOnce {
            store: begin.store,
            changelog: changelog(&worker.config.tables, tp),
            epochs: Arc::clone(epochs),
            producer: Arc::clone(&worker.producer),
        }),
    }
}

fn cuts(worker: &Worker, begin: Begin) -> Result<(Cuts, Begin)> {
    let limit = (worker.config.state_memory_bytes / 8).clamp(1 << 20, 64 << 20);
    let tables = Tables::new(Arc::clone(&begin.store), worker.config.tables.len(), limit)?;
    Ok((Cuts::new(tables, begin.at, begin.ledger.is_some()), begin))
}
