//! Chunks back to commits.

use super::frame::{self, Change, Head};
use std::{collections::VecDeque, sync::Arc};

/// Commits begun and not complete that are remembered: a writer that lost its partition may write between the
/// chunks of its successor.
const MOST_OPEN: usize = 4;

/// What a record of a changelog gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The last chunk of a commit.
    Whole(Change),
    /// More of it is to come.
    Part,
    /// Not what is written there, or a chunk whose beginning is gone.
    Unreadable,
}

/// Takes the records of a changelog in their order.
pub struct Assembler {
    names: Arc<[Arc<str>]>,
    open: VecDeque<Open>,
}

struct Open {
    head: Head,
    next: u32,
    packed: Vec<u8>,
}

impl Assembler {
    /// For a task whose spaces are called `names`, in their order.
    #[must_use]
    pub fn new(names: Arc<[Arc<str>]>) -> Self {
        Self { names, open: VecDeque::new() }
    }

    /// Takes the value of the next record.
    pub fn take(&mut self, value: &[u8]) -> Found {
        let Some(chunk) = frame::decode(value) else { return Found::Unreadable };
        let place = self.open.iter().position(|one| one.head == chunk.head);
        let mut one = match place.and_then(|place| self.open.remove(place)) {
            Some(one) if one.next == chunk.index => one,
            None if chunk.index == 0 => Open { head: chunk.head, next: 0, packed: Vec::new() },
            _ => return Found::Unreadable,
        };
        one.packed.extend_from_slice(chunk.bytes);
        one.next += 1;
        if one.next < one.head.count {
            self.open.push_back(one);
            if self.open.len() > MOST_OPEN {
                self.open.pop_front();
            }
            return Found::Part;
        }
        frame::unpack(&one.head, &one.packed, &self.names).map_or(Found::Unreadable, Found::Whole)
    }
}
