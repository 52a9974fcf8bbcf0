//! Commits of exactly-once tasks: outputs, offset and state take effect together.
//!
//! ```text
//! writer, tables -> Ledger -> Driver <-> engine::commit::Machine
//!                               |-> kafka: producer with a transactional id, one a task
//!                               `-> state: pending commit, apply
//! ```
//!
//! The machine decides; the driver carries out, on a thread that may block, and reports. No transaction is
//! open while a handler runs: it begins when everything that it is to hold is there.
//!
//! # Not here
//!
//! What a commit contains (`task::subscription`, `task::agent`), how a gap is closed ([`CatchUp`]).

mod attempt;
mod catch_up;
mod driver;
mod inputs;
mod ledger;
mod link;
mod log;
mod logged;
mod outbox;
mod output;
mod parts;
mod retry;
mod spacing;
mod standing;
mod turns;

pub use catch_up::{CatchUp, NothingToCatchUp};
pub use ledger::{Commit, Ended, Ledger, LedgerParts, Live};
pub use link::{Gate, Link, MakeProducer, Member, transactional_id};
pub use log::CommitLog;
pub use logged::Logged;
pub use outbox::Outbox;
pub use output::{Outbound, Output};
pub use turns::Turns;
