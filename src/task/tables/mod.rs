//! The tables of one partition as its agents see them.
//!
//! # Guarantees
//!
//! * A read sees every write before it, also those that are not in the store yet.
//! * What is written between two cuts is committed together, and only what was written then: a write
//!   that comes for an earlier cut is refused.
//!
//! # Not here
//!
//! When a cut is made: see [`super::cut`]. How keys and values become bytes: that is Python's side.

mod overlay;

pub use overlay::{Change, Layer};

use super::commit::Output;
use crate::{
    error::{Error, Result},
    state::{Each, Space, Store},
};
use overlay::{Overlay, nearest};
use parking_lot::{Mutex, RwLock};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A write for rows that are committed already.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLate;

/// See the module.
pub struct Tables {
    /// None once the partition is gone.
    store: RwLock<Option<Arc<dyn Store>>>,
    inner: Mutex<Inner>,
    /// Most bytes of writes between two cuts; more ask for one.
    limit_bytes: usize,
    /// By table: did this task ever write to it?
    own: Vec<AtomicBool>,
}

#[derive(Default)]
struct Inner {
    overlay: Overlay,
    /// Records that go out with the cut.
    sent: Vec<Output>,
    sent_bytes: usize,
    /// The cut that writes belong to.
    cut: u64,
}

/// About as many bytes of a store are in one page.
const PAGE_BYTES: usize = 1 << 20;

/// What a record costs beside its bytes, about.
const RECORD_BYTES: usize = 200;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Some keys of a table, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next page begins; none: there is none.
    pub end: Option<Vec<u8>>,
}

impl Tables {
    /// `tables` tables over `store`.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn new(store: Arc<dyn Store>, tables: usize, limit_bytes: usize) -> Result<Self> {
        let own = (0..tables)
            .map(|index| has_content(&*store, space(index)).map(AtomicBool::new))
            .collect::<Result<_>>()?;
        let inner = Mutex::new(Inner::default());
        Ok(Self { store: RwLock::new(Some(store)), inner, limit_bytes, own })
    }

    fn store(&self) -> Result<Arc<dyn Store>> {
        self.store.read().clone().ok_or(Error::Stopped)
    }

    /// Lets go of the store, so that the next owner of the partition can have it.
    pub fn close(&self) {
        *self.store.write() = None;
    }

    /// Has this partition ever written to the table?
    #[must_use]
    pub fn owns(&self, space: Space) -> bool {
        self.own.get(usize::from(space.0)).is_some_and(|own| own.load(Ordering::Relaxed))
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(change) = self.inner.lock().overlay.get(space, key) {
            return Ok(change.clone());
        }
        self.store()?.get(space, key)
    }

    /// Gives `key` a value, or removes it; true if so much is written that a cut is due.
    ///
    /// # Errors
    ///
    /// [`TooLate`]: nothing is written, the cut is over.
    pub fn put(
        &self,
        cut: u64,
        space: Space,
        key: &[u8],
        change: Change,
    ) -> std::result::Result<bool, TooLate> {
        let mut inner = self.inner.lock();
        if inner.cut != cut {
            return Err(TooLate);
        }
        inner.overlay.put(space, key, change);
        if let Some(own) = self.own.get(usize::from(space.0)) {
            own.store(true, Ordering::Relaxed);
        }
        Ok(inner.overlay.open_bytes() > self.limit_bytes)
    }

    /// Keeps a record that goes out with cut `cut`; true if so much is kept that a cut is due.
    ///
    /// # Errors
    ///
    /// [`TooLate`]: the cut is over.
    pub fn send(&self, cut: u64, record: Output) -> std::result::Result<bool, TooLate> {
        let mut inner = self.inner.lock();
        if inner.cut != cut {
            return Err(TooLate);
        }
        inner.sent_bytes += record.bytes() + RECORD_BYTES;
        inner.sent.push(record);
        Ok(inner.sent_bytes > self.limit_bytes)
    }

    /// About `limit` keys behind `after`, with their values.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn page(&self, space: Space, after: Option<&[u8]>, limit: usize) -> Result<Page> {
        // Written keys first: what is applied meanwhile is then found twice, never not at all.
        let (mut keys, end) = self.inner.lock().overlay.page(space, after, limit);
        let (stored, stored_end) = stored(&*self.store()?, space, after, limit)?;
        let end = nearest(end, stored_end);
        for (key, value) in stored {
            keys.entry(key).or_insert(Some(value));
        }
        if let Some(end) = &end {
            keys.retain(|key, _| key <= end);
        }
        let rows = keys.into_iter().filter_map(|(key, change)| Some((key, change?)));
        Ok(Page { rows: rows.collect(), end })
    }

    /// How many keys there are; reads all of them, once.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn count(&self, space: Space) -> Result<usize> {
        let (keys, _) = self.inner.lock().overlay.page(space, None, usize::MAX);
        let mut count = keys.values().flatten().count();
        self.store()?.scan(space, &[], &mut |key, _| {
            count += usize::from(!keys.contains_key(key));
            Ok(())
        })?;
        Ok(count)
    }

    /// Was anything written, or sent, since the last cut?
    #[must_use]
    pub fn is_touched(&self) -> bool {
        let inner = self.inner.lock();
        !inner.sent.is_empty() || inner.overlay.open_bytes() > 0
    }

    /// Ends the cut: its writes and its records. Later ones belong to the next.
    pub(super) fn seal(&self) -> (Arc<Layer>, Vec<Output>) {
        let mut inner = self.inner.lock();
        inner.cut += 1;
        inner.sent_bytes = 0;
        (inner.overlay.seal(), std::mem::take(&mut inner.sent))
    }

    /// What was sealed is in the store.
    pub(super) fn applied(&self) {
        self.inner.lock().overlay.applied();
    }
}

/// About `limit` keys of a store behind `after`, with their values.
///
/// # Errors
///
/// If the store cannot be read.
pub fn page_of(
    store: &dyn Store,
    space: Space,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Page> {
    let (rows, end) = stored(store, space, after, limit)?;
    Ok(Page { rows, end })
}

/// The space of the table with this place in the app.
#[must_use]
pub fn space(index: usize) -> Space {
    Space(u16::try_from(index).expect("an app has few tables"))
}

fn has_content(store: &dyn Store, space: Space) -> Result<bool> {
    let mut found = false;
    let each: &mut Each<'_> = &mut |_, _| {
        found = true;
        Err(Error::Stopped)
    };
    let result = store.scan(space, &[], each);
    if found { Ok(true) } else { result.map(|()| false) }
}

/// Up to `limit` stored rows behind `after`, and the last key if there are more.
fn stored(
    store: &dyn Store,
    space: Space,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<(Rows, Option<Vec<u8>>)> {
    let (mut rows, mut is_full, mut bytes) = (Rows::new(), false, 0);
    let result = store.scan_after(space, &[], after, &mut |key, value| {
        if rows.len() == limit || bytes >= PAGE_BYTES {
            is_full = true;
            return Err(Error::Stopped);
        }
        bytes += key.len() + value.len();
        rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    });
    if !is_full {
        result?;
    }
    let end = rows.last().filter(|_| is_full).map(|(key, _)| key.clone());
    Ok((rows, end))
}
