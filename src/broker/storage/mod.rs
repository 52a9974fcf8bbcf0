//! Where a broker keeps what must survive it: nowhere, or a directory.
//!
//! # Guarantees, with a directory
//!
//! * What was acknowledged survives a kill of the process: it has been given to the operating system.
//! * It survives a crash of the machine once synced: within a second, and at every clean stop.
//! * A record or journal entry that was cut short is not half there after a restart, but gone.

mod journal;

pub(crate) use journal::Note;

use super::log::{Log, MemoryStore};
use std::io;
use uuid::Uuid;

/// The keeper of logs and notes.
pub(crate) enum Storage {
    /// Everything is gone with the process.
    Memory,
}

impl Storage {
    /// Makes the log of a partition that did not exist.
    pub(crate) fn create_log(&self, _topic: Uuid, _partition: i32) -> io::Result<Log> {
        match self {
            Self::Memory => Ok(Log::new(Box::new(MemoryStore::default()))),
        }
    }

    /// Lets the logs of a topic go.
    pub(crate) fn remove_logs(&self, _topic: Uuid) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
        }
    }

    /// Writes down what must be known after a restart.
    pub(crate) fn note(&self, _notes: &[Note]) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
        }
    }

    /// Brings the notes to stable storage.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
        }
    }

    /// False if notes are for nobody.
    pub(crate) fn keeps_notes(&self) -> bool {
        !matches!(self, Self::Memory)
    }
}
