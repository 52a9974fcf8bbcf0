//! Partitions that come and go with those of another topic.
//!
//! Where topics are worked on together, a group subscribes to one of them only, the one that leads. Whoever
//! gets its partition `i` takes partition `i` of the others too, in the same step of the rebalance, and lets go
//! of them with it. So it does not matter which protocol and which assignor the group has: what one member
//! reads of one topic, no other member reads of the others.
//!
//! # Guarantees
//!
//! * A partition of a topic that is attached is read by the member that has the leading one, and by nobody else
//!   in the group, as long as all members declare the same.
//! * Offsets of attached partitions are committed as the member's, so that one who was shut out commits nothing.

use crate::types::TopicPartition;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// By topic that leads: the others, each with the number of its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached(pub BTreeMap<String, Vec<(String, i32)>>);

impl Attached {
    /// The partitions that go with `tp`; of a topic that has too few there is none.
    #[must_use]
    pub fn of(&self, tp: &TopicPartition) -> Vec<TopicPartition> {
        let others = self.0.get(&*tp.topic).map(Vec::as_slice).unwrap_or_default();
        let there = others.iter().filter(|(_, partitions)| tp.partition < *partitions);
        there.map(|(topic, _)| TopicPartition::new(topic.as_str(), tp.partition)).collect()
    }

    /// The topics that do not lead.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().map(|(topic, _)| topic.as_str())
    }

    /// All of `partitions`, with those that go with them.
    #[must_use]
    pub fn with(&self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        partitions.iter().flat_map(|tp| std::iter::once(tp.clone()).chain(self.of(tp))).collect()
    }
}

/// The attached partitions that a member has.
#[derive(Default)]
pub(super) struct Companions {
    attached: Attached,
    there: Mutex<BTreeSet<TopicPartition>>,
}

impl Companions {
    pub(super) fn new(attached: Attached) -> Self {
        Self { attached, there: Mutex::default() }
    }

    /// What is to be assigned beside `leads`.
    pub(super) fn begin(&self, leads: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut there = self.there.lock();
        let wanted = leads.iter().flat_map(|tp| self.attached.of(tp));
        wanted.filter(|tp| there.insert(tp.clone())).collect()
    }

    /// What is to be given back beside `leads`.
    pub(super) fn end(&self, leads: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut there = self.there.lock();
        let going = leads.iter().flat_map(|tp| self.attached.of(tp));
        going.filter(|tp| there.remove(tp)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attached() -> Attached {
        Attached([("a".into(), vec![("b".into(), 4), ("c".into(), 2)])].into())
    }

    #[test]
    fn a_partition_brings_its_own_number_of_the_others() {
        let tp = |topic: &str, partition| TopicPartition::new(topic, partition);
        assert_eq!(attached().of(&tp("a", 1)), [tp("b", 1), tp("c", 1)]);
        assert_eq!(attached().of(&tp("a", 3)), [tp("b", 3)]);
        assert!(attached().of(&tp("b", 1)).is_empty() && attached().of(&tp("other", 1)).is_empty());
    }

    proptest! {
        /// Whatever comes and goes, in whatever order: what is attached is there exactly if its lead is, and
        /// nothing is taken twice or given back twice.
        #[test]
        fn others_are_there_exactly_with_their_lead(steps in prop::collection::vec((0..4_i32, any::<bool>()), 0..40)) {
            let companions = Companions::new(attached());
            let (mut leads, mut others) = (BTreeSet::new(), BTreeSet::new());
            for (partition, comes) in steps {
                let lead = TopicPartition::new("a", partition);
                if comes {
                    leads.insert(lead.clone());
                    for tp in companions.begin(&[lead]) {
                        prop_assert!(others.insert(tp));
                    }
                } else {
                    leads.remove(&lead);
                    for tp in companions.end(&[lead]) {
                        prop_assert!(others.remove(&tp));
                    }
                }
                let wanted: BTreeSet<_> = leads.iter().flat_map(|tp| attached().of(tp)).collect();
                prop_assert_eq!(&others, &wanted);
            }
        }
    }
}
