//! How far the changelogs of a task's tables are in its store, so that a restore reads what came later alone.
//!
//! # Guarantees
//!
//! * In front of a place there is nothing that the store does not have: where that is not certain, the place stays
//!   where it was, and a restore reads more.
//! * A place is one in a topic with an id: in another topic of the name it means nothing.
//!
//! # Not here
//!
//! How old a place may be: see [`crate::task::restore`].

use super::Written;
use crate::state::{Space, Writes};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Key of the places in the space that has the positions of the inputs.
pub const KEY: &[u8] = b"changelogs";

/// A place in one changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Id of the topic.
    pub id: Arc<str>,
    /// Offset of the first record that the store may not have.
    pub next: i64,
}

/// The places of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// When they were noted, in ms since the epoch.
    pub at_ms: i64,
    /// By topic.
    pub logs: BTreeMap<Arc<str>, Place>,
}

impl Places {
    /// `i64` time, then for each topic `u16` length of its name, the name, `u16` length of its id, the id, `i64`
    /// offset; little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.at_ms.to_le_bytes().to_vec();
        for (topic, Place { id, next }) in &self.logs {
            for text in [topic, id] {
                // Kafka's names have 249 characters at most.
                let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(&text.as_bytes()[..length.into()]);
            }
            bytes.extend_from_slice(&next.to_le_bytes());
        }
        bytes
    }

    /// What [`Places::to_bytes`] has written.
    #[must_use]
    pub fn of_bytes(mut bytes: &[u8]) -> Option<Self> {
        let at_ms = i64::from_le_bytes(bytes.split_off(..8)?.try_into().ok()?);
        let mut logs = BTreeMap::new();
        while !bytes.is_empty() {
            let (topic, id) = (text(&mut bytes)?, text(&mut bytes)?);
            let next = i64::from_le_bytes(bytes.split_off(..8)?.try_into().ok()?);
            if next < 0 || logs.insert(topic, Place { id, next }).is_some() {
                return None;
            }
        }
        Some(Self { at_ms, logs })
    }

    /// As a write to `space`, noted now.
    #[must_use]
    pub fn write(mut self, space: Space) -> (Space, Writes) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        (space, Writes(vec![(KEY.to_vec(), Some(self.to_bytes()))]))
    }
}

fn text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    let length = u16::from_le_bytes(bytes.split_off(..2)?.try_into().ok()?);
    std::str::from_utf8(bytes.split_off(..length.into())?).ok().map(Arc::from)
}

/// Moves the places of one task on, commit by commit.
#[derive(Debug)]
pub struct Noting {
    space: Space,
    /// Can nobody else write as this task, because its commits are transactions?
    is_fenced: bool,
    places: Mutex<Option<Places>>,
}

impl Noting {
    /// Writes to `space`; nothing before [`Noting::begin`].
    #[must_use]
    pub fn new(space: Space, is_fenced: bool) -> Self {
        Self { space, is_fenced, places: Mutex::default() }
    }

    /// Goes on from `places`; none: they are not known, and stay so.
    pub fn begin(&self, places: Option<Places>) {
        *self.places.lock() = places;
    }

    /// What goes into the store with a commit whose records are `written`; none if no place has moved.
    pub fn note(&self, written: &[Written]) -> Option<(Space, Writes)> {
        let mut known = self.places.lock();
        let places = known.as_mut()?;
        let mut has_moved = false;
        for one in written {
            let Some(place) = places.logs.get_mut(&one.topic) else { continue };
            // A worker that has lost the partition without knowing may have written in front of these records,
            // and the store does not have that.
            let follows = one.first == place.next && one.next - one.first == one.count;
            if (self.is_fenced || follows) && one.next > place.next {
                place.next = one.next;
                has_moved = true;
            }
        }
        has_moved.then(|| places.clone().write(self.space))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places() -> impl Strategy<Value = Places> {
        let one = ("[a-z._-]{1,9}", "[a-zA-Z0-9_-]{0,9}", 0..i64::MAX);
        let logs = prop::collection::vec(one, 0..4);
        (any::<i64>(), logs).prop_map(|(at_ms, logs)| Places {
            at_ms,
            logs: logs
                .into_iter()
                .map(|(topic, id, next)| (topic.into(), Place { id: id.into(), next }))
                .collect(),
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_other_bytes_do_not_panic(
            places in places(), other in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            prop_assert_eq!(Places::of_bytes(&places.to_bytes()), Some(places));
            let _ = Places::of_bytes(&other);
        }
    }

    fn noted(is_fenced: bool, written: &[(i64, i64, i64)]) -> i64 {
        let logs = BTreeMap::from([("log".into(), Place { id: "id".into(), next: 10 })]);
        let noting = Noting::new(Space(1), is_fenced);
        noting.begin(Some(Places { at_ms: 0, logs }));
        for &(first, next, count) in written {
            noting.note(&[Written { topic: "log".into(), first, next, count }]);
        }
        noting.places.into_inner().unwrap().logs["log"].next
    }

    #[test]
    fn a_place_moves_over_what_its_own_commits_have_written_and_over_nothing_else() {
        assert_eq!(noted(false, &[(10, 12, 2), (12, 15, 3)]), 15);
        // Somebody else's records stand in front, or between.
        assert_eq!(noted(false, &[(10, 12, 2), (13, 15, 2), (15, 16, 1)]), 12);
        assert_eq!(noted(false, &[(10, 14, 2)]), 10);
        // In transactions these are markers, and records of other tasks.
        assert_eq!(noted(true, &[(11, 13, 2), (20, 30, 3)]), 30);
        // A log that is shorter than it was is another one.
        assert_eq!(noted(true, &[(3, 5, 2)]), 10);
    }
}
