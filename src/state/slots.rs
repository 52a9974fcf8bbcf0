//! Where the keys of a partition are: a slot of two bytes in front of each.
//!
//! A key belongs to one of 960 groups by Kafka's hash of it. Where the number of partitions divides 960,
//! each partition has as many consecutive slots as groups fall on it, and a key is in the slot of its
//! group: another number of partitions moves whole groups. Elsewhere, and in spaces whose keys say nothing
//! about records, everything of a partition is in one slot.

use super::names::{Layout, TaskName};
use crate::types::murmur2;
use std::ops::Range;

/// First byte of a key with a scope; its length follows in two bytes, big-endian, then the scope.
const SCOPED: u8 = 1;
/// Groups of keys; every number of partitions that divides it can become every other one.
const GROUPS: u32 = 960;

/// The slots of one partition in one space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    first: u16,
    /// 1: everything is in the first.
    count: u16,
    partitions: u32,
    layout: Layout,
}

impl Slots {
    /// Those of a task that has passed [`TaskName::check`].
    pub(super) fn new(task: &TaskName, layout: Layout) -> Self {
        let (partition, partitions) =
            (task.partition.cast_unsigned(), task.partitions.cast_unsigned());
        let width = if GROUPS.is_multiple_of(partitions) { GROUPS / partitions } else { 1 };
        let count = if layout == Layout::Plain { 1 } else { width };
        Self { first: narrow(partition * width), count: narrow(count), partitions, layout }
    }

    /// All of them.
    pub(super) fn all(self) -> Range<u16> {
        self.first..self.first + self.count
    }

    /// The one of `key`.
    pub(super) fn of(self, key: &[u8]) -> u16 {
        let key = match self.layout {
            Layout::ByKey if self.count > 1 => key,
            Layout::Scoped if self.count > 1 => match scope(key) {
                Some(scope) => scope,
                None => return self.first,
            },
            _ => return self.first,
        };
        self.first + narrow(murmur2(key) % GROUPS / self.partitions)
    }

    /// Those that may have keys with `prefix`.
    pub(super) fn with(self, prefix: &[u8]) -> Range<u16> {
        let is_rootless = prefix.first().is_none_or(|&first| first == SCOPED);
        if self.layout == Layout::Scoped && (!is_rootless || scope(prefix).is_some()) {
            let slot = self.of(prefix);
            return slot..slot + 1;
        }
        self.all()
    }

    /// `key` with its slot in front.
    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        placed(self.of(key), key)
    }
}

/// The scope that `key` begins with.
fn scope(key: &[u8]) -> Option<&[u8]> {
    let (length, rest) = key.strip_prefix(&[SCOPED])?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// `key` in `slot`.
pub(super) fn placed(slot: u16, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + key.len());
    out.extend_from_slice(&slot.to_be_bytes());
    out.extend_from_slice(key);
    out
}

/// Slots stay below 65,535, because partition numbers do.
fn narrow(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn slots(partition: i32, partitions: i32) -> Slots {
        let task = TaskName { owner: "o".into(), topic: "t".into(), partition, partitions };
        Slots::new(&task, Layout::ByKey)
    }

    proptest! {
        /// Kafka's partition of a key has the key's slot, whatever divisor of 960 the number of
        /// partitions is, and a key of another partition stays in the range that it was put into.
        #[test]
        fn a_key_is_in_the_slot_of_its_group(key in prop::collection::vec(any::<u8>(), 0..12), other in 0..960_i32) {
            let group = murmur2(&key) % GROUPS;
            for partitions in (1..=960).filter(|n: &i32| 960 % n == 0) {
                let home = (murmur2(&key) % partitions.cast_unsigned()).cast_signed();
                let here = slots(home, partitions);
                prop_assert!(here.all().contains(&here.of(&key)));
                prop_assert_eq!(u32::from(here.of(&key) - here.first), group / partitions.cast_unsigned());
                let there = slots(other % partitions, partitions);
                prop_assert!(there.all().contains(&there.of(&key)));
            }
        }
    }

    #[test]
    fn partitions_divide_the_slots_among_them() {
        for partitions in [1, 2, 3, 7, 8, 64, 960, 1_000] {
            let mut seen = BTreeSet::new();
            for partition in 0..partitions {
                for slot in slots(partition, partitions).all() {
                    assert!(seen.insert(slot), "slot {slot} twice with {partitions} partitions");
                }
            }
        }
    }

    /// Groups of one partition become groups of whole partitions.
    #[test]
    fn a_group_has_one_slot() {
        let mut found = std::collections::BTreeMap::new();
        for n in 0..20_000_u32 {
            let key = n.to_be_bytes();
            let group = murmur2(&key) % GROUPS;
            let partition = (group % 8).cast_signed();
            let slot = slots(partition, 8).of(&key);
            assert_eq!(*found.entry(group).or_insert(slot), slot);
        }
        assert_eq!(found.len(), 960);
        assert_eq!(found.values().collect::<BTreeSet<_>>().len(), 960);
    }

    #[test]
    fn keys_of_one_scope_are_in_one_slot() {
        let task = TaskName { owner: "o".into(), topic: "t".into(), partition: 3, partitions: 8 };
        let slots = Slots::new(&task, Layout::Scoped);
        let scoped = |scope: &[u8], rest: &[u8]| {
            [&[SCOPED], &(scope.len() as u16).to_be_bytes()[..], scope, rest].concat()
        };
        let places: BTreeSet<_> = (0..100_u8).map(|n| slots.of(&scoped(b"alice", &[n]))).collect();
        assert_eq!(places.len(), 1);
        assert_eq!(slots.with(&scoped(b"alice", b"")), slots.with(&scoped(b"alice", b"x")));
        assert_eq!(slots.with(&scoped(b"alice", b"")).len(), 1);
        let scopes: BTreeSet<_> = (0..200_u8).map(|n| slots.of(&scoped(&[n], b""))).collect();
        assert!(scopes.len() > 50);
        assert_eq!(slots.with(b"\0root"), slots.first..slots.first + 1);
        assert_eq!(slots.of(b"\0root"), slots.first);
        for part in [b"".as_slice(), &[SCOPED], &[SCOPED, 0], &[SCOPED, 0, 5, b'a']] {
            assert_eq!(slots.with(part), slots.all(), "{part:?}");
        }
    }
}
