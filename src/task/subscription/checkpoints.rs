//! The way of a partition's state into its store: collected batch by batch, made durable together once
//! the batches are done.

use crate::{
    engine::tracker::{Ticket, Tracker},
    error::Result,
    failpoints::failpoint,
    metrics::StateMetrics,
    state::{Delta, Mark, Space, Store, Writes},
    task::state::TaskState,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// Writes what a commit changes to a changelog.
pub trait ChangelogWriter: Send {
    /// Writes `delta`, which leads from input offset `from` (-1: from the beginning) to `mark`, and
    /// blocks until it is acknowledged; the offset in the changelog behind it.
    ///
    /// # Errors
    ///
    /// If it was not written; then the store is not changed, and the call comes again.
    fn write(&mut self, delta: &Delta, from: i64, mark: &Mark) -> Result<i64>;

    /// The store has what was written last.
    fn settled(&mut self);
}

/// The store of one partition and what is on its way into it.
///
/// # Guarantees
///
/// * The store never has the effect of a batch whose outputs are not acknowledged, nor of one behind
///   such a batch.
/// * Its offset is that of the input which its content has seen, no more and no less.
pub struct Checkpoints {
    inner: Mutex<Inner>,
    stored: AtomicI64,
    interval: Duration,
    metrics: StateMetrics,
    /// Told what is in the store.
    state: Option<Arc<TaskState>>,
    /// Windows say what they have changed only now and then: only such a batch can be the last one.
    has_windows: bool,
}

struct Inner {
    /// None once the partition is gone.
    store: Option<Arc<dyn Store>>,
    changelog: Option<Box<dyn ChangelogWriter>>,
    batches: BTreeMap<Ticket, Batch>,
    due: Instant,
}

#[derive(Default)]
struct Batch {
    next: i64,
    delta: Delta,
    /// True if it has everything that windows have changed up to it.
    is_whole: bool,
}

impl Checkpoints {
    /// Checkpoints into `store`, one in `interval` at most.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn new(
        store: Arc<dyn Store>,
        changelog: Option<Box<dyn ChangelogWriter>>,
        interval: Duration,
        metrics: StateMetrics,
    ) -> Result<Self> {
        let stored = AtomicI64::new(store.mark()?.map_or(-1, |mark| mark.next));
        let due = Instant::now() + interval;
        let inner = Inner { store: Some(store), changelog, batches: BTreeMap::new(), due };
        let inner = Mutex::new(inner);
        Ok(Self { inner, stored, interval, metrics, state: None, has_windows: false })
    }

    /// Tells `state` what is in the store.
    #[must_use]
    pub fn telling(self, state: Option<Arc<TaskState>>) -> Self {
        Self { state, ..self }
    }

    /// Waits for what windows have changed.
    #[must_use]
    pub fn with_windows(self, has_windows: bool) -> Self {
        Self { has_windows, ..self }
    }

    /// Is it time for the next one?
    pub fn is_due(&self) -> bool {
        self.inner.lock().due <= Instant::now()
    }

    /// Takes what windows have changed up to batch `ticket`, whose last record is in front of `next`.
    pub fn take(&self, ticket: Ticket, next: i64, windows: Writes) {
        let mut inner = self.inner.lock();
        inner.due = Instant::now() + self.interval;
        let batch = inner.batches.entry(ticket).or_default();
        (batch.next, batch.is_whole) = (next, true);
        batch.delta.push(Space::WINDOWS, windows);
    }

    /// Takes what the handler of batch `ticket` has changed; call it before the batch is done.
    pub fn note(&self, ticket: Ticket, next: i64, delta: Delta) {
        let mut inner = self.inner.lock();
        let batch = inner.batches.entry(ticket).or_default();
        batch.next = next;
        batch.delta.extend(delta);
    }

    /// Makes durable what is due of batches that, with all before them, are done; `at_once` even if it
    /// is not due.
    ///
    /// # Errors
    ///
    /// If it cannot be written; it will be tried again.
    pub fn settle(&self, tracker: &Mutex<Tracker>, at_once: bool) -> Result<()> {
        let mut inner = self.inner.lock();
        let is_due = at_once || self.has_windows || inner.due <= Instant::now();
        let is_last = |ticket: &Ticket, batch: &Batch| {
            (batch.is_whole || !self.has_windows) && tracker.lock().is_done_through(*ticket)
        };
        let last = inner.batches.iter().rev().find(|(ticket, batch)| is_last(ticket, batch));
        let (Some((&ticket, batch)), true) = (last, is_due) else { return Ok(()) };
        let next = batch.next;
        inner.due = Instant::now() + self.interval;
        self.commit(&mut inner, ticket, next, Writes::default())
    }

    /// The last one, of a partition whose batches are all done.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    pub fn finish(&self, next: i64, windows: Writes) -> Result<()> {
        self.commit(&mut self.inner.lock(), Ticket::MAX, next, windows)
    }

    /// Writes everything up to batch `ticket`.
    fn commit(&self, inner: &mut Inner, ticket: Ticket, next: i64, windows: Writes) -> Result<()> {
        let Inner { store: Some(store), changelog, batches, .. } = inner else { return Ok(()) };
        let mut delta = newest(batches.range(..=ticket).map(|(_, batch)| &batch.delta));
        delta.push(Space::WINDOWS, windows);
        delta.0.retain(|(_, writes)| !writes.0.is_empty());
        let from = self.stored.load(Ordering::Acquire);
        if delta.is_empty() && next == from {
            return Ok(());
        }
        let mut mark = Mark { next, token: 0, hash: 0, log: -1 };
        failpoint!("line::checkpoint_begins");
        if let Some(changelog) = &mut *changelog {
            mark.log = changelog.write(&delta, from, &mark)?;
        }
        failpoint!("line::checkpoint_logged");
        store.commit(&delta, mark)?;
        if let Some(changelog) = changelog {
            changelog.settled();
        }
        failpoint!("line::checkpoint_ends");
        self.stored.store(next, Ordering::Release);
        self.metrics.checkpoints.inc();
        *batches = batches.split_off(&ticket.saturating_add(1));
        if let Some(state) = &self.state {
            state.applied(ticket);
        }
        Ok(())
    }

    /// Counts that the state is elsewhere.
    pub fn note_missing(&self) {
        self.metrics.missing.inc();
    }

    /// Input offset of the last durable one.
    pub fn stored(&self) -> Option<i64> {
        Some(self.stored.load(Ordering::Acquire)).filter(|&next| next >= 0)
    }

    /// Lets go of the store.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        (inner.store, inner.changelog) = (None, None);
        inner.batches.clear();
    }
}

/// Deltas as one, with the newest change of each key.
fn newest<'a>(mut deltas: impl Iterator<Item = &'a Delta>) -> Delta {
    let Some(first) = deltas.next() else { return Delta::default() };
    let mut rest = deltas.peekable();
    if rest.peek().is_none() {
        return first.clone();
    }
    let mut spaces: BTreeMap<Space, BTreeMap<&[u8], Option<&Vec<u8>>>> = BTreeMap::new();
    for (space, writes) in std::iter::once(first).chain(rest).flat_map(|delta| &delta.0) {
        let changes = spaces.entry(*space).or_default();
        changes.extend(writes.0.iter().map(|(key, value)| (key.as_slice(), value.as_ref())));
    }
    let owned = |(key, value): (&[u8], Option<&Vec<u8>>)| (key.to_vec(), value.cloned());
    let as_writes = |changes: BTreeMap<_, _>| Writes(changes.into_iter().map(owned).collect());
    Delta(spaces.into_iter().map(|(space, changes)| (space, as_writes(changes))).collect())
}

#[cfg(test)]
#[path = "checkpoints/tests.rs"]
mod tests;
