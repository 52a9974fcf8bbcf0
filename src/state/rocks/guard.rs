//! What RocksDB cannot know of itself: that the list of its files has lost its end.
//!
//! The list (`MANIFEST`) is written from front to back, and an end that is missing looks like a write that
//! a crash has ended. It was acknowledged all the same, and the log of writes behind it may be gone. So the
//! length and the checksum of what was there are kept in a file beside it: from the moment that the instance
//! is open, and again when the list has grown and rested.
//!
//! # Not here
//!
//! What the list got in the last second before the process died: if exactly that is damaged as well, it looks like
//! a write that a crash has ended.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};

/// Beside the data.
const NAME: &str = "turbine.manifest";
/// Names the list that counts.
const CURRENT: &str = "CURRENT";
/// Between two looks at the list. What is as long as at the look before is on the disk.
const LOOK: Duration = Duration::from_millis(500);

/// What there was of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    name: String,
    length: u64,
    checksum: u32,
}

/// See the module. Watches until it is dropped, and looks once more then.
pub(super) struct Guard {
    watching: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Guard {
    /// Of an instance that is open in `data`, from now on.
    ///
    /// # Errors
    ///
    /// If there is no thread for it.
    pub(super) fn new(data: &Path) -> io::Result<Self> {
        let known = write(data);
        let (ending, ended) = mpsc::channel();
        let data = data.to_owned();
        let watch = move || watch(&data, known, &ended);
        let thread = std::thread::Builder::new().name("turbine-state-guard".into()).spawn(watch)?;
        Ok(Self { watching: Some((ending, thread)) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((ending, thread)) = self.watching.take() {
            drop(ending);
            // One that panicked has nothing to say.
            let _ = thread.join();
        }
    }
}

/// Name and length of a list.
type Length = (PathBuf, u64);

/// Looks from time to time, and writes down what has settled and is not `known`; at the end, what there is.
fn watch(data: &Path, mut known: Option<Length>, ended: &mpsc::Receiver<()>) {
    let mut seen = None;
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = manifest(data).and_then(|path| {
            let length = fs::metadata(&path).ok()?.len();
            Some((path, length))
        });
        if now == seen && now != known {
            known = write(data);
        }
        seen = now;
    }
    write(data);
}

/// Writes down what there is, and says what that was. Where that fails, what was written before goes on to count.
fn write(data: &Path) -> Option<Length> {
    let path = manifest(data)?;
    let content = fs::read(&path).ok()?;
    let (length, checksum) = (content.len() as u64, crc32c::crc32c(&content));
    replace(data, &Known { name: name(&path), length, checksum }).ok()?;
    Some((path, length))
}

/// # Errors
///
/// What is missing of the list in `data`.
pub(super) fn check(data: &Path) -> Result<(), String> {
    let Ok(text) = fs::read(data.join(NAME)) else { return Ok(()) };
    let known: Known =
        serde_json::from_slice(&text).map_err(|_| format!("{NAME} is not as it was written"))?;
    let path = manifest(data).ok_or("CURRENT names no list of files")?;
    match number(&name(&path)).cmp(&number(&known.name)) {
        std::cmp::Ordering::Greater => return Ok(()),
        std::cmp::Ordering::Less => return Err("CURRENT names a list of files that is over".into()),
        std::cmp::Ordering::Equal => {}
    }
    let content = fs::read(&path).map_err(|e| format!("{}: {e}", known.name))?;
    let there = usize::try_from(known.length).ok().and_then(|length| content.get(..length));
    match there {
        Some(there) if crc32c::crc32c(there) == known.checksum => Ok(()),
        Some(_) => Err(format!("{} is not as it was written", known.name)),
        None => Err(format!("{} has {} of {} bytes", known.name, content.len(), known.length)),
    }
}

/// The list that counts.
fn manifest(data: &Path) -> Option<PathBuf> {
    let current = fs::read_to_string(data.join(CURRENT)).ok()?;
    let current = current.trim_end();
    number(current).map(|_| data.join(current))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("MANIFEST-")?.parse().ok()
}

fn replace(data: &Path, known: &Known) -> io::Result<()> {
    let new = data.join(format!("{NAME}.new"));
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(known)?)?;
    file.sync_all()?;
    fs::rename(new, data.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_grow_and_be_replaced_but_not_shrink_or_change() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let put = |name: &str, text: &str| fs::write(data.join(name), text).unwrap();
        check(data).unwrap();
        put(CURRENT, "MANIFEST-000005\n");
        put("MANIFEST-000005", "one two");
        write(data);
        check(data).unwrap();
        put("MANIFEST-000005", "one two three");
        check(data).unwrap();
        put("MANIFEST-000005", "one");
        assert_eq!(check(data).unwrap_err(), "MANIFEST-000005 has 3 of 7 bytes");
        put("MANIFEST-000005", "one twO three");
        assert_eq!(check(data).unwrap_err(), "MANIFEST-000005 is not as it was written");
        put(CURRENT, "MANIFEST-000009\n");
        check(data).unwrap();
        put(CURRENT, "MANIFEST-000004\n");
        assert!(check(data).unwrap_err().contains("over"));
        put(CURRENT, "nonsense");
        assert!(check(data).unwrap_err().contains("names no list"));
    }
    #[test]
    fn what_settles_while_nobody_writes_is_noted_too() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let put = |name: &str, text: &str| fs::write(data.join(name), text).unwrap();
        put(CURRENT, "MANIFEST-000005\n");
        put("MANIFEST-000005", "one");
        let guard = Guard::new(data).unwrap();
        let noted =
            || serde_json::from_slice::<Known>(&fs::read(data.join(NAME)).unwrap()).unwrap();
        assert_eq!(noted().length, 3, "from the first moment on");
        put("MANIFEST-000005", "one two");
        let late = std::time::Instant::now() + 20 * LOOK;
        while noted().length != 7 {
            assert!(std::time::Instant::now() < late, "it grew, and was not noted");
            std::thread::sleep(LOOK / 10);
        }
        put("MANIFEST-000005", "one two three");
        drop(guard);
        assert_eq!(noted().length, 13, "at the end, whatever there is");
    }
}
