//! The front of a log in files, written anew by compaction, so that a crash at any moment leaves
//! either all of the old files or all of the new ones.
//!
//! New files are written beside the old ones and synced. Then a note, `compacted`, says which they are
//! and up to which offset they reach: from the moment it is there, they count. What is left to do (to
//! give them their names, to delete the old ones) is done at once, or after a crash when the log is
//! opened.

use super::segments::{Segment, files, log_path};
use crate::broker::log::{Replacement, Rewrite};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Name of the note.
const NOTE: &str = "compacted";

/// Which files were written anew.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Number of the round.
    round: u64,
    /// The offsets that name them.
    files: Vec<i64>,
    /// The first offset that was not written anew.
    end: i64,
}

impl Note {
    fn read(directory: &Path) -> io::Result<Option<Self>> {
        match fs::read(directory.join(NOTE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        let new = directory.join(format!("{NOTE}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, directory.join(NOTE))?;
        sync(directory)
    }
}

/// Files that are being written.
pub(super) struct FileRewrite {
    directory: PathBuf,
    segment_bytes: u64,
    round: u64,
    /// Offset that the log starts with, or one in front of it: the name of the first new file.
    first: i64,
    old: Vec<Segment>,
    /// Offset and bytes of each new file.
    new: Vec<(i64, u64)>,
    file: Option<BufWriter<File>>,
}

impl FileRewrite {
    /// Nothing is written yet; `old` are the files that are replaced.
    pub(super) fn new(
        directory: &Path,
        segment_bytes: u64,
        (round, first): (u64, i64),
        old: Vec<Segment>,
    ) -> Self {
        let (directory, new) = (directory.to_owned(), Vec::new());
        Self { directory, segment_bytes, round, first, old, new, file: None }
    }

    /// Goes on in a file whose first record has offset `base_offset`.
    fn start_file(&mut self, base_offset: i64) -> io::Result<()> {
        self.end_file()?;
        let path = unfinished(&self.directory, base_offset, self.round);
        self.file = Some(BufWriter::with_capacity(1 << 20, File::create(path)?));
        self.new.push((base_offset, 0));
        Ok(())
    }

    fn end_file(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Rewrite for FileRewrite {
    fn read(&self, pos: u64, len: usize) -> io::Result<Bytes> {
        let number = self.old.partition_point(|s| s.end() <= pos);
        let segment = self.old.get(number).ok_or(io::ErrorKind::UnexpectedEof)?;
        let from = pos.checked_sub(segment.start).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut out = vec![0; len];
        segment.file.read_exact_at(&mut out, from)?;
        Ok(out.into())
    }

    fn append(&mut self, base_offset: i64, batch: Bytes) -> io::Result<()> {
        let bytes = batch.len() as u64;
        match self.new.last() {
            None => self.start_file(self.first)?,
            Some((_, held)) if held + bytes > self.segment_bytes => self.start_file(base_offset)?,
            Some(_) => {}
        }
        if let (Some(file), Some((_, held))) = (&mut self.file, self.new.last_mut()) {
            file.write_all(&batch)?;
            *held += bytes;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, end: i64) -> io::Result<Replacement> {
        if self.new.is_empty() {
            self.start_file(self.first)?;
        }
        self.end_file()?;
        sync(&self.directory)?;
        let files = std::mem::take(&mut self.new);
        Ok(Replacement::Files { round: self.round, files, end })
    }
}

/// Lets new files count; the caller deletes the old ones.
pub(super) fn commit(
    directory: &Path,
    round: u64,
    files: &[(i64, u64)],
    end: i64,
) -> io::Result<()> {
    let note = Note { round, files: files.iter().map(|(offset, _)| *offset).collect(), end };
    note.write(directory)?;
    name(directory, &note)
}

/// Finishes what a crash has interrupted. Returns the last round, and the offset in front of which
/// the log was compacted.
pub(super) fn finish(directory: &Path) -> io::Result<(u64, i64)> {
    let note = Note::read(directory)?;
    if let Some(note) = &note {
        name(directory, note)?;
        for (offset, path) in files(directory)? {
            if offset < note.end && !note.files.contains(&offset) {
                fs::remove_file(path)?;
            }
        }
    }
    remove_unfinished(directory)?;
    Ok(note.map_or((0, 0), |note| (note.round, note.end)))
}

/// Gives new files the names that they are known by.
fn name(directory: &Path, note: &Note) -> io::Result<()> {
    for offset in &note.files {
        let from = unfinished(directory, *offset, note.round);
        match fs::rename(from, log_path(directory, *offset)) {
            // It has its name already, and may have been given up since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    sync(directory)
}

fn unfinished(directory: &Path, base_offset: i64, round: u64) -> PathBuf {
    directory.join(format!("{base_offset:020}.{round}.new"))
}

fn remove_unfinished(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{super::segments::FileStore, *};
    use crate::broker::log::{
        BatchHeader, Log, Store,
        compaction_tests::{POLICY, check, steps},
        testing::BatchBuilder,
    };
    use proptest::prelude::*;

    /// Room for about two of the batches of these tests.
    const SMALL: u64 = 250;

    fn open(directory: &Path) -> Log {
        let found = FileStore::recover(directory.to_owned(), SMALL).unwrap();
        let mut log = Log::recover(Box::new(found.store), found.base_offset, found.headers);
        log.recover_compacted(found.compacted_upto);
        log
    }

    fn copy(from: &Path) -> tempfile::TempDir {
        let to = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
        to
    }

    fn offsets(directory: &Path) -> Vec<i64> {
        let found = FileStore::recover(directory.to_owned(), SMALL).unwrap();
        let left = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
        assert_eq!(left.filter(|p| p.extension().is_some_and(|e| e == "new")).count(), 0);
        found.headers.iter().map(|header| header.base_offset).collect()
    }

    fn batch(offset: i64) -> Bytes {
        BatchBuilder::new(2).at_offset(offset).build()
    }

    /// Ten batches, of which the first nine are replaced by `left`; stops in front of the commit.
    fn prepared(directory: &Path, left: &[i64]) -> (FileStore, Replacement) {
        let mut store = FileStore::new(directory.to_owned(), SMALL);
        (0..10).for_each(|n| store.append(n * 2, batch(n * 2)).unwrap());
        let end = store.boundary(u64::MAX);
        let mut rewrite = store.rewrite(0, end);
        for offset in left {
            rewrite.append(*offset, batch(*offset)).unwrap();
        }
        (store, rewrite.finish(18).unwrap())
    }

    /// Every state of the directory that a crash can leave is either the old log or the new one.
    #[test]
    fn a_crash_leaves_the_old_files_or_the_new_ones() {
        for left in [&[2, 6, 8, 12][..], &[0], &[14], &[]] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path();
            let (mut store, new) = prepared(path, left);
            let Replacement::Files { round, files: new_files, end } = &new else {
                panic!("a store in files writes files")
            };
            let old: Vec<i64> = (0..10).map(|n| n * 2).collect();
            assert_eq!(offsets(copy(path).path()), old, "not committed");

            let expected: Vec<i64> = left.iter().copied().chain([18]).collect();
            let files = new_files.iter().map(|(offset, _)| *offset).collect();
            Note { round: *round, files, end: *end }.write(path).unwrap();
            assert_eq!(offsets(copy(path).path()), expected, "committed, no file has its name");
            if let Some((first, _)) = new_files.first() {
                let from = unfinished(path, *first, *round);
                fs::rename(from, log_path(path, *first)).unwrap();
                assert_eq!(offsets(copy(path).path()), expected, "one file has its name");
            }
            commit(path, *round, new_files, *end).unwrap();
            assert_eq!(offsets(copy(path).path()), expected, "the old files are still there");
            store.replace(store.boundary(u64::MAX), new).unwrap();
            drop(store);
            assert_eq!(offsets(path), expected);
            assert_eq!(offsets(path), expected, "opened twice");
            let log = open(path);
            assert_eq!((log.start_offset(), log.end_offset()), (0, 20));
        }
    }

    /// A round that was not committed is not taken for the one before it.
    #[test]
    fn what_is_left_of_a_round_is_not_mixed_with_another() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, new) = prepared(dir.path(), &[2, 6, 8, 12]);
        let end = store.boundary(u64::MAX);
        store.replace(end, new).unwrap();
        let mut rewrite = store.rewrite(0, end);
        rewrite.append(12, batch(12)).unwrap();
        rewrite.finish(18).unwrap();
        drop(store);
        assert_eq!(offsets(dir.path()), [2, 6, 8, 12, 18]);
    }

    #[test]
    fn a_lost_file_behind_the_compacted_part_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, new) = prepared(dir.path(), &[2, 6]);
        let end = store.boundary(u64::MAX);
        store.replace(end, new).unwrap();
        (10..16).for_each(|n| store.append(n * 2, batch(n * 2)).unwrap());
        drop(store);
        fs::remove_file(log_path(dir.path(), 24)).unwrap();
        assert_eq!(offsets(dir.path()), [2, 6, 18, 20, 22]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        /// What holds for a log in memory holds for one in files that is closed and opened.
        #[test]
        fn of_each_key_the_last_record_stays_in_files(steps in steps()) {
            let dir = tempfile::tempdir().unwrap();
            let restart = |log: Log| {
                drop(log);
                open(dir.path())
            };
            check(steps, open(dir.path()), restart)?;
        }
    }

    /// Sequence numbers of producers, and how far the log was compacted, survive a restart.
    #[test]
    fn a_producer_goes_on_behind_a_batch_that_lost_its_records() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        let sent = |sequence| {
            let batch = BatchBuilder::keyed(&[(1, true), (1, true)]).producer(5, 0, sequence);
            crate::broker::log::ProducedBatch::new(batch.build()).unwrap()
        };
        log.append(&sent(0), POLICY, 0).unwrap();
        log.append(&sent(2), POLICY, 0).unwrap();
        for _ in 0..20 {
            let batch = BatchBuilder::keyed(&[(1, true)]);
            let batch = crate::broker::log::ProducedBatch::new(batch.build()).unwrap();
            log.append(&batch, POLICY, 0).unwrap();
        }
        let cleaning = log.start_cleaning(&POLICY, 0).unwrap();
        log.finish_cleaning(cleaning.run().unwrap()).unwrap();
        let before = log.read(0, 1 << 20, true).unwrap();
        assert_eq!(BatchHeader::check(&before).unwrap().records, 0);
        drop(log);
        let mut log = open(dir.path());
        assert_eq!(log.read(0, 1 << 20, true).unwrap(), before);
        assert_eq!(log.next_cleaning_ms(&POLICY, 0), None);
        assert!(log.append(&sent(2), POLICY, 0).unwrap().is_duplicate);
        assert!(log.append(&sent(8), POLICY, 0).is_err());
        log.append(&sent(4), POLICY, 0).unwrap();
    }
}
