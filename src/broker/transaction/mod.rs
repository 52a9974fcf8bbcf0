//! Transactions of producers, as a state machine: requests and the time in, notes and markers out.
//!
//! ```text
//!  init            add                 end, timeout, init            markers are written
//!   │       ┌──────────────▶ Ongoing ────────────────▶ PrepareCommit ──────────▶ CompleteCommit
//!   ▼       │                                          PrepareAbort              CompleteAbort
//!  Empty ───┴────────────◀─────────────── add ──────────────────────────────────────┘
//! ```
//!
//! [`Transaction`] is what is known of one transactional id; it decides and has no effects.
//! [`Coordinator`] has all of them and gives decisions effect through [`Effects`], in an order that a
//! kill at any point cannot spoil:
//!
//! 1. Whatever a client is told is noted first. A partition is in the note before a record of the
//!    transaction can be in the partition, so no log has an open transaction that nobody will end.
//! 2. The decision to commit or abort is noted, with the ends of the partitions at that moment. From
//!    then on the outcome is certain, whatever happens.
//! 3. Every partition gets a marker, unless it has one behind that end: after a restart the same
//!    step writes those that are missing, and none twice.
//! 4. The offsets of a committed transaction and the note that it is complete are written together.
//!    If only a part of that survives, the step is repeated and writes the same again.
//!
//! # Not here
//!
//! Locks and the clock ([`crate::broker::transactions`]), the logs ([`crate::broker::log`]).

mod coordinator;
mod init;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use coordinator::{Coordinator, Effects, OpenOffsets};
pub(crate) use init::Init;
pub(crate) use state::{Offsets, Owner, State, Transaction};
