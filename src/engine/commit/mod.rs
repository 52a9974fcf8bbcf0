//! The commit protocol of one exactly-once task: what happened goes in, what is to be done comes out.
//!
//! The machine reads no clock, draws no random numbers and holds no bytes: tokens come with the events
//! that begin an attempt, outputs and changes stay with whoever carries the effects out.
//!
//! # A commit
//!
//! ```text
//! Submitted -> Begin Produce (Flush | Prepare) -> Flushed, Prepared -> SendOffsets -> OffsetsSent
//!           -> Commit -> Committed -> Apply -> Applied -> Done Live
//! ```
//!
//! # Guarantees
//!
//! * A state is changed only by a commit whose token the broker has confirmed, by its answer or beside
//!   the committed offset.
//! * Offsets are sent only when every output is acknowledged and the pending commit survives a loss of power.
//! * Each attempt has a token of its own; an attempt that was aborted leaves nothing pending.
//! * When it is not known whether a commit took effect, nothing is forgotten: the producer is dropped, the
//!   owner asked for, a new one initialised, and the committed offset read before anything else.
//! * A producer that had trouble during a transaction is dropped before the next one, and does not abort
//!   this one: its late requests could decide a transaction they do not belong to.
//! * The committed offset never moves back.
//! * Any order of events is survived: what cannot have happened changes nothing.

mod boot;
mod effect;
mod event;
mod machine;
#[cfg(test)]
mod model;
mod round;

pub use effect::Effect;
pub use event::{Answer, Event, Proposal};
pub use machine::{Machine, Options, Stage};
