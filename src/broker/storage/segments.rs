//! The bytes of a log in files of bounded size, each named by the offset of its first record.

use super::{
    rewrite::{self, FileRewrite},
    scan,
};
use crate::broker::log::{BatchHeader, ORIGIN, Replacement, Rewrite, Store, SyncWork};
use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file is not continued beyond this size.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;

#[derive(Clone)]
pub(super) struct Segment {
    /// Position of its first byte in the log.
    pub(super) start: u64,
    pub(super) bytes: u64,
    /// The offset in its name.
    base_offset: i64,
    path: PathBuf,
    pub(super) file: Arc<File>,
}

impl Segment {
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes
    }
}

/// A store in a directory of its own, which appears with the first batch.
pub(super) struct FileStore {
    directory: PathBuf,
    segment_bytes: u64,
    segments: VecDeque<Segment>,
    /// Position of the first byte that is not in stable storage.
    unsynced_from: Option<u64>,
    /// The next batch goes to a new file.
    is_full: bool,
    /// Number of the last round in which files were written anew.
    round: u64,
    /// The files in front of the one with this offset are noted as whole.
    whole_before: i64,
}

/// What was found in a directory.
pub(super) struct Recovered {
    /// The store.
    pub(super) store: FileStore,
    /// Offset of its first record, or of the record that would be its first.
    pub(super) base_offset: i64,
    /// Headers of its batches, in order.
    pub(super) headers: Vec<BatchHeader>,
    /// Offset of the first record that no compaction has seen.
    pub(super) compacted_upto: i64,
}

impl FileStore {
    /// An empty store, to be written to `directory`.
    pub(super) fn new(directory: PathBuf, segment_bytes: u64) -> Self {
        Self {
            directory,
            segment_bytes,
            segments: VecDeque::new(),
            unsynced_from: None,
            is_full: false,
            round: 0,
            whole_before: 0,
        }
    }

    /// Opens what `directory` holds. Files are cut in front of the first batch that is damaged or
    /// out of place, and files behind it are deleted. Of files that were brought to stable storage
    /// after they were full, only the headers are read.
    pub(super) fn recover(directory: PathBuf, segment_bytes: u64) -> io::Result<Recovered> {
        let mut store = Self::new(directory, segment_bytes);
        // Compaction leaves holes up to this offset; from there on, there may be none.
        let compacted_upto;
        (store.round, compacted_upto) = rewrite::finish(&store.directory)?;
        let follows =
            |offset: i64, next: i64| offset == next || (offset > next && offset <= compacted_upto);
        store.whole_before = whole_before(&store.directory)?;
        let mut headers: Vec<BatchHeader> = Vec::new();
        let mut base_offset = 0;
        let mut next_offset = None;
        let mut is_torn = false;
        let mut pos = ORIGIN;
        for (named_offset, path) in files(&store.directory)? {
            let next = *next_offset.get_or_insert(named_offset);
            if store.segments.is_empty() {
                base_offset = named_offset;
            }
            if is_torn || !follows(named_offset, next) {
                tracing::warn!(path = %path.display(), "deleted: it stands behind lost records");
                fs::remove_file(&path)?;
                continue;
            }
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let length = file.metadata()?.len();
            let is_known = named_offset < store.whole_before;
            let known = if is_known { scan::headers(&file, length)? } else { None };
            let found = match known {
                Some(found) => found,
                None => checked(&fs::read(&path)?),
            };
            let mut bytes = 0;
            let mut next = named_offset;
            for header in found {
                if !follows(header.base_offset, next) {
                    break;
                }
                bytes += header.bytes as u64;
                next = header.last_offset() + 1;
                headers.push(header);
            }
            next_offset = Some(next);
            if bytes < length {
                is_torn = true;
                let torn = length - bytes;
                tracing::warn!(path = %path.display(), bytes = torn, "torn end of log dropped");
                file.set_len(bytes)?;
                file.sync_all()?;
            }
            store.segments.push_back(Segment {
                start: pos,
                bytes,
                base_offset: named_offset,
                path,
                file: Arc::new(file),
            });
            pos += bytes;
        }
        Ok(Recovered { store, base_offset, headers, compacted_upto })
    }

    /// The file that the next batch goes to.
    fn segment_for(&mut self, base_offset: i64, bytes: u64) -> io::Result<&mut Segment> {
        let limit = self.segment_bytes;
        let fits = |s: &Segment| s.bytes == 0 || s.bytes + bytes <= limit;
        if self.is_full || !self.segments.back().is_some_and(fits) {
            fs::create_dir_all(&self.directory)?;
            let path = log_path(&self.directory, base_offset);
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
            let start = self.segments.back().map_or(ORIGIN, Segment::end);
            self.segments.push_back(Segment {
                start,
                bytes: 0,
                base_offset,
                path,
                file: Arc::new(file),
            });
            self.is_full = false;
        }
        Ok(self.segments.back_mut().expect("there is one, or one was made"))
    }
}

/// The headers of the batches at the front that are undamaged.
fn checked(mut bytes: &[u8]) -> Vec<BatchHeader> {
    let mut headers = Vec::new();
    while let Some(header) = BatchHeader::check(bytes).ok().filter(|h| h.last_delta >= 0) {
        bytes = &bytes[header.bytes..];
        headers.push(header);
    }
    headers
}

/// Name of the note that says which files are whole.
const WHOLE: &str = "whole";

/// The offset of the file in front of which all files are whole and in stable storage.
fn whole_before(directory: &Path) -> io::Result<i64> {
    match fs::read_to_string(directory.join(WHOLE)) {
        // A note that cannot be read says nothing.
        Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Notes that the files in front of the one with `offset` are whole and in stable storage.
fn note_whole_before(directory: &Path, offset: i64) -> io::Result<()> {
    let new = directory.join(format!("{WHOLE}.new"));
    fs::write(&new, offset.to_string())?;
    fs::rename(new, directory.join(WHOLE))
}

/// The file whose first record has offset `base_offset`.
pub(super) fn log_path(directory: &Path, base_offset: i64) -> PathBuf {
    directory.join(format!("{base_offset:020}.log"))
}

/// The log files of a directory by the offset in their names.
pub(super) fn files(directory: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        let offset = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(offset)) = (is_log, offset) {
            files.push((offset, path));
        }
    }
    files.sort();
    Ok(files)
}

impl Store for FileStore {
    fn append(&mut self, base_offset: i64, batch: Bytes) -> io::Result<()> {
        let segment = self.segment_for(base_offset, batch.len() as u64)?;
        if let Err(error) = segment.file.write_all_at(&batch, segment.bytes) {
            // Half a batch would look like the end of the log, also if the next one goes elsewhere.
            segment.file.set_len(segment.bytes)?;
            return Err(error);
        }
        let pos = segment.end();
        segment.bytes += batch.len() as u64;
        self.unsynced_from.get_or_insert(pos);
        Ok(())
    }

    fn read(&self, pos: u64, len: usize) -> io::Result<Bytes> {
        let mut out = BytesMut::zeroed(len);
        let mut done = 0;
        let first = self.segments.partition_point(|s| s.end() <= pos);
        for segment in self.segments.range(first..) {
            if done == len {
                break;
            }
            let from = (pos + done as u64)
                .checked_sub(segment.start)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let here = (len - done).min((segment.bytes - from) as usize);
            segment.file.read_exact_at(&mut out[done..done + here], from)?;
            done += here;
        }
        if done < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(out.freeze())
    }

    fn give_up_before(&mut self, pos: u64, offset: i64) -> io::Result<()> {
        // The last file stays: its name and its batches say where the log goes on. And the names say
        // where it starts, which may be in front of the first batch that compaction has left.
        while self.segments.len() > 1
            && self.segments[0].end() <= pos
            && self.segments[1].base_offset <= offset
        {
            fs::remove_file(&self.segments[0].path)?;
            self.segments.pop_front();
        }
        Ok(())
    }

    fn end_segment(&mut self) {
        self.is_full = true;
    }

    fn boundary(&self, pos: u64) -> u64 {
        let starts = self.segments.partition_point(|s| s.start <= pos);
        starts.checked_sub(1).map_or(ORIGIN, |number| self.segments[number].start)
    }

    fn rewrite(&self, first: i64, end: u64) -> Box<dyn Rewrite> {
        let behind = self.segments.partition_point(|s| s.start < end);
        let old = self.segments.range(..behind).cloned().collect();
        Box::new(FileRewrite::new(
            &self.directory,
            self.segment_bytes,
            (self.round + 1, first),
            old,
        ))
    }

    fn replace(&mut self, end: u64, new: Replacement) -> io::Result<()> {
        let Replacement::Files { round, files, end: end_offset } = new else {
            return Err(io::Error::other("memory cannot replace files"));
        };
        self.round = round;
        rewrite::commit(&self.directory, round, &files, end_offset)?;
        let behind = self.segments.partition_point(|s| s.start < end);
        for old in self.segments.drain(..behind) {
            let is_new = files.iter().any(|(o, _)| log_path(&self.directory, *o) == old.path);
            if !is_new {
                fs::remove_file(&old.path)?;
            }
        }
        let mut start = end;
        for (base_offset, bytes) in files.into_iter().rev() {
            let path = log_path(&self.directory, base_offset);
            let file = Arc::new(OpenOptions::new().read(true).write(true).open(&path)?);
            start -= bytes;
            self.segments.push_front(Segment { start, bytes, base_offset, path, file });
        }
        Ok(())
    }

    fn take_unsynced(&mut self) -> Option<SyncWork> {
        let from = self.unsynced_from.take()?;
        let first = self.segments.partition_point(|s| s.end() <= from);
        let files: Vec<_> = self.segments.range(first..).map(|s| Arc::clone(&s.file)).collect();
        let directory = self.directory.clone();
        let newest = self.segments.back().map_or(0, |s| s.base_offset);
        let note = (newest > self.whole_before).then_some(newest);
        self.whole_before = newest;
        Some(Box::new(move || {
            files.iter().try_for_each(|file| file.sync_data())?;
            match File::open(&directory) {
                // The topic was deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened?.sync_all()?,
            }
            // Every file but the newest is full: nothing is written to it any more.
            note.map_or(Ok(()), |newest| note_whole_before(&directory, newest))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::{Log, LogPolicy, ProducedBatch, testing::BatchBuilder};
    use proptest::prelude::*;

    const POLICY: LogPolicy = LogPolicy::KEEP;
    /// Room for about three of the batches of these tests.
    const SMALL: u64 = 300;

    fn open(directory: &Path) -> Log {
        let found = FileStore::recover(directory.to_owned(), SMALL).unwrap();
        Log::recover(Box::new(found.store), found.base_offset, found.headers)
    }

    fn append(log: &mut Log, records: usize) {
        let batch = ProducedBatch::new(BatchBuilder::new(records).build()).unwrap();
        log.append(&batch, POLICY, 0).unwrap();
    }

    fn names(directory: &Path) -> Vec<i64> {
        files(directory).unwrap().into_iter().map(|(offset, _)| offset).collect()
    }

    #[test]
    fn a_log_goes_on_where_it_was_left_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        assert_eq!(log.end_offset(), 0);
        for _ in 0..10 {
            append(&mut log, 2);
        }
        let all = log.read(0, 1 << 20, true).unwrap();
        assert!(names(dir.path()).len() > 2, "several files");
        drop(log);
        let mut log = open(dir.path());
        assert_eq!(log.read(0, 1 << 20, true).unwrap(), all);
        append(&mut log, 2);
        assert_eq!(log.end_offset(), 22);
    }

    #[test]
    fn files_are_deleted_but_the_end_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        for _ in 0..10 {
            append(&mut log, 2);
        }
        log.delete_before(20).unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        drop(log);
        assert_eq!(open(dir.path()).end_offset(), 20);
    }

    #[test]
    fn an_empty_last_file_still_says_where_the_log_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("00000000000000000042.log"), b"torn").unwrap();
        let mut log = open(dir.path());
        assert_eq!((log.start_offset(), log.end_offset()), (42, 42));
        append(&mut log, 1);
        drop(log);
        let log = open(dir.path());
        assert_eq!((log.start_offset(), log.end_offset()), (42, 43));
    }

    /// What is known to be whole is not read, so that damage there is not noticed either.
    #[test]
    fn full_files_are_not_read_again_once_they_are_synced() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        (0..10).for_each(|_| append(&mut log, 2));
        let damage = |number: usize| {
            let (_, path) = &files(dir.path()).unwrap()[number];
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        };
        log.take_unsynced().unwrap()().unwrap();
        let last = files(dir.path()).unwrap().len() - 1;
        drop(log);
        assert_eq!(whole_before(dir.path()).unwrap(), names(dir.path())[last]);
        damage(0);
        assert_eq!(open(dir.path()).end_offset(), 20);
        let end = names(dir.path())[last];
        damage(last);
        assert_eq!(open(dir.path()).end_offset(), end, "the newest file is read");
        let (_, first) = &files(dir.path()).unwrap()[0];
        let bytes = fs::read(first).unwrap();
        fs::write(first, &bytes[..bytes.len() - 5]).unwrap();
        assert!(open(dir.path()).end_offset() < end, "a file that is cut is noticed all the same");
    }

    #[test]
    fn syncing_is_asked_for_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        assert!(log.take_unsynced().is_none());
        append(&mut log, 1);
        log.take_unsynced().unwrap()().unwrap();
        assert!(log.take_unsynced().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Cut or damaged anywhere, the log holds the whole batches in front, and can go on.
        #[test]
        fn damage_loses_only_what_is_behind_it(
            sizes in proptest::collection::vec(1usize..4, 1..12),
            place in 0.0..1.0f64,
            is_cut in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut log = open(dir.path());
            sizes.iter().for_each(|size| append(&mut log, *size));
            let all = log.read(0, 1 << 20, true).unwrap();
            drop(log);

            let place = (all.len() as f64 * place) as u64;
            let mut before = 0;
            for (_, path) in files(dir.path()).unwrap() {
                let bytes = fs::read(&path).unwrap();
                if place >= before && place < before + bytes.len() as u64 {
                    let at = (place - before) as usize;
                    let mut damaged = bytes.clone();
                    if is_cut {
                        damaged.truncate(at);
                    } else {
                        // Somewhere in the checksummed part of the batch at this place.
                        let mut start = 0;
                        while start + BatchHeader::parse(&bytes[start..]).unwrap().bytes <= at {
                            start += BatchHeader::parse(&bytes[start..]).unwrap().bytes;
                        }
                        damaged[start + 30] ^= 4;
                    }
                    fs::write(&path, damaged).unwrap();
                    break;
                }
                before += bytes.len() as u64;
            }
            let mut log = open(dir.path());
            let left = log.read(0, 1 << 20, true).unwrap();
            prop_assert!(all.starts_with(&left));
            let end = log.end_offset();
            append(&mut log, 1);
            drop(log);
            prop_assert_eq!(open(dir.path()).end_offset(), end + 1);
        }
    }
}
