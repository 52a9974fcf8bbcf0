//! Ids for idempotent producers, each given out once in the life of the data.

use super::storage::{Note, Storage};
use parking_lot::Mutex;
use std::{io, sync::Arc};

/// Ids that are written down at a time; a restart skips what is left of them.
const BLOCK: i64 = 1_000;

/// Gives out producer ids.
pub(crate) struct ProducerIds {
    storage: Arc<Storage>,
    inner: Mutex<Inner>,
}

struct Inner {
    next: i64,
    noted_below: i64,
}

impl ProducerIds {
    /// The first id will be `next`.
    pub(crate) fn new(storage: Arc<Storage>, next: i64) -> Self {
        Self { storage, inner: Mutex::new(Inner { next, noted_below: next }) }
    }

    /// An id that nobody has had.
    pub(crate) fn next(&self) -> io::Result<i64> {
        let mut inner = self.inner.lock();
        if inner.next == inner.noted_below {
            let below = inner.next + BLOCK;
            self.storage.note(&[Note::ProducerIds { below }])?;
            inner.noted_below = below;
        }
        inner.next += 1;
        Ok(inner.next - 1)
    }
}
