//! Which schemas may follow which.

use super::store::Schema;
use apache_avro::{Schema as Avro, schema_compatibility::SchemaCompatibility};
use serde::{Deserialize, Serialize};

/// What a new version must be able to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compatibility {
    /// Anything.
    None,
    /// Read what the version before it has written.
    #[default]
    Backward,
    /// Read what all versions before it have written.
    BackwardTransitive,
    /// Write what the version before it can read.
    Forward,
    /// Write what all versions before it can read.
    ForwardTransitive,
    /// Both, with the version before it.
    Full,
    /// Both, with all versions before it.
    FullTransitive,
}

impl Compatibility {
    /// Those of `versions` (the oldest first) that a new one has to get along with.
    fn partners<'a>(self, versions: &[&'a Schema]) -> Vec<&'a Schema> {
        match self {
            Self::None => Vec::new(),
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive => {
                versions.iter().rev().copied().collect()
            }
            _ => versions.last().copied().into_iter().collect(),
        }
    }

    /// What keeps `new` from following `versions`; empty if nothing does.
    #[must_use]
    pub fn problems(self, new: &Schema, versions: &[&Schema]) -> Vec<String> {
        let mut found = Vec::new();
        for old in self.partners(versions) {
            if old.kind != new.kind {
                found.push(format!("the version before is {}, and this is {}", old.kind, new.kind));
            } else if new.kind == "AVRO" {
                found.extend(self.problems_of_avro(&old.text, &new.text));
            }
        }
        found
    }

    fn problems_of_avro(self, old: &str, new: &str) -> Vec<String> {
        let (Ok(old), Ok(new)) = (Avro::parse_str(old), Avro::parse_str(new)) else {
            // Schemas that refer to others are looked at by their readers.
            return Vec::new();
        };
        let mut found = Vec::new();
        let (backward, forward) = match self {
            Self::Backward | Self::BackwardTransitive => (true, false),
            Self::Forward | Self::ForwardTransitive => (false, true),
            _ => (true, true),
        };
        if backward && let Err(why) = SchemaCompatibility::can_read(&old, &new) {
            found.push(format!("the new schema cannot read what was written before: {why}"));
        }
        if forward && let Err(why) = SchemaCompatibility::can_read(&new, &old) {
            found.push(format!("what the new schema writes cannot be read by the old one: {why}"));
        }
        found
    }
}
