//! Where a broker keeps what must survive it: nowhere, or a directory.
//!
//! # Guarantees, with a directory
//!
//! * What was acknowledged survives a kill of the process: it has been given to the operating system.
//! * It survives a crash of the machine once synced: within about a second, and at every clean stop.
//! * A batch or a note that was cut short is not half there after a restart, but gone.

mod directory;
mod group_note;
mod journal;
mod note;
mod rewrite;
mod scan;
mod segments;

pub(crate) use directory::Directory;
pub(crate) use group_note::{GroupNote, HeldConsumers, HeldGroups};
pub(crate) use note::{Held, Note, TopicNote};

use super::log::{Log, MemoryStore, MemoryUse, SyncWork};
use std::io;
use uuid::Uuid;

/// The keeper of logs and notes.
pub(crate) enum Storage {
    /// Everything is gone with the process.
    Memory,
    /// A data directory.
    Directory(Box<Directory>),
}

impl Storage {
    /// Makes the log of a partition that did not exist; if it is in memory, `used` counts it.
    pub(crate) fn create_log(&self, topic: Uuid, partition: i32, used: &MemoryUse) -> Log {
        match self {
            Self::Memory => Log::new(Box::new(MemoryStore::counted(used))),
            Self::Directory(directory) => directory.create_log(topic, partition),
        }
    }

    /// Lets the logs of a topic go.
    pub(crate) fn remove_logs(&self, topic: Uuid) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Directory(directory) => directory.remove_logs(topic),
        }
    }

    /// Writes down what must be known after a restart; all of it or, with an error, nothing.
    pub(crate) fn note(&self, notes: &[Note]) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Directory(directory) => directory.note(notes),
        }
    }

    /// What brings the notes to stable storage, if they need it.
    pub(crate) fn take_unsynced(&self) -> Option<SyncWork> {
        match self {
            Self::Memory => None,
            Self::Directory(directory) => directory.take_unsynced(),
        }
    }

    /// False if everything is gone with the process anyway.
    pub(crate) fn is_durable(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// A log was written: it is to be synced soon.
    pub(crate) fn written(&self) {
        if let Self::Directory(directory) = self {
            directory.written();
        }
    }

    /// Returns once something was written; in memory, never.
    pub(crate) async fn wait_for_writes(&self) {
        match self {
            Self::Memory => std::future::pending().await,
            Self::Directory(directory) => directory.wait_for_writes().await,
        }
    }

    /// Ends the use of it; another broker may have the directory then.
    pub(crate) fn close(&self) {
        if let Self::Directory(directory) = self {
            directory.close();
        }
    }
}
