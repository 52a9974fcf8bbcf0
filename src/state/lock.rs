//! One process has a state directory at a time; another is told which one.

use crate::error::{Error, Result};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// In the directory that it locks.
const NAME: &str = "turbine.lock";
/// Between two attempts.
const POLL: Duration = Duration::from_millis(20);

/// Held as long as the directory is in use; the system lets go of it when the process ends, however
/// it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Who has a directory.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    pid: u32,
    host: String,
    app_id: String,
    since: String,
}

impl Lock {
    /// Takes `directory`, which must be there; waits up to `wait` for an owner who is on its way out.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] that names the other process and the next step; [`Error::Io`] if the file cannot
    /// be locked.
    pub(super) fn take(directory: &Path, app_id: &str, wait: Duration) -> Result<Self> {
        let deadline = Instant::now() + wait;
        let path = directory.join(NAME);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|e| failed("opening", &path, &e))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(POLL);
                }
                Err(fs::TryLockError::WouldBlock) => return Err(taken(directory, &mut file)),
                Err(fs::TryLockError::Error(e)) => return Err(failed("locking", &path, &e)),
            }
        }
        // Whoever finds it locked reads by whom; a disk without room locks all the same.
        let owner = serde_json::to_vec(&Owner::me(app_id)).unwrap_or_default();
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&owner));
        Ok(Self { _file: file })
    }
}

impl Owner {
    fn me(app_id: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(0);
        let since = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let since = since.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        Self { pid: std::process::id(), host: host(), app_id: app_id.to_owned(), since }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == std::process::id() && self.host == host() {
            write!(f, "another worker of this process")?;
        } else {
            write!(f, "process {} on host {}", self.pid, self.host)?;
        }
        write!(f, " (app {}, since {})", self.app_id, self.since)
    }
}

pub(super) fn host() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let read = files.iter().find_map(|path| fs::read_to_string(path).ok());
    let known = read.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    if known.trim().is_empty() { "unknown".into() } else { known.trim().to_owned() }
}

fn taken(directory: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let who = serde_json::from_str::<Owner>(&text)
        .map_or_else(|_| "another process".to_owned(), |owner| owner.to_string());
    Error::Config(format!(
        "the state directory {} is in use by {who}: stop it, or give each worker on a machine a state_dir of its own",
        directory.display()
    ))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format!("state: {what} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_about_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path(), "shop", Duration::ZERO).unwrap();
        let refused = Lock::take(directory.path(), "other", Duration::ZERO).unwrap_err();
        let message = refused.to_string();
        for part in ["another worker of this process", "app shop", "UTC", "state_dir of its own"] {
            assert!(message.contains(part), "{message}");
        }
        drop(first);
        Lock::take(directory.path(), "other", Duration::ZERO).unwrap();
    }

    #[test]
    fn an_owner_of_another_process_has_its_number_and_host() {
        let owner = Owner { pid: 1, host: "there".into(), app_id: "a".into(), since: "x".into() };
        assert_eq!(owner.to_string(), "process 1 on host there (app a, since x)");
    }

    #[test]
    fn a_lock_waits_for_an_owner_on_its_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path(), "a", Duration::ZERO).unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| Lock::take(directory.path(), "a", Duration::from_secs(20)));
            drop(first);
            second.join().unwrap().unwrap();
        });
    }
}
