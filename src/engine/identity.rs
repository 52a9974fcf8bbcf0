//! Which input a state belongs to: offsets mean nothing in another topic, or in another cluster.
//!
//! A store has it as its note, a snapshot has the store's; nothing of it is in a commit.

use super::halt::Reason;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Id of the Kafka cluster; none if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Id of the topic, which a topic created again does not share; none if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// As in [`super::receipt::Receipt::generation`].
    #[serde(default)]
    pub generation: u32,
}

impl Identity {
    /// Reads the note of a store; none if it is something else.
    #[must_use]
    pub fn from_note(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }

    /// As the note of a store.
    ///
    /// # Panics
    ///
    /// Never: text and numbers have a form in JSON.
    #[must_use]
    pub fn to_note(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers have a form in JSON")
    }

    /// Why a state of this input is not one of `now`; what one of the two does not know is not compared, nor
    /// are generations.
    #[must_use]
    pub fn refuses(&self, now: &Self) -> Option<Reason> {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        if differ(&self.cluster, &now.cluster) {
            return Some(Reason::AnotherCluster);
        }
        differ(&self.topic, &now.topic).then_some(Reason::AnotherTopic)
    }

    /// As it is, and what it does not know as `known` says.
    #[must_use]
    pub fn or(self, known: Option<Self>) -> Self {
        let known = known.unwrap_or_default();
        Self {
            cluster: self.cluster.or(known.cluster),
            topic: self.topic.or(known.topic),
            generation: self.generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> impl Strategy<Value = Identity> {
        let id = || prop::option::of("[a-b]{1,2}");
        (id(), id(), any::<u32>()).prop_map(|(cluster, topic, generation)| Identity {
            cluster,
            topic,
            generation,
        })
    }

    proptest! {
        #[test]
        fn a_note_is_read_as_it_was_written(one in identity()) {
            prop_assert_eq!(Identity::from_note(&one.to_note()), Some(one));
        }

        #[test]
        fn nothing_is_refused_that_is_not_known_to_differ(a in identity(), b in identity()) {
            prop_assert_eq!(a.refuses(&a), None);
            prop_assert_eq!(a.refuses(&b), b.refuses(&a));
            prop_assert_eq!(Identity::default().refuses(&a), None);
            let merged = b.clone().or(Some(a.clone()));
            prop_assert_eq!(b.refuses(&merged), None);
            if b.refuses(&a).is_none() {
                prop_assert_eq!(a.refuses(&merged), None);
            }
        }

        #[test]
        fn bytes_of_somebody_else_are_no_note(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Identity::from_note(&bytes);
        }
    }

    #[test]
    fn the_cluster_is_looked_at_first() {
        let of = |cluster: &str, topic: &str| Identity {
            cluster: Some(cluster.into()),
            topic: Some(topic.into()),
            generation: 0,
        };
        assert_eq!(of("a", "t").refuses(&of("b", "u")), Some(Reason::AnotherCluster));
        assert_eq!(of("a", "t").refuses(&of("a", "u")), Some(Reason::AnotherTopic));
        assert_eq!(of("a", "t").refuses(&Identity { generation: 5, ..of("a", "t") }), None);
        assert_eq!(Identity::from_note(b"note"), None);
    }
}
