//! One member of a group.

use bytes::Bytes;
use std::time::{Duration, Instant};

/// A member; `T` is the handle of a waiting request.
#[derive(Debug)]
pub(crate) struct Member<T> {
    /// Id that the broker gave it.
    pub(crate) id: String,
    /// Id that its owner gave it, which survives a restart.
    pub(crate) instance_id: Option<String>,
    /// `client.id` of its client.
    pub(crate) client_id: String,
    /// Address of its client.
    pub(crate) client_host: String,
    /// What is its own in this generation, in the words of the protocol.
    pub(crate) assignment: Bytes,
    /// Name and metadata of the protocols that it speaks, preferred ones first.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// Out, if nothing is heard of it until then.
    pub(super) deadline: Instant,
    /// Its join that waits for the others.
    pub(super) join: Option<T>,
    /// Its sync that waits for the leader.
    pub(super) sync: Option<T>,
}

impl<T> Member<T> {
    pub(super) fn seen(&mut self, now: Instant) {
        self.deadline = now + self.session_timeout;
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.join.is_some() || self.sync.is_some()
    }

    pub(super) fn speaks(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}
