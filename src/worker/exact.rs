//! What exactly-once tasks of a group commit with.

use super::{Worker, group::Group, label};
use crate::{
    engine::identity::Identity,
    error::{Error, Result},
    kafka::{
        TopicIdentity, consumer::GroupOffset, log_reader::Logs, producer::Producer,
        transaction::GroupMetadata,
    },
    task::commit::{Gate, LedgerParts, Link, Member, NothingToCatchUp, transactional_id},
    types::TopicPartition,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

/// Environment variable for tests: seconds without a commit until the last one is repeated.
const HEARTBEAT_S: &str = "TURBINE_EOS_HEARTBEAT_S";
/// A broker forgets offsets after days.
const HEARTBEAT: Duration = Duration::from_secs(6 * 3600);

/// How long a group may take to answer a heartbeat.
const ANSWER: Duration = Duration::from_secs(1);
/// How often members are heard of, if users do not say: of classic groups, and of those whose broker says.
const MEMBERS_BEAT: Duration = Duration::from_secs(3);
const BROKER_SAYS_BEAT: Duration = Duration::from_secs(5);

/// The member of a group, for as long as the group is there.
struct OfGroup(Weak<Group>, Arc<Logs>);

impl Member for OfGroup {
    fn metadata(&self) -> Option<GroupMetadata> {
        self.0.upgrade()?.member.get()?.group_metadata()
    }

    fn committed(&self, tp: &TopicPartition) -> Result<Option<GroupOffset>> {
        let group = self.0.upgrade().ok_or(Error::Stopped)?;
        let member = group.member.get().ok_or(Error::Stopped)?;
        Ok(member.committed(std::slice::from_ref(tp))?.pop())
    }

    fn log(&self, tp: &TopicPartition) -> Option<(i64, i64)> {
        self.0.upgrade()?.member.get()?.log(tp)
    }

    fn identity(&self, tp: &TopicPartition) -> Result<Identity> {
        identity(&self.1, tp)
    }

    fn owns(&self, tp: &TopicPartition) -> bool {
        let Some(group) = self.0.upgrade() else { return false };
        let is_there = group.tasks.lock().contains_key(tp);
        is_there && group.member.get().is_some_and(|member| !member.has_lost())
    }
}

/// Which topic of which cluster `tp` is of now.
pub(super) fn identity(logs: &Logs, tp: &TopicPartition) -> Result<Identity> {
    let TopicIdentity { cluster, topic } = logs.identity(&tp.topic)?;
    Ok(Identity { cluster, topic, generation: 0 })
}

/// What the ledger of task `name` on partition `tp` is made of, for a task that keeps nothing; `name` is
/// none for the agents, who share a partition.
pub(super) fn ledger_parts(
    worker: &Arc<Worker>,
    group: &Arc<Group>,
    tp: &TopicPartition,
    task: &str,
    name: Option<&str>,
    gate: &Arc<Gate>,
) -> LedgerParts {
    let id = transactional_id(&worker.config.app_id, tp, name);
    let weak = Arc::downgrade(worker);
    let make = move || -> Result<Arc<Producer>> {
        let worker = weak.upgrade().ok_or(Error::Stopped)?;
        let config = &worker.config;
        let acknowledged = worker.metrics.acknowledged.clone();
        let buffer_bytes = config.produce_buffer_bytes;
        Producer::transactional(&config.brokers, &config.kafka, &id, buffer_bytes, acknowledged)
    };
    let member = Arc::new(OfGroup(Arc::downgrade(group), Arc::clone(worker.logs())));
    let group_says = heartbeat_of_members(&worker.config.kafka) + ANSWER;
    LedgerParts {
        link: Link { tp: tp.clone(), sides: Vec::new(), make: Box::new(make), member, group_says },
        store: None,
        log: None,
        catch_up: Box::new(NothingToCatchUp),
        metrics: worker.metrics.exact(&label(task, tp)),
        heartbeat: heartbeat(),
        gate: Arc::clone(gate),
        turns: worker.commits.clone(),
    }
}

/// How often a member with the settings `kafka` tells its group that it is there.
fn heartbeat_of_members(kafka: &BTreeMap<String, String>) -> Duration {
    if kafka.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
        return BROKER_SAYS_BEAT;
    }
    let ms = kafka.get("heartbeat.interval.ms").and_then(|text| text.parse().ok());
    ms.map_or(MEMBERS_BEAT, Duration::from_millis)
}

fn heartbeat() -> Duration {
    let seconds = std::env::var(HEARTBEAT_S).ok().and_then(|text| text.parse().ok());
    seconds.map_or(HEARTBEAT, Duration::from_secs_f64)
}
