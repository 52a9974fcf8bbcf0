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
    label,
    opening::{Job, Opening},
    restoring::{Keeping, Kept, committed},
    task::Task,
};
use crate::{
    config::{AgentConfig, Guarantee, TableConfig},
    error::Result,
    kafka::queue::PartitionQueue,
    state::{MemoryStore, Space, SpaceName, Store},
    task::{
        agent::{self, Lane},
        commit::{Ended as NoLedger, Ledger},
        cut::Cuts,
        restore::{Progress, Table},
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
    let counts = known.clone();
    let (weak, runtime, epochs) = (Arc::downgrade(worker), runtime.clone(), Arc::clone(epochs));
    Box::new(move |group, tp, queue, _| {
        let worker = weak.upgrade().expect("a worker leaves its groups before it goes");
        let reads = |c: &&AgentConfig| {
            c.topics.iter().any(|t| **t == *tp.topic) || worker.found.has(&c.name, &tp.topic)
        };
        let readers: Vec<AgentConfig> = configs.iter().filter(reads).cloned().collect();
        let count = counts.get(&*tp.topic).copied().or_else(|| worker.found.partitions(&tp.topic));
        let partitions = count.unwrap_or(0);
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let recipe =
            Recipe { worker, runtime: runtime.clone(), epochs: Arc::clone(&epochs), readers };
        // A commit has the offset of all who read the partition: the strongest promise counts.
        let is_exact =
            recipe.readers.iter().any(|reader| reader.guarantee == Guarantee::ExactlyOnce);
        // Rows that wait for their acknowledgement would hold up every cut.
        let by_hand = recipe.readers.iter().any(|reader| reader.acks_by_hand);
        if is_exact || !(by_hand || recipe.worker.config.tables.is_empty()) {
            return recipe.open(Arc::clone(group), partitions, is_exact, tp, queue);
        }
        recipe.begin(tp, queue, None)
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

/// What the agents of group `owner` keep, if the app has tables.
fn keeping(worker: &Worker, owner: &str, name: &str) -> Option<Keeping> {
    let tables = &worker.config.tables;
    let spaces = tables.iter().map(|table| SpaceName::by_key(&table.name)).collect();
    let table = |(space, table): (u16, &TableConfig)| Table {
        space: Space(space),
        topic: table.changelog.as_str().into(),
    };
    let logs = (0..).zip(tables).map(table).collect();
    (!tables.is_empty()).then(|| Keeping::of_tables(owner, name, spaces, logs))
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

    /// The task of a partition with tables, or an exactly-once one: its tables are brought back first, to what
    /// is committed.
    fn open(
        self,
        group: Arc<Group>,
        partitions: i32,
        is_exact: bool,
        tp: TopicPartition,
        queue: PartitionQueue,
    ) -> Task {
        let name = self.name();
        let status = status(&self.worker, &name, tp.clone());
        let label = label(&name, &tp);
        let progress = Progress::new(label.clone(), self.worker.metrics.restore(&label));
        let job: Job = Box::new(move |opening| {
            let keeping = keeping(&self.worker, &group.id, &name);
            let kept = keeping.map(|one| one.open(&self.worker, &tp, partitions, opening));
            let kept = kept.transpose()?;
            let begin = if is_exact {
                self.exactly(&group, &tp, kept, opening)?
            } else {
                self.at_least(&group, &tp, kept, opening)?
            };
            let at = begin.as_ref().and_then(|begin| begin.at);
            let task = self.begin(tp, queue, begin);
            if let Some(at) = at.filter(|_| is_exact) {
                task.status().note_committed(at);
            }
            Ok((task, at))
        });
        Task::Opening(Opening::new(status, progress, job))
    }

    fn exactly(
        &self,
        group: &Arc<Group>,
        tp: &TopicPartition,
        kept: Option<Kept>,
        opening: &Opening,
    ) -> Result<Option<Begin>, NoLedger> {
        let tables = &self.worker.config.tables;
        let mut parts = ledger_parts(&self.worker, group, tp, &self.name(), None, &opening.gate);
        parts.log = log_records(tables, tp);
        if let Some(kept) = &kept {
            parts.store = Some(Arc::clone(&kept.store));
            parts.catch_up = Box::new(kept.recover(&self.worker, opening));
        }
        let (ledger, live) = Ledger::boot(parts)?;
        let store = kept.map_or_else(|| Arc::new(MemoryStore::default()) as _, |kept| kept.store);
        Ok(Some(Begin { store, at: live.at, ledger: Some(ledger) }))
    }

    fn at_least(
        &self,
        group: &Group,
        tp: &TopicPartition,
        kept: Option<Kept>,
        opening: &Opening,
    ) -> Result<Option<Begin>, NoLedger> {
        let Some(kept) = kept else { return Ok(None) };
        let committed = committed(group, tp, opening)?;
        let at = kept.bring_back(&self.worker, committed, None, opening)?;
        Ok(Some(Begin { store: kept.store, at, ledger: None }))
    }

    /// The task of a partition; with cuts, if there is something to `begin` them with.
    fn begin(self, tp: TopicPartition, queue: PartitionQueue, begin: Option<Begin>) -> Task {
        let Self { worker, runtime, epochs, readers } = &self;
        let lanes = readers
            .iter()
            .map(|c| Lane::new(c.name.clone(), worker.mailboxes[&c.name].clone()))
            .collect();
        let status = status(worker, &self.name(), tp.clone());
        let made = begin.map(|begin| cuts(worker, begin)).transpose();
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
            changelog: changelog(&worker.config.tables, tp).owned_after(owner_of(&*begin.store)),
            store: begin.store,
            epochs: Arc::clone(epochs),
            producer: Arc::clone(&worker.producer),
        }),
    }
}

/// Number of the owner that the state is of.
fn owner_of(store: &dyn Store) -> u64 {
    // What cannot be read is told of when it is used.
    store.mark().ok().flatten().filter(|mark| mark.token == 0).map_or(0, |mark| mark.hash)
}

fn cuts(worker: &Worker, begin: Begin) -> Result<(Cuts, Begin)> {
    let limit = (worker.config.state_memory_bytes / 8).clamp(1 << 20, 64 << 20);
    let tables = Tables::new(Arc::clone(&begin.store), worker.config.tables.len(), limit)?;
    Ok((Cuts::new(tables, begin.at, begin.ledger.is_some()), begin))
}
