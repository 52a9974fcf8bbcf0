//! librdkafka settings: ours first, the user's on top, the ones that guarantees rest on last.

use crate::{
    config::StartAt,
    error::{Error, Result},
};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use std::collections::BTreeMap;

/// Settings that a user may not change, and why.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "it is the app's `broker`"),
    ("group.id", "it is made from the app id"),
    ("enable.auto.commit", "offsets are committed when the handlers are done"),
    ("enable.auto.offset.store", "offsets are stored when the handlers are done"),
    ("enable.idempotence", "the order of outputs rests on it"),
    ("transactional.id", "it is made from the app id"),
];

/// Refuses settings that would break a guarantee.
///
/// # Errors
///
/// [`Error::Config`] that names the setting and the reason.
pub fn check(user: &BTreeMap<String, String>) -> Result<()> {
    for (key, why) in RESERVED {
        if user.contains_key(*key) {
            return Err(Error::Config(format!("kafka={{{key:?}: ...}} cannot be set: {why}")));
        }
    }
    Ok(())
}

/// What every client of the app shares.
pub(crate) fn client(brokers: &str, user: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("client.id", "turbine");
    // Reconnect soon: a broker that restarts is back within seconds.
    config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "2000");
    // The end of a large request does not wait until the broker has confirmed the rest of it.
    config.set("socket.nagle.disable", "true");
    // What is asked for by `debug` is told, as lines of level debug.
    let debugs = user.get("debug").is_some_and(|asked| !asked.is_empty());
    config.set_log_level(if debugs { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
    for (key, value) in user {
        config.set(key, value);
    }
    config
}

/// Bytes of a partition in one answer.
const FETCHED_BYTES: usize = 1 << 20;

/// A member of consumer group `group`, whose queues together hold about `buffer_bytes`.
pub(crate) fn consumer(
    brokers: &str,
    user: &BTreeMap<String, String>,
    group: &str,
    start_at: StartAt,
    partitions: usize,
    buffer_bytes: usize,
) -> ClientConfig {
    // librdkafka counts the payload only, and each partition queue for itself; the record's own
    // bookkeeping is about twice a small payload, so a third of the budget goes to payloads.
    let each_kb = (buffer_bytes / 3 / partitions.max(1) / 1024).clamp(256, 65_536);
    let mut config = ClientConfig::new();
    config
        .set(
            "auto.offset.reset",
            match start_at {
                StartAt::Earliest => "earliest",
                StartAt::Latest => "latest",
            },
        )
        .set("queued.max.messages.kbytes", each_kb.to_string())
        // An answer comes on top of what waits. But writers make batches of up to a megabyte, and a broker gives one
        // that is larger than this only if nothing else is in the answer.
        .set("fetch.message.max.bytes", FETCHED_BYTES.to_string())
        .set("queued.min.messages", "30000")
        // The default second of back-off after a full queue would leave a fast handler idle.
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.error.backoff.ms", "100")
        // A partition that begins to be read waits for the fetch of its neighbours, which has nothing to bring.
        .set("fetch.wait.max.ms", "100")
        .set("check.crcs", "true")
        .set("topic.metadata.refresh.interval.ms", "30000");
    if user.get("group.protocol").is_none_or(|p| p == "classic") {
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // Members learn from a heartbeat that partitions are to move, and one that gets some waits for all.
        config.set("heartbeat.interval.ms", "500");
    }
    overlay(&mut config, client(brokers, user));
    config.set("group.id", group).set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config
}

/// A client that reads single partitions to their ends, in no group.
pub(crate) fn log_reader(
    brokers: &str,
    user: &BTreeMap<String, String>,
    name: &str,
) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("queued.min.messages", "100000")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.wait.max.ms", "100")
        .set("check.crcs", "true");
    overlay(&mut config, client(brokers, user));
    // It must never begin somewhere else than it is told.
    config.set("auto.offset.reset", "error").set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true").set("group.id", name);
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config
}

/// The idempotent producer, whose queue holds at most `buffer_bytes`.
pub(crate) fn producer(
    brokers: &str,
    user: &BTreeMap<String, String>,
    buffer_bytes: usize,
) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        // Records wait on a stage of our own; this long, so that what leaves it goes in one request.
        .set("linger.ms", "0.2")
        .set("queue.buffering.max.kbytes", (buffer_bytes / 1024).max(64).to_string())
        .set("queue.buffering.max.messages", (buffer_bytes / 256).max(1_000).to_string())
        // How large a request is, its bytes say.
        .set("batch.num.messages", "100000")
        // How large a record may be is for the broker to say: a dead letter is its record and more.
        .set("message.max.bytes", "100000000")
        // Kafka's own partitioner, so that keys meet the partition that every other client chose.
        .set("partitioner", "murmur2_random");
    overlay(&mut config, client(brokers, user));
    config.set("enable.idempotence", "true");
    config
}

/// Longest life of a transaction, in ms. It begins when its records are there, so that it lasts for some
/// milliseconds; a worker that dies in one holds its readers up for that long.
pub(crate) const TRANSACTION_TIMEOUT_MS: u32 = 15_000;
/// Longest time for one record or one request of a transaction, in ms.
const TRANSACTION_STEP_MS: u32 = 10_000;

/// The producer with the transactional id `id`. What decides how long a transaction can be in doubt is
/// not the user's.
pub(crate) fn transactional(
    brokers: &str,
    user: &BTreeMap<String, String>,
    id: &str,
    buffer_bytes: usize,
) -> ClientConfig {
    let mut config = producer(brokers, user, buffer_bytes);
    let asked = user.get("debug").filter(|asked| !asked.is_empty());
    let debug = asked.map_or_else(|| "eos".to_owned(), |asked| format!("{asked},eos"));
    // Another name of one below: which of the two counts would be left to chance.
    config.remove("delivery.timeout.ms");
    config
        .set("transactional.id", id)
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string())
        .set("message.timeout.ms", TRANSACTION_STEP_MS.to_string())
        .set("socket.timeout.ms", TRANSACTION_STEP_MS.to_string())
        // A commit asks the coordinator again while the last one's markers are written.
        .set("retry.backoff.ms", "5")
        .set("retry.backoff.max.ms", "500")
        // In its lines, and nowhere else, it says that the coordinator is not done with the last transaction.
        .set("debug", debug)
        .set("log_level", "7")
        // Nothing goes before all of it is there and somebody says so: the end of a commit that had to wait for the
        // answer to its beginning would cost a round, and the client library's thread polls without a pause meanwhile.
        .set("linger.ms", (TRANSACTION_STEP_MS / 2).to_string());
    config
}

fn overlay(config: &mut ClientConfig, over: ClientConfig) {
    for (key, value) in over.config_map() {
        config.set(key, value);
    }
    config.set_log_level(over.log_level);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The user's fetch size wins over ours; what the guarantees rest on does not move.
    #[test]
    fn user_settings_override_defaults_only() {
        let user = BTreeMap::from([("linger.ms".to_owned(), "7".to_owned())]);
        let config = producer("localhost:1", &user, 1 << 20);
        assert_eq!(config.get("linger.ms"), Some("7"));
        assert_eq!(config.get("enable.idempotence"), Some("true"));
    }

    /// How long a transaction can be in doubt is not a user's to say, under any name.
    #[test]
    fn timeouts_of_transactions_are_ours() {
        let user = BTreeMap::from(
            ["message.timeout.ms", "delivery.timeout.ms", "transaction.timeout.ms"]
                .map(|name| (name.to_owned(), "900000".to_owned())),
        );
        let config = transactional("localhost:1", &user, "app-t-0", 1 << 20);
        assert_eq!(config.get("transaction.timeout.ms"), Some("15000"));
        assert_eq!(config.get("message.timeout.ms"), Some("10000"));
        assert_eq!(config.get("delivery.timeout.ms"), None);
        config.create_native_config().expect("librdkafka takes them");
    }

    /// A batch of a writer fits, however small the budget is.
    #[test]
    fn a_small_budget_makes_answers_no_smaller_than_batches() {
        for buffer_bytes in [1, 4 << 20, 64 << 20] {
            let user = BTreeMap::new();
            let config = consumer("localhost:1", &user, "g", StartAt::Earliest, 64, buffer_bytes);
            assert_eq!(config.get("fetch.message.max.bytes"), Some("1048576"));
        }
    }

    /// A setting that would break a guarantee is refused with the reason.
    #[test]
    fn reserved_settings_are_refused() {
        let user = BTreeMap::from([("enable.auto.commit".to_owned(), "true".to_owned())]);
        let err = check(&user).expect_err("reserved").to_string();
        assert!(err.contains("enable.auto.commit") && err.contains("handlers are done"), "{err}");
    }

    /// KIP-848 has its assignors on the broker: ours would be refused by the client library.
    #[test]
    fn the_new_group_protocol_gets_no_client_assignor() {
        let user = BTreeMap::from([("group.protocol".to_owned(), "consumer".to_owned())]);
        let config = consumer("localhost:1", &user, "g", StartAt::Earliest, 4, 64 << 20);
        assert_eq!(config.get("partition.assignment.strategy"), None);
    }
}
