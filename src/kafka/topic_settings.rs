//! What a broker says of the settings of a topic.

use super::{failed, failed_code, log_reader::Logs};
use crate::error::{Error, Result};
use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
};
use std::time::Duration;

/// Longest wait for a broker.
const TIMEOUT: Duration = Duration::from_secs(10);
const TOMBSTONES: &str = "delete.retention.ms";

impl Logs {
    /// How long compaction leaves the removal of a key in `topic`, at least. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] if no broker answers in time, or the user may not know.
    pub fn tombstones_stay(&self, topic: &str) -> Result<Duration> {
        let what = || format!("asking for {TOMBSTONES} of topic {topic}");
        let admin: AdminClient<DefaultClientContext> =
            self.reader_settings().create().map_err(|e| failed(what(), &e))?;
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let wanted = [ResourceSpecifier::Topic(topic)];
        let asked = admin.describe_configs(&wanted, &options);
        let wait = async { tokio::time::timeout(TIMEOUT, asked).await };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|e| Error::io(what(), &e))?;
        // A thread of its own: the caller's may be one of another runtime.
        let answer = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(wait)).join());
        let unknown = || Error::State(format!("{}: no broker says", what()));
        let answer = answer.map_err(|_| unknown())?.map_err(|_| unknown())?;
        let first = answer.map_err(|e| failed(what(), &e))?.pop().ok_or_else(unknown)?;
        let settings = first.map_err(|code| failed_code(what(), code))?;
        let value = settings.get(TOMBSTONES).and_then(|entry| entry.value.as_ref()?.parse().ok());
        value.map(Duration::from_millis).ok_or_else(unknown)
    }
}
