//! Whose state it is, and what its spaces are called.

use crate::error::{Error, Result};

/// Most bytes of a name.
const MOST: usize = 249;

/// The task that keeps state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskName {
    /// Name of the subscription, or the group of the agents.
    pub owner: String,
    /// Topic that it reads.
    pub topic: String,
    /// Partition of that topic.
    pub partition: i32,
    /// Partitions that the topic has.
    pub partitions: i32,
}

/// A space as it is called on disk, and how its keys are laid out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpaceName {
    pub(super) name: String,
    pub(super) layout: Layout,
}

/// Which slot a key of a space is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layout {
    /// All in one.
    Plain,
    /// By the group of the key.
    ByKey,
    /// By the group of the scope that the key begins with; without one, the first.
    Scoped,
}

impl Layout {
    const ALL: [Self; 3] = [Self::Plain, Self::ByKey, Self::Scoped];

    /// As it is written down.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::ByKey => "by key",
            Self::Scoped => "scoped",
        }
    }

    /// What [`Layout::word`] has written.
    pub(super) fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.word().as_bytes() == word)
    }
}

impl SpaceName {
    /// A space whose keys are one range: a scan is as quick as its result is short.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), layout: Layout::Plain }
    }

    /// A space whose keys are keys of records, laid out by key group: groups can move to another number
    /// of partitions as they are.
    #[must_use]
    pub fn by_key(name: &str) -> Self {
        Self { name: name.to_owned(), layout: Layout::ByKey }
    }

    /// A space of keys that may have the key of a record as their scope, as [`crate::state`]'s keys of
    /// handlers do: a scan inside a scope is as quick as that of a plain space.
    #[must_use]
    pub fn scoped(name: &str) -> Self {
        Self { name: name.to_owned(), layout: Layout::Scoped }
    }

    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl TaskName {
    /// Checks that names can be told apart on disk and numbers make sense.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the name and what it may be.
    pub(super) fn check(&self) -> Result<()> {
        check("owner of state", &self.owner)?;
        check("topic", &self.topic)?;
        if 0 <= self.partition && self.partition < self.partitions.min(i32::from(u16::MAX)) {
            return Ok(());
        }
        Err(Error::Config(format!(
            "{}: partition {} of {} cannot keep state: a partition number is below the number of partitions, and \
             below {}",
            self.topic,
            self.partition,
            self.partitions,
            u16::MAX
        )))
    }
}

/// Checks one name of a space, an owner or a topic.
pub(super) fn check(what: &str, name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= MOST && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Error::Config(format!(
        "{what} {name:?}: use 1 to {MOST} letters, digits, dots, underscores and hyphens"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word() {
        for good in ["a", "orders.v1", "app-x_Y", ".."] {
            assert!(check("topic", good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a b", "a\0", "ä", &"x".repeat(250)] {
            assert!(check("topic", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_partition_is_one_of_its_topic() {
        let task = |partition, partitions| TaskName {
            owner: "o".into(),
            topic: "t".into(),
            partition,
            partitions,
        };
        assert!(task(0, 1).check().is_ok());
        assert!(task(7, 8).check().is_ok());
        for (partition, partitions) in [(-1, 8), (8, 8), (0, 0), (65_535, 70_000)] {
            assert!(task(partition, partitions).check().is_err(), "{partition} of {partitions}");
        }
    }
}
