//! A member that joins a group and leaves it again, so that its members share the partitions anew.

use super::{
    admin::{Admin, Quiet},
    failed, failed_code,
};
use crate::error::Result;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    types::RDKafkaErrorCode as Code,
};
use std::time::{Duration, Instant};

impl Admin {
    /// Makes the members of `group` share their partitions anew. Who joins for that reads `other`, a topic that
    /// none of them reads, so that nothing of theirs moves because of it; it commits nothing.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Kafka`] if it is no member within `timeout`.
    pub fn rebalance(&self, group: &str, other: &str, timeout: Duration) -> Result<()> {
        let what = || format!("joining group {group} to have its partitions shared anew");
        let mut config = self.config.clone();
        // A static member would take the place of the worker that has its name.
        config.remove("group.instance.id");
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false").set("queued.min.messages", "1");
        config.set("auto.offset.reset", "latest");
        if config.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        let member: BaseConsumer<Quiet> =
            config.create_with_context(Quiet::default()).map_err(|e| failed(what(), &e))?;
        member.subscribe(&[other]).map_err(|e| failed(what(), &e))?;
        let deadline = Instant::now() + timeout;
        while member.assignment().map_err(|e| failed(what(), &e))?.count() == 0 {
            if Instant::now() >= deadline {
                return Err(failed_code(what(), Code::OperationTimedOut));
            }
            let _ = member.poll(Duration::from_millis(50));
        }
        // It leaves when it is dropped.
        Ok(())
    }
}
