//! The worker as its observers see it.

use super::{
    Worker,
    snapshots::switched_off,
    task::Task,
    view::{AssignmentView, Health, SnapshotsView, View},
};
use crate::{error::Result, state::inspect::Opened, task::status::State, types::TopicPartition};
use std::{sync::atomic::Ordering, time::Duration};

/// An error of the client counts against health for this long.
const TROUBLE_AGE: Duration = Duration::from_secs(15);

/// What is said of `tp`, one of the partitions that `task` reads, beside its offsets.
fn assignment(group: &str, task: &Task, tp: &TopicPartition) -> AssignmentView {
    let status = task.status();
    AssignmentView {
        name: status.name.clone(),
        group: group.to_owned(),
        topic: tp.topic.to_string(),
        partition: tp.partition,
        // It will be, and nobody has to do anything about it.
        state: if status.is_void() { State::Restoring } else { status.state() }.as_str(),
        committed: None,
        position: None,
        end: None,
        in_flight: task.in_flight(),
        error: status.error().or_else(|| status.waiting()),
        halt: status.halted(),
        restoring: task.restoring(),
    }
}

impl View for Worker {
    fn app_id(&self) -> String {
        self.config.app_id.clone()
    }

    fn health(&self) -> Health {
        let mut reasons: Vec<String> = self
            .tasks()
            .values()
            .filter(|(_, task)| task.status().state() == State::Failed)
            .map(|(_, task)| {
                let status = task.status();
                let why = status.error().unwrap_or_default();
                let what = if status.is_void() { "begins anew" } else { "failed" };
                format!("{} {} {what}: {why}", status.name, status.tp)
            })
            .collect();
        reasons.extend(self.tasks().values().filter_map(|(_, task)| {
            let status = task.status();
            let why = status.waiting()?;
            Some(format!("{} {} waits: {why}", status.name, status.tp))
        }));
        let groups = self.groups.lock();
        let consumers = groups.iter().filter_map(|g| g.member.get()?.trouble(TROUBLE_AGE));
        reasons.extend(
            consumers.chain(self.producer.trouble(TROUBLE_AGE)).map(|why| format!("kafka: {why}")),
        );
        if self.stopping.load(Ordering::Acquire) {
            reasons.push("the worker is stopping".into());
        }
        reasons.dedup();
        let troubles = self.snapshots.iter().flat_map(|snapshots| snapshots.troubles()).collect();
        Health { reasons, troubles }
    }

    fn ready(&self) -> Health {
        let mut health = self.health();
        let groups = self.groups.lock();
        if groups.is_empty() && !(self.shelves.is_empty() && self.mailboxes.is_empty()) {
            health.reasons.push("the worker has not started".into());
        }
        for group in groups.iter().filter(|g| !g.has_joined.load(Ordering::Acquire)) {
            health.reasons.push(format!("group {} has no assignment yet", group.id));
        }
        drop(groups);
        health.reasons.extend(self.tasks().values().filter_map(|(_, task)| {
            let (status, seen) = (task.status(), task.restoring()?);
            Some(format!("{} {}: {seen}", status.name, status.tp))
        }));
        health
    }

    fn assignments(&self) -> Vec<AssignmentView> {
        let ends: Vec<_> = self.groups.lock().clone();
        let of_task = |(group, task): (String, Task)| {
            let member = ends.iter().find(|g| g.id == group).and_then(|g| g.member.get());
            let end = |tp: &TopicPartition| member.and_then(|m| m.end_offset(tp));
            task.fetched()
                .into_iter()
                .map(|(tp, committed, position)| {
                    let end = end(&tp);
                    AssignmentView { committed, position, end, ..assignment(&group, &task, &tp) }
                })
                .collect::<Vec<_>>()
        };
        self.tasks().into_values().flat_map(of_task).collect()
    }

    fn snapshots(&self) -> SnapshotsView {
        let Some(snapshots) = &self.snapshots else { return SnapshotsView::default() };
        let url = Some(snapshots.archive().shown().to_owned());
        SnapshotsView { url, tasks: snapshots.views() }
    }

    fn take_snapshots(&self) -> Result<SnapshotsView> {
        self.snapshots.as_ref().ok_or_else(switched_off)?.ask();
        Ok(View::snapshots(self))
    }

    fn metrics(&self) -> String {
        self.metrics.text(self.clock.now_ms())
    }

    fn stores(&self) -> Vec<Opened> {
        let mut all = self.stores.all();
        if let Some(globals) = self.partitions.globals.get() {
            all.extend(globals.opened(&self.config.app_id));
        }
        all
    }

    fn followed(&self) -> Vec<AssignmentView> {
        let globals = self.partitions.globals.get();
        globals.map(|globals| globals.followed(&self.config.app_id)).unwrap_or_default()
    }
}
