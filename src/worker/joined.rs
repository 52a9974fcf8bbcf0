//! How the task of a join of two topics begins: partition `i` of both is one task with one commit.
//!
//! # Guarantees
//!
//! * State and offsets of both topics are those of one commit: a task begins where that ended.
//! * Topics with other numbers of partitions are refused at the start.

use super::{
    Worker,
    build::{Begin, Recipe, decoders, schema_of},
    exact::ledger_parts,
    group::{Group, Queued},
    label,
    opening::Opening,
    positions::{InputSpace, begin_each_at, committed_of_each, together},
    restoring::Kept,
    task::Task,
};
use crate::{
    codec::format::Decoders,
    config::{Guarantee, SideConfig, StartAt, SubscriptionConfig},
    engine::receipt::Receipt,
    error::{Error, Result},
    join::Side,
    kafka::consumer::Attached,
    task::{
        commit::{Ended, Ledger, Live},
        status::Status,
        subscription::{
            Exact, Held, Inputs, Plan, Reading, Shared, Silence, Source, event_time::EventClock,
        },
        trailing::{QUIET, Trailing},
    },
    types::TopicPartition,
};
use arrow::datatypes::SchemaRef;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A side without records is not waited for after so long, unless it says something else.
const SILENT: Duration = Duration::from_secs(10);

/// The right of the join of `config`, if it has one.
pub(super) fn right(config: &SubscriptionConfig) -> Option<&SideConfig> {
    config.join().map(|join| &join.right)
}

/// The schema of the rows of the right is known under this name.
pub(super) fn name_of_right(name: &str) -> String {
    format!("{name} right")
}

/// The topic that goes with that of the left.
///
/// # Errors
///
/// [`Error::Config`] if the topics differ in their number of partitions.
pub(super) fn attached(
    config: &SubscriptionConfig,
    known: &BTreeMap<String, usize>,
) -> Result<Attached> {
    let (Some(side), [left]) = (right(config), config.topics.as_slice()) else {
        return Ok(Attached::default());
    };
    let count = |topic: &String| known.get(topic).copied().unwrap_or_default();
    let (one, other) = (count(left), count(&side.topic));
    if one != other {
        return Err(Error::Config(format!(
            "{}: {left} has {one} partitions and {} has {other}, so a key is in another partition of each: give \
             them the same number, or write repartition=True in the join, which writes both once more",
            config.name, side.topic
        )));
    }
    let other = i32::try_from(other).unwrap_or(i32::MAX);
    Ok(Attached([(left.clone(), vec![(side.topic.clone(), other)])].into()))
}

/// The second topic of a join, as it is read.
pub(super) struct Right {
    config: SideConfig,
    is_left_table: bool,
    pub(super) schema: Option<SchemaRef>,
    decoders: Decoders,
}

impl Right {
    /// That of `config`, if it joins.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a format that cannot work.
    pub(super) fn new(worker: &Worker, config: &SubscriptionConfig) -> Result<Option<Self>> {
        let Some(join) = config.join() else { return Ok(None) };
        let name = name_of_right(&config.name);
        let schema = schema_of(worker, &name);
        let side = join.right.clone();
        let format = (side.value_format.clone(), side.tombstones_as_nulls);
        let decoders = decoders(worker, &name, schema.clone(), format)?;
        Ok(Some(Self { config: side, is_left_table: join.is_left_table, schema, decoders }))
    }
}

/// Queue of the side, and what both inputs have in common.
pub(super) fn inputs(
    lead: &TopicPartition,
    (side, begins): (Queued, Vec<i64>),
) -> (Queued, Arc<Inputs>) {
    let inputs = Inputs::new(vec![lead.clone(), side.0.clone()], begins);
    (side, inputs)
}

impl Recipe {
    /// The task of a partition that the other topic does not have: it stands still.
    pub(super) fn alone(&self, worker: &Arc<Worker>, status: Status) -> Task {
        let tp = &status.tp;
        let other = right(&self.config).map_or("", |side| &side.topic);
        status.fail(&format!(
            "{} is joined with {other}, which has no partition {}. Give them the same number of partitions and \
             restart the workers; nothing is lost",
            tp.topic, tp.partition
        ));
        let clock = worker.clock.clone();
        let task = Shared::new(status, self.config.clone(), clock, Held::default());
        Task::Subscription(task, Arc::clone(&self.shelf))
    }

    /// The task of a join: its state is brought back first, and both topics begin where that is.
    pub(super) fn open_joined(
        &self,
        worker: &Arc<Worker>,
        group: &Arc<Group>,
        [(tp, queue), side]: [Queued; 2],
        kept: &Kept,
        opening: &Opening,
    ) -> Result<(Task, Option<i64>), Ended> {
        let tps = [tp.clone(), side.0.clone()];
        let (exact, committed, is_reset) = match self.config.guarantee {
            Guarantee::ExactlyOnce => {
                let (exact, live) = self.ledger(worker, group, &tps, kept, opening)?;
                let is_reset = live.receipt.as_ref().is_some_and(Receipt::is_beginning);
                (Some(exact), live.inputs, is_reset)
            }
            Guarantee::AtLeastOnce => {
                let committed = committed_of_each(group, &tps, opening)?;
                let number = together(&tps, &committed);
                kept.bring_back(worker, number, None, opening)?;
                let receipt = number.and_then(|number| number.receipt);
                let is_reset = receipt.is_some_and(|receipt| receipt.is_beginning());
                let offsets = committed.into_iter().map(|one| Some(one?.offset));
                (None, offsets.collect(), is_reset)
            }
        };
        let start_at = worker.config.start_at;
        let each = self.begins((group, opening), &tps, (kept, committed, is_reset), start_at)?;
        let mut begin = Begin { store: Some(Arc::clone(&kept.store)), ..Begin::default() };
        begin.changelog = if exact.is_none() { kept.log_writer(worker) } else { None };
        let at = exact.as_ref().and_then(|exact| exact.at);
        let begin = Begin { exact, side: Some((side, each)), ..begin };
        let task = self.begin(worker, tp, queue, begin);
        if let Some(at) = at {
            task.status().note_committed(at);
        }
        task.status().note_generation(kept.generation());
        Ok((task, None))
    }

    /// What makes the commits of an exactly-once task, and what is committed of each input.
    fn ledger(
        &self,
        worker: &Arc<Worker>,
        group: &Arc<Group>,
        tps: &[TopicPartition; 2],
        kept: &Kept,
        opening: &Opening,
    ) -> Result<(Exact, Live), Ended> {
        let name = &self.config.name;
        let mut parts = ledger_parts(worker, group, &tps[0], name, Some(name), &opening.gate);
        parts.link.sides = tps[1..].to_vec();
        parts.store = Some(Arc::clone(&kept.store));
        parts.log = kept.log_records();
        parts.catch_up = Box::new(kept.recover(worker, opening));
        let (ledger, live) = Ledger::boot(parts)?;
        kept.begin_exact()?;
        Ok((Exact { ledger, at: live.at, begins: None, replaying: None }, live))
    }

    /// Where each topic begins: where the state is, or where the group is. Without the state that belongs to
    /// committed offsets both are read again from their beginning.
    fn begins(
        &self,
        (group, opening): (&Group, &Opening),
        tps: &[TopicPartition; 2],
        (kept, committed, is_reset): (&Kept, Vec<Option<i64>>, bool),
        start_at: StartAt,
    ) -> Result<Vec<i64>, Ended> {
        let stored = InputSpace::of_subscription(tps).stored(&*kept.store)?;
        let is_lost = stored.is_none() && !is_reset && committed.iter().any(Option::is_some);
        if is_lost {
            tracing::error!(
                target: "turbine.state",
                "{} {}: no state of the join although offsets are committed, and neither changelog nor snapshot \
                 has it: {} and {} are read again from their beginning", self.config.name, tps[0],
                tps[0].topic, tps[1].topic
            );
        }
        let starts = self.starts(start_at);
        let wanted = tps.iter().zip(committed).zip(starts).map(|((tp, committed), start_at)| {
            let stored = stored.as_ref().and_then(|stored| stored.of(&tp.topic));
            let at = stored.or(committed.filter(|_| !is_lost));
            (tp.clone(), at, if is_lost { StartAt::Earliest } else { start_at })
        });
        begin_each_at(group, wanted, opening)
    }

    /// Where each topic starts without an offset: tables and internal topics at their beginning.
    fn starts(&self, start_at: StartAt) -> [StartAt; 2] {
        let (left, right) = (self.config.is_repartitioned, self.right.as_ref());
        let of = |is_whole: bool| if is_whole { StartAt::Earliest } else { start_at };
        [
            of(left || right.is_some_and(|right| right.is_left_table)),
            of(right.is_some_and(|right| right.config.is_repartitioned || right.config.is_table)),
        ]
    }

    /// The sources of both topics, made from that of the left.
    pub(super) fn both(
        &self,
        worker: &Worker,
        left: Source,
        (tp, queue): Queued,
    ) -> Result<Vec<Source>> {
        let (Some(right), Some(plan), Some(inputs)) = (&self.right, &left.plan, &left.task.inputs)
        else {
            return Ok(vec![left]);
        };
        plan.restore(&left.task)?;
        let (plan, inputs) = (Arc::clone(plan), Arc::clone(inputs));
        let config = &right.config;
        let label = format!("{}-right", label(&self.config.name, &tp));
        let events = EventClock::new(&config.event_time, worker.metrics.event_time(&label))?;
        let events = if config.is_repartitioned { events.of_sources() } else { events };
        let other = Source {
            task: Arc::clone(&left.task),
            tp,
            is_repartitioned: config.is_repartitioned,
            reading: None,
            queue,
            decoder: right.decoders.decoder()?,
            shelf: Arc::clone(&left.shelf),
            batch_bytes: left.batch_bytes,
            events: Some(events),
            dedup: None,
            plan: None,
            silence: Silence::new(None, worker.clock.now(), None),
            trailing: Trailing::after(QUIET),
        };
        let idle = config.event_time.idle_close_ms.map(Duration::from_millis);
        let table_first = config.is_table && !right.is_left_table;
        let left_idle = self.parts.idle_close();
        Ok(vec![
            side(worker, left, (&plan, &inputs), (0, Side::Left, !table_first, left_idle)),
            side(worker, other, (&plan, &inputs), (1, Side::Right, table_first, idle)),
        ])
    }
}

/// Makes `source` one side of a join, with the time that the join has kept of it.
fn side(
    worker: &Worker,
    mut source: Source,
    (plan, inputs): (&Arc<Plan>, &Arc<Inputs>),
    (which, side, goes_first, idle): (usize, Side, bool, Option<Duration>),
) -> Source {
    if let (Some(events), Some(watermark)) = (&mut source.events, plan.watermark(side)) {
        events.reach(watermark);
    }
    let watermark = source.events.as_ref().and_then(EventClock::watermark);
    let limit = Some(idle.unwrap_or(SILENT));
    source.silence = Silence::new(limit, worker.clock.now(), watermark).counting_from_start();
    source.plan = Some(Arc::clone(plan));
    source.reading = Some(Reading { inputs: Arc::clone(inputs), which, side, goes_first });
    source
}
