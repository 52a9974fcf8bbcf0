//! Groups as an operator handles them: who is in them, what they have committed, setting and forgetting it.

use super::{
    admin::{Admin, Quiet},
    failed, failed_code, members,
    offsets::{GroupOffset, to_list},
};
use crate::error::{Error, Result};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use std::{collections::BTreeMap, time::Duration};

impl Admin {
    /// A client that asks in the name of `group` and never joins it.
    pub(super) fn asker(&self, group: &str) -> Result<BaseConsumer<Quiet>> {
        let mut config = self.config.clone();
        config.set("group.id", group);
        config
            .create_with_context(Quiet::default())
            .map_err(|e| failed("creating an admin client", &e))
    }

    fn operator(&self) -> Result<AdminClient<DefaultClientContext>> {
        self.config.create().map_err(|e| failed("creating an admin client", &e))
    }

    /// Who is in `group`, of either protocol, as `client at host`.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when no broker answers within `timeout`.
    pub fn members(&self, group: &str, timeout: Duration) -> Result<Vec<String>> {
        // SAFETY: the client lives as long as `self`.
        let found = unsafe { members::of_group(self.client.client().native_ptr(), group, timeout) };
        found.map_err(|code| {
            let error = KafkaError::GroupListFetch(code);
            self.unreachable(&format!("asking for the members of {group}"), &error)
        })
    }

    /// What `group` has committed for `topic`: partition to offset and the text beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when no broker answers within `timeout`, or a transaction that commits is open
    /// for as long.
    pub fn group_offsets(
        &self,
        group: &str,
        topic: &str,
        timeout: Duration,
    ) -> Result<BTreeMap<i32, (i64, String)>> {
        let what = || format!("asking for the offsets of group {group}");
        let asker = self.asker(group)?;
        let metadata =
            asker.fetch_metadata(Some(topic), timeout).map_err(|e| failed(what(), &e))?;
        let mut wanted = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
            wanted.add_partition(topic, partition.id());
        }
        let found = asker.committed_offsets(wanted, timeout).map_err(|e| failed(what(), &e))?;
        let mut offsets = BTreeMap::new();
        for one in found.elements() {
            one.error().map_err(|e| failed(what(), &e))?;
            if let Offset::Offset(offset) = one.offset() {
                offsets.insert(one.partition(), (offset, one.metadata().to_owned()));
            }
        }
        Ok(offsets)
    }

    /// Sets what a group without members has committed.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`]; with members in the group the broker refuses.
    pub fn set_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<()> {
        let list = to_list(offsets)?;
        let asker = self.asker(group)?;
        asker.commit(&list, CommitMode::Sync).map_err(|e| {
            failed(format!("setting offsets of group {group} (are workers running?)"), &e)
        })
    }

    /// Forgets a group without members and all it has committed; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`]; with members in the group the broker refuses.
    pub async fn delete_group(&self, group: &str, timeout: Duration) -> Result<bool> {
        let options = AdminOptions::new().request_timeout(Some(timeout));
        let what = || format!("deleting group {group}");
        let operator = self.operator()?;
        let results = operator.delete_groups(&[group], &options).await;
        let results = results.map_err(|e| self.unreachable(&what(), &e))?;
        match results.into_iter().next() {
            None | Some(Ok(_)) => Ok(true),
            Some(Err((_, Code::GroupIdNotFound))) => Ok(false),
            Some(Err((_, code))) => Err(failed_code(what(), code)),
        }
    }

    /// Deletes topics; those that were there.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] with the broker's reason for the first one that it keeps.
    pub async fn delete_topics(
        &self,
        topics: &[String],
        timeout: Duration,
    ) -> Result<Vec<String>, Error> {
        let options =
            AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let operator = self.operator()?;
        let results = operator.delete_topics(&names, &options).await;
        let results = results.map_err(|e| self.unreachable("deleting topics", &e))?;
        let mut deleted = Vec::new();
        for result in results {
            match result {
                Ok(name) => deleted.push(name),
                Err((_, Code::UnknownTopicOrPartition | Code::UnknownTopic)) => {}
                Err((name, code)) => {
                    return Err(failed_code(format!("deleting topic {name}"), code));
                }
            }
        }
        Ok(deleted)
    }
}
