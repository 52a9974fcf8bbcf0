//! Where a task with several inputs is: an offset for each, and one number for all of them.
//!
//! The number is the sum of the offsets. It is what marks, commits and receipts have in the place of an
//! offset: it grows whenever any input moves, it is the same wherever the same records were read, and for
//! one input it is that input's offset. What an input without an offset begins at counts once it is known.
//!
//! # Guarantees
//!
//! * Of two positions of one history, the later one has the larger [`Positions::number`], or they are equal.
//! * Whatever bytes are read, nothing panics, and only what [`Positions::to_bytes`] wrote is a position.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Space of a store that has the positions of its task, if that has several inputs.
pub const SPACE: &str = "turbine.inputs";
/// Their key there.
pub const KEY: &[u8] = b"positions";

/// Offsets of the next records to read, by topic; the partition is the task's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(pub BTreeMap<Arc<str>, i64>);

impl Positions {
    /// The offset of `topic`.
    #[must_use]
    pub fn of(&self, topic: &str) -> Option<i64> {
        self.0.get(topic).copied()
    }

    /// One number for all of them; none without any.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        (!self.0.is_empty()).then(|| self.0.values().sum())
    }

    /// For each topic `u16` length of its name, the name, `i64` offset; little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (topic, offset) in &self.0 {
            // Kafka's names have 249 characters at most.
            let length = u16::try_from(topic.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&topic.as_bytes()[..length.into()]);
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes
    }

    /// What [`Positions::to_bytes`] has written.
    #[must_use]
    pub fn of_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut found = BTreeMap::new();
        while !bytes.is_empty() {
            let length = u16::from_le_bytes(bytes.split_off(..2)?.try_into().ok()?);
            let topic = std::str::from_utf8(bytes.split_off(..length.into())?).ok()?;
            let offset = i64::from_le_bytes(bytes.split_off(..8)?.try_into().ok()?);
            let is_new = found.insert(Arc::from(topic), offset).is_none();
            if offset < 0 || !is_new {
                return None;
            }
        }
        Some(Self(found))
    }
}

/// The log of one input as the number sees it: from where to where the number may be while the other inputs
/// stand still. `at` is the number, `offset` the input's share of it.
#[must_use]
pub fn log_of(at: i64, offset: i64, (start, end): (i64, i64)) -> (i64, i64) {
    let others = at - offset;
    (others.saturating_add(start), others.saturating_add(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn positions() -> impl Strategy<Value = Positions> {
        let one = ("[a-z._-]{1,12}", 0..1_000_000_i64);
        prop::collection::vec(one, 0..5)
            .prop_map(|all| Positions(all.into_iter().map(|(t, o)| (t.into(), o)).collect()))
    }

    proptest! {
        /// What was written is read; a byte less is not.
        #[test]
        fn bytes_give_the_positions_back(all in positions(), cut: prop::sample::Index) {
            let bytes = all.to_bytes();
            prop_assert_eq!(Positions::of_bytes(&bytes), Some(all));
            if !bytes.is_empty() {
                let torn = Positions::of_bytes(&bytes[..cut.index(bytes.len())]);
                prop_assert!(torn.is_none_or(|torn| torn.to_bytes().len() < bytes.len()));
            }
        }

        /// Whatever a header holds, reading it ends.
        #[test]
        fn other_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(found) = Positions::of_bytes(&bytes) {
                prop_assert!(found.0.values().all(|&offset| offset >= 0));
            }
        }

        /// A record of any input moves the number, by as much as the input moved.
        #[test]
        fn the_number_grows_with_every_input(all in positions(), which: prop::sample::Index, by in 1..100_i64) {
            prop_assume!(!all.0.is_empty());
            let mut later = all.clone();
            let topic = all.0.keys().nth(which.index(all.0.len())).cloned().expect("one of them");
            *later.0.get_mut(&topic).expect("one of them") += by;
            prop_assert_eq!(later.number(), all.number().map(|number| number + by));
        }

        /// The number is inside the log of an input exactly if the input's offset is.
        #[test]
        fn a_log_says_of_the_number_what_it_says_of_the_offset(
            all in positions(), start in 0..1_000_000_i64, length in 0..1_000_000_i64,
        ) {
            let at = all.number().unwrap_or(0);
            for &offset in all.0.values() {
                let (low, high) = log_of(at, offset, (start, start + length));
                prop_assert_eq!(at < low, offset < start);
                prop_assert_eq!(at > high, offset > start + length);
            }
        }
    }
}
