//! The name by which consumer groups know whoever has a state directory.
//!
//! # Guarantees
//!
//! * It is the same after a crash. One process has it at a time: whoever comes second gets none.
//! * A copy of the directory, and the same directory on another machine, have names of their own.

use super::lock::host;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};
use uuid::Uuid;

/// In the directory.
const NAME: &str = "turbine.member";

/// Held as long as the name is in use; the system lets go of it when the process ends.
#[derive(Debug)]
pub struct MemberName {
    text: String,
    _file: File,
}

/// What the file says; a copy of it is another file, which its number shows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    name: String,
    host: String,
    inode: u64,
}

impl MemberName {
    /// Takes that of `directory`, which is made if it is not there; none while another process has it, or if it
    /// cannot be kept. Blocks for the disk.
    #[must_use]
    pub fn take(directory: &Path) -> Option<Self> {
        match Self::try_take(directory) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(target: "turbine.state", "{}: no name: {error}", directory.display());
                None
            }
        }
    }

    fn try_take(directory: &Path) -> io::Result<Option<Self>> {
        fs::create_dir_all(directory)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(directory.join(NAME))?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let inode = file.metadata()?.ino();
        let kept = serde_json::from_str::<Kept>(&text).ok();
        let known = kept.filter(|kept| kept.host == host() && kept.inode == inode);
        let text = match known {
            Some(known) => known.name,
            None => begin(&mut file, inode)?,
        };
        Ok(Some(Self { text, _file: file }))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Gives the directory a name.
fn begin(file: &mut File, inode: u64) -> io::Result<String> {
    let name = Uuid::new_v4().simple().to_string();
    let kept = Kept { name: name.clone(), host: host(), inode };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&serde_json::to_vec(&kept)?)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_name_and_gives_it_to_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = MemberName::take(directory.path()).unwrap();
        assert!(MemberName::take(directory.path()).is_none());
        let name = first.as_str().to_owned();
        drop(first);
        assert_eq!(MemberName::take(directory.path()).unwrap().as_str(), name);
    }

    #[test]
    fn a_copy_of_a_directory_has_a_name_of_its_own() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = MemberName::take(one.path()).unwrap();
        fs::copy(one.path().join(NAME), other.path().join(NAME)).unwrap();
        let copied = MemberName::take(other.path()).unwrap();
        assert_ne!(copied.as_str(), first.as_str());
    }

    #[test]
    fn a_name_that_cannot_be_read_is_given_anew() {
        let directory = tempfile::tempdir().unwrap();
        for damaged in ["", "{\"name\":", "[1]"] {
            fs::write(directory.path().join(NAME), damaged).unwrap();
            assert_eq!(MemberName::take(directory.path()).unwrap().as_str().len(), 32);
        }
    }

    #[test]
    fn where_nothing_can_be_kept_there_is_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(MemberName::take(&file).is_none());
    }
}
