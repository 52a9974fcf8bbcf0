//! Where a subscription's decoded batches wait for its handler.

use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Tells an event loop, from any thread, that it should look.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A queue with one side in Rust tasks, the other in Python threads or an event loop.
///
/// It knows whether somebody waits: then a task hands over what it has instead of collecting more.
pub struct Shelf<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
    hungry: Notify,
    wake: Wake,
}

struct Inner<T> {
    queue: VecDeque<T>,
    waiting: usize,
    closed: bool,
}

/// The shelf is closed and empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

impl<T> Shelf<T> {
    /// An empty, open shelf.
    pub fn new(wake: Wake) -> Self {
        let inner = Inner { queue: VecDeque::new(), waiting: 0, closed: false };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), hungry: Notify::new(), wake }
    }

    /// Puts `item` behind the others.
    pub fn put(&self, item: T) {
        self.inner.lock().queue.push_back(item);
        self.changed.notify_one();
        (self.wake)();
    }

    /// Puts `items` in front of the others, in their order.
    pub fn put_back(&self, items: impl IntoIterator<Item = T, IntoIter: DoubleEndedIterator>) {
        let mut inner = self.inner.lock();
        items.into_iter().rev().for_each(|item| inner.queue.push_front(item));
        drop(inner);
        self.nudge();
    }

    /// Makes whoever waits look again.
    pub fn nudge(&self) {
        self.changed.notify_all();
        (self.wake)();
    }

    /// Is somebody waiting for more than there is?
    pub fn is_hungry(&self) -> bool {
        let inner = self.inner.lock();
        inner.waiting > inner.queue.len()
    }

    /// Resolves when somebody begins to wait.
    pub async fn became_hungry(&self) {
        self.hungry.notified().await;
    }

    /// Blocks for the next item, at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn next(&self, timeout: Duration) -> Result<Option<T>, Closed> {
        let deadline = Instant::now() + timeout;
        let mut inner = self.inner.lock();
        if inner.queue.is_empty() && !inner.closed {
            inner.waiting += 1;
            self.hungry.notify_waiters();
            while inner.queue.is_empty() && !inner.closed {
                if self.changed.wait_until(&mut inner, deadline).timed_out() {
                    break;
                }
            }
            inner.waiting -= 1;
        }
        pop(&mut inner)
    }

    /// The next item if there is one; else the caller counts as waiting until the next call.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn try_next(&self) -> Result<Option<T>, Closed> {
        let mut inner = self.inner.lock();
        inner.waiting = usize::from(inner.queue.is_empty());
        if inner.waiting > 0 {
            self.hungry.notify_waiters();
        }
        pop(&mut inner)
    }

    /// Takes away what `unwanted` says.
    pub fn remove(&self, unwanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut inner = self.inner.lock();
        let (gone, kept) = inner.queue.drain(..).partition(unwanted);
        inner.queue = kept;
        gone.into()
    }

    /// Nothing will come any more.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.changed.notify_all();
        (self.wake)();
    }
}

fn pop<T>(inner: &mut Inner<T>) -> Result<Option<T>, Closed> {
    match inner.queue.pop_front() {
        Some(item) => Ok(Some(item)),
        None if inner.closed => Err(Closed),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> Arc<Shelf<u32>> {
        Arc::new(Shelf::new(Arc::new(|| ())))
    }

    /// A waiting thread makes the shelf hungry until something lies on it.
    #[test]
    fn a_waiting_thread_makes_it_hungry() {
        let shelf = shelf();
        let reader = {
            let shelf = Arc::clone(&shelf);
            std::thread::spawn(move || shelf.next(Duration::from_secs(10)))
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !shelf.is_hungry() {
            assert!(Instant::now() < deadline, "the reader never waited");
            std::thread::yield_now();
        }
        shelf.put(7);
        assert_eq!(reader.join().expect("reader"), Ok(Some(7)));
        assert!(!shelf.is_hungry());
    }

    /// What lies on a closed shelf can still be taken.
    #[test]
    fn closing_keeps_what_is_there() {
        let shelf = shelf();
        shelf.put(1);
        shelf.close();
        assert_eq!(shelf.try_next(), Ok(Some(1)));
        assert_eq!(shelf.try_next(), Err(Closed));
    }

    /// Only the unwanted items go.
    #[test]
    fn removes_by_condition() {
        let shelf = shelf();
        (0..4).for_each(|i| shelf.put(i));
        assert_eq!(shelf.remove(|i| i % 2 == 0), [0, 2]);
        assert_eq!(shelf.try_next(), Ok(Some(1)));
    }
}
