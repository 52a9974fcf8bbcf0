//! How many records the changelogs of subscriptions have, as a metric of each task that is here.
//!
//! # Guarantees
//!
//! * No task waits for it. While no broker answers, the last number stays.
//!
//! # Not here
//!
//! Making them shorter: see [`super::trimming`]. Changelogs of tables: they are compacted by the broker.

use super::{Worker, label};
use crate::{kafka::log_reader::Logs, metrics::Metrics, types::TopicPartition};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::runtime::Handle;

/// Between two looks while nothing is open yet.
const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(30);

/// The partition of a changelog, and the value of the metric's label.
type Log = (TopicPartition, String);

/// Looks from now on, for as long as the worker is there.
pub(super) fn begin(worker: &Arc<Worker>, runtime: &Handle) {
    let subscriptions = worker.config.subscriptions.iter();
    let changelogs: BTreeMap<String, Arc<str>> = subscriptions
        .filter_map(|one| Some((one.name.clone(), one.changelog.as_deref()?.into())))
        .collect();
    if !changelogs.is_empty() {
        runtime.spawn(look(Arc::downgrade(worker), changelogs));
    }
}

async fn look(worker: Weak<Worker>, changelogs: BTreeMap<String, Arc<str>>) {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        let Some(worker) = worker.upgrade() else { return };
        let (found, logs) = (here(&worker, &changelogs), Arc::clone(worker.logs()));
        let metrics = Arc::clone(&worker.metrics);
        pause = if found.is_empty() { FIRST } else { EVERY };
        drop(worker);
        // One that panics has logged why.
        let _ = tokio::task::spawn_blocking(move || measure(&found, &logs, &metrics)).await;
    }
}

/// The changelogs of what is open.
fn here(worker: &Worker, changelogs: &BTreeMap<String, Arc<str>>) -> Vec<Log> {
    let open = worker.stores().all();
    let log = |task: &crate::state::TaskName| {
        let topic = changelogs.get(&task.owner)?;
        let input = TopicPartition::new(task.topic.as_str(), task.partition);
        let log = TopicPartition::new(Arc::clone(topic), task.partition);
        Some((log, label(&task.owner, &input)))
    };
    open.iter().filter_map(|one| log(&one.task)).collect()
}

fn measure(found: &[Log], logs: &Logs, metrics: &Metrics) {
    for (log, label) in found {
        let Ok(bounds) = logs.bounds(log) else { return };
        metrics.changelog_records(label).set(bounds.end - bounds.start);
    }
}
