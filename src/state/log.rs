//! A durable store of one file: commits one behind the other, and all keys in memory.
//!
//! # Guarantees
//!
//! * A commit is on the disk when [`WindowStore::commit`] returns, and an interrupted one leaves no trace.
//! * One process has a file at a time; another is told which one.
//! * The file has at most about twice the size of its content: then it is written anew.
//!
//! # Not here
//!
//! Content larger than memory, copies on other machines.

use super::{
    Each, WindowStore, Writes,
    frame::{self, Found},
};
use crate::error::{Error, Result};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

const MAGIC: &[u8] = b"turbine state 1\n";
/// A file below this size is never written anew.
const LEAST_REWRITE_BYTES: u64 = 1 << 20;
/// Keys in one commit of a file that is written anew.
const REWRITE_KEYS: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub struct LogStore {
    path: PathBuf,
    file: File,
    /// Bytes that count; behind them may be the rest of a failed write.
    length: u64,
    /// Bytes of keys and values.
    content: u64,
    rows: Rows,
    /// Held as long as the store is open.
    _lock: File,
}

/// Why a store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process, or another part of this one, has it.
    Taken(Error),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl LogStore {
    /// Opens the store in the file `path`, or begins it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Taken`] while another process has it; [`OpenError::Failed`] if it cannot be read or
    /// is damaged.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|e| failed("creating", directory, &e))?;
        }
        let lock = lock(path)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| failed("opening", path, &e))?;
        let mut store = Self {
            path: path.to_owned(),
            file,
            length: 0,
            content: 0,
            rows: Rows::default(),
            _lock: lock,
        };
        store.read()?;
        Ok(store)
    }

    fn read(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(|e| failed("reading", &self.path, &e))?;
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            return self.begin();
        }
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return Err(self.damaged(0)) };
        self.length = MAGIC.len() as u64;
        while !rest.is_empty() {
            match frame::decode(rest) {
                Found::Whole(writes, next, size) => {
                    self.apply(&writes, next);
                    self.length += size as u64;
                    rest = &rest[size..];
                }
                Found::Torn => break,
                Found::Damaged => return Err(self.damaged(self.length)),
            }
        }
        self.cut()
    }

    fn begin(&mut self) -> Result<()> {
        self.cut()?;
        self.append(MAGIC)?;
        sync_directory(&self.path)
    }

    fn damaged(&self, at: u64) -> Error {
        Error::Config(format!(
            "the state in {} is damaged at byte {at}: restore the file from a copy, or remove it and read the topic again",
            self.path.display()
        ))
    }

    fn apply(&mut self, writes: &Writes, next: i64) {
        let grown = self.rows.apply(writes, next);
        self.content = self.content.saturating_add_signed(grown);
    }

    /// Removes what is behind the bytes that count.
    fn cut(&mut self) -> Result<()> {
        self.file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)))
            .map(|_| ())
            .map_err(|e| failed("cutting", &self.path, &e))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.cut()?;
                Err(failed("writing", &self.path, &error))
            }
        }
    }

    /// Writes the content anew, without what was overwritten.
    fn rewrite(&mut self) -> Result<()> {
        let next = self.rows.next.unwrap_or(0);
        let mut bytes = MAGIC.to_vec();
        let mut rows =
            self.rows.rows.iter().map(|(k, v)| (k.as_slice(), Some(v.as_slice()))).peekable();
        while rows.peek().is_some() {
            frame::encode(rows.by_ref().take(REWRITE_KEYS), next, &mut bytes)?;
        }
        if self.rows.rows.is_empty() {
            frame::encode(std::iter::empty(), next, &mut bytes)?;
        }
        let new = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&new);
        let mut file = file.map_err(|e| failed("creating", &new, &e))?;
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(|e| failed("writing", &new, &e))?;
        self.file = file;
        self.length = bytes.len() as u64;
        sync_directory(&self.path)
    }
}

impl WindowStore for LogStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.rows.get(key)
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        self.rows.scan(prefix, each)
    }

    fn commit(&mut self, writes: &Writes, next: i64) -> Result<()> {
        let mut bytes = Vec::new();
        let each = writes.0.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        frame::encode(each, next, &mut bytes)?;
        self.append(&bytes)?;
        self.apply(writes, next);
        if self.length > LEAST_REWRITE_BYTES.max(2 * self.content)
            && let Err(error) = self.rewrite()
        {
            // The commit itself is done; the next one tries again.
            tracing::warn!(target: "turbine.state", "{error}; the file goes on growing");
        }
        Ok(())
    }

    fn next(&self) -> Option<i64> {
        self.rows.next()
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let path = path.with_extension("lock");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(|e| failed("opening", &path, &e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(OpenError::Taken(taken(&path, &mut file))),
        Err(fs::TryLockError::Error(e)) => return Err(failed("locking", &path, &e).into()),
    }
    // Whoever finds it locked is told by whom; a file that cannot be written is locked all the same.
    let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    Ok(file)
}

fn taken(path: &Path, file: &mut File) -> Error {
    let mut owner = String::new();
    let _ = file.read_to_string(&mut owner);
    let who = if owner == std::process::id().to_string() {
        "another worker of this process".to_owned()
    } else {
        format!("process {}", if owner.is_empty() { "unknown" } else { &owner })
    };
    Error::Config(format!(
        "the state in {} is in use by {who}: stop it, or give this worker another state_dir",
        path.with_extension("log").display()
    ))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format!("state: {what} {}", path.display()), error)
}

/// Makes a new or renamed file survive a crash of the machine.
fn sync_directory(path: &Path) -> Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    File::open(directory).and_then(|d| d.sync_all()).map_err(|e| failed("syncing", directory, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(key: &str, value: &str) -> Writes {
        Writes(vec![(key.into(), Some(value.into()))])
    }

    #[test]
    fn a_second_owner_is_told_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/0.log");
        let first = LogStore::open(&path).unwrap();
        let Err(OpenError::Taken(error)) = LogStore::open(&path) else { panic!("opened twice") };
        assert!(error.to_string().contains("in use by another worker of this process"), "{error}");
        drop(first);
        LogStore::open(&path).unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut store = LogStore::open(&path).unwrap();
        (0..3).for_each(|n| store.commit(&put("k", "v"), n).unwrap());
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        bytes[MAGIC.len() + 10] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let Err(OpenError::Failed(error)) = LogStore::open(&path) else { panic!("opened") };
        assert!(error.to_string().contains("is damaged at byte 16"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_file_of_overwritten_values_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut store = LogStore::open(&path).unwrap();
        let value = "v".repeat(100_000);
        (0..50).for_each(|n| store.commit(&put("k", &value), n).unwrap());
        assert!(fs::metadata(&path).unwrap().len() <= LEAST_REWRITE_BYTES + 200_000);
        drop(store);
        let store = LogStore::open(&path).unwrap();
        assert_eq!((store.get(b"k").unwrap(), store.next()), (Some(value.into_bytes()), Some(49)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Wherever a crash cuts the file, what is read is the state after some whole commit.
        #[test]
        fn any_cut_of_the_file_leaves_whole_commits(commits in 1..6_i64, cut: prop::sample::Index) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("0.log");
            let mut store = LogStore::open(&path).unwrap();
            for n in 0..commits {
                store.commit(&put(&n.to_string(), "value"), n).unwrap();
            }
            drop(store);
            let length = fs::metadata(&path).unwrap().len();
            let kept = cut.index(usize::try_from(length).unwrap() + 1) as u64;
            OpenOptions::new().write(true).open(&path).unwrap().set_len(kept).unwrap();
            let mut store = LogStore::open(&path).unwrap();
            let last = store.next().unwrap_or(-1);
            prop_assert!(kept < length || last == commits - 1);
            for n in 0..commits {
                prop_assert_eq!(store.get(n.to_string().as_bytes()).unwrap().is_some(), n <= last);
            }
            store.commit(&put("after", "it"), 100).unwrap();
            drop(store);
            prop_assert_eq!(LogStore::open(&path).unwrap().next(), Some(100));
        }
    }
}

#[derive(Debug, Default)]
struct Rows {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    next: Option<i64>,
}

impl Rows {
    /// Applies what [`WindowStore::commit`] takes; says by how many bytes the content has grown.
    fn apply(&mut self, writes: &Writes, next: i64) -> i64 {
        let mut grown = 0;
        for (key, value) in &writes.0 {
            let size = |value: &Vec<u8>| i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
            let before = match value {
                Some(value) => {
                    grown += size(value);
                    self.rows.insert(key.clone(), value.clone())
                }
                None => self.rows.remove(key),
            };
            grown -= before.as_ref().map_or(0, size);
        }
        self.next = Some(next);
        grown
    }
}

impl WindowStore for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        let from = self.rows.range(prefix.to_vec()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).try_for_each(|(k, v)| each(k, v))
    }

    fn commit(&mut self, writes: &Writes, next: i64) -> Result<()> {
        self.apply(writes, next);
        Ok(())
    }

    fn next(&self) -> Option<i64> {
        self.next
    }
}
