//! What is said, and what is remembered, when the disk or its content fails.
//!
//! # Guarantees
//!
//! * After a write that failed nothing more is written: what the disk has of it is not known.
//! * Damage that a read has found is remembered beside the data, so that the next start does not
//!   trust them.

use crate::error::{Error, Result};
use rocksdb::ErrorKind;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Beside the data once they are known to be damaged; its text is how.
const NOTE: &str = "turbine.damaged";

/// The failures of one instance.
pub(super) struct Failures {
    directory: PathBuf,
    /// Why nothing is written any more.
    latched: OnceLock<Error>,
}

impl Failures {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), latched: OnceLock::new() }
    }

    /// # Errors
    ///
    /// The failure that ended writing, if there was one.
    pub(super) fn check(&self) -> Result<()> {
        self.latched.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Of a write: the last one.
    pub(super) fn write(&self, error: &rocksdb::Error) -> Error {
        if error.kind() == ErrorKind::Corruption {
            let error = self.damage(error);
            return self.latched.get_or_init(|| error).clone();
        }
        self.latch(error.as_ref())
    }

    /// Nothing is written any more, because of `why`.
    pub(super) fn latch(&self, why: &str) -> Error {
        let latched = || {
            Error::State(format!(
                "the state in {} cannot be written ({why}): nothing of this commit took effect, and nothing more is \
                 written until the worker is started again; see that the disk has room and works",
                self.directory.display()
            ))
        };
        self.latched.get_or_init(latched).clone()
    }

    /// Of a read.
    pub(super) fn read(&self, error: &rocksdb::Error) -> Error {
        match error.kind() {
            ErrorKind::Corruption => self.damage(error),
            _ => Error::State(format!(
                "the state in {} cannot be read ({error}): see that the disk works, then start the worker again",
                self.directory.display()
            )),
        }
    }

    /// Of a record of ours that does not have the checksum that was written with it.
    pub(super) fn record(&self, what: &str) -> Error {
        self.found(what)
    }

    fn damage(&self, error: &rocksdb::Error) -> Error {
        self.found(error.as_ref())
    }

    fn found(&self, what: &str) -> Error {
        let _ = fs::write(self.directory.join(NOTE), what);
        damaged(&self.directory, what)
    }
}

/// What the last process has found out about the data in `directory`.
pub(super) fn noted(directory: &Path) -> Option<String> {
    fs::read_to_string(directory.join(NOTE)).ok()
}

/// The data in `directory` are not what was written.
pub(super) fn damaged(directory: &Path, what: &str) -> Error {
    Error::State(format!(
        "the state in {} is damaged ({what}): start the worker again, it then sets this directory aside and \
         restores its partitions from changelog, snapshot or input",
        directory.display()
    ))
}
