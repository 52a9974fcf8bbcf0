//! Where operators keep what must survive the process: ordered bytes behind one trait.

pub mod inspect;
pub mod keys;
pub mod value;

mod delta;
mod lock;
mod member;
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
pub use member::MemberName;
pub use memory::MemoryStore;
pub use names::{SpaceName, TaskName};
pub use rocks::{StateDb, StateOptions, TaskLook};
pub use store::{Frozen, Mark, Pending, Space, Store};

use crate::error::Result;

/// Changes that take effect together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes(pub Vec<(Vec<u8>, Option<Vec<u8>>)>);

/// Takes one key and its value.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;
