//! The topics and their partitions, and who waits for new records.

use super::{
    log::{Log, LogPolicy},
    storage::{Note, Storage, TopicNote},
    topic_config::TopicConfig,
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};
use tokio::sync::Notify;
use uuid::Uuid;

/// Most partitions of a topic; clients hold some memory for each.
pub(crate) const MAX_PARTITIONS: i32 = 10_000;

/// One partition.
pub(crate) struct Partition {
    /// Its log.
    pub(crate) log: Mutex<Log>,
    waiting: Mutex<Vec<Arc<Notify>>>,
}

impl Partition {
    fn new(log: Log) -> Arc<Self> {
        Arc::new(Self { log: Mutex::new(log), waiting: Mutex::default() })
    }

    /// Tells those who wait that something has changed.
    pub(crate) fn wake(&self) {
        for waiting in self.waiting.lock().iter() {
            waiting.notify_one();
        }
    }
}

/// Waits for changes of partitions; stops waiting when dropped.
pub(crate) struct Waiter {
    notify: Arc<Notify>,
    partitions: Vec<Arc<Partition>>,
}

impl Waiter {
    /// From here on, no change of `partitions` is missed.
    pub(crate) fn new(partitions: Vec<Arc<Partition>>) -> Self {
        let notify = Arc::new(Notify::new());
        for partition in &partitions {
            partition.waiting.lock().push(Arc::clone(&notify));
        }
        Self { notify, partitions }
    }

    /// Returns after a change.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.waiting.lock().retain(|other| !Arc::ptr_eq(other, &self.notify));
        }
    }
}

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
        })
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
    Name(&'static str),
    /// The number of partitions cannot be.
    #[error("{0}")]
    Partitions(String),
    /// The storage failed.
    #[error("cannot keep the topic: {0}")]
    Io(#[from] io::Error),
}

#[derive(Default)]
struct Index {
    by_name: BTreeMap<String, Arc<Topic>>,
    names: HashMap<Uuid, String>,
}

/// All topics.
pub(crate) struct Topics {
    storage: Arc<Storage>,
    /// Holds for every topic that does not say.
    retention_bytes: Option<u64>,
    index: RwLock<Index>,
}

impl Topics {
    /// No topics yet.
    pub(crate) fn new(storage: Arc<Storage>, retention_bytes: Option<u64>) -> Self {
        Self { storage, retention_bytes, index: RwLock::default() }
    }

    /// Puts a topic back that was there before a restart.
    pub(crate) fn restore(&self, name: String, id: Uuid, config: TopicConfig, logs: Vec<Log>) {
        let partitions = logs.into_iter().map(Partition::new).collect();
        let policy = config.policy(self.retention_bytes);
        let topic = Topic { name: name.clone(), id, config, policy, partitions };
        let mut index = self.index.write();
        index.names.insert(id, name.clone());
        index.by_name.insert(name, Arc::new(topic));
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

    /// Whether a topic could be made.
    pub(crate) fn check_new(&self, name: &str, partitions: i32) -> Result<(), TopicError> {
        check_name(name)?;
        if self.index.read().by_name.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        check_count(partitions)
    }

    /// Makes a topic.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        config: TopicConfig,
    ) -> Result<Arc<Topic>, TopicError> {
        self.check_new(name, partitions)?;
        let id = Uuid::new_v4();
        let mut index = self.index.write();
        if index.by_name.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        let partitions = self.create_logs(id, 0..partitions);
        let policy = config.policy(self.retention_bytes);
        let topic = Arc::new(Topic { name: name.to_owned(), id, config, policy, partitions });
        self.storage.note(&[topic.note()])?;
        index.names.insert(id, name.to_owned());
        index.by_name.insert(name.to_owned(), Arc::clone(&topic));
        Ok(topic)
    }

    /// Gives a topic more partitions, `count` altogether; with `dry_run` only says if it could.
    pub(crate) fn grow(&self, name: &str, count: i32, dry_run: bool) -> Result<(), TopicError> {
        let mut index = self.index.write();
        let topic = index.by_name.get(name).cloned().ok_or(TopicError::Unknown)?;
        let before = topic.partitions.len() as i32;
        check_count(count)?;
        if count <= before {
            return Err(TopicError::Partitions(format!(
                "Topic currently has {before} partitions, which is not less than the requested {count}."
            )));
        }
        if dry_run {
            return Ok(());
        }
        let mut partitions = topic.partitions.clone();
        partitions.extend(self.create_logs(topic.id, before..count));
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
            self.storage.note(&[Note::TopicGone { name: name.to_owned() }])?;
            topic
        };
        topic.partitions.iter().for_each(|p| p.wake());
        self.storage.remove_logs(topic.id)?;
        Ok(topic)
    }

    fn put(&self, index: &mut Index, topic: Topic) -> Result<(), TopicError> {
        self.storage.note(&[topic.note()])?;
        index.by_name.insert(topic.name.clone(), Arc::new(topic));
        Ok(())
    }

    fn create_logs(&self, id: Uuid, partitions: std::ops::Range<i32>) -> Vec<Arc<Partition>> {
        partitions.map(|p| Partition::new(self.storage.create_log(id, p))).collect()
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
        let words = "Number of partitions must be larger than 0, or -1 to use the default value.";
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
        "" => "the empty string is not allowed",
        "." | ".." => "'.' or '..' is not allowed",
        _ if name.len() > 249 => "the length is larger than the allowed 249 characters",
        _ if !name.chars().all(allowed) => {
            "only ASCII letters, digits, '.', '_' and '-' are allowed"
        }
        _ => return Ok(()),
    };
    Err(TopicError::Name(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new(Arc::new(Storage::Memory), None)
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
        assert!(topics.grow("a", 5, true).is_ok() && topics.partition("a", 4).is_none());
        topics.grow("a", 5, false).unwrap();
        assert!(topics.partition("a", 4).is_some());
        assert!(Arc::ptr_eq(&first, &topics.partition("a", 0).unwrap()));
        assert!(matches!(topics.grow("a", 5, false), Err(TopicError::Partitions(_))));
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

    #[tokio::test]
    async fn a_change_between_looking_and_waiting_is_not_missed() {
        let topics = topics();
        topics.create("a", 2, TopicConfig::default()).unwrap();
        let partition = topics.partition("a", 1).unwrap();
        let waiter = Waiter::new(vec![Arc::clone(&partition)]);
        partition.wake();
        waiter.changed().await;
        drop(waiter);
        assert!(partition.waiting.lock().is_empty());
    }
}
