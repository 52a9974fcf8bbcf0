//! What the members of a group read, where they are consumers.

use super::Group;
use bytes::{Buf, Bytes};

/// Kind of the members whose metadata is a subscription.
const CONSUMER: &str = "consumer";

impl<T> Group<T> {
    /// True if there are members that are not consumers: nobody knows what they read.
    pub(crate) fn has_strangers(&self) -> bool {
        !self.members.is_empty() && self.protocol_type != CONSUMER
    }

    /// True if a member reads the topic, or says what it reads in unknown words.
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        let reads = |metadata: Bytes| match topics(metadata) {
            Some(topics) => topics.iter().any(|t| t == topic),
            None => true,
        };
        self.members.iter().flat_map(|m| &m.protocols).any(|(_, metadata)| reads(metadata.clone()))
    }
}

/// The topics of a subscription: they stand in front in every version of it.
fn topics(mut metadata: Bytes) -> Option<Vec<String>> {
    let _version = metadata.try_get_i16().ok()?;
    let count = usize::try_from(metadata.try_get_i32().ok()?).ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        let name = metadata.get(..length)?;
        topics.push(std::str::from_utf8(name).ok()?.to_owned());
        metadata.advance(length);
    }
    Some(topics)
}
