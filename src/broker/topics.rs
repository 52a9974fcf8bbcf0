//! The topics and their partitions.

pub(crate) use super::partition::{Partition, Waiter};

use super::{
    cluster::{self, Cluster, Layout, NodeIds, NotElected, Replicas},
    log::{Log, LogPolicy},
    memory::Memory,
    storage::{Note, Storage, TopicNote},
    topic_config::TopicConfig,
};
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};
use uuid::Uuid;

/// Most partitions of a topic; clients hold some memory for each.
pub(crate) const MAX_PARTITIONS: i32 = 10_000;

/// A topic. It never changes: a change of settings or partitions makes a new one in its place.
pub(crate) struct Topic {
    /// Name.
    pub(crate) name: String,
    /// Id; a topic that is deleted and made again has another one.
    pub(crate) id: Uuid,
    /// Settings.
    pub(crate) config: TopicConfig,
    /// What its logs obey.
    pub(crate) policy: LogPolicy,
    /// Partitions, by number.
    pub(crate) partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// The partition with number `partition`.
    pub(crate) fn partition(&self, partition: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    fn note(&self) -> Note {
        Note::Topic(TopicNote {
            name: self.name.clone(),
            id: self.id,
            partitions: self.partitions.len() as i32,
            config: self.config.set().clone(),
            replicas: self.partitions.iter().map(|p| p.replicas().assigned().to_vec()).collect(),
        })
    }

    /// Copies of each partition.
    pub(crate) fn replication_factor(&self) -> i16 {
        self.partitions.first().map_or(0, |p| p.replicas().assigned().len() as i16)
    }

    /// True if a client that wants its records on every replica in sync gets them on as many as
    /// `min.insync.replicas` says, or on all that there are.
    pub(crate) fn has_enough_replicas(&self, partition: &Partition) -> bool {
        let wanted = self
            .config
            .set()
            .get("min.insync.replicas")
            .map_or(1, |value| value.parse().expect("values are checked when set"));
        let replicas = partition.replicas();
        replicas.in_sync().len() >= replicas.assigned().len().min(wanted)
    }

    fn may_elect_unclean(&self) -> bool {
        self.config.set().get("unclean.leader.election.enable").is_some_and(|v| v == "true")
    }
}

/// Why a topic was not made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicError {
    /// There is one of that name.
    #[error("Topic '{0}' already exists.")]
    Exists(String),
    /// There is none of that name.
    #[error("This server does not host this topic-partition.")]
    Unknown,
    /// The name cannot be a topic's.
    #[error("Topic name is invalid: {0}")]
    Name(String),
    /// The number of partitions cannot be.
    #[error("{0}")]
    Partitions(String),
    /// So many copies of a partition cannot be.
    #[error("{0}")]
    Replication(String),
    /// The nodes chosen for a partition cannot be.
    #[error("{0}")]
    Assignment(String),
    /// The storage failed.
    #[error("cannot keep the topic: {0}")]
    Io(#[from] io::Error),
}

/// Which topics there are; it never changes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Another one after every change.
    pub(crate) version: u64,
    /// Id and number of partitions, by name.
    pub(crate) topics: BTreeMap<String, (Uuid, i32)>,
}

#[derive(Default)]
struct Index {
    by_name: BTreeMap<String, Arc<Topic>>,
    names: HashMap<Uuid, String>,
    changes: u64,
    /// None after a change, until somebody asks.
    catalog: Option<Arc<Catalog>>,
}

impl Index {
    fn changed(&mut self) {
        self.changes += 1;
        self.catalog = None;
    }
}

/// All topics.
pub(crate) struct Topics {
    storage: Arc<Storage>,
    /// Holds for every topic that does not say.
    retention_bytes: Option<u64>,
    cluster: Arc<Cluster>,
    memory: Arc<Memory>,
    index: RwLock<Index>,
}

impl Topics {
    /// No topics yet.
    pub(crate) fn new(
        storage: Arc<Storage>,
        retention_bytes: Option<u64>,
        cluster: Arc<Cluster>,
    ) -> Self {
        let (memory, index) = (Arc::default(), RwLock::default());
        Self { storage, retention_bytes, cluster, memory, index }
    }

    /// The memory of the logs, if they are in memory, is `memory`.
    pub(crate) fn in_memory(mut self, memory: &Arc<Memory>) -> Self {
        self.memory = Arc::clone(memory);
        self
    }

    /// Puts a topic back that was there before a restart, each partition with its log, the nodes
    /// that held it and the last epoch of its leader.
    pub(crate) fn restore(
        &self,
        name: String,
        id: Uuid,
        config: TopicConfig,
        partitions: Vec<(Log, Vec<i32>, i32)>,
    ) {
        let (nodes, live) = (self.cluster.nodes(), self.cluster.live());
        let restored = |(n, (log, mut assigned, epoch)): (usize, (Log, Vec<i32>, i32))| {
            // The cluster may have fewer nodes than it had.
            assigned.retain(|id| (1..=nodes).contains(id));
            if assigned.is_empty() {
                assigned = cluster::place(nodes, &live, n as i32, 1);
            }
            let epoch = epoch.max(log.leader_epoch());
            Partition::new(log, Replicas::new(assigned, &live, epoch))
        };
        let partitions = partitions.into_iter().enumerate().map(restored).collect();
        let policy = config.policy(self.retention_bytes);
        let topic = Topic { name: name.clone(), id, config, policy, partitions };
        let mut index = self.index.write();
        index.names.insert(id, name.clone());
        index.by_name.insert(name, Arc::new(topic));
        index.changed();
    }

    /// The topic called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.index.read().by_name.get(name).cloned()
    }

    /// The topic with this id.
    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        let index = self.index.read();
        index.by_name.get(index.names.get(&id)?).cloned()
    }

    /// The partition of a topic.
    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.index.read().by_name.get(topic)?.partition(partition).cloned()
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.index.read().by_name.values().cloned().collect()
    }

    /// Which topics there are.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        if let Some(catalog) = &self.index.read().catalog {
            return Arc::clone(catalog);
        }
        let mut index = self.index.write();
        let entry = |(name, topic): (&String, &Arc<Topic>)| {
            (name.clone(), (topic.id, topic.partitions.len() as i32))
        };
        let topics = index.by_name.iter().map(entry).collect();
        let catalog = Arc::new(Catalog { version: index.changes, topics });
        index.catalog = Some(Arc::clone(&catalog));
        catalog
    }

    /// Is this a name that a new topic can have?
    pub(crate) fn check_new_name(&self, name: &str) -> Result<(), TopicError> {
        check_name(name)?;
        if self.index.read().by_name.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        Ok(())
    }

    /// The nodes of every partition, if a topic could be made.
    pub(crate) fn check_new(
        &self,
        name: &str,
        layout: &Layout,
    ) -> Result<Vec<Vec<i32>>, TopicError> {
        self.check_new_name(name)?;
        self.lay_out(layout, &self.cluster.live())
    }

    fn lay_out(&self, layout: &Layout, live: &NodeIds) -> Result<Vec<Vec<i32>>, TopicError> {
        let nodes = self.cluster.nodes();
        match layout {
            Layout::Spread { partitions, factor } => {
                let factor = factor.unwrap_or_else(|| cluster::default_factor(nodes));
                cluster::check_factor(nodes, live, factor)?;
                check_count(*partitions)?;
                Ok((0..*partitions).map(|n| cluster::place(nodes, live, n, factor)).collect())
            }
            Layout::Given(given) => {
                check_count(i32::try_from(given.len()).unwrap_or(i32::MAX))?;
                cluster::check_given(nodes, live, given, None)?;
                Ok(given.clone())
            }
        }
    }

    /// Makes a topic.
    pub(crate) fn create(
        &self,
        name: &str,
        layout: impl Into<Layout>,
        config: TopicConfig,
    ) -> Result<Arc<Topic>, TopicError> {
        let layout = layout.into();
        self.check_new(name, &layout)?;
        let id = Uuid::new_v4();
        let mut index = self.index.write();
        if index.by_name.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        // Under the lock: a node that goes after this finds the topic and moves its leaders.
        let live = self.cluster.live();
        let partitions = self.create_logs(id, 0, self.lay_out(&layout, &live)?, &live);
        let policy = config.policy(self.retention_bytes);
        let topic = Arc::new(Topic { name: name.to_owned(), id, config, policy, partitions });
        self.storage.note(&[topic.note()])?;
        index.names.insert(id, name.to_owned());
        index.by_name.insert(name.to_owned(), Arc::clone(&topic));
        index.changed();
        Ok(topic)
    }

    /// Gives a topic more partitions, `count` altogether, the new ones on the nodes `given` where
    /// somebody has chosen; with `dry_run` only says if it could.
    pub(crate) fn grow(
        &self,
        name: &str,
        count: i32,
        given: Option<Vec<Vec<i32>>>,
        dry_run: bool,
    ) -> Result<(), TopicError> {
        let mut index = self.index.write();
        let topic = index.by_name.get(name).cloned().ok_or(TopicError::Unknown)?;
        let before = topic.partitions.len() as i32;
        check_count(count)?;
        if count == before {
            let words = format!("Topic already has {before} partition(s).");
            return Err(TopicError::Partitions(words));
        }
        if count < before {
            return Err(TopicError::Partitions(format!(
                "The topic {name} currently has {before} partition(s); {count} would not be an \
                 increase."
            )));
        }
        let (nodes, live) = (self.cluster.nodes(), self.cluster.live());
        let factor = topic.replication_factor();
        let added = if let Some(given) = given {
            let (new, got) = (count - before, given.len());
            if usize::try_from(new) != Ok(got) {
                return Err(TopicError::Assignment(format!(
                    "Attempted to add {new} additional partition(s), but only {got} assignment(s) \
                     were specified."
                )));
            }
            cluster::check_given(nodes, &live, &given, usize::try_from(factor).ok())?;
            given
        } else {
            cluster::check_factor(nodes, &live, factor)?;
            (before..count).map(|n| cluster::place(nodes, &live, n, factor)).collect()
        };
        if dry_run {
            return Ok(());
        }
        let mut partitions = topic.partitions.clone();
        partitions.extend(self.create_logs(topic.id, before, added, &live));
        self.put(&mut index, Topic { partitions, ..copy(&topic) })
    }

    /// Gives a topic other settings.
    pub(crate) fn configure(&self, name: &str, config: TopicConfig) -> Result<(), TopicError> {
        let mut index = self.index.write();
        let topic = index.by_name.get(name).cloned().ok_or(TopicError::Unknown)?;
        let policy = config.policy(self.retention_bytes);
        self.put(&mut index, Topic { config, policy, ..copy(&topic) })
    }

    /// Deletes a topic with its records.
    pub(crate) fn delete(&self, name: &str) -> Result<Arc<Topic>, TopicError> {
        let topic = {
            let mut index = self.index.write();
            let topic = index.by_name.remove(name).ok_or(TopicError::Unknown)?;
            index.names.remove(&topic.id);
            index.changed();
            self.storage.note(&[Note::TopicGone { name: name.to_owned() }])?;
            topic
        };
        topic.partitions.iter().for_each(|p| p.wake());
        self.storage.remove_logs(topic.id)?;
        Ok(topic)
    }

    /// Nodes have come or gone, and `live` are left: leaders move.
    pub(crate) fn settle(&self, live: &NodeIds) {
        let mut notes = Vec::new();
        for topic in self.all() {
            let unclean = topic.may_elect_unclean();
            for (number, partition) in (0..).zip(&topic.partitions) {
                let (_, epoch) = partition.lead(|replicas| replicas.settle(live, unclean));
                notes.extend(epoch.map(|epoch| Note::Epoch {
                    topic: topic.id,
                    partition: number,
                    epoch,
                }));
            }
        }
        if let Err(error) = self.storage.note(&notes) {
            tracing::error!(%error, "cannot write down the leaders' epochs");
        }
    }

    /// Makes the preferred replica of a partition its leader or, where nobody leads and `unclean`
    /// is wanted, any live one. The inner error is why there was no election.
    pub(crate) fn elect(
        &self,
        topic: &str,
        number: i32,
        unclean: bool,
    ) -> Result<Result<(), NotElected>, TopicError> {
        let topic = self.get(topic).ok_or(TopicError::Unknown)?;
        let partition = topic.partition(number).ok_or(TopicError::Unknown)?;
        let live = self.cluster.live();
        let (elected, epoch) = partition.lead(|replicas| {
            if unclean { replicas.elect_unclean(&live) } else { replicas.elect_preferred() }
        });
        if let Some(epoch) = epoch {
            self.storage.note(&[Note::Epoch { topic: topic.id, partition: number, epoch }])?;
        }
        Ok(elected)
    }

    fn put(&self, index: &mut Index, topic: Topic) -> Result<(), TopicError> {
        self.storage.note(&[topic.note()])?;
        index.by_name.insert(topic.name.clone(), Arc::new(topic));
        index.changed();
        Ok(())
    }

    /// The logs of partitions, numbered from `first` on, which are held by the nodes `assigned`.
    fn create_logs(
        &self,
        id: Uuid,
        first: i32,
        assigned: Vec<Vec<i32>>,
        live: &NodeIds,
    ) -> Vec<Arc<Partition>> {
        let partition = |(number, assigned)| {
            Partition::new(
                self.storage.create_log(id, number, self.memory.used()),
                Replicas::new(assigned, live, 0),
            )
        };
        (first..).zip(assigned).map(partition).collect()
    }
}

fn copy(topic: &Topic) -> Topic {
    Topic {
        name: topic.name.clone(),
        id: topic.id,
        config: topic.config.clone(),
        policy: topic.policy,
        partitions: topic.partitions.clone(),
    }
}

fn check_count(partitions: i32) -> Result<(), TopicError> {
    if partitions <= 0 {
        let words = "Number of partitions was set to an invalid non-positive value.";
        return Err(TopicError::Partitions(words.into()));
    }
    if partitions > MAX_PARTITIONS {
        let words = format!("This broker allows at most {MAX_PARTITIONS} partitions for a topic.");
        return Err(TopicError::Partitions(words));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), TopicError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => "'.' or '..' is not allowed".to_owned(),
        _ if name.len() > 249 => {
            format!("the length of '{name}' is longer than the max allowed length 249")
        }
        _ if !name.chars().all(allowed) => format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and \
             '-'"
        ),
        _ => return Ok(()),
    };
    Err(TopicError::Name(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        let cluster = Cluster::new([("localhost".into(), 9092), ("localhost".into(), 9093)]);
        Topics::new(Arc::new(Storage::Memory), None, Arc::new(cluster))
    }

    #[test]
    fn a_topic_is_found_by_name_and_id_until_it_is_deleted() {
        let topics = topics();
        let topic = topics.create("a", 3, TopicConfig::default()).unwrap();
        assert_eq!(topics.by_id(topic.id).unwrap().name, "a");
        assert!(topics.partition("a", 2).is_some() && topics.partition("a", 3).is_none());
        assert!(topics.partition("a", -1).is_none());
        topics.delete("a").unwrap();
        assert!(topics.get("a").is_none() && topics.by_id(topic.id).is_none());
        assert!(matches!(topics.delete("a"), Err(TopicError::Unknown)));
    }

    #[test]
    fn a_topic_grows_but_never_shrinks() {
        let topics = topics();
        topics.create("a", 2, TopicConfig::default()).unwrap();
        let first = topics.partition("a", 0).unwrap();
        assert!(topics.grow("a", 5, None, true).is_ok() && topics.partition("a", 4).is_none());
        topics.grow("a", 5, None, false).unwrap();
        assert!(topics.partition("a", 4).is_some());
        assert!(Arc::ptr_eq(&first, &topics.partition("a", 0).unwrap()));
        assert!(matches!(topics.grow("a", 5, None, false), Err(TopicError::Partitions(_))));
    }

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        let topics = topics();
        for name in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            let made = topics.create(name, 1, TopicConfig::default());
            assert!(matches!(made, Err(TopicError::Name(_))), "{name}");
        }
        for count in [0, -2, MAX_PARTITIONS + 1] {
            let made = topics.create("a", count, TopicConfig::default());
            assert!(matches!(made, Err(TopicError::Partitions(_))), "{count}");
        }
    }
}
