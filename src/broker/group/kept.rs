//! What a group has to know after a restart so that its members go on as if nothing had happened.

use super::{Group, Member, State};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A stable group, or one without members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its generation.
    pub(crate) generation: i32,
    /// Kind of its members.
    pub(crate) protocol_type: String,
    /// Protocol of the generation.
    pub(crate) protocol: String,
    /// Id of the leader.
    pub(crate) leader: String,
    /// Its members.
    pub(crate) members: Vec<KeptMember>,
}

/// A member of a stable group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptMember {
    /// Its id.
    pub(crate) id: String,
    /// Id that its owner gave it.
    pub(crate) instance_id: Option<String>,
    /// `client.id` of its client.
    pub(crate) client_id: String,
    /// Address of its client.
    pub(crate) client_host: String,
    /// Longest silence before it is out.
    pub(crate) session_timeout: Duration,
    /// How long it may take to join again in a rebalance.
    pub(crate) rebalance_timeout: Duration,
    /// Its metadata for the protocol of the generation.
    #[serde(with = "hex")]
    pub(crate) metadata: Vec<u8>,
    /// What is its own.
    #[serde(with = "hex")]
    pub(crate) assignment: Vec<u8>,
}

impl<T> Group<T> {
    /// What has to be known after a restart, if that has changed since the last call.
    pub(crate) fn take_news(&mut self) -> Option<Kept> {
        let may_be_kept = matches!(self.state, State::Stable | State::Empty);
        if !may_be_kept || !std::mem::take(&mut self.has_news) {
            return None;
        }
        let member = |m: &Member<T>| KeptMember {
            id: m.id.clone(),
            instance_id: m.instance_id.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            session_timeout: m.session_timeout,
            rebalance_timeout: m.rebalance_timeout,
            metadata: m.metadata(&self.protocol).to_vec(),
            assignment: m.assignment.to_vec(),
        };
        Some(Kept {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.iter().map(member).collect(),
        })
    }

    /// Makes an empty group what it was before a restart; sessions begin anew.
    pub(crate) fn restore(&mut self, kept: Kept, now: Instant) {
        let member = |m: KeptMember| Member {
            id: m.id,
            instance_id: m.instance_id,
            client_id: m.client_id,
            client_host: m.client_host,
            assignment: Bytes::from(m.assignment),
            protocols: vec![(kept.protocol.clone(), Bytes::from(m.metadata))],
            session_timeout: m.session_timeout,
            rebalance_timeout: m.rebalance_timeout,
            deadline: now + m.session_timeout,
            join: None,
            sync: None,
        };
        self.members = kept.members.into_iter().map(member).collect();
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        self.generation = kept.generation;
        self.protocol_type = kept.protocol_type;
        self.protocol = kept.protocol;
        self.leader = kept.leader;
    }
}

/// Bytes as text: half the size of JSON's lists of numbers.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
        let text: String = bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect();
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let digit = |at: u8| char::from(at).to_digit(16).map(|d| d as u8);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| D::Error::custom("not bytes in hex"))
    }
}

#[cfg(test)]
impl Kept {
    /// A group of one member, for tests of those that keep it.
    pub(crate) fn of_one(generation: i32, bytes: Vec<u8>) -> Self {
        let member = KeptMember {
            id: "m".into(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout: Duration::from_millis(1_500),
            rebalance_timeout: Duration::from_secs(60),
            metadata: bytes.clone(),
            assignment: bytes,
        };
        Self {
            generation,
            protocol_type: "consumer".into(),
            protocol: "range".into(),
            leader: "m".into(),
            members: vec![member],
        }
    }
}
