//! The snapshots of a place, and requests to it with a deadline.

use super::{
    manifest::Manifest,
    names::{self, SnapshotId, Unit},
    place::{Place, plain},
};
use crate::error::{Error, Result};
use bytes::Bytes;
use object_store::{ListResult, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, path::Path};
use std::time::Duration;

/// Longest time of one request, with everything that the client tries again.
const DEADLINE: Duration = Duration::from_secs(60);
/// A manifest is not larger; 100,000 parts have 20 MB.
const MOST_MANIFEST_BYTES: u64 = 256 << 20;

/// Everything under one URL.
#[derive(Clone)]
pub struct Archive {
    place: Place,
}

/// The snapshots of one task.
#[derive(Clone)]
pub struct Shelf {
    place: Place,
    pub(super) unit: Unit,
    folder: Path,
}

/// A snapshot that is listed; its manifest has not been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub id: SnapshotId,
    /// When it was complete, by the clock of the object store, in ms since 1970.
    pub at_ms: i64,
}

/// What writing an object that must be new has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    New,
    /// Somebody else has written one of this name.
    Taken,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({})", self.place.shown)
    }
}

impl Archive {
    /// The archive at `url`; credentials come from the environment. Contacts nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: the URL cannot be used; the sentence says what to write.
    pub fn open(url: &str) -> Result<Self> {
        Ok(Self { place: Place::open(url)? })
    }

    /// The URL, for messages.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.place.shown
    }

    /// The snapshots of `unit`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: one of its names cannot be a folder.
    pub fn of(&self, unit: &Unit) -> Result<Shelf> {
        let folder = names::folder_of(&self.place.folder, unit)?;
        Ok(Shelf { place: self.place.clone(), unit: unit.clone(), folder })
    }

    /// Every unit that has a folder, of one app or of all.
    ///
    /// # Errors
    ///
    /// [`Error::State`]: the object store does not answer.
    pub async fn units(&self, app: Option<&str>) -> Result<Vec<Unit>> {
        let mut found = Vec::new();
        let root = &self.place.folder;
        let apps = match app {
            Some(app) => vec![app.to_owned()],
            None => self.folders(root).await?,
        };
        for app in apps {
            let in_app = root.clone().join(app.as_str());
            for name in self.folders(&in_app).await? {
                let in_name = in_app.clone().join(name.as_str());
                for topic in self.folders(&in_name).await? {
                    for partition in self.folders(&in_name.clone().join(topic.as_str())).await? {
                        let (app, name, topic) = (app.clone(), name.clone(), topic.clone());
                        found.extend(partition.parse().ok().map(|partition| Unit {
                            app,
                            name,
                            topic,
                            partition,
                        }));
                    }
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Names of the folders in `folder` that one of ours could have.
    async fn folders(&self, folder: &Path) -> Result<Vec<String>> {
        let listed = list(&self.place, folder).await?;
        let names =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned));
        Ok(names.filter(|name| names::is_name(name)).collect())
    }
}

impl Shelf {
    /// Whose they are.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Every snapshot, the freshest first.
    ///
    /// # Errors
    ///
    /// [`Error::State`]: the object store does not answer.
    pub async fn list(&self) -> Result<Vec<Listed>> {
        let mut found: Vec<Listed> = self
            .files("manifests")
            .await?
            .into_iter()
            .filter_map(|(file, at_ms, _)| Some(Listed { id: SnapshotId::read(&file)?, at_ms }))
            .collect();
        found.sort_by_key(|listed| std::cmp::Reverse(listed.id));
        Ok(found)
    }

    /// The manifest of a snapshot; in words why it is none.
    ///
    /// # Errors
    ///
    /// [`Error::State`]: the object store does not answer.
    pub async fn manifest(&self, id: SnapshotId) -> Result<Result<Manifest, String>> {
        match self.get("manifests", &id.file(), MOST_MANIFEST_BYTES).await? {
            Ok(bytes) => Ok(Manifest::decode(&bytes, &self.unit, id)),
            Err(missing) => Ok(Err(format!("its manifest {missing}"))),
        }
    }

    /// Name, time of the last change in ms since 1970 and size in bytes of every file in `folder`.
    pub(super) async fn files(&self, folder: &str) -> Result<Vec<(String, i64, u64)>> {
        let listed = list(&self.place, &self.folder.clone().join(folder)).await?;
        let file = |object: object_store::ObjectMeta| {
            let name = object.location.filename()?.to_owned();
            Some((name, object.last_modified.timestamp_millis(), object.size))
        };
        Ok(listed.objects.into_iter().filter_map(file).collect())
    }

    /// The content of a file of at most `most` bytes; in words why there is none.
    pub(super) async fn get(
        &self,
        folder: &str,
        file: &str,
        most: u64,
    ) -> Result<Result<Bytes, String>> {
        let path = self.path(folder, file);
        let read = async {
            let found = self.place.client.get(&path).await?;
            if found.meta.size > most {
                return Ok(Err(format!(
                    "has {} bytes, {most} at most were expected",
                    found.meta.size
                )));
            }
            let size = found.meta.size;
            let bytes = found.bytes().await?;
            if bytes.len() as u64 != size {
                return Ok(Err(format!("has {} bytes instead of {size}", bytes.len())));
            }
            Ok(Ok(bytes))
        };
        match timely(read).await {
            Ok(found) => Ok(found),
            Err(Failure::Client(object_store::Error::NotFound { .. })) => {
                Ok(Err("is missing".into()))
            }
            Err(failure) => Err(self.failed("reading", &path, &failure)),
        }
    }

    /// Writes a file, whether or not there is one.
    pub(super) async fn put(&self, folder: &str, file: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(folder, file);
        let write = self.place.client.put(&path, bytes.into());
        timely(write).await.map(|_| ()).map_err(|failure| self.failed("writing", &path, &failure))
    }

    /// Writes a file if there is none of its name. Trying again what was written and not answered is
    /// [`Created::New`] too: then the same bytes are there.
    pub(super) async fn create(&self, folder: &str, file: &str, bytes: Bytes) -> Result<Created> {
        let path = self.path(folder, file);
        let options = PutOptions::from(PutMode::Create);
        let write = self.place.client.put_opts(&path, bytes.clone().into(), options);
        match timely(write).await {
            Ok(_) => Ok(Created::New),
            Err(Failure::Client(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            )) => {
                let there = self.get(folder, file, bytes.len() as u64).await?;
                Ok(if there.is_ok_and(|there| there == bytes) {
                    Created::New
                } else {
                    Created::Taken
                })
            }
            Err(failure) => Err(self.failed("creating", &path, &failure)),
        }
    }

    /// Removes a file; one that is gone already is as good.
    pub(super) async fn remove(&self, folder: &str, file: &str) -> Result<()> {
        let path = self.path(folder, file);
        match timely(self.place.client.delete(&path)).await {
            Ok(()) | Err(Failure::Client(object_store::Error::NotFound { .. })) => Ok(()),
            Err(failure) => Err(self.failed("removing", &path, &failure)),
        }
    }

    fn path(&self, folder: &str, file: &str) -> Path {
        self.folder.clone().join(folder).join(file)
    }

    fn failed(&self, doing: &str, path: &Path, failure: &Failure) -> Error {
        self.place.failed(doing, path, failure)
    }
}

impl Place {
    fn failed(&self, doing: &str, path: &Path, failure: &Failure) -> Error {
        let message = match failure {
            Failure::Late => format!("no answer within {} s", DEADLINE.as_secs()),
            Failure::Client(error) => plain(error),
        };
        Error::State(format!("snapshots in {}: {doing} {path}: {message}", self.shown))
    }
}

/// Why a request came to nothing.
enum Failure {
    Late,
    Client(object_store::Error),
}

async fn timely<T>(request: impl Future<Output = object_store::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(answer) => answer.map_err(Failure::Client),
        Err(_) => Err(Failure::Late),
    }
}

/// What is in a folder; one that does not exist is empty.
async fn list(place: &Place, folder: &Path) -> Result<ListResult> {
    match timely(place.client.list_with_delimiter(Some(folder))).await {
        Ok(found) => Ok(found),
        Err(Failure::Client(object_store::Error::NotFound { .. })) => Ok(ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: object_store::Extensions::default(),
        }),
        Err(failure) => Err(place.failed("listing", folder, &failure)),
    }
}
