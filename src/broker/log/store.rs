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

/// Work that brings bytes to stable storage; it takes its time and needs no lock.
pub(crate) type SyncWork = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A growing row of bytes with positions that never change, of which the oldest may be given up.
pub(crate) trait Store: Send {
    /// Puts a batch, whose first record has offset `base_offset`, behind everything else.
    fn append(&mut self, base_offset: i64, batch: Bytes) -> io::Result<()>;
    /// The `len` bytes from position `pos` on.
    fn read(&self, pos: u64, len: usize) -> io::Result<Bytes>;
    /// Gives up bytes in front of `pos`, as far as the medium lets it.
    fn give_up_before(&mut self, pos: u64) -> io::Result<()>;
    /// What brings everything appended so far to stable storage; `None` if nothing needs it.
    fn take_unsynced(&mut self) -> Option<SyncWork>;
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
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    /// Batches with their position, oldest first.
    batches: VecDeque<(u64, Bytes)>,
    end: u64,
    used: MemoryUse,
}

impl MemoryStore {
    /// An empty store whose memory is counted in `used`.
    pub(crate) fn counted(used: &MemoryUse) -> Self {
        Self { batches: VecDeque::new(), end: 0, used: used.clone() }
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

    fn give_up_before(&mut self, pos: u64) -> io::Result<()> {
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
        assert_eq!(store.read(0, 9).unwrap(), "abcdefghi");
        assert_eq!(store.read(3, 2).unwrap(), "de");
        assert_eq!(store.read(4, 3).unwrap(), "efg");
        assert!(store.read(4, 6).is_err());
        assert!(store.read(9, 1).is_err());
    }

    #[test]
    fn what_was_given_up_cannot_be_read_and_positions_stay() {
        let mut store = filled();
        store.give_up_before(4).unwrap();
        assert!(store.read(0, 3).is_err());
        assert_eq!(store.read(3, 6).unwrap(), "defghi");
    }

    #[test]
    fn memory_is_counted_until_it_is_given_up() {
        let used = MemoryUse::default();
        let mut store = filled_of(&used);
        assert_eq!(used.bytes(), 9 + 3 * BATCH_OVERHEAD);
        store.give_up_before(5).unwrap();
        assert_eq!(used.bytes(), 4 + BATCH_OVERHEAD);
        drop(store);
        assert_eq!(used.bytes(), 0);
    }
}
