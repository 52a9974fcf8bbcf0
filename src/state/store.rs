//! What the state of one task is kept in, and what a commit does to it.

use super::{Delta, Each};
use crate::error::Result;

/// Names one ordered keyspace of a task, by its place in what the store was opened with: the state of a
/// subscription, its windows, its timers, a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub u16);

impl Space {
    /// What handlers of a subscription put.
    pub const STATE: Self = Self(0);
    /// Windows of a subscription.
    pub const WINDOWS: Self = Self(1);
    /// Timers and expiry of a subscription's keys.
    pub const TIMERS: Self = Self(2);
    /// Where the inputs of a subscription are, if it has several.
    pub const INPUTS: Self = Self(3);
}

/// What the content of a store has seen: the state's own word, beside the one that the broker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Input offset: the next record to read.
    pub next: i64,
    /// Token of the commit that wrote it, 0 without transactions.
    pub token: u64,
    /// Chained hash of every output so far.
    pub hash: u64,
    /// Offset in the changelog in front of which everything is in the store; -1 if that is not known.
    pub log: i64,
}

/// A commit that is not decided yet: what it changes if the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Input offset that the store must be at.
    pub from: i64,
    /// Where it is afterwards.
    pub mark: Mark,
    /// The changes.
    pub delta: Delta,
}

impl Pending {
    /// True if it is the commit behind `mark`, and not the one of `mark` itself: commits of timers share
    /// their offset. A store without a mark has seen nothing else.
    #[must_use]
    pub fn follows(&self, mark: Option<Mark>) -> bool {
        let is_next = |mark: Mark| {
            mark.next == self.from && (mark.token == 0 || mark.token != self.mark.token)
        };
        mark.is_none_or(is_next)
    }
}

/// The store of one task. Whoever has it may read and write from any thread; one task writes.
///
/// # Guarantees
///
/// * [`Store::commit`] and [`Store::apply`] change content and mark together or not at all.
/// * When [`Store::prepare`] returns, the pending commit survives a loss of power.
/// * At most one commit is pending.
pub trait Store: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error`] if the store cannot be read; damage is an error, never a wrong value.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    fn get_many(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        keys.iter().map(|key| self.get(space, key)).collect()
    }

    /// Calls `each` with every key that begins with `prefix` and its value, in the order of the keys.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or what `each` returns.
    fn scan(&self, space: Space, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        self.scan_after(space, prefix, None, each)
    }

    /// As [`Store::scan`], with the keys behind `after` alone.
    ///
    /// # Errors
    ///
    /// As [`Store::scan`].
    fn scan_after(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut Each<'_>,
    ) -> Result<()>;

    /// What the content has seen; none before the first commit.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    fn mark(&self) -> Result<Option<Mark>>;

    /// Makes `delta` and `mark` take effect, together.
    ///
    /// # Errors
    ///
    /// If they cannot be written; then nothing of them is.
    fn commit(&self, delta: &Delta, mark: Mark) -> Result<()>;

    /// Makes a commit durable that may still be undone; replaces one that is pending.
    ///
    /// # Errors
    ///
    /// If it cannot be written. After an error of the disk the store refuses every further write.
    fn prepare(&self, pending: &Pending) -> Result<()>;

    /// The commit that is pending.
    ///
    /// # Errors
    ///
    /// If it is damaged, or cannot be read.
    fn pending(&self) -> Result<Option<Pending>>;

    /// Makes the pending commit take effect and forgets that it was pending; does nothing but forget if
    /// the store has a mark and is not at its `from`.
    ///
    /// # Errors
    ///
    /// If it cannot be written; then it is still pending.
    fn apply(&self, pending: &Pending) -> Result<()>;

    /// Forgets the pending commit.
    ///
    /// # Errors
    ///
    /// If that cannot be written.
    fn discard(&self) -> Result<()>;

    /// Adds content and leaves the mark as it is: of a store that is filled from a copy. It is durable with
    /// the next commit; content without a mark is that of a copy that ended early.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn load(&self, delta: &Delta) -> Result<()>;

    /// Bytes of keys and values that commits have written since it was opened.
    fn written_bytes(&self) -> u64;

    /// What was noted about the content as a whole.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    fn note(&self) -> Result<Option<Vec<u8>>>;

    /// Notes what is true of the content as a whole, as which cluster it is of; commits do not change it.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn set_note(&self, note: &[u8]) -> Result<()>;

    /// Removes everything: content, mark, note and pending commit.
    ///
    /// # Errors
    ///
    /// If that cannot be written.
    fn clear(&self) -> Result<()>;

    /// Shows `look` the content as it is now; what is written meanwhile changes nothing of what it sees,
    /// and does not wait for it.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or what `look` returns.
    fn freeze(&self, look: &mut dyn FnMut(&dyn Frozen) -> Result<()>) -> Result<()>;
}

/// The content of a store at one moment.
pub trait Frozen {
    /// What it had seen.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    fn mark(&self) -> Result<Option<Mark>>;

    /// As [`Store::scan`].
    ///
    /// # Errors
    ///
    /// As [`Store::scan`].
    fn scan(&self, space: Space, prefix: &[u8], each: &mut Each<'_>) -> Result<()>;
}
