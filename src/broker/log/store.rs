//! Where the bytes of a log lie.

use super::retention::BATCH_OVERHEAD;
use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Position of the first byte of a log. There is room in front of it: what is written anew may be
/// longer than what it replaces.
pub(crate) const ORIGIN: u64 = 1 << 40;

/// Work that brings bytes to stable storage; it takes its time and needs no lock.
pub(crate) type SyncWork = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A growing row of bytes with positions that never change, of which the oldest may be given up.
pub(crate) trait Store: Send {
    /// Puts a batch, whose first record has offset `base_offset`, behind everything else.
    fn append(&mut self, base_offset: i64, batch: Bytes) -> io::Result<()>;
    /// The `len` bytes from position `pos` on.
    fn read(&self, pos: u64, len: usize) -> io::Result<Bytes>;
    /// Gives up bytes in front of `pos`, as far as the medium lets it; the log starts with `offset`.
    fn give_up_before(&mut self, pos: u64, offset: i64) -> io::Result<()>;
    /// What brings everything appended so far to stable storage; `None` if nothing needs it.
    fn take_unsynced(&mut self) -> Option<SyncWork>;
    /// What is appended from here on may be replaced apart from what is there.
    fn end_segment(&mut self);
    /// The last position up to `pos` at which [`Store::rewrite`] can end.
    fn boundary(&self, pos: u64) -> u64;
    /// Begins to write anew what stands in front of `end`, for a log that starts with the offset
    /// `first` or in front of it.
    fn rewrite(&self, first: i64, end: u64) -> Box<dyn Rewrite>;
    /// Puts what was written anew in the place of what stands in front of `end`: it ends there, and
    /// behind it nothing moves.
    fn replace(&mut self, end: u64, new: Replacement) -> io::Result<()>;
}

/// The front of a log, being written anew beside it. It needs no lock on the log.
pub(crate) trait Rewrite: Send {
    /// The `len` bytes from position `pos` on, as they were.
    fn read(&self, pos: u64, len: usize) -> io::Result<Bytes>;
    /// Adds a batch, whose first record has offset `base_offset`.
    fn append(&mut self, base_offset: i64, batch: Bytes) -> io::Result<()>;
    /// Ends it; the first offset that was not written anew is `end`.
    fn finish(self: Box<Self>, end: i64) -> io::Result<Replacement>;
}

/// What was written anew.
#[derive(Debug)]
pub(crate) enum Replacement {
    /// Batches in memory.
    Batches(Vec<Bytes>),
    /// Files, by what their names say: the offset of the first record, and in which round they were
    /// written; and how many bytes each has.
    Files {
        /// Number of the round.
        round: u64,
        /// Offset and bytes.
        files: Vec<(i64, u64)>,
        /// The first offset that was not written anew.
        end: i64,
    },
}

/// A count of the memory that some logs need. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryUse(Arc<AtomicU64>);

impl MemoryUse {
    /// What is needed now.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn add(&self, batch: &Bytes) {
        self.0.fetch_add(batch.len() as u64 + BATCH_OVERHEAD, Relaxed);
    }

    fn remove(&self, batch: &Bytes) {
        self.0.fetch_sub(batch.len() as u64 + BATCH_OVERHEAD, Relaxed);
    }
}

/// A store in memory.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    /// Batches with their position, oldest first.
    batches: VecDeque<(u64, Bytes)>,
    end: u64,
    used: MemoryUse,
}

impl MemoryStore {
    /// An empty store whose memory is counted in `used`.
    pub(crate) fn counted(used: &MemoryUse) -> Self {
        Self { batches: VecDeque::new(), end: ORIGIN, used: used.clone() }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::counted(&MemoryUse::default())
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.batches.iter().for_each(|(_, batch)| self.used.remove(batch));
    }
}

impl Store for MemoryStore {
    fn append(&mut self, _base_offset: i64, batch: Bytes) -> io::Result<()> {
        let pos = self.end;
        self.end += batch.len() as u64;
        self.used.add(&batch);
        self.batches.push_back((pos, batch));
        Ok(())
    }

    fn read(&self, pos: u64, len: usize) -> io::Result<Bytes> {
        let first = self.batches.partition_point(|(at, batch)| at + batch.len() as u64 <= pos);
        let mut rest = len;
        let mut skip = match self.batches.get(first) {
            Some((at, _)) if *at <= pos => (pos - at) as usize,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let mut out = BytesMut::new();
        for (_, batch) in self.batches.range(first..) {
            let piece = skip..batch.len().min(skip + rest);
            if out.is_empty() && piece.len() == len {
                return Ok(batch.slice(piece));
            }
            if out.is_empty() {
                out.reserve(len);
            }
            rest -= piece.len();
            out.extend_from_slice(&batch[piece]);
            if rest == 0 {
                return Ok(out.freeze());
            }
            skip = 0;
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn give_up_before(&mut self, pos: u64, _offset: i64) -> io::Result<()> {
        while self.batches.front().is_some_and(|(at, batch)| at + batch.len() as u64 <= pos) {
            if let Some((_, batch)) = self.batches.pop_front() {
                self.used.remove(&batch);
            }
        }
        Ok(())
    }

    fn take_unsynced(&mut self) -> Option<SyncWork> {
        None
    }

    fn end_segment(&mut self) {}

    fn boundary(&self, pos: u64) -> u64 {
        pos.min(self.end)
    }

    fn rewrite(&self, _first: i64, end: u64) -> Box<dyn Rewrite> {
        let behind = self.batches.partition_point(|(at, _)| *at < end);
        let old = self.batches.range(..behind).cloned().collect();
        Box::new(MemoryRewrite { old, new: Vec::new() })
    }

    fn replace(&mut self, end: u64, new: Replacement) -> io::Result<()> {
        let Replacement::Batches(new) = new else {
            return Err(io::Error::other("files cannot replace memory"));
        };
        self.give_up_before(end, 0)?;
        let mut pos = end;
        for batch in new.into_iter().rev() {
            pos -= batch.len() as u64;
            self.used.add(&batch);
            self.batches.push_front((pos, batch));
        }
        Ok(())
    }
}

struct MemoryRewrite {
    old: Vec<(u64, Bytes)>,
    new: Vec<Bytes>,
}

impl Rewrite for MemoryRewrite {
    fn read(&self, pos: u64, len: usize) -> io::Result<Bytes> {
        // A batch at a time is read.
        let found = self.old.binary_search_by_key(&pos, |(at, _)| *at);
        let batch = found.ok().map(|number| &self.old[number].1);
        batch.filter(|b| b.len() == len).cloned().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn append(&mut self, _base_offset: i64, batch: Bytes) -> io::Result<()> {
        self.new.push(batch);
        Ok(())
    }

    fn finish(self: Box<Self>, _end: i64) -> io::Result<Replacement> {
        Ok(Replacement::Batches(self.new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> MemoryStore {
        filled_of(&MemoryUse::default())
    }

    fn filled_of(used: &MemoryUse) -> MemoryStore {
        let mut store = MemoryStore::counted(used);
        for (offset, batch) in ["abc", "de", "fghi"].into_iter().enumerate() {
            store.append(offset as i64, Bytes::from(batch)).unwrap();
        }
        store
    }

    #[test]
    fn reads_go_across_batches() {
        let store = filled();
        assert_eq!(store.read(ORIGIN, 9).unwrap(), "abcdefghi");
        assert_eq!(store.read(ORIGIN + 3, 2).unwrap(), "de");
        assert_eq!(store.read(ORIGIN + 4, 3).unwrap(), "efg");
        assert!(store.read(ORIGIN + 4, 6).is_err());
        assert!(store.read(ORIGIN + 9, 1).is_err());
    }

    #[test]
    fn what_was_given_up_cannot_be_read_and_positions_stay() {
        let mut store = filled();
        store.give_up_before(ORIGIN + 4, 0).unwrap();
        assert!(store.read(ORIGIN, 3).is_err());
        assert_eq!(store.read(ORIGIN + 3, 6).unwrap(), "defghi");
    }

    #[test]
    fn memory_is_counted_until_it_is_given_up() {
        let used = MemoryUse::default();
        let mut store = filled_of(&used);
        assert_eq!(used.bytes(), 9 + 3 * BATCH_OVERHEAD);
        store.give_up_before(ORIGIN + 5, 0).unwrap();
        assert_eq!(used.bytes(), 4 + BATCH_OVERHEAD);
        drop(store);
        assert_eq!(used.bytes(), 0);
    }

    #[test]
    fn the_front_is_replaced_and_nothing_moves_behind_it() {
        let used = MemoryUse::default();
        let mut store = filled_of(&used);
        let end = ORIGIN + 5;
        let mut rewrite = store.rewrite(0, end);
        assert_eq!(rewrite.read(ORIGIN + 3, 2).unwrap(), "de");
        assert!(rewrite.read(ORIGIN + 5, 4).is_err());
        rewrite.append(0, Bytes::from("longer")).unwrap();
        rewrite.append(1, Bytes::from("x")).unwrap();
        store.append(3, Bytes::from("j")).unwrap();
        let new = rewrite.finish(2).unwrap();
        store.replace(end, new).unwrap();
        assert_eq!(store.read(end - 7, 12).unwrap(), "longerxfghij");
        assert_eq!(used.bytes(), 12 + 4 * BATCH_OVERHEAD);
    }
}
