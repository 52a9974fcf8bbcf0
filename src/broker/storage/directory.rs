//! A data directory: a journal, and a directory of log files for each partition.
//!
//! ```text
//! data/lock                                  held by the broker that uses the directory
//!      journal
//!      logs/{topic id}/{partition}/{offset}.log
//! ```

use super::{
    journal::Journal,
    note::{Held, Note},
    segments::{FileStore, SEGMENT_BYTES},
};
use crate::{
    broker::log::{Log, SyncWork},
    error::{Error, Result},
};
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};
use tokio::sync::Notify;
use uuid::Uuid;

/// Format of the directory; another one is not touched.
const FORMAT: u32 = 1;

/// An open data directory.
pub(crate) struct Directory {
    logs: PathBuf,
    journal: Mutex<Journal>,
    /// Held as long as the directory is open.
    lock: Mutex<Option<File>>,
    /// Something was written since it was last synced.
    dirty: Notify,
}

impl Directory {
    /// Opens or makes a data directory.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if another broker uses it or its format is unknown, [`Error::Io`] otherwise.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| Error::io(format!("data directory {}", path.display()), &e);
        let logs = path.join("logs");
        fs::create_dir_all(&logs).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                let path = path.display();
                Error::Config(format!("data directory {path} is used by another broker"))
            }
            TryLockError::Error(e) => failed(e),
        })?;
        let mut journal = Journal::open(&path.join("journal")).map_err(failed)?;
        match &journal.held().cluster {
            Some((_, FORMAT)) => {}
            Some((_, other)) => {
                let path = path.display();
                return Err(Error::Config(format!(
                    "data directory {path} has format {other}, this broker reads format {FORMAT}"
                )));
            }
            None => {
                let id = Uuid::new_v4().simple().to_string();
                journal.append(&[Note::Cluster { id, format: FORMAT }]).map_err(failed)?;
            }
        }
        let (journal, lock) = (Mutex::new(journal), Mutex::new(Some(lock)));
        let directory = Self { logs, journal, lock, dirty: Notify::new() };
        directory.remove_orphans().map_err(failed)?;
        Ok(directory)
    }

    /// The notes that hold.
    pub(crate) fn held(&self) -> Held {
        self.journal.lock().held().clone()
    }

    /// The log of a partition, with what an earlier broker has left.
    pub(crate) fn open_log(&self, topic: Uuid, partition: i32) -> Result<Log> {
        let path = self.log_path(topic, partition);
        let found = FileStore::recover(path.clone(), SEGMENT_BYTES)
            .map_err(|e| Error::io(format!("log {}", path.display()), &e))?;
        let mut log = Log::recover(Box::new(found.store), found.base_offset, found.headers);
        log.recover_compacted(found.compacted_upto);
        Ok(log)
    }

    /// The log of a partition that did not exist.
    pub(super) fn create_log(&self, topic: Uuid, partition: i32) -> Log {
        let store = FileStore::new(self.log_path(topic, partition), SEGMENT_BYTES);
        Log::new(Box::new(store))
    }

    /// Deletes the logs of a topic.
    pub(super) fn remove_logs(&self, topic: Uuid) -> io::Result<()> {
        match fs::remove_dir_all(self.logs.join(topic.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes notes down.
    pub(super) fn note(&self, notes: &[Note]) -> io::Result<()> {
        self.journal.lock().append(notes)?;
        self.written();
        Ok(())
    }

    /// Something was written: it is to be synced soon.
    pub(super) fn written(&self) {
        self.dirty.notify_one();
    }

    /// Returns once something was written.
    pub(super) async fn wait_for_writes(&self) {
        self.dirty.notified().await;
    }

    /// Lets another broker have the directory.
    pub(super) fn close(&self) {
        self.lock.lock().take();
    }

    /// What brings the journal to stable storage, if it needs it.
    pub(super) fn take_unsynced(&self) -> Option<SyncWork> {
        let file = self.journal.lock().take_unsynced()?;
        Some(Box::new(move || file.sync_data()))
    }

    fn log_path(&self, topic: Uuid, partition: i32) -> PathBuf {
        self.logs.join(topic.to_string()).join(partition.to_string())
    }

    /// Deletes the logs of topics that the journal does not know: a broker was killed while it made
    /// or deleted them.
    fn remove_orphans(&self) -> io::Result<()> {
        let topics: HashSet<String> =
            self.journal.lock().held().topics.values().map(|t| t.id.to_string()).collect();
        for entry in fs::read_dir(&self.logs)? {
            let entry = entry?;
            let known = entry.file_name().to_str().is_some_and(|name| topics.contains(name));
            if !known && entry.file_type()?.is_dir() {
                tracing::warn!(path = %entry.path().display(), "log of no topic deleted");
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}
