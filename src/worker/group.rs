//! A consumer group of the worker: its member, its tasks, its commits.

use super::{
    epochs::Epochs,
    events::{Event, Events},
    opening::Opening,
    reopening::Again,
    task::Task,
};
use crate::{
    engine::{horizon::Point, receipt::Receipt},
    error::{Act, Result},
    failpoints::failpoint,
    kafka::{
        consumer::{Attached, Begin, Committed, GroupConsumer, GroupOffset, Listener},
        queue::PartitionQueue,
    },
    metrics::Metrics,
    task::commit::Turns,
    types::TopicPartition,
};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// A partition, and where its records come.
pub(super) type Queued = (TopicPartition, PartitionQueue);

/// Begins the task of a partition, with those that are attached to it.
pub(super) type Spawn =
    Box<dyn Fn(&Arc<Group>, Queued, Vec<Queued>, Option<Point>) -> Task + Send + Sync>;

/// How often a broker is asked for committed offsets before partitions are given up; once is some seconds.
const COMMITTED_TRIES: usize = 5;

/// See the module.
pub struct Group {
    /// Group id.
    pub id: String,
    pub(super) runtime: Handle,
    /// When partitions may begin, of all groups of the worker.
    pub(super) openings: Turns,
    pub(super) events: Arc<Events>,
    pub(super) metrics: Arc<Metrics>,
    /// What agents send one by one; none for a subscription, whose batches have flights.
    pub(super) epochs: Option<Arc<Epochs>>,
    pub(super) drain_timeout: Duration,
    pub(super) commit_interval: Duration,
    pub(super) spawn: Spawn,
    /// Topics whose partitions belong to tasks of another one.
    pub(super) attached: Attached,
    /// Do tasks need to know what is committed beside their offsets?
    pub(super) resumes: bool,
    /// Itself, for its tasks.
    pub(super) me: Weak<Group>,
    pub(super) member: OnceLock<GroupConsumer>,
    pub(super) tasks: Mutex<BTreeMap<TopicPartition, Task>>,
    pub(super) has_joined: AtomicBool,
    pub(super) killed: AtomicBool,
    pub(super) hanging: Mutex<Vec<String>>,
    pub(super) committing: Mutex<()>,
    pub(super) ending: Mutex<bool>,
    pub(super) ended: Condvar,
    pub(super) again: Mutex<Again>,
    /// Partitions of agents that are there, and of which nobody was told yet.
    pub(super) restored: Mutex<Vec<TopicPartition>>,
}

impl Group {
    /// The tasks, in the order of their partitions.
    pub fn tasks(&self) -> Vec<Task> {
        self.tasks.lock().values().cloned().collect()
    }

    /// Commits from time to time until [`Group::leave`].
    pub(super) fn commit_until_left(&self) {
        let mut ending = self.ending.lock();
        while !*ending {
            self.ended.wait_for(&mut ending, self.commit_interval);
            parking_lot::MutexGuard::unlocked(&mut ending, || self.commit_round());
        }
    }

    fn commit_round(&self) {
        let _one_at_a_time = self.committing.lock();
        let Some(member) = self.member.get() else { return };
        if self.is_killed() {
            return;
        }
        self.begin_void_anew();
        let tasks = self.tasks();
        tasks.iter().for_each(Task::settle_checkpoints);
        let mut offsets = Vec::new();
        for task in &tasks {
            let status = task.status();
            if let Some(point) = task.point()
                && status.committed() != Some(point.position)
            {
                offsets.push((task.clone(), point));
            }
        }
        if !offsets.is_empty()
            && let Err(error) = self.settle_and_commit(member, &offsets)
        {
            match error.act() {
                Act::Retry | Act::Fence => {
                    tracing::info!(target: "turbine.worker", "{}: not committed yet: {error}", self.id);
                }
                _ => {
                    tracing::error!(target: "turbine.worker", "{}: not committed: {error}", self.id)
                }
            }
        }
        for task in &tasks {
            let of_one = |(tp, at): (TopicPartition, Option<i64>)| {
                Some((member.end_offset(&tp)? - at?).max(0))
            };
            let each = task.seen().into_iter().map(of_one);
            if let Some(lag) = each.sum::<Option<i64>>() {
                task.status().metrics.lag.set(lag);
            }
        }
    }

    fn settle_and_commit(&self, member: &GroupConsumer, offsets: &[(Task, Point)]) -> Result<()> {
        let began = Instant::now();
        self.settle_sent(self.drain_timeout)?;
        if self.is_killed() {
            return Ok(());
        }
        let commits: Vec<_> = offsets.iter().flat_map(|(task, point)| due(task, point)).collect();
        let partitions = || offsets.iter().map(|(task, _)| task.status().tp.clone()).collect();
        let told = |of: fn(String, Vec<TopicPartition>) -> Event| {
            self.events.put_commit(|| of(self.id.clone(), partitions()));
        };
        told(|group, partitions| Event::Commits { group, partitions });
        failpoint!("line::offsets_begin");
        member.commit(&commits)?;
        failpoint!("line::offsets_end");
        told(|group, partitions| Event::Committed { group, partitions });
        let seconds = began.elapsed().as_secs_f64();
        for (task, point) in offsets {
            let status = task.status();
            status.note_committed(point.position);
            status.metrics.commit.observe(seconds);
        }
        Ok(())
    }

    /// Waits for what agents sent; a record that is lost for good stops every partition of the group.
    fn settle_sent(&self, timeout: Duration) -> Result<()> {
        let Some(epochs) = &self.epochs else { return Ok(()) };
        epochs.settle(timeout).inspect_err(|error| {
            // What a killed worker sent is lost on purpose.
            if error.act() != Act::Retry && !self.is_killed() {
                let reason = format!(
                    "a record that an agent sent was not delivered: {error}. Offsets stay where they were; restart to read again from there"
                );
                self.tasks().iter().for_each(|task| task.status().fail(&reason));
            }
        })
    }

    /// Begins what brings tasks into being that need some time for it.
    fn begin_openings(self: &Arc<Self>) {
        for task in self.tasks() {
            if let Task::Opening(opening) = task {
                self.begin_opening(opening);
            }
        }
    }

    /// Begins one, when it is its turn.
    pub(super) fn begin_opening(self: &Arc<Self>, opening: Arc<Opening>) {
        let (group, turns) = (Arc::clone(self), self.openings.clone());
        let run = async move { turns.blocking(move || opening.run(&group)).await };
        // One that panics has logged why.
        drop(self.runtime.spawn(run));
    }

    /// The tasks of `partitions`, drained: none comes in place of another any more.
    fn drained(&self, partitions: &[TopicPartition]) -> Vec<Task> {
        let known = || -> Vec<Task> {
            let tasks = self.tasks.lock();
            partitions.iter().filter_map(|tp| tasks.get(tp).cloned()).collect()
        };
        known().iter().for_each(Task::drain);
        // What took a place just then was not among them.
        let going = known();
        going.iter().for_each(Task::drain);
        going
    }

    /// Puts `task` in the place of `opening`, unless that is over.
    pub(super) fn opened(&self, opening: &Arc<Opening>, task: &Task) -> bool {
        let mut tasks = self.tasks.lock();
        let place = tasks.get_mut(&opening.status.tp);
        let is_there =
            |known: &Task| matches!(known, Task::Opening(one) if Arc::ptr_eq(one, opening));
        match place.filter(|known| is_there(known) && opening.status.is_live()) {
            Some(known) => {
                *known = task.clone();
                if let Task::Agents(..) = task {
                    self.restored.lock().push(opening.status.tp.clone());
                }
                true
            }
            None => false,
        }
    }

    /// Tells of the partitions that are there, once none is on its way any more.
    pub(super) fn tell_of_restored(&self) {
        let tasks = self.tasks.lock();
        if tasks.values().any(|task| task.is_opening() && task.status().is_live()) {
            return;
        }
        let mut partitions = std::mem::take(&mut *self.restored.lock());
        partitions.retain(|tp| tasks.contains_key(tp));
        drop(tasks);
        if !partitions.is_empty() {
            self.events.put(Event::Restored { group: self.id.clone(), partitions });
        }
    }

    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Drains every task at once, without waiting.
    pub(super) fn drain(&self) {
        self.tasks().iter().for_each(Task::drain);
    }

    /// Gives all partitions back and leaves; blocks until then, at most the drain timeout and a little.
    pub(super) fn leave(&self) {
        *self.ending.lock() = true;
        self.ended.notify_all();
        if let Some(member) = self.member.get() {
            member.leave();
        }
    }

    fn wait_until_settled(&self, tasks: &[Task]) {
        let deadline = tokio::time::Instant::now() + self.drain_timeout;
        let mut hanging = Vec::new();
        self.runtime.block_on(async {
            for task in tasks {
                if tokio::time::timeout_at(deadline, task.settle()).await.is_err() {
                    let status = task.status();
                    hanging.push(format!(
                        "{} {} at offset {}",
                        status.name,
                        status.tp,
                        task.position().unwrap_or(0)
                    ));
                }
            }
        });
        for name in &hanging {
            tracing::warn!(
                target: "turbine.worker",
                "{name}: its handler was still busy after {:?}; the record will be read again",
                self.drain_timeout
            );
        }
        self.hanging.lock().extend(hanging);
    }
}

impl Group {
    /// Where the tasks of partitions begin that need to know more than an offset.
    fn points(
        &self,
        partitions: &[TopicPartition],
        committed: &Committed<'_>,
    ) -> Result<BTreeMap<TopicPartition, Point>> {
        if !self.resumes || partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut tries = 0;
        let found = loop {
            match committed(partitions) {
                Ok(found) => break found,
                Err(error) if tries == COMMITTED_TRIES || *self.ending.lock() => return Err(error),
                Err(error) => {
                    tries += 1;
                    tracing::warn!(target: "turbine.worker", "{}: {error}; trying again", self.id);
                }
            }
        };
        let point = |one: GroupOffset| {
            let point = Point::from_metadata(one.offset, &one.metadata)?;
            (!point.is_plain()).then_some((one.tp, point))
        };
        Ok(found.into_iter().filter_map(point).collect())
    }
}

/// What is committed for a task that is at `point`.
fn due(task: &Task, point: &Point) -> Vec<GroupOffset> {
    let generation = task.status().generation();
    let Some(each) = task.committable_of_each() else {
        let (tp, metadata) = (task.status().tp.clone(), Receipt::without_token(*point, generation));
        return vec![GroupOffset { tp, offset: point.offset, metadata }];
    };
    let plain = |(tp, offset)| {
        let metadata = Receipt::without_token(Point::plain(offset), generation);
        GroupOffset { tp, offset, metadata }
    };
    each.into_iter().map(plain).collect()
}

/// A partition that was worked on has no state here: another machine had it, or it was removed.
fn tell_of_missing_state(empty: &[Task], committed: &Committed<'_>) {
    let partitions: Vec<_> = empty.iter().map(|task| task.status().tp.clone()).collect();
    if partitions.is_empty() {
        return;
    }
    for GroupOffset { tp, offset, .. } in committed(&partitions).unwrap_or_default() {
        let Some(task) = empty.iter().find(|task| task.status().tp == tp) else { continue };
        task.note_missing_state();
        tracing::error!(
            target: "turbine.worker",
            "{} {tp}: no state on this machine although offset {offset} is committed: another machine had it, or state_dir \
             was emptied. Windows begin empty at that offset; to have them whole, bring state_dir back or read the topic again under another name",
            task.status().name
        );
    }
}

/// What the member of a group tells, and to whom.
pub(super) struct Watch(pub(super) Weak<Group>);

impl Listener for Watch {
    fn assigned(
        &self,
        partitions: Vec<(TopicPartition, PartitionQueue)>,
        committed: &Committed<'_>,
    ) -> Vec<(TopicPartition, Begin)> {
        let Some(group) = self.0.upgrade() else { return Vec::new() };
        let starts = group.assigned(partitions, committed);
        group.begin_openings();
        starts
    }

    fn revoked(&self, partitions: &[TopicPartition], lost: bool) -> Vec<GroupOffset> {
        self.0.upgrade().map(|group| group.revoked(partitions, lost)).unwrap_or_default()
    }

    fn shut_out(&self, why: &str) {
        let Some(group) = self.0.upgrade() else { return };
        let reason = format!(
            "the group {} has shut this worker out: {why}. Nothing is lost; give each worker a group.instance.id, or a state \
             directory, of its own, and restart it",
            group.id
        );
        group.tasks().iter().for_each(|task| task.status().fail(&reason));
    }
}

impl Listener for Group {
    fn assigned(
        &self,
        partitions: Vec<(TopicPartition, PartitionQueue)>,
        committed: &Committed<'_>,
    ) -> Vec<(TopicPartition, Begin)> {
        self.has_joined.store(true, Ordering::Release);
        let names: Vec<_> = partitions.iter().map(|(tp, _)| tp.clone()).collect();
        self.metrics.assigned.inc_by(names.len() as u64);
        let mut starts = Vec::new();
        let mut empty = Vec::new();
        let points = self.points(&names, committed);
        let Some(me) = self.me.upgrade() else { return starts };
        let is_attached =
            |(tp, _): &Queued| self.attached.topics().any(|topic| *topic == *tp.topic);
        let (attached, leads): (Vec<_>, Vec<_>) = partitions.into_iter().partition(is_attached);
        let mut attached: BTreeMap<_, _> = attached.into_iter().collect();
        for (tp, queue) in leads {
            let point = points.as_ref().ok().and_then(|points| points.get(&tp).copied());
            let sides = self.attached.of(&tp);
            starts.extend(sides.iter().map(|side| (side.clone(), Begin::Held)));
            let sides = sides.into_iter().filter_map(|side| attached.remove_entry(&side));
            let task = (self.spawn)(&me, (tp.clone(), queue), sides.collect(), point);
            if let Err(error) = &points {
                task.status().fail(&format!(
                    "where its windows were is not known: {error}. Nothing is lost; restart the worker when the cluster answers"
                ));
            }
            starts.extend(task.is_opening().then(|| (tp.clone(), Begin::Held)));
            starts.extend(task.starts_at().map(|offset| (tp.clone(), Begin::At(offset))));
            empty.extend(task.has_empty_store().then(|| task.clone()));
            self.tasks.lock().insert(tp, task);
        }
        tell_of_missing_state(&empty, committed);
        if *self.ending.lock() {
            self.drain();
        }
        if !names.is_empty() {
            self.events.put(Event::Assigned { group: self.id.clone(), partitions: names });
        }
        starts
    }

    fn revoked(&self, partitions: &[TopicPartition], lost: bool) -> Vec<GroupOffset> {
        let going = self.drained(partitions);
        let abandon = lost || self.is_killed();
        if !abandon {
            self.wait_until_settled(&going);
        }
        let _no_commit_meanwhile = self.committing.lock();
        going.iter().for_each(|task| task.close_state(!abandon));
        let mut offsets: Vec<GroupOffset> = going
            .iter()
            .filter_map(|task| Some((task, task.point()?)))
            .filter(|(task, point)| task.status().committed() != Some(point.position))
            .flat_map(|(task, point)| due(task, &point))
            .collect();
        if abandon || (!offsets.is_empty() && self.settle_sent(self.drain_timeout).is_err()) {
            offsets.clear();
        }
        let mut tasks = self.tasks.lock();
        for task in &going {
            let status = task.status();
            status.become_state(crate::task::status::State::Revoked);
            // One that has taken the place meanwhile has no task yet, and gets none.
            tasks.remove(&status.tp).iter().filter(|one| !one.is(task)).for_each(Task::drain);
            self.metrics.forget(&super::label(&status.name, &status.tp), &task.window_names());
        }
        drop(tasks);
        self.tell_of_restored();
        let partitions = self.attached.with(partitions);
        self.metrics.revoked.inc_by(partitions.len() as u64);
        if !partitions.is_empty() {
            self.events.put(Event::Revoked { group: self.id.clone(), partitions });
        }
        offsets
    }
}
