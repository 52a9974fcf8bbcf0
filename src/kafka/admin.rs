//! Topics of a cluster: list, create, where they begin and end, deleting what is old.

use super::{failed, failed_code, settings};
use crate::{
    error::{Act, Error, Result},
    types::TopicPartition,
};
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Between two looks at whether a new topic is there.
const SHOWN_PAUSE: Duration = Duration::from_millis(20);

/// A client without a group; every call blocks.
pub struct Admin {
    pub(super) config: ClientConfig,
    pub(super) client: BaseConsumer<Quiet>,
}

/// Collects the first error instead of logging it: the caller gets it.
#[derive(Default)]
pub(super) struct Quiet {
    first: Mutex<Option<String>>,
}

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        super::log(7, facility, text);
    }
    fn error(&self, _error: KafkaError, reason: &str) {
        self.first.lock().get_or_insert_with(|| reason.to_owned());
    }
}
impl ConsumerContext for Quiet {}

impl Admin {
    /// Creates the client; it connects at the first call.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a setting that librdkafka refuses.
    pub fn new(brokers: &str, user: &BTreeMap<String, String>) -> Result<Self> {
        settings::check(user)?;
        let mut config = settings::client(brokers, user);
        config.set("allow.auto.create.topics", "false");
        let client = config
            .create_with_context(Quiet::default())
            .map_err(|e| failed("creating an admin client", &e))?;
        Ok(Self { config, client })
    }

    pub(super) fn unreachable(&self, what: &str, error: &KafkaError) -> Error {
        // Serves the error callbacks that say what is really wrong; the first one is the cause.
        for _ in 0..20 {
            let _ = self.client.poll(Duration::ZERO);
        }
        match (failed(what, error), self.client.context().first.lock().take()) {
            (Error::Kafka { what, code, act: Act::Retry, .. }, Some(reason)) => {
                Error::Kafka { what, code, message: reason, act: Act::Retry }
            }
            (error, _) => error,
        }
    }

    /// Topic name to partition count; internal topics (`__...`) left out.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when no broker answers within `timeout`.
    pub fn list_topics(&self, timeout: Duration) -> Result<BTreeMap<String, usize>> {
        let metadata = self
            .client
            .fetch_metadata(None, timeout)
            .map_err(|e| self.unreachable("listing topics", &e))?;
        Ok(metadata
            .topics()
            .iter()
            .filter(|t| !t.name().starts_with("__"))
            .map(|t| (t.name().to_owned(), t.partitions().len()))
            .collect())
    }

    /// Number of brokers, and the address of the one that answered.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when no broker answers within `timeout`.
    pub fn cluster(&self, timeout: Duration) -> Result<(usize, String)> {
        let metadata = self
            .client
            .fetch_metadata(None, timeout)
            .map_err(|e| self.unreachable("connecting", &e))?;
        Ok((metadata.brokers().len(), metadata.orig_broker_name().to_owned()))
    }

    /// What `group` has committed for `topic`: partition to the next offset to read.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when no broker answers within `timeout`.
    pub fn committed(
        &self,
        group: &str,
        topic: &str,
        timeout: Duration,
    ) -> Result<BTreeMap<i32, i64>> {
        let found = self.group_offsets(group, topic, timeout)?;
        Ok(found.into_iter().map(|(partition, (offset, _))| (partition, offset)).collect())
    }

    /// Creates the topics that are missing; the names that were created.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] with the broker's reason for the first topic it refused.
    pub async fn create_topics(
        &self,
        topics: &BTreeMap<String, i32>,
        replication: i32,
        settings: &BTreeMap<String, String>,
        timeout: Duration,
    ) -> Result<Vec<String>> {
        let admin: AdminClient<_> =
            self.config.create().map_err(|e| failed("creating an admin client", &e))?;
        let wanted: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|(name, &partitions)| {
                let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
                settings.iter().fold(topic, |topic, (k, v)| topic.set(k, v))
            })
            .collect();
        let options =
            AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let results = admin
            .create_topics(&wanted, &options)
            .await
            .map_err(|e| self.unreachable("creating topics", &e))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(name) => created.push(name),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(failed_code(format!("creating topic {name}"), code));
                }
            }
        }
        self.wait_shown(&created, timeout);
        Ok(created)
    }

    /// Blocks until a broker shows the topics `created`: the controller says that they are there before every broker
    /// has heard of them.
    fn wait_shown(&self, created: &[String], timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let is_shown = |known: &BTreeMap<String, usize>| {
            created.iter().all(|name| known.get(name).is_some_and(|&partitions| partitions > 0))
        };
        while !created.is_empty()
            && Instant::now() < deadline
            && !self.list_topics(timeout).is_ok_and(|known| is_shown(&known))
        {
            std::thread::sleep(SHOWN_PAUSE);
        }
    }

    /// Deletes the records of `tp` in front of offset `before`; where the partition begins then.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] with the broker's reason, as for an offset that is behind the end.
    pub async fn delete_records(
        &self,
        tp: &TopicPartition,
        before: i64,
        timeout: Duration,
    ) -> Result<i64> {
        let what = || format!("deleting the records of {tp} in front of offset {before}");
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(before))
            .map_err(|e| failed(what(), &e))?;
        let admin: AdminClient<_> =
            self.config.create().map_err(|e| failed("creating an admin client", &e))?;
        let options =
            AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let done = admin.delete_records(&list, &options).await.map_err(|e| failed(what(), &e))?;
        let elements = done.elements();
        let one =
            elements.first().ok_or_else(|| Error::Config(format!("{}: no answer", what())))?;
        one.error().map_err(|e| failed(what(), &e))?;
        Ok(one.offset().to_raw().unwrap_or(before))
    }

    /// (oldest offset, end offset) of each partition of `topic`.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when the topic does not exist or no broker answers within `timeout`.
    pub fn watermarks(&self, topic: &str, timeout: Duration) -> Result<BTreeMap<i32, (i64, i64)>> {
        let what = format!("reading the offsets of {topic}");
        let metadata = self
            .client
            .fetch_metadata(Some(topic), timeout)
            .map_err(|e| self.unreachable(&what, &e))?;
        let found = metadata.topics().first();
        if let Some(code) = found.and_then(rdkafka::metadata::MetadataTopic::error) {
            return Err(failed_code(what, code.into()));
        }
        let partitions = found.map(|t| t.partitions().iter().map(|p| p.id()).collect::<Vec<_>>());
        partitions
            .unwrap_or_default()
            .into_iter()
            .map(|p| {
                let marks = self.client.fetch_watermarks(topic, p, timeout);
                marks.map(|m| (p, m)).map_err(|e| self.unreachable(&what, &e))
            })
            .collect()
    }
}
