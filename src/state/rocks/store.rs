//! The state of one task in the instance of the worker.

use super::{
    db::{DECLARED, Instance, MARKS, PENDING},
    record,
    scan::{self, Wanted},
};
use crate::error::{Error, Result};
use crate::state::{Delta, Each, Frozen, Mark, Pending, Space, Store, slots::Slots};
use parking_lot::Mutex;
use rocksdb::{
    BoundColumnFamily, DB, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Where a space is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As it was declared.
    pub(super) name: String,
    /// The column family.
    pub(super) family: String,
    pub(super) slots: Slots,
}

/// Who may write to a task's state: the one who has opened it last.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<u64>);

impl Turn {
    /// The next one; what was opened before writes no more.
    pub(super) fn next(&self) -> u64 {
        let mut last = self.0.lock();
        *last += 1;
        *last
    }
}

/// See the module.
pub(super) struct RocksStore {
    pub(super) instance: Arc<Instance>,
    pub(super) turn: Arc<Turn>,
    pub(super) number: u64,
    /// Key of its records.
    pub(super) record_key: Vec<u8>,
    pub(super) places: Vec<Place>,
    pub(super) written_bytes: AtomicU64,
}

impl RocksStore {
    fn place(&self, space: Space) -> Result<&Place> {
        self.places.get(usize::from(space.0)).ok_or_else(|| {
            Error::State(format!(
                "the state has {} spaces, and number {} is asked for",
                self.places.len(),
                space.0
            ))
        })
    }

    fn family(&self, name: &str) -> Result<Arc<BoundColumnFamily<'_>>> {
        self.instance.family(name)
    }

    /// Writes `batch` if nobody has opened the task since.
    fn write(&self, batch: WriteBatch, is_synced: bool) -> Result<()> {
        let turn = self.turn.0.lock();
        if *turn != self.number {
            return Err(Error::State(
                "the state was opened again by the next owner of the partition: this one writes no more".into(),
            ));
        }
        let mut options = WriteOptions::default();
        options.set_sync(is_synced);
        self.instance.write(batch, &options)
    }

    fn put_mark(&self, batch: &mut WriteBatch, mark: &Mark) -> Result<()> {
        batch.put_cf(&self.family(MARKS)?, &self.record_key, record::encode_mark(mark));
        Ok(())
    }

    fn put(&self, batch: &mut WriteBatch, delta: &Delta) -> Result<()> {
        for (space, writes) in &delta.0 {
            let place = self.place(*space)?;
            let family = self.family(&place.family)?;
            for (key, value) in &writes.0 {
                let key = place.slots.key(key);
                match value {
                    Some(value) => batch.put_cf(&family, key, value),
                    None => batch.delete_cf(&family, key),
                }
            }
        }
        Ok(())
    }

    fn count(&self, delta: &Delta) {
        self.written_bytes.fetch_add(delta.content_bytes(), Ordering::Relaxed);
    }

    fn note_key(&self) -> Vec<u8> {
        note_key(&self.record_key)
    }

    fn forget(&self, batch: &mut WriteBatch) -> Result<()> {
        batch.delete_cf(&self.family(PENDING)?, &self.record_key);
        Ok(())
    }

    fn read_mark(&self, options: &ReadOptions) -> Result<Option<Mark>> {
        let family = self.family(MARKS)?;
        let bytes = self.instance.db.get_cf_opt(&family, &self.record_key, options);
        let bytes = bytes.map_err(|e| self.instance.failures.read(&e))?;
        bytes.map(|bytes| record::decode_mark(&bytes)).transpose().map_err(|why| {
            self.instance.failures.record(&format!("the mark of a partition: {why}"))
        })
    }

    fn find(
        &self,
        space: Space,
        wanted: Wanted<'_>,
        options: ReadOptions,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let place = self.place(space)?;
        let family = self.family(&place.family)?;
        let failed = |error: &rocksdb::Error| self.instance.failures.read(error);
        scan::scan((&self.instance.db, &family, options), place, wanted, each, &failed)
    }
}

impl Store for RocksStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let place = self.place(space)?;
        let found = self.instance.db.get_cf(&self.family(&place.family)?, place.slots.key(key));
        found.map_err(|e| self.instance.failures.read(&e))
    }

    fn get_many(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let place = self.place(space)?;
        let keys: Vec<_> = keys.iter().map(|key| place.slots.key(key)).collect();
        let family = self.family(&place.family)?;
        let found = self.instance.db.batched_multi_get_cf(&family, &keys, false);
        let value = |one: Result<Option<rocksdb::DBPinnableSlice<'_>>, _>| match one {
            Ok(value) => Ok(value.map(|value| value.to_vec())),
            Err(error) => Err(self.instance.failures.read(&error)),
        };
        found.into_iter().map(value).collect()
    }

    fn scan_after(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        self.find(space, Wanted { prefix, after }, ReadOptions::default(), each)
    }

    fn mark(&self) -> Result<Option<Mark>> {
        self.read_mark(&ReadOptions::default())
    }

    fn commit(&self, delta: &Delta, mark: Mark) -> Result<()> {
        let mut batch = WriteBatch::default();
        self.put(&mut batch, delta)?;
        self.put_mark(&mut batch, &mark)?;
        self.write(batch, false)?;
        self.count(delta);
        Ok(())
    }

    fn prepare(&self, pending: &Pending) -> Result<()> {
        let name = |space| Ok(self.place(space)?.name.as_str());
        let bytes = record::encode_pending(pending, name)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(PENDING)?, &self.record_key, bytes);
        self.write(batch, true)
    }

    fn pending(&self) -> Result<Option<Pending>> {
        let bytes = self.instance.db.get_cf(&self.family(PENDING)?, &self.record_key);
        let Some(bytes) = bytes.map_err(|e| self.instance.failures.read(&e))? else {
            return Ok(None);
        };
        let space = |name: &str| {
            let at = self.places.iter().position(|place| place.name == name)?;
            u16::try_from(at).ok().map(Space)
        };
        let pending = record::decode_pending(&bytes, space);
        pending.map(Some).map_err(|why| {
            if why == record::NOT_AS_WRITTEN {
                let what = format!("the pending commit of a partition: {why}");
                return self.instance.failures.record(&what);
            }
            Error::State(format!(
                "the pending commit of a partition in {} cannot be used: {why}; `turbine doctor` shows what the \
                 broker has of it",
                self.instance.db.path().display()
            ))
        })
    }

    fn apply(&self, pending: &Pending) -> Result<()> {
        let mut batch = WriteBatch::default();
        let follows = pending.follows(self.mark()?);
        if follows {
            self.put(&mut batch, &pending.delta)?;
            self.put_mark(&mut batch, &pending.mark)?;
        }
        self.forget(&mut batch)?;
        self.write(batch, false)?;
        if follows {
            self.count(&pending.delta);
        }
        Ok(())
    }

    fn discard(&self) -> Result<()> {
        let mut batch = WriteBatch::default();
        self.forget(&mut batch)?;
        self.write(batch, false)
    }

    fn load(&self, delta: &Delta) -> Result<()> {
        let mut batch = WriteBatch::default();
        self.put(&mut batch, delta)?;
        self.write(batch, false)
    }

    fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    fn note(&self) -> Result<Option<Vec<u8>>> {
        let found = self.instance.db.get_cf(&self.family(DECLARED)?, self.note_key());
        found.map_err(|e| self.instance.failures.read(&e))
    }

    fn set_note(&self, note: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(DECLARED)?, self.note_key(), note);
        self.write(batch, false)
    }

    fn clear(&self) -> Result<()> {
        let mut batch = WriteBatch::default();
        for place in &self.places {
            let slots = place.slots.all();
            let (from, to) = (slots.start.to_be_bytes(), slots.end.to_be_bytes());
            batch.delete_range_cf(&self.family(&place.family)?, from, to);
        }
        batch.delete_cf(&self.family(MARKS)?, &self.record_key);
        batch.delete_cf(&self.family(DECLARED)?, self.note_key());
        self.forget(&mut batch)?;
        self.write(batch, false)
    }

    fn freeze(&self, look: &mut dyn FnMut(&dyn Frozen) -> Result<()>) -> Result<()> {
        look(&View { store: self, snapshot: self.instance.db.snapshot() })
    }
}

/// The content at one moment.
struct View<'a> {
    store: &'a RocksStore,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl View<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        // Read once: what handlers need stays in the cache.
        options.fill_cache(false);
        options
    }
}

impl Frozen for View<'_> {
    fn mark(&self) -> Result<Option<Mark>> {
        self.store.read_mark(&self.options())
    }

    fn scan(&self, space: Space, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        self.store.find(space, Wanted { prefix, after: None }, self.options(), each)
    }
}

/// Where the note of the task with this key is, beside what is declared.
pub(super) fn note_key(record_key: &[u8]) -> Vec<u8> {
    [b"note", record_key].join(&0)
}
