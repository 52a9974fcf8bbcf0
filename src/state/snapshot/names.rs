//! What objects are called, and what of a name is believed.
//!
//! ```text
//! {folder}/{app}/{name}/{topic}/{partition}/owners/{epoch}.json
//!                                          /manifests/{epoch}-{sequence}-{next}.json
//!                                          /parts/{epoch}-{sha256}.zst
//! ```
//!
//! Numbers have ten and twenty digits, so that the order of names is that of time. Nothing that a
//! listing or a manifest says becomes a path before it has been read by a function of this module.

use crate::error::{Error, Result};
use object_store::path::Path;

/// Longest name of an app, a subscription or a topic.
const LONGEST: usize = 249;
/// Hexadecimal digits of a SHA-256.
const HASH_DIGITS: usize = 64;

/// Whose snapshots: a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Id of the app.
    pub app: String,
    /// Name of the subscription, or what stands for the agents.
    pub name: String,
    /// Topic that it reads.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}[{}]", self.name, self.topic, self.partition)
    }
}

/// One snapshot of a unit; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// How often the unit had changed its owner.
    pub epoch: u64,
    /// Number among the snapshots of that owner.
    pub sequence: u64,
    /// Input offset: the next record to read.
    pub next: i64,
}

impl SnapshotId {
    pub(super) fn file(&self) -> String {
        format!("{:010}-{:010}-{:020}.json", self.epoch, self.sequence, self.next)
    }

    pub(super) fn read(file: &str) -> Option<Self> {
        let mut fields = file.strip_suffix(".json")?.split('-');
        let (epoch, sequence, next) = (fields.next()?, fields.next()?, fields.next()?);
        let id = Self {
            epoch: number(epoch)?,
            sequence: number(sequence)?,
            next: i64::try_from(number(next)?).ok()?,
        };
        (fields.next().is_none() && id.file() == file).then_some(id)
    }
}

impl std::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.sequence, self.next)
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

pub(super) fn owner_file(epoch: u64) -> String {
    format!("{epoch:010}.json")
}

pub(super) fn read_owner(file: &str) -> Option<u64> {
    let epoch = number(file.strip_suffix(".json")?)?;
    (owner_file(epoch) == file).then_some(epoch)
}

pub(super) fn part_file(epoch: u64, sha256: &str) -> String {
    format!("{epoch:010}-{sha256}.zst")
}

pub(super) fn is_part(file: &str) -> bool {
    let Some((epoch, sha256)) = file.strip_suffix(".zst").and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    number(epoch).is_some_and(|epoch| is_hash(sha256) && part_file(epoch, sha256) == file)
}

pub(super) fn is_hash(text: &str) -> bool {
    text.len() == HASH_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// May `text` be a folder?
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=LONGEST).contains(&text.len()) && text != "." && text != ".." && text.bytes().all(allowed)
}

/// The folder of a unit.
///
/// # Errors
///
/// [`Error::Config`]: one of its names cannot be a folder.
pub(super) fn folder_of(root: &Path, unit: &Unit) -> Result<Path> {
    for (what, name) in [("app", &unit.app), ("name", &unit.name), ("topic", &unit.topic)] {
        if !is_name(name) {
            return Err(Error::Config(format!(
                "snapshots: the {what} {name:?} cannot be a folder: use letters, digits, '.', '_' and '-', at most {LONGEST} of them"
            )));
        }
    }
    if unit.partition < 0 {
        return Err(Error::Config(format!("snapshots: there is no partition {}", unit.partition)));
    }
    Ok(root
        .clone()
        .join(unit.app.as_str())
        .join(unit.name.as_str())
        .join(unit.topic.as_str())
        .join(unit.partition.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        let unit = |topic: &str| Unit {
            app: "a".into(),
            name: "n".into(),
            topic: topic.into(),
            partition: 3,
        };
        for topic in ["..", ".", "", "a/b", "a\\b", "ä", "a b", &"x".repeat(250)] {
            assert!(folder_of(&Path::from("root"), &unit(topic)).is_err(), "{topic:?}");
        }
        let folder = folder_of(&Path::from("root"), &unit("t.1-x_y")).unwrap();
        assert_eq!(folder.as_ref(), "root/a/n/t.1-x_y/3");
    }

    proptest! {
        #[test]
        fn names_are_read_back_and_sorted_as_time(a: (u32, u32, u32), b: (u32, u32, u32)) {
            let id = |(epoch, sequence, next): (u32, u32, u32)| SnapshotId {
                epoch: epoch.into(), sequence: sequence.into(), next: next.into(),
            };
            let (a, b) = (id(a), id(b));
            prop_assert_eq!(SnapshotId::read(&a.file()), Some(a));
            prop_assert_eq!(a.cmp(&b), a.file().cmp(&b.file()));
        }

        #[test]
        fn any_other_name_is_nothing(text in "[0-9a-f./%-]{0,40}(\\.json|\\.zst)?") {
            if let Some(id) = SnapshotId::read(&text) {
                prop_assert_eq!(id.file(), text.clone());
            }
            if is_part(&text) {
                prop_assert!(!text.contains('/') && !text.contains(".."));
            }
        }
    }
}
