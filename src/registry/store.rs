//! What is registered, in memory and in a file.

use super::Compatibility;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A schema with its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// From 1.
    pub id: u32,
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// What it refers to: objects with `name`, `subject` and `version`.
    pub references: Vec<Value>,
}

impl Schema {
    /// Is it the same but for its id, and for spaces?
    fn says(&self, other: &Self) -> bool {
        let plain = |text: &str| serde_json::from_str::<Value>(text).ok();
        let is_same = || match (plain(&self.text), plain(&other.text)) {
            (Some(a), Some(b)) => a == b,
            _ => self.text == other.text,
        };
        self.kind == other.kind && self.references == other.references && is_same()
    }
}

/// What is kept of one subject.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Subject {
    /// Number and id of each version, in order; numbers of deleted ones are not given again.
    pub versions: Vec<(u32, u32)>,
    /// Versions ever given.
    pub given: u32,
    /// Its own setting.
    pub compatibility: Option<Compatibility>,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub schemas: BTreeMap<u32, Schema>,
    pub subjects: BTreeMap<String, Subject>,
    pub compatibility: Compatibility,
}

impl State {
    pub(super) fn versions(&self, subject: &str) -> Vec<(u32, &Schema)> {
        let versions = self.subjects.get(subject).into_iter().flat_map(|s| &s.versions);
        versions.filter_map(|(number, id)| Some((*number, self.schemas.get(id)?))).collect()
    }

    /// Version and schema of what says the same as `schema` under `subject`.
    pub(super) fn find(&self, subject: &str, schema: &Schema) -> Option<(u32, &Schema)> {
        self.versions(subject).into_iter().find(|(_, known)| known.says(schema))
    }

    pub(super) fn compatibility_of(&self, subject: &str) -> Compatibility {
        let own = self.subjects.get(subject).and_then(|s| s.compatibility);
        own.unwrap_or(self.compatibility)
    }

    /// Adds `schema` as the next version of `subject`; its id.
    pub(super) fn add(&mut self, subject: &str, mut schema: Schema) -> u32 {
        let known = self.schemas.values().find(|known| known.says(&schema)).map(|s| s.id);
        let id = known.unwrap_or_else(|| self.schemas.keys().last().map_or(1, |last| last + 1));
        schema.id = id;
        self.schemas.entry(id).or_insert(schema);
        let subject = self.subjects.entry(subject.into()).or_default();
        subject.given += 1;
        subject.versions.push((subject.given, id));
        id
    }
}

/// The schemas of one registry.
pub struct Schemas {
    pub(super) state: Mutex<State>,
    file: Option<PathBuf>,
}

impl Schemas {
    /// Nothing registered, or what `file` holds, in which changes are kept.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file is there and cannot be read.
    pub fn new(file: Option<PathBuf>) -> Result<Self> {
        let state = match &file {
            Some(path) if path.exists() => read(path)?,
            _ => State::default(),
        };
        Ok(Self { state: Mutex::new(state), file })
    }

    /// Changes the state, in the file first; after an error nothing has changed.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        let made = change(&mut next);
        if let Some(path) = &self.file {
            write(path, &next)?;
        }
        *state = next;
        Ok(made)
    }
}

fn read(path: &Path) -> Result<State> {
    let what = || format!("schema registry: {}", path.display());
    let bytes = fs::read(path).map_err(|e| Error::io(what(), &e))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::Io { what: what(), message: format!("not its file: {e}") })
}

fn write(path: &Path, state: &State) -> Result<()> {
    let what = |e: std::io::Error| Error::io(format!("schema registry: {}", path.display()), &e);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(what)?;
    }
    let new = path.with_extension("new");
    let bytes = serde_json::to_vec(state).expect("plain values");
    fs::write(&new, bytes).map_err(what)?;
    fs::rename(&new, path).map_err(what)
}
