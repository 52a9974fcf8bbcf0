//! Taking snapshots of one task.

use super::{
    archive::{Created, Shelf},
    manifest::{Content, Manifest, Part, SpaceParts},
    names::{self, SnapshotId},
    part::{self, Cut, Cutter, Open},
};
use crate::{
    error::{Error, Result},
    failpoints::failpoint,
    state::{Frozen, Mark, Space, SpaceName, Store},
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{sync::mpsc, task::JoinSet};

/// Parts of one snapshot that are on their way at a time.
const UPLOADS: usize = 4;
/// How often another owner may be faster with a claim.
const CLAIM_TRIES: u64 = 100;

/// Who takes the snapshots of a task, from [`Writer::claim`] until another one claims them.
pub struct Writer {
    shelf: Shelf,
    /// Partitions of the topic; 0 if that is not known.
    partitions: i32,
    /// By their place.
    spaces: Vec<SpaceName>,
    cut: Cut,
    epoch: u64,
    sequence: u64,
    /// Parts of the newest snapshot, by the hash of their content.
    known: HashMap<String, Part>,
    /// Mark of the last one, and what the store had written then.
    last: Option<(Mark, u64)>,
}

/// What came of taking one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing is in the store, or nothing that the last snapshot does not have.
    Unchanged,
    /// Another owner has claimed the task: this one is a zombie, and has written no manifest.
    Fenced {
        /// The epoch of the newer owner.
        by: u64,
    },
    /// It is complete.
    Done(Box<Summary>),
}

/// A snapshot that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Which one.
    pub id: SnapshotId,
    /// What it has seen.
    pub mark: Mark,
    /// When it was taken, in ms since 1970.
    pub created_ms: i64,
    /// Rows in it that handlers and tables have written.
    pub rows: u64,
    /// Parts uploaded for it.
    pub uploaded_parts: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Parts that were there already.
    pub skipped_parts: u64,
    /// Their bytes.
    pub skipped_bytes: u64,
}

/// One part as the scan makes it: new with its bytes, or one that is known.
enum Made {
    New(Part, Bytes),
    Known(Part),
}

impl Writer {
    /// Becomes the owner of the snapshots of a task: whoever was it before can complete no more. `owner` is
    /// for people: who and where.
    ///
    /// # Errors
    ///
    /// [`Error::State`]: the object store does not answer.
    pub async fn claim(
        shelf: Shelf,
        partitions: i32,
        spaces: Vec<SpaceName>,
        owner: &str,
    ) -> Result<Self> {
        for name in spaces.iter().map(SpaceName::name) {
            if !names::is_name(name) {
                return Err(Error::Config(format!("snapshots: a space cannot be called {name:?}")));
            }
        }
        let newest = shelf.list().await?.into_iter().next();
        let above = newest.as_ref().map_or(0, |listed| listed.id.epoch);
        let mut epoch = latest_owner(&shelf).await?.max(above) + 1;
        let first = epoch;
        // Two claims are never the same bytes: whoever finds its own there knows that it was first.
        let claim = serde_json::json!({
            "claim": uuid::Uuid::new_v4(), "owner": owner, "at_ms": now_ms(),
        });
        let claim = Bytes::from(claim.to_string());
        while shelf.create("owners", &names::owner_file(epoch), claim.clone()).await?
            == Created::Taken
        {
            epoch += 1;
            if epoch > first + CLAIM_TRIES {
                return Err(Error::State(format!(
                    "snapshots of {}: other workers claim them all the time",
                    shelf.unit
                )));
            }
        }
        let mut writer = Self {
            shelf,
            partitions,
            spaces,
            cut: Cut::default(),
            epoch,
            sequence: 0,
            known: HashMap::new(),
            last: None,
        };
        if let Some(newest) = newest {
            writer.know(newest.id).await?;
        }
        Ok(writer)
    }

    /// As it is, with parts of another size.
    #[must_use]
    pub fn with_cut(mut self, cut: Cut) -> Self {
        self.cut = cut;
        self
    }

    /// Where they are.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Learns which parts of the newest snapshot are there in full.
    async fn know(&mut self, id: SnapshotId) -> Result<()> {
        let Ok(manifest) = self.shelf.manifest(id).await? else { return Ok(()) };
        let sizes: HashMap<String, u64> = self
            .shelf
            .files("parts")
            .await?
            .into_iter()
            .map(|(file, _, size)| (file, size))
            .collect();
        let whole = |part: &&Part| sizes.get(&part.file()) == Some(&part.stored_bytes);
        let parts = manifest.parts().filter(whole);
        self.known = parts.map(|part| (part.sha256.clone(), part.clone())).collect();
        Ok(())
    }

    /// Takes a snapshot of what `store` has at the moment of the call or a little later.
    ///
    /// # Errors
    ///
    /// If the store cannot be read or the object store does not answer. Parts may be there then; without a
    /// manifest they are none of a snapshot.
    pub async fn take(&mut self, store: &Arc<dyn Store>) -> Result<Taken> {
        let written = store.written_bytes();
        let Some((content, counted)) = self.upload(store, written).await? else {
            return Ok(Taken::Unchanged);
        };
        let mark = content.mark;
        failpoint!("snapshot::uploaded");
        let newest = latest_owner(&self.shelf).await?;
        if newest > self.epoch {
            return Ok(Taken::Fenced { by: newest });
        }
        self.sequence += 1;
        let id = SnapshotId { epoch: self.epoch, sequence: self.sequence, next: mark.next };
        let manifest = Manifest::new(&self.shelf.unit, self.partitions, id, content, now_ms());
        let bytes = Bytes::from(manifest.encode()?);
        if self.shelf.create("manifests", &id.file(), bytes).await? == Created::Taken {
            return Ok(Taken::Fenced { by: self.epoch });
        }
        failpoint!("snapshot::completed");
        self.known = manifest.parts().map(|p| (p.sha256.clone(), p.clone())).collect();
        self.last = Some((mark, written));
        let (created_ms, rows) = (manifest.created_ms, manifest.kept_rows());
        Ok(Taken::Done(Box::new(Summary { id, mark, created_ms, rows, ..counted })))
    }

    /// Uploads every part that is not there; none if there is nothing to take.
    async fn upload(
        &self,
        store: &Arc<dyn Store>,
        written: u64,
    ) -> Result<Option<(Content, Summary)>> {
        let (made, mut parts) = mpsc::channel(UPLOADS);
        let scan = Scan {
            spaces: self.spaces.len(),
            cut: self.cut,
            epoch: self.epoch,
            known: self.known.clone(),
            last: self.last.filter(|(_, last)| *last == written).map(|(mark, _)| mark),
        };
        let store = Arc::clone(store);
        let scanning = tokio::task::spawn_blocking(move || scan.run(&*store, &made));
        let mut spaces: Vec<_> = self.spaces.iter().map(SpaceParts::new).collect();
        let mut counted = Summary::nothing();
        let mut uploads = JoinSet::new();
        while let Some((space, made)) = parts.recv().await {
            let part = match made {
                Made::Known(part) => {
                    counted.skipped_parts += 1;
                    counted.skipped_bytes += part.stored_bytes;
                    part
                }
                Made::New(part, bytes) => {
                    if uploads.len() >= UPLOADS {
                        finished(uploads.join_next().await)?;
                    }
                    counted.uploaded_parts += 1;
                    counted.uploaded_bytes += part.stored_bytes;
                    let (shelf, file) = (self.shelf.clone(), part.file());
                    uploads.spawn(async move { shelf.put("parts", &file, bytes).await });
                    part
                }
            };
            spaces[usize::from(space.0)].parts.push(part);
        }
        while !uploads.is_empty() {
            finished(uploads.join_next().await)?;
        }
        let seen = scanning.await.map_err(|error| gone(&error))??;
        Ok(seen.map(|(mark, note)| (Content { mark, note, spaces }, counted)))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// The part of taking a snapshot that reads the store; it blocks.
struct Scan {
    spaces: usize,
    cut: Cut,
    epoch: u64,
    known: HashMap<String, Part>,
    /// Nothing has changed if the store is still there.
    last: Option<Mark>,
}

type Sender = mpsc::Sender<(Space, Made)>;

impl Scan {
    /// Mark and note of what it has sent; none if there is nothing new.
    fn run(&self, store: &dyn Store, parts: &Sender) -> Result<Option<(Mark, Option<Vec<u8>>)>> {
        let (note, mut seen) = (store.note()?, None);
        store.freeze(&mut |view| {
            let mark = view.mark()?.filter(|mark| self.last != Some(*mark));
            if mark.is_some() {
                (0_u16..)
                    .take(self.spaces)
                    .try_for_each(|at| self.space(view, Space(at), parts))?;
            }
            seen = mark;
            Ok(())
        })?;
        Ok(seen.map(|mark| (mark, note)))
    }

    fn space(&self, view: &dyn Frozen, space: Space, parts: &Sender) -> Result<()> {
        let mut cutter = Cutter::new(self.cut);
        view.scan(space, b"", &mut |key, value| match cutter.push(key, value)? {
            Some(open) => self.send(space, &open, parts),
            None => Ok(()),
        })?;
        cutter.finish().map_or(Ok(()), |open| self.send(space, &open, parts))
    }

    fn send(&self, space: Space, open: &Open, parts: &Sender) -> Result<()> {
        let sha256 = part::sha256(&open.content);
        let made = match self.known.get(&sha256) {
            Some(part) => Made::Known(part.clone()),
            None => {
                let stored = Bytes::from(part::compress(&open.content)?);
                let (bytes, stored_bytes) = (open.content.len() as u64, stored.len() as u64);
                let (epoch, rows) = (self.epoch, open.rows);
                Made::New(Part { sha256, epoch, rows, bytes, stored_bytes }, stored)
            }
        };
        // Nobody listens any more after an upload that failed.
        parts.blocking_send((space, made)).map_err(|_| Error::Stopped)
    }
}

impl Summary {
    fn nothing() -> Self {
        Self {
            id: SnapshotId { epoch: 0, sequence: 0, next: 0 },
            mark: Mark { next: 0, token: 0, hash: 0, log: -1 },
            created_ms: 0,
            rows: 0,
            uploaded_parts: 0,
            uploaded_bytes: 0,
            skipped_parts: 0,
            skipped_bytes: 0,
        }
    }
}

fn finished(upload: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    upload.map_or(Ok(()), |upload| upload.map_err(|error| gone(&error))?)
}

fn gone(error: &tokio::task::JoinError) -> Error {
    Error::State(format!("snapshots: a thread has ended: {error}"))
}

/// The epoch of the newest owner; 0 if there was none.
pub(super) async fn latest_owner(shelf: &Shelf) -> Result<u64> {
    let owners = shelf.files("owners").await?;
    Ok(owners.iter().filter_map(|(file, ..)| names::read_owner(file)).max().unwrap_or(0))
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
