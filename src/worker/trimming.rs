//! Changelogs of subscriptions get shorter: records that every snapshot has are deleted.
//!
//! # Guarantees
//!
//! * A restore from any snapshot that stays, if it is whole, finds every commit behind it: only what is in
//!   front of the oldest of them goes.
//! * Nothing goes before [`LEAST`] snapshots are whole, so that the damage of one costs nothing.
//! * Where several topics share a changelog, each has to have its snapshots.
//! * What goes wrong is told, and tried again with the next snapshot; no task waits for it.
//!
//! # Not here
//!
//! Changelogs of tables: they are compacted by the broker. Without a `checkpoint_url` a changelog has to keep
//! everything, and that is said once.

use super::{
    Worker,
    snapshots::{OnComplete, Snapshots},
};
use crate::{
    config::SubscriptionConfig,
    error::{Error, Result},
    kafka::{
        admin::Admin,
        log_reader::{Bounds, Logs},
    },
    state::snapshot::{Archive, Kept, Unit},
    types::TopicPartition,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Mutex};

/// Snapshots that have to be whole before anything goes, if so many stay.
const LEAST: usize = 2;
/// Longest wait for the broker.
const TIMEOUT: Duration = Duration::from_secs(30);

/// See the module.
struct Trimming {
    archive: Archive,
    admin: Admin,
    logs: Arc<Logs>,
    /// By the name of their subscription.
    changelogs: BTreeMap<String, Changelog>,
    least: usize,
    /// One at a time, so that manifests are read once.
    known: Mutex<BTreeMap<Unit, Kept>>,
}

struct Changelog {
    topic: Arc<str>,
    /// The topics whose tasks write to it.
    sources: Vec<String>,
}

/// Lets changelogs get shorter with every snapshot from now on.
///
/// # Errors
///
/// What [`Admin::new`] returns.
pub(super) fn begin(
    worker: &Worker,
    snapshots: Option<&Arc<Snapshots>>,
    runtime: &Handle,
) -> Result<()> {
    let config = &worker.config;
    let changelog = |one: &SubscriptionConfig| {
        let topic = one.changelog.as_deref()?.into();
        Some((one.name.clone(), Changelog { topic, sources: one.topics.clone() }))
    };
    let changelogs: BTreeMap<_, _> = config.subscriptions.iter().filter_map(changelog).collect();
    if changelogs.is_empty() {
        return Ok(());
    }
    let Some(snapshots) = snapshots else {
        tell_of_growth(&changelogs);
        return Ok(());
    };
    let trimming = Arc::new(Trimming {
        archive: snapshots.archive().clone(),
        admin: Admin::new(&config.brokers, &config.kafka)?,
        logs: Arc::clone(worker.logs()),
        changelogs,
        least: LEAST.min(config.snapshot_keep.max(1)),
        known: Mutex::default(),
    });
    snapshots.on_complete(trimming.on_complete(runtime.clone()));
    Ok(())
}

fn tell_of_growth(changelogs: &BTreeMap<String, Changelog>) {
    let topics: Vec<&str> = changelogs.values().map(|one| &*one.topic).collect();
    tracing::warn!(
        target: "turbine.state",
        "{}: every commit of the state stays there, and nothing makes it shorter, nor a restore from it. Set \
         checkpoint_url, so that what snapshots have is deleted, or watch turbine_changelog_records", topics.join(", ")
    );
}

impl Trimming {
    fn on_complete(self: Arc<Self>, runtime: Handle) -> OnComplete {
        Box::new(move |unit, _| {
            let (trimming, unit) = (Arc::clone(&self), unit.clone());
            runtime.spawn(async move {
                if let Err(error) = trimming.trim(&unit).await {
                    tracing::warn!(
                        target: "turbine.state",
                        "{unit}: its changelog was not made shorter: {error}. Processing goes on; trying again with the \
                         next snapshot. Deleting needs the right to DELETE on that topic"
                    );
                }
            });
        })
    }

    async fn trim(&self, unit: &Unit) -> Result<()> {
        let Some(changelog) = self.changelogs.get(&unit.name) else { return Ok(()) };
        let Some(floor) = self.floor(unit, changelog).await? else { return Ok(()) };
        let log = TopicPartition::new(Arc::clone(&changelog.topic), unit.partition);
        let bounds = self.bounds(log.clone()).await?;
        // A changelog that was deleted and created again is shorter than its snapshots say.
        if floor <= bounds.start || floor > bounds.end {
            return Ok(());
        }
        let begins = self.admin.delete_records(&log, floor, TIMEOUT).await?;
        tracing::debug!(
            target: "turbine.state",
            "{log}: begins at offset {begins} now, snapshots have what was in front of it"
        );
        Ok(())
    }

    /// What no snapshot of any task needs that writes to the same partition of the changelog.
    async fn floor(&self, unit: &Unit, changelog: &Changelog) -> Result<Option<i64>> {
        let mut known = self.known.lock().await;
        let (mut lowest, mut without): (Option<i64>, Vec<&String>) = (None, Vec::new());
        for topic in &changelog.sources {
            let one = Unit { topic: topic.clone(), ..unit.clone() };
            let shelf = self.archive.of(&one)?;
            match known.entry(one).or_default().floor(&shelf, self.least).await? {
                Some(floor) => lowest = Some(lowest.map_or(floor, |lowest| lowest.min(floor))),
                None => without.push(topic),
            }
        }
        // Last of all: what comes into being later writes behind every floor.
        for topic in without {
            let tp = TopicPartition::new(topic.as_str(), unit.partition);
            match self.bounds(tp).await {
                Err(Error::Kafka { code, .. }) if is_nowhere(&code) => {}
                Ok(_) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(lowest)
    }

    async fn bounds(&self, tp: TopicPartition) -> Result<Bounds> {
        let logs = Arc::clone(&self.logs);
        tokio::task::spawn_blocking(move || logs.bounds(&tp)).await.unwrap_or(Err(Error::Stopped))
    }
}

/// Topics that share a changelog may have fewer partitions than it.
fn is_nowhere(code: &str) -> bool {
    ["UnknownPartition", "UnknownTopicOrPartition", "UnknownTopic"].contains(&code)
}
