//! Where operators keep what must survive the process: ordered bytes behind one trait.

pub mod keys;
pub mod value;

mod delta;
mod frame;
mod lock;
mod log;
#[cfg(test)]
mod log_suite;
mod memory;
mod msgpack;
mod names;
mod rocks;
mod slots;
pub mod snapshot;
mod store;
#[cfg(test)]
mod suite;

pub use delta::Delta;
pub use log::{LogStore, OpenError};
pub use memory::MemoryStore;
pub use names::{SpaceName, TaskName};
pub use rocks::{StateDb, StateOptions};
pub use store::{Frozen, Mark, Pending, Space, Store};

use crate::error::Result;

/// Changes that take effect together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes(pub Vec<(Vec<u8>, Option<Vec<u8>>)>);

/// Takes one key and its value.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// The store of windows alone: ordered keys of one partition, changed by whole batches of writes.
pub trait WindowStore: Send {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error`] if the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Calls `each` with every key that begins with `prefix` and its value, in the order of the keys.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or what `each` returns.
    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<()>;

    /// Makes `writes` and the input offset `next` durable, together; later writes of one key count.
    ///
    /// # Errors
    ///
    /// If they cannot be written; then nothing of them is.
    fn commit(&mut self, writes: &Writes, next: i64) -> Result<()>;

    /// Input offset of the last commit: the next record to read. None before the first.
    fn next(&self) -> Option<i64>;
}
