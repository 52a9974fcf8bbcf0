//! The file of notes. An entry is its length (4 bytes), its checksum (4 bytes) and a note as JSON.
//!
//! The file is written anew, with the notes that still hold, when it has grown far beyond them.

use super::note::{Held, Note};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes in front of a note.
const HEAD_BYTES: usize = 8;
/// The file is not written anew before it has this size.
const REWRITE_BYTES: u64 = 16 << 20;

/// The journal of a data directory.
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    /// Size after the file was last written anew.
    base_bytes: u64,
    is_dirty: bool,
    held: Held,
}

impl Journal {
    /// Opens or makes the journal at `path`; an entry that was cut short is dropped.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => drop(file.read_to_end(&mut bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut held = Held::default();
        let mut rest = &bytes[..];
        while let Some(note) = take(&mut rest) {
            held.apply(note);
        }
        if !rest.is_empty() {
            tracing::warn!(path = %path.display(), bytes = rest.len(), "torn end of journal dropped");
        }
        let (file, bytes) = write_anew(path, &held)?;
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok(Self { path, file, bytes, base_bytes: bytes, is_dirty: false, held })
    }

    /// The notes that hold.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// Writes notes down, all or none.
    pub(super) fn append(&mut self, notes: &[Note]) -> io::Result<()> {
        let mut entries = Vec::new();
        notes.iter().try_for_each(|note| put(&mut entries, note))?;
        if let Err(error) = (&*self.file).write_all(&entries) {
            // What got through would hide everything behind it.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += entries.len() as u64;
        self.is_dirty = true;
        notes.iter().cloned().for_each(|note| self.held.apply(note));
        if self.bytes > REWRITE_BYTES.max(4 * self.base_bytes) {
            let (file, bytes) = write_anew(&self.path, &self.held)?;
            (self.file, self.bytes, self.base_bytes) = (Arc::new(file), bytes, bytes);
            self.is_dirty = false;
        }
        Ok(())
    }

    /// The file, if something was written since the last call.
    pub(super) fn take_unsynced(&mut self) -> Option<Arc<File>> {
        std::mem::take(&mut self.is_dirty).then(|| Arc::clone(&self.file))
    }
}

/// Replaces the journal at `path` by one that holds the same; the new file and its size.
fn write_anew(path: &Path, held: &Held) -> io::Result<(File, u64)> {
    let mut entries = Vec::new();
    held.notes().iter().try_for_each(|note| put(&mut entries, note))?;
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&entries)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    // Appending keeps the end right when a failed write is cut off.
    Ok((OpenOptions::new().append(true).open(path)?, entries.len() as u64))
}

fn put(out: &mut Vec<u8>, note: &Note) -> io::Result<()> {
    let json = serde_json::to_vec(note)?;
    let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    out.extend(length.to_be_bytes());
    out.extend(crc32c::crc32c(&json).to_be_bytes());
    out.extend(json);
    Ok(())
}

/// Takes one entry from the front; `None` at the end and in front of anything that is not an entry.
fn take(bytes: &mut &[u8]) -> Option<Note> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let (length, crc) = head.split_at(4);
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let (json, rest) = rest.split_at_checked(length)?;
    if crc32c::crc32c(json) != u32::from_be_bytes(crc.try_into().ok()?) {
        return None;
    }
    let note = serde_json::from_slice(json).ok()?;
    *bytes = rest;
    Some(note)
}

#[cfg(test)]
mod tests {
    use super::{
        super::note::tests::{held, notes},
        *,
    };
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Cut anywhere, the journal holds what the entries in front of the cut say.
        #[test]
        fn a_cut_loses_only_the_entries_behind_it(notes in notes(), cut in 0.0..=1.0f64) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for note in &notes {
                put(&mut bytes, note).unwrap();
                ends.push(bytes.len());
            }
            let cut = (bytes.len() as f64 * cut) as usize;
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let mut expected = held(&notes[..whole]);
            prop_assert_eq!(Journal::open(&path).unwrap().held().clone(), expected.clone());

            expected.commits.retain(|_, commits| !commits.is_empty());
            prop_assert_eq!(Journal::open(&path).unwrap().held().clone(), expected.clone());
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            fs::write(&path, &bytes).unwrap();
            Journal::open(&path).unwrap();
        }
    }

    #[test]
    fn what_was_appended_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(&[Note::ProducerIds { below: 5 }]).unwrap();
        assert!(journal.take_unsynced().is_some() && journal.take_unsynced().is_none());
        journal.append(&[Note::ProducerIds { below: 9 }]).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().held().producer_ids_below, 9);
    }

    #[test]
    fn a_long_journal_is_written_anew_and_stays_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        let id = "x".repeat(1 << 20);
        for format in 0..40 {
            journal.append(&[Note::Cluster { id: id.clone(), format }]).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= REWRITE_BYTES + (2 << 20));
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().held().cluster, Some((id, 39)));
    }
}
