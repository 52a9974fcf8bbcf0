//! The embedded broker: a Kafka cluster in this process, on loopback.
//!
//! For development, tests and demos. It speaks the Kafka protocol, so the same clients talk to it
//! and to a real cluster.
//!
//! | module | what it is |
//! | --- | --- |
//! | `log` | the log of one partition; pure |
//! | `group` | a consumer group of the classic protocol, as a state machine; pure |
//! | `consumer_group` | a consumer group of the `consumer` protocol; pure |
//! | `transaction` | the coordinator of transactions as a state machine; pure |
//! | `cluster` | the nodes, and who leads and coordinates what |
//! | `topics`, `partition`, `groups`, `transactions`, `producer_ids` | the state of the cluster, behind locks |
//! | `peer` | whether the client of a connection is still there |
//! | `upkeep`, `memory` | old records go, memory stays bounded |
//! | `security` | certificates, users, passwords |
//! | `storage` | what survives a restart |
//! | `wire` | the protocol: frames, requests, responses |
//! | `listener` | a port that closes and opens |
//! | `server` | threads, start and stop, nodes that go down |
//! | `faults` | which rules for faults it can follow |
//! | `look` | what tests ask without a client |
//!
//! # Not here
//!
//! Replication (nodes share the logs), access control.

mod cluster;
mod config;
mod consumer_group;
mod faults;
mod group;
mod groups;
mod listener;
mod log;
mod look;
mod memory;
mod partition;
mod peer;
mod producer_ids;
mod security;
mod server;
mod storage;
mod topic_config;
mod topics;
mod transaction;
mod transactions;
mod upkeep;
mod wire;

pub use config::BrokerConfig;
pub use look::{GroupState, TopicRecord, Wanted};
pub use security::{Mechanism, Secret, Security, Tls};
pub use server::Broker;
