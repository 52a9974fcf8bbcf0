//! What an embedded broker is told at its start.

use super::{cluster::MAX_NODES, security::Security, topics::MAX_PARTITIONS};
use crate::{
    clock::Clock,
    error::{Error, Result},
};
use std::path::PathBuf;

/// Settings of a [`crate::broker::Broker`].
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Address to listen on, and the one that clients are told unless `advertised` says otherwise.
    pub host: String,
    /// Port to listen on, of the first node: the others follow, each with the next port. 0 takes
    /// any free ones.
    pub port: u16,
    /// Number of nodes, whose ids are 1, 2, and so on. Each has a listener of its own; partitions,
    /// groups and transactions are spread over them. The logs are shared.
    pub nodes: i32,
    /// `host` or `host:port` that clients are told instead of what is listened on, where a proxy, a
    /// tunnel or a container lies between. A port is that of the first node, and the others follow.
    pub advertised: Option<String>,
    /// Encryption and passwords; none, unless something is said here.
    pub security: Security,
    /// Directory of the logs; none keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Partitions of a topic whose creator did not say.
    pub default_partitions: i32,
    /// True: the first mention of a topic creates it.
    pub auto_create_topics: bool,
    /// Bytes that each partition keeps unless its topic says otherwise; none keeps all.
    pub retention_bytes: Option<u64>,
    /// Memory that all records together may need, in bytes, without a data directory: beyond it the
    /// largest partitions give up their oldest batches. None is no bound.
    pub memory_bytes: Option<u64>,
    /// Shortest session timeout that a group member may ask for, in ms.
    pub min_session_timeout_ms: i32,
    /// How long the first members of a group wait for others before they share the partitions, in
    /// ms. Members who start together then need no second rebalance.
    pub initial_rebalance_delay_ms: u64,
    /// How often members of the `consumer` group protocol send a heartbeat, in ms. They learn at a
    /// heartbeat that partitions move, so a short interval makes tests quick.
    pub consumer_heartbeat_interval_ms: u64,
    /// Longest silence before a member of the `consumer` group protocol is out, in ms.
    pub consumer_session_timeout_ms: u64,
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
            nodes: 1,
            advertised: None,
            security: Security::default(),
            data_dir: None,
            default_partitions: 4,
            auto_create_topics: true,
            retention_bytes: None,
            memory_bytes: Some(1 << 30),
            min_session_timeout_ms: 500,
            initial_rebalance_delay_ms: 0,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_session_timeout_ms: 45_000,
            max_request_bytes: 100 << 20,
            clock: Clock::system(),
        }
    }
}

impl BrokerConfig {
    /// Whether a broker can be started like this.
    pub(super) fn check(&self) -> Result<()> {
        let refused = |message: String| Err(Error::Config(message));
        let (partitions, most) = (self.default_partitions, MAX_PARTITIONS);
        if !(1..=most).contains(&partitions) {
            return refused(format!("default_partitions is {partitions}: give 1 to {most}"));
        }
        if !(1..=MAX_NODES).contains(&self.nodes) {
            return refused(format!("nodes is {}: give 1 to {MAX_NODES}", self.nodes));
        }
        if self.host.is_empty() {
            return refused("host is empty: give an address, as 127.0.0.1".into());
        }
        if self.security.wants_users() && self.security.mechanisms.is_empty() {
            return refused(
                "users need a mechanism to authenticate: PLAIN, SCRAM-SHA-256, ...".into(),
            );
        }
        self.ports(self.port)?;
        self.advertised().map(drop)
    }

    /// The ports of all nodes, if the first one has `first`; 0 means any for each.
    pub(super) fn ports(&self, first: u16) -> Result<Vec<u16>> {
        if first == 0 {
            return Ok(vec![0; self.nodes as usize]);
        }
        let last = i32::from(first) + self.nodes - 1;
        match u16::try_from(last) {
            Ok(last) => Ok((first..=last).collect()),
            Err(_) => {
                Err(Error::Config(format!("port {first} leaves no room for {} nodes", self.nodes)))
            }
        }
    }

    /// The host that clients are told, and the port of the first node if it is another one.
    pub(super) fn advertised(&self) -> Result<(&str, Option<u16>)> {
        let Some(given) = &self.advertised else { return Ok((&self.host, None)) };
        let unclear = || Error::Config(format!("advertised is {given}: give HOST or HOST:PORT"));
        let is_ip6 = given.parse::<std::net::Ipv6Addr>().is_ok();
        let (host, port) = match given.rsplit_once(':') {
            Some((host, port)) if !is_ip6 && !given.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(unclear)?;
                self.ports(port)?;
                (host, Some(port))
            }
            _ => (given.as_str(), None),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() { Err(unclear()) } else { Ok((host, port)) }
    }

    /// What clients are told of the nodes that listen on `ports`.
    pub(super) fn told(&self, ports: &[u16]) -> Result<Vec<(String, u16)>> {
        let (host, first) = self.advertised()?;
        let ports = match first {
            Some(first) => self.ports(first)?,
            None => ports.to_vec(),
        };
        Ok(ports.into_iter().map(|port| (host.to_owned(), port)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(advertised: &str, nodes: i32) -> Result<Vec<(String, u16)>> {
        let advertised = Some(advertised.to_owned());
        let config = BrokerConfig { advertised, nodes, ..BrokerConfig::default() };
        config.check()?;
        config.told(&[7001, 7002][..nodes as usize])
    }

    #[test]
    fn clients_are_told_the_advertised_host_and_port() {
        let told = |given, nodes| told(given, nodes).unwrap();
        assert_eq!(
            told("kafka.test", 2),
            [("kafka.test".into(), 7001), ("kafka.test".into(), 7002)]
        );
        assert_eq!(told("kafka.test:9092", 2)[1], ("kafka.test".into(), 9093));
        assert_eq!(told("::1", 1), [("::1".into(), 7001)]);
        assert_eq!(told("[::1]:9", 1), [("::1".into(), 9)]);
        assert_eq!(told("[::1]", 1), [("::1".into(), 7001)]);
    }

    #[test]
    fn an_address_that_cannot_be_is_refused() {
        for (given, nodes) in [("", 1), (":9092", 1), ("h:0", 1), ("h:x", 1), ("h:65535", 2)] {
            assert!(matches!(told(given, nodes), Err(Error::Config(_))), "{given}");
        }
        for nodes in [0, -1, MAX_NODES + 1] {
            let config = BrokerConfig { nodes, ..BrokerConfig::default() };
            assert!(matches!(config.check(), Err(Error::Config(_))), "{nodes}");
        }
    }
}
