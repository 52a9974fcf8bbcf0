//! The records of a commit, hashed when they are put in: not while a transaction waits for them.

use super::output::{Output, hash_of};
use std::ops::Deref;

/// Records in the order that they are sent, and the sum of their hashes.
#[derive(Default)]
pub struct Outbox {
    outputs: Vec<Output>,
    hash: u64,
}

impl Outbox {
    /// To be added to the hash of everything that was written before.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Adds records that come later.
    pub fn append(&mut self, later: Self) {
        self.outputs.extend(later.outputs);
        self.hash = self.hash.wrapping_add(later.hash);
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.outputs.iter().map(Output::bytes).sum()
    }
}

impl From<Vec<Output>> for Outbox {
    fn from(outputs: Vec<Output>) -> Self {
        Self { hash: hash_of(&outputs), outputs }
    }
}

impl Deref for Outbox {
    type Target = [Output];

    fn deref(&self) -> &[Output] {
        &self.outputs
    }
}
