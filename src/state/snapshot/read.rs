//! Restoring a store from the freshest snapshot that is whole.

use super::{
    archive::Shelf,
    manifest::{Manifest, Part},
    names::SnapshotId,
    part,
};
use crate::{
    error::{Error, Result},
    failpoints::failpoint,
    state::{Delta, Mark, Space, SpaceName, Store, Writes},
};
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::JoinSet;

/// Parts that are fetched at a time.
const FETCHES: usize = 4;
/// Bytes of keys and values that go into the store together.
const LOAD_BYTES: usize = 1 << 20;

/// Why a store with this note does not suit; none if it does.
type Judge = dyn Fn(&[u8]) -> Option<String> + Send + Sync;

/// Says why the note of a store does not suit.
#[derive(Clone)]
pub struct Refuse(pub Arc<Judge>);

impl fmt::Debug for Refuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refuse")
    }
}

/// Which snapshots suit.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only this one.
    pub id: Option<SnapshotId>,
    /// None that has seen more of the input than this offset.
    pub upto: Option<i64>,
    /// Partitions that the topic has; none: any number.
    pub partitions: Option<i32>,
    /// None of a store whose note this refuses.
    pub refuse: Option<Refuse>,
}

/// What a store has been restored from.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What it has seen.
    pub mark: Mark,
    /// Which snapshot.
    pub manifest: Manifest,
    /// Fresher ones that could not be used, each with the reason.
    pub passed_over: Vec<String>,
    /// Spaces of the snapshot that the store does not have; their rows are left out.
    pub left_out: Vec<String>,
}

/// Parts that have been fetched and are what their manifest says, on local disk.
pub struct Staged {
    manifest: Manifest,
    passed_over: Vec<String>,
    files: tempfile::TempDir,
}

impl Shelf {
    /// Fetches the freshest snapshot that is `wanted` and whole into a folder below `staging`; none if
    /// there is no snapshot at all that is wanted.
    ///
    /// # Errors
    ///
    /// [`Error::State`]: the object store does not answer, or there are snapshots and not one is whole; the
    /// sentence names each with its damage.
    pub async fn fetch(&self, wanted: &Wanted, staging: &Path) -> Result<Option<Staged>> {
        let suits = |id: SnapshotId| {
            wanted.id.is_none_or(|only| only == id)
                && wanted.upto.is_none_or(|upto| id.next <= upto)
        };
        let mut passed_over = Vec::new();
        for listed in self.list().await?.into_iter().filter(|listed| suits(listed.id)) {
            match self.fetch_one(listed.id, wanted, staging).await? {
                Ok((manifest, files)) => return Ok(Some(Staged { manifest, passed_over, files })),
                Err(why) => {
                    let said = format!("{}: {why}", listed.id);
                    tracing::warn!(target: "turbine.state", "{}: snapshot {said}; trying an older one", self.unit());
                    passed_over.push(said);
                }
            }
        }
        if passed_over.is_empty() {
            return Ok(None);
        }
        Err(Error::State(format!(
            "snapshots of {}: not one of {} can be used: {}",
            self.unit(),
            passed_over.len(),
            passed_over.join("; ")
        )))
    }

    async fn fetch_one(
        &self,
        id: SnapshotId,
        wanted: &Wanted,
        staging: &Path,
    ) -> Result<Result<(Manifest, tempfile::TempDir), String>> {
        let manifest = match self.manifest(id).await {
            Ok(Ok(manifest)) => manifest,
            Ok(Err(why)) => return Ok(Err(why)),
            // The listing was answered: it is this object that is not given out whole.
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Some(partitions) = wanted.partitions
            && manifest.partitions != 0
            && manifest.partitions != partitions
        {
            return Ok(Err(format!(
                "the topic had {} partitions then and has {partitions} now",
                manifest.partitions
            )));
        }
        let note = manifest.note().unwrap_or_default();
        if let Some(why) = wanted.refuse.as_ref().and_then(|refuse| (refuse.0)(&note)) {
            return Ok(Err(why));
        }
        let files = folder(staging)?;
        let mut rest = distinct(&manifest);
        let (mut fetches, mut damage) = (JoinSet::new(), None);
        while !rest.is_empty() || !fetches.is_empty() {
            if let Some(part) = (fetches.len() < FETCHES).then(|| rest.pop()).flatten() {
                let (shelf, to) = (self.clone(), files.path().join(part.file()));
                fetches.spawn(async move { shelf.fetch_part(part, to).await });
            } else if let Some(fetched) = fetches.join_next().await
                && let Err(why) =
                    fetched.map_err(|error| gone(&error))?.unwrap_or_else(|e| Err(e.to_string()))
            {
                // Those on their way end first: they write into the folder.
                damage = damage.or(Some(why));
                rest.clear();
            }
        }
        Ok(damage.map_or(Ok((manifest, files)), Err))
    }

    /// Fetches a part and writes it to `to` if it is what its manifest says.
    async fn fetch_part(&self, part: Part, to: PathBuf) -> Result<Result<(), String>> {
        let file = part.file();
        let bytes = match self.get("parts", &file, part.stored_bytes).await? {
            Ok(bytes) => bytes,
            Err(why) => return Ok(Err(format!("its part {file} {why}"))),
        };
        let stored = tokio::task::spawn_blocking(move || match check(&bytes, &part) {
            Ok(()) => write(&to, &bytes).map(Ok),
            Err(why) => Ok(Err(why)),
        });
        let stored = stored.await.map_err(|error| gone(&error))??;
        Ok(stored.map_err(|why| format!("its part {file} {why}")))
    }
}

impl Staged {
    /// What has been fetched.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Replaces everything that `store` has, which has `spaces`. Blocks for the disk. An
    /// interrupted one leaves a store without a mark.
    ///
    /// # Errors
    ///
    /// If the store cannot be written or the local copy of a part has changed meanwhile; the store is
    /// without a mark then.
    pub fn load(self, store: &dyn Store, spaces: &[SpaceName]) -> Result<Restored> {
        failpoint!("snapshot::fetched");
        store.clear()?;
        failpoint!("snapshot::cleared");
        let mut left_out = Vec::new();
        for space in &self.manifest.spaces {
            let at = spaces.iter().position(|known| known.name() == space.name);
            let Some(at) = at.and_then(|at| u16::try_from(at).ok()) else {
                if !space.parts.is_empty() {
                    left_out.push(space.name.clone());
                }
                continue;
            };
            for part in &space.parts {
                self.load_part(store, Space(at), part)?;
            }
        }
        if let Some(note) = self.manifest.note() {
            store.set_note(&note)?;
        }
        failpoint!("snapshot::loaded");
        let mark = self.manifest.mark();
        store.commit(&Delta::default(), mark)?;
        let Self { manifest, passed_over, .. } = self;
        Ok(Restored { mark, manifest, passed_over, left_out })
    }

    fn load_part(&self, store: &dyn Store, space: Space, part: &Part) -> Result<()> {
        let path = self.files.path().join(part.file());
        let stored = std::fs::read(&path)
            .map_err(|error| Error::io(format!("reading {}", path.display()), &error))?;
        let content = part::open(&stored, part.bytes, &part.sha256)
            .map_err(|why| Error::State(format!("{} {why}", path.display())))?;
        let (mut writes, mut bytes) = (Writes::default(), 0);
        part::rows(&content, |key, value| {
            bytes += key.len() + value.len();
            writes.0.push((key.to_vec(), Some(value.to_vec())));
            if bytes < LOAD_BYTES {
                return Ok(());
            }
            bytes = 0;
            store.load(&Delta(vec![(space, std::mem::take(&mut writes))]))
        })?;
        store.load(&Delta(vec![(space, writes)]))
    }
}

fn distinct(manifest: &Manifest) -> Vec<Part> {
    let mut seen = BTreeSet::new();
    manifest.parts().filter(|part| seen.insert(part.file())).cloned().collect()
}

fn check(stored: &Bytes, part: &Part) -> Result<(), String> {
    if stored.len() as u64 != part.stored_bytes {
        return Err(format!("has {} bytes instead of {}", stored.len(), part.stored_bytes));
    }
    let content = part::open(stored, part.bytes, &part.sha256)?;
    match part::rows(&content, |_, _| Ok(())) {
        Ok(rows) if rows == part.rows => Ok(()),
        Ok(rows) => Err(format!("has {rows} rows instead of {}", part.rows)),
        Err(error) => Err(error.to_string()),
    }
}

fn write(path: &Path, bytes: &Bytes) -> Result<()> {
    std::fs::write(path, bytes)
        .map_err(|error| Error::io(format!("writing {}", path.display()), &error))
}

fn folder(staging: &Path) -> Result<tempfile::TempDir> {
    std::fs::create_dir_all(staging)
        .and_then(|()| tempfile::Builder::new().prefix("restore-").tempdir_in(staging))
        .map_err(|error| Error::io(format!("creating a folder in {}", staging.display()), &error))
}

fn gone(error: &tokio::task::JoinError) -> Error {
    Error::State(format!("snapshots: a thread has ended: {error}"))
}
