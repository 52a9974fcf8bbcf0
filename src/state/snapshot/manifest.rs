//! What says which parts are a snapshot; it is written last, and only once.

use super::{
    names::{self, SnapshotId, Unit},
    part,
};
use crate::{
    error::{Error, Result},
    state::{Mark, SpaceName, names::Layout},
};
use serde::{Deserialize, Serialize};

/// Of the form that is written; a reader knows no other.
const VERSION: u32 = 1;
/// What the names of the engine's own spaces begin with.
const OWN: &str = "turbine.";
/// A part has no more bytes than this, before and after compression.
const MOST_PART_BYTES: u64 = 5 << 30;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// Id of the app.
    pub app: String,
    /// Name of the subscription, or what stands for the agents.
    pub name: String,
    /// Topic that the task reads.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Partitions of the topic; 0 if that was not known.
    pub partitions: i32,
    /// How often the task had changed its owner.
    pub epoch: u64,
    /// Number among the snapshots of that owner.
    pub sequence: u64,
    mark: Marked,
    /// When it was taken, in ms since 1970.
    pub created_ms: i64,
    /// Rows of all spaces.
    pub rows: u64,
    /// Bytes of all parts before compression.
    pub bytes: u64,
    /// Bytes of all parts as stored.
    pub stored_bytes: u64,
    /// What is noted about the content as a whole, in hexadecimal digits.
    note: Option<String>,
    /// The keyspaces, in the order that the task had them.
    pub spaces: Vec<SpaceParts>,
    /// SHA-256 of this document with an empty string here.
    sha256: String,
}

/// What a store had.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) mark: Mark,
    pub(super) note: Option<Vec<u8>>,
    pub(super) spaces: Vec<SpaceParts>,
}

/// [`Mark`]; what has 64 bits and is no count is text, because readers of JSON round numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marked {
    next: i64,
    token: String,
    hash: String,
    log: i64,
}

/// One keyspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceParts {
    /// Its name; the place it has may change.
    pub name: String,
    layout: Layout,
    /// In the order of their rows.
    pub parts: Vec<Part>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Of its content.
    pub sha256: String,
    /// The owner who has uploaded it.
    pub epoch: u64,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of its content.
    pub bytes: u64,
    /// Bytes of the file.
    pub stored_bytes: u64,
}

impl SpaceParts {
    /// A space without rows.
    pub(super) fn new(space: &SpaceName) -> Self {
        Self { name: space.name.clone(), layout: space.layout, parts: Vec::new() }
    }

    /// The space as its owner opens it.
    #[must_use]
    pub fn space(&self) -> SpaceName {
        SpaceName { name: self.name.clone(), layout: self.layout }
    }
}

impl Part {
    pub(super) fn file(&self) -> String {
        names::part_file(self.epoch, &self.sha256)
    }
}

impl Manifest {
    pub(super) fn new(
        unit: &Unit,
        partitions: i32,
        id: SnapshotId,
        content: Content,
        created_ms: i64,
    ) -> Self {
        let Content { mark, note, spaces } = content;
        let parts = || spaces.iter().flat_map(|space| &space.parts);
        Self {
            version: VERSION,
            app: unit.app.clone(),
            name: unit.name.clone(),
            topic: unit.topic.clone(),
            partition: unit.partition,
            partitions,
            epoch: id.epoch,
            sequence: id.sequence,
            mark: Marked {
                next: mark.next,
                token: format!("{:016x}", mark.token),
                hash: format!("{:016x}", mark.hash),
                log: mark.log,
            },
            created_ms,
            rows: parts().map(|part| part.rows).sum(),
            bytes: parts().map(|part| part.bytes).sum(),
            stored_bytes: parts().map(|part| part.stored_bytes).sum(),
            note: note.as_deref().map(part::hex),
            spaces,
            sha256: String::new(),
        }
    }

    /// Rows that handlers and tables have written, for people: without those of the engine's own, which say how far
    /// inputs and changelogs are.
    #[must_use]
    pub fn kept_rows(&self) -> u64 {
        let spaces = self.spaces.iter().filter(|space| !space.name.starts_with(OWN));
        spaces.flat_map(|space| &space.parts).map(|part| part.rows).sum()
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        SnapshotId { epoch: self.epoch, sequence: self.sequence, next: self.mark.next }
    }

    /// What the content has seen.
    ///
    /// # Panics
    ///
    /// Never: what [`Manifest::decode`] gives has been checked.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let number = |text| u64::from_str_radix(text, 16).expect("checked when it was read");
        let Marked { next, token, hash, log } = &self.mark;
        Mark { next: *next, token: number(token), hash: number(hash), log: *log }
    }

    /// What was noted about the content as a whole.
    ///
    /// # Panics
    ///
    /// Never: what [`Manifest::decode`] gives has been checked.
    #[must_use]
    pub fn note(&self) -> Option<Vec<u8>> {
        Some(part::unhex(self.note.as_deref()?).expect("checked when it was read"))
    }

    /// Every part, in the order of the spaces.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.spaces.iter().flat_map(|space| &space.parts)
    }

    fn checksum(&self) -> Result<String> {
        let blank = Self { sha256: String::new(), ..self.clone() };
        let text = serde_json::to_vec(&blank)
            .map_err(|error| Error::Encode(format!("the manifest of a snapshot: {error}")))?;
        Ok(part::sha256(&text))
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let signed = Self { sha256: self.checksum()?, ..self.clone() };
        serde_json::to_vec(&signed)
            .map_err(|error| Error::Encode(format!("the manifest of a snapshot: {error}")))
    }

    /// The manifest `id` of `unit` that `bytes` are.
    ///
    /// # Errors
    ///
    /// A sentence, if they are anything else.
    pub(super) fn decode(bytes: &[u8], unit: &Unit, id: SnapshotId) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        if read.version != VERSION {
            return Err(format!("it has form {}, this release reads {VERSION}", read.version));
        }
        if read.checksum().map_err(|error| error.to_string())? != read.sha256 {
            return Err("its manifest has another SHA-256 than it says".into());
        }
        let Self { app, name, topic, .. } = &read;
        let theirs = Unit {
            app: app.clone(),
            name: name.clone(),
            topic: topic.clone(),
            partition: read.partition,
        };
        if theirs != *unit || read.id() != id {
            return Err(format!("its manifest is that of {theirs}, snapshot {}", read.id()));
        }
        read.check()?;
        Ok(read)
    }

    /// What follows from the checksum, if nobody has made one: names are names, sums are sums.
    fn check(&self) -> Result<(), String> {
        let is_number = |text: &str| u64::from_str_radix(text, 16).is_ok();
        let fits = |part: &Part| {
            names::is_hash(&part.sha256) && part.bytes.max(part.stored_bytes) <= MOST_PART_BYTES
        };
        let named = self.spaces.iter().all(|space| names::is_name(&space.name));
        let noted = self.note.as_deref().is_none_or(|note| part::unhex(note).is_some());
        let good = is_number(&self.mark.token) && is_number(&self.mark.hash) && self.mark.next >= 0;
        let sum = self.parts().map(|part| u128::from(part.rows)).sum::<u128>();
        if named && noted && good && self.parts().all(fits) && sum == u128::from(self.rows) {
            Ok(())
        } else {
            Err("its manifest names what no snapshot has".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit() -> Unit {
        Unit { app: "a".into(), name: "n".into(), topic: "t".into(), partition: 1 }
    }

    fn manifest() -> Manifest {
        let id = SnapshotId { epoch: 3, sequence: 4, next: 500 };
        let mark = Mark { next: 500, token: u64::MAX, hash: 7, log: -1 };
        let part =
            Part { sha256: part::sha256(b"x"), epoch: 2, rows: 5, bytes: 90, stored_bytes: 60 };
        let parts = vec![part.clone(), part];
        let spaces = vec![SpaceParts { parts, ..SpaceParts::new(&SpaceName::plain("state")) }];
        let content = Content { mark, note: Some(b"cluster".to_vec()), spaces };
        Manifest::new(&unit(), 8, id, content, 1_700_000_000_000)
    }

    #[test]
    fn a_manifest_is_read_back() {
        let (bytes, id) = (manifest().encode().unwrap(), manifest().id());
        let read = Manifest::decode(&bytes, &unit(), id).unwrap();
        assert_eq!((read.mark(), read.rows, read.bytes), (manifest().mark(), 10, 180));
        assert_eq!(read.note().unwrap(), b"cluster");
        let other = Unit { partition: 2, ..unit() };
        let said = Manifest::decode(&bytes, &other, id).unwrap_err();
        assert!(said.contains("is that of n t[1]"), "{said}");
        let said = Manifest::decode(&bytes, &unit(), SnapshotId { next: 7, ..id }).unwrap_err();
        assert!(said.contains("snapshot 3-4-500"), "{said}");
    }

    #[test]
    fn people_are_told_of_the_rows_that_are_theirs() {
        let mut manifest = manifest();
        let own = SpaceParts::new(&SpaceName::plain("turbine.inputs"));
        manifest.spaces.push(SpaceParts { parts: manifest.spaces[0].parts.clone(), ..own });
        assert_eq!(manifest.kept_rows(), 10);
    }

    #[test]
    fn a_checksum_that_fits_makes_no_bad_manifest_good() {
        for change in [
            |m: &mut Manifest| m.spaces[0].parts[0].sha256 = "../../../etc/passwd".into(),
            |m: &mut Manifest| m.spaces[0].name = "..".into(),
            |m: &mut Manifest| m.mark.token = "x".into(),
            |m: &mut Manifest| m.mark.next = -1,
            |m: &mut Manifest| m.rows = 11,
            |m: &mut Manifest| m.spaces[0].parts[0].bytes = u64::MAX,
            |m: &mut Manifest| m.note = Some("0g".into()),
            |m: &mut Manifest| m.version = 2,
        ] {
            let mut bad = manifest();
            change(&mut bad);
            let id = bad.id();
            assert!(Manifest::decode(&bad.encode().unwrap(), &unit(), id).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_wrong_byte_is_never_another_manifest(at: prop::sample::Index, byte: u8) {
            let mut bytes = manifest().encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Manifest::decode(&bytes, &unit(), manifest().id()) {
                prop_assert_eq!(read.encode().unwrap(), manifest().encode().unwrap());
            }
        }
    }
}
