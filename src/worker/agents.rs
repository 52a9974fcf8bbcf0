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
    group::{Group, Queued, Spawn},
    label,
    opening::{Job, Opening},
    positions::{InputSpace, begin_each, committed_of_each, together},
    restoring::{Keeping, Kept, committed},
    task::Task,
};
use crate::{
    config::{AgentConfig, Guarantee, TableConfig},
    engine::halt::{Halt, Reason},
    error::Result,
    state::{MemoryStore, Space, SpaceName, Store},
    task::{
        agent::{self, Lane},
        changelog::{Changelog, Noting, Places},
        commit::{Ended as NoLedger, Ledger},
        cut::Cuts,
        input::Input,
        restore::{self, Progress, Table},
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
    Box::new(move |group, lead, sides, _| {
        let worker = weak.upgrade().expect("a worker leaves its groups before it goes");
        let count = counts.get(&*lead.0.topic).copied();
        let count = count.or_else(|| worker.found.partitions(&lead.0.topic));
        let partitions = count.unwrap_or(0);
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let is_short = sides.len() < group.attached.0.get(&*lead.0.topic).map_or(0, Vec::len);
        let queues: Vec<Queued> = std::iter::once(lead).chain(sides).collect();
        let inputs: Vec<_> = queues.iter().map(|(tp, _)| tp.clone()).collect();
        let is_read = |c: &&AgentConfig| inputs.iter().any(|tp| reads(&worker, c, tp));
        let readers = configs.iter().filter(is_read).cloned().collect();
        let (runtime, epochs) = (runtime.clone(), Arc::clone(&epochs));
        let group_id = group.id.clone();
        let recipe = Recipe { worker, runtime, epochs, group_id, readers, inputs };
        if is_short {
            return recipe.alone(&group.attached.topics().collect::<Vec<_>>());
        }
        // A commit has the offset of all who read the partition: the strongest promise counts.
        let is_exact =
            recipe.readers.iter().any(|reader| reader.guarantee == Guarantee::ExactlyOnce);
        // Rows that wait for their acknowledgement would hold up every cut.
        let by_hand = recipe.readers.iter().any(|reader| reader.acks_by_hand);
        if is_exact || !(by_hand || recipe.worker.config.tables.is_empty()) {
            return recipe.open(Arc::clone(group), partitions, is_exact, queues);
        }
        recipe.begin(queues, None)
    })
}

fn reads(worker: &Worker, agent: &AgentConfig, tp: &TopicPartition) -> bool {
    let is_declared = agent.topics.iter().any(|topic| **topic == *tp.topic);
    is_declared || worker.found.has(&agent.name, &tp.topic)
}

/// What a task with cuts begins with.
struct Begin {
    store: Arc<dyn Store>,
    /// Offset behind the last record that is committed.
    at: Option<i64>,
    /// Where each input begins, where there are several.
    each: Option<Vec<i64>>,
    /// Commits in transactions, if they are exactly-once.
    ledger: Option<Arc<Ledger>>,
    /// How far the changelogs are in the store, where no transaction writes them and that is known.
    places: Option<Places>,
    /// What stands beside offsets that no transaction writes.
    generation: u32,
}

impl Begin {
    /// With `store` and nothing else.
    fn of(store: Arc<dyn Store>) -> Self {
        Self { store, at: None, each: None, ledger: None, places: None, generation: 0 }
    }
}

/// What the agents of group `owner` keep, if the app has tables.
fn keeping(worker: &Worker, owner: &str, name: &str, inputs: &[TopicPartition]) -> Option<Keeping> {
    let tables = &worker.config.tables;
    let spaces = tables.iter().map(|table| SpaceName::by_key(&table.name));
    let spaces = spaces.chain([InputSpace::name()]).collect();
    let table = |(space, table): (u16, &TableConfig)| Table {
        space: Space(space),
        topic: table.changelog.as_str().into(),
    };
    let logs = restore::Tables {
        tables: (0..).zip(tables).map(table).collect(),
        topics: inputs.iter().map(|tp| Arc::clone(&tp.topic)).collect(),
        inputs: InputSpace::space(tables.len()),
    };
    (!tables.is_empty()).then(|| Keeping::of_tables(owner, name, spaces, logs))
}

/// What every task of the agents that read one topic is made from.
struct Recipe {
    worker: Arc<Worker>,
    runtime: Handle,
    epochs: Arc<Epochs>,
    group_id: String,
    readers: Vec<AgentConfig>,
    /// The partition, and those that are attached to it.
    inputs: Vec<TopicPartition>,
}

impl Recipe {
    /// The task of a partition whose number the others do not have: it stands still.
    fn alone(&self, others: &[&str]) -> Task {
        let tp = &self.inputs[0];
        let status = status(&self.worker, &self.name(), tp.clone());
        status.fail(&format!(
            "agents share tables over {}, {}, and not all of them have a partition {}. Give them the same number of \
             partitions and restart the workers; nothing is lost",
            tp.topic,
            others.join(", "),
            tp.partition
        ));
        Task::Agents(agent::Shared::new(status, Vec::new(), None), Arc::default())
    }

    fn space(&self) -> InputSpace {
        InputSpace::new(self.worker.config.tables.len(), &self.inputs)
    }

    fn name(&self) -> String {
        self.readers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join("+")
    }

    /// The task of a partition with tables, or an exactly-once one: its tables are brought back first, to what
    /// is committed.
    fn open(self, group: Arc<Group>, partitions: i32, is_exact: bool, queues: Vec<Queued>) -> Task {
        let (name, tp) = (self.name(), self.inputs[0].clone());
        let status = status(&self.worker, &name, tp.clone());
        let label = label(&name, &tp);
        let progress = Progress::new(label.clone(), self.worker.metrics.restore(&label));
        let job: Job = Box::new(move |opening| {
            let keeping = keeping(&self.worker, &group.id, &name, &self.inputs);
            let kept = keeping.map(|one| one.open(&self.worker, &tp, partitions, opening));
            let kept = kept.transpose()?;
            let begin = if is_exact {
                self.exactly(&group, &tp, kept, opening)?
            } else {
                self.at_least(&group, &tp, kept, opening)?
            };
            let at = begin.as_ref().and_then(|begin| begin.at);
            let task = self.begin(queues, begin);
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
        let noting = Arc::new(Noting::new(InputSpace::space(tables.len()), true));
        parts.log = log_records(tables, tp, &noting);
        parts.link.sides = self.inputs[1..].to_vec();
        if let Some(kept) = &kept {
            parts.store = Some(Arc::clone(&kept.store));
            parts.catch_up = Box::new(kept.recover(&self.worker, opening));
        }
        let (ledger, live) = Ledger::boot(parts)?;
        noting.begin(kept.as_ref().and_then(|kept| kept.places(&self.worker)));
        let store: Arc<dyn Store> =
            kept.map_or_else(|| Arc::new(MemoryStore::default()) as _, |kept| kept.store);
        let stored = self.space().stored(&*store)?;
        let is_shared = self.inputs.len() > 1;
        if !is_shared && live.receipt.is_some_and(|receipt| !receipt.point.is_plain()) {
            return Err(NoLedger::Halted(Halt::of(Reason::ForeignOffsets)));
        }
        let wanted = self.inputs.iter().enumerate().map(|(index, tp)| {
            let committed = live.inputs.get(index).copied().flatten();
            (tp.clone(), committed.or_else(|| stored.as_ref()?.of(&tp.topic)))
        });
        let begin = || begin_each(&self.worker, group, wanted.collect(), opening);
        let each = is_shared.then(begin).transpose()?;
        Ok(Some(Begin { at: live.at, each, ledger: Some(ledger), ..Begin::of(store) }))
    }

    fn at_least(
        &self,
        group: &Group,
        tp: &TopicPartition,
        kept: Option<Kept>,
        opening: &Opening,
    ) -> Result<Option<Begin>, NoLedger> {
        let Some(kept) = kept else { return Ok(None) };
        if self.inputs.len() > 1 {
            return self.at_least_each(group, kept, opening).map(Some);
        }
        self.space().stored(&*kept.store)?;
        let committed = committed(group, tp, opening)?;
        let at = kept.bring_back(&self.worker, committed, None, opening)?;
        let (generation, places) = (kept.generation(), kept.places(&self.worker));
        let begin = Begin { at, places, generation, ..Begin::of(kept.store) };
        Ok(Some(begin))
    }

    /// The same with several inputs. As with one, the state says where they are; the group, where it does not.
    fn at_least_each(
        &self,
        group: &Group,
        kept: Kept,
        opening: &Opening,
    ) -> Result<Begin, NoLedger> {
        let committed = committed_of_each(group, &self.inputs, opening)?;
        let number = together(&self.inputs, &committed);
        let at = kept.bring_back(&self.worker, number, None, opening)?;
        let stored = self.space().stored(&*kept.store)?;
        let wanted = self.inputs.iter().zip(committed).map(|(tp, committed)| {
            let stored = stored.as_ref().and_then(|stored| stored.of(&tp.topic));
            (tp.clone(), stored.or(committed.map(|one| one.offset)))
        });
        let each = begin_each(&self.worker, group, wanted.collect(), opening)?;
        let (generation, places) = (kept.generation(), kept.places(&self.worker));
        Ok(Begin { at, each: Some(each), places, generation, ..Begin::of(kept.store) })
    }

    /// The task of a partition; with cuts, if there is something to `begin` them with.
    fn begin(self, queues: Vec<Queued>, begin: Option<Begin>) -> Task {
        let Self { worker, runtime, epochs, .. } = &self;
        let tp = &self.inputs[0];
        let each = begin.as_ref().and_then(|begin| begin.each.as_deref());
        let inputs = self.inputs(each);
        let status = status(worker, &self.name(), tp.clone());
        if let Some(begin) = &begin {
            status.note_generation(begin.generation);
        }
        let made = begin.map(|begin| cuts(worker, begin)).transpose();
        let (cuts, begin) = match made {
            Ok(made) => made.unzip(),
            Err(error) => {
                status.fail(&format!("its tables cannot be read: {error}"));
                (None, None)
            }
        };
        let task = agent::Shared::new(status, inputs, cuts);
        let ended = Arc::new(Ended::default());
        if let Some(begin) = begin {
            worker.partitions.add(&task, worker.config.tables.len());
            let interval = Duration::from_millis(worker.config.commit_interval_ms.max(1));
            let committer = committer(worker, epochs, (tp, self.space()), begin);
            let (task, ended) = (Arc::clone(&task), Arc::clone(&ended));
            let (events, group) = (Arc::clone(&worker.events), self.group_id.clone());
            runtime.spawn(Driver { task, committer, interval, ended, events, group }.run());
        }
        for (which, (_, queue)) in queues.into_iter().enumerate() {
            let run = runtime.spawn(Arc::clone(&task).run(which, queue, batch_bytes(worker)));
            watch(runtime, Arc::clone(&task), run, |task| &task.status);
        }
        Task::Agents(task, ended)
    }

    /// What the task reads, and from where, if that is known beforehand.
    fn inputs(&self, each: Option<&[i64]>) -> Vec<Input> {
        let lane =
            |c: &AgentConfig| Lane::new(c.name.clone(), self.worker.mailboxes[&c.name].clone());
        let input = |(index, tp): (usize, &TopicPartition)| {
            let lanes =
                self.readers.iter().filter(|c| reads(&self.worker, c, tp)).map(lane).collect();
            let begins = each.and_then(|each| each.get(index)).copied();
            Input::new(tp.clone(), lanes, begins)
        };
        self.inputs.iter().enumerate().map(input).collect()
    }
}

fn committer(
    worker: &Worker,
    epochs: &Arc<Epochs>,
    (tp, inputs): (&TopicPartition, InputSpace),
    begin: Begin,
) -> Box<dyn Committer> {
    match begin.ledger {
        Some(ledger) => Box::new(ExactlyOnce { ledger, inputs, clock: worker.clock.clone() }),
        None => Box::new(AtLeastOnce {
            changelog: plain_changelog(worker, tp, &begin),
            store: begin.store,
            inputs,
            epochs: Arc::clone(epochs),
            producer: Arc::clone(&worker.producer),
        }),
    }
}

fn plain_changelog(worker: &Worker, tp: &TopicPartition, begin: &Begin) -> Changelog {
    let tables = &worker.config.tables;
    let noting = Noting::new(InputSpace::space(tables.len()), false);
    noting.begin(begin.places.clone());
    changelog(tables, tp, &Arc::new(noting)).owned_after(owner_of(&*begin.store))
}

/// Number of the owner that the state is of.
fn owner_of(store: &dyn Store) -> u64 {
    // What cannot be read is told of when it is used.
    store.mark().ok().flatten().filter(|mark| mark.token == 0).map_or(0, |mark| mark.hash)
}

fn cuts(worker: &Worker, begin: Begin) -> Result<(Cuts, Begin)> {
    let limit = (worker.config.state_memory_bytes / 8).clamp(1 << 20, 64 << 20);
    let tables = Tables::new(Arc::clone(&begin.store), worker.config.tables.len(), limit)?;
    let each = begin.each.clone().or(begin.at.map(|at| vec![at]));
    Ok((Cuts::new(tables, (begin.at, each), begin.ledger.is_some()), begin))
}
