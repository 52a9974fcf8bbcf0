//! What an embedded broker is told at its start.

use crate::clock::Clock;
use std::path::PathBuf;

/// Settings of a [`crate::broker::Broker`].
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Address to listen on, and the one that clients are told.
    pub host: String,
    /// Port to listen on; 0 takes any free one.
    pub port: u16,
    /// Directory of the logs; none keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Partitions of a topic whose creator did not say.
    pub default_partitions: i32,
    /// True: the first mention of a topic creates it.
    pub auto_create_topics: bool,
    /// Bytes that each partition keeps unless its topic says otherwise; none keeps all.
    pub retention_bytes: Option<u64>,
    /// Shortest session timeout that a group member may ask for, in ms.
    pub min_session_timeout_ms: i32,
    /// How long the first members of a group wait for others before they share the partitions, in
    /// ms. Members who start together then need no second rebalance.
    pub initial_rebalance_delay_ms: u64,
    /// Largest request that is read, in bytes.
    pub max_request_bytes: usize,
    /// Its time: timestamps, retention, and every timeout but those of a waiting fetch.
    pub clock: Clock,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 0,
            data_dir: None,
            default_partitions: 4,
            auto_create_topics: true,
            retention_bytes: None,
            min_session_timeout_ms: 500,
            initial_rebalance_delay_ms: 0,
            max_request_bytes: 100 << 20,
            clock: Clock::system(),
        }
    }
}
