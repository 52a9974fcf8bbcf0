//! The bytes of a log in files of bounded size, each named by the offset of its first record.

use super::rewrite::{self, FileRewrite};
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
        let segments = VecDeque::new();
        Self { directory, segment_bytes, segments, unsynced_from: None, is_full: false, round: 0 }
    }

    /// Opens what `directory` holds. Files are cut in front of the first batch that is damaged or
    /// out of place, and files behind it are deleted.
    pub(super) fn recover(directory: PathBuf, segment_bytes: u64) -> io::Result<Recovered> {
        let mut store = Self::new(directory, segment_bytes);
        // Compaction leaves holes up to this offset; from there on, there may be none.
        let compacted_upto;
        (store.round, compacted_upto) = rewrite::finish(&store.directory)?;
        let follows =
            |offset: i64, next: i64| offset == next || (offset > next && offset <= compacted_upto);
        let mut headers = Vec::new();
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
            let bytes = fs::read(&path)?;
            let mut whole = 0;
            let mut next = named_offset;
            while let Some(header) =
                whole_batch(&bytes[whole..]).filter(|header| follows(header.base_offset, next))
            {
                whole += header.bytes;
                next = header.last_offset() + 1;
                headers.push(header);
            }
            next_offset = Some(next);
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            if whole < bytes.len() {
                is_torn = true;
                let torn = bytes.len() - whole;
                tracing::warn!(path = %path.display(), bytes = torn, "torn end of log dropped");
                file.set_len(whole as u64)?;
                file.sync_all()?;
            }
            let bytes = whole as u64;
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

/// The batch at the front, if it is undamaged.
fn whole_batch(bytes: &[u8]) -> Option<BatchHeader> {
    BatchHeader::check(bytes).ok().filter(|header| header.last_delta >= 0)
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
        // A write that fails half-way is overwritten by the next one.
        segment.file.write_all_at(&batch, segment.bytes)?;
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
        Some(Box::new(move || {
            files.iter().try_for_each(|file| file.sync_data())?;
            match File::open(directory) {
                // The topic was deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                opened => opened?.sync_all(),
            }
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
