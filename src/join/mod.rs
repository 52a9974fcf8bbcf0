//! Joins of two inputs with one key, on one partition: rows in, joined rows out.
//!
//! ```text
//! rows of a side -> key, event time, watermark -> matches among the kept rows of the other -> joined rows
//! ```
//!
//! | join | what a row meets | what is kept |
//! | --- | --- | --- |
//! | interval | rows of the other stream with a time near its own | rows until the watermark passes their interval |
//! | as-of | the newest row of the right at or before its own time | versions that a row may still ask for |
//! | stream with table | the row that its key has in the table | the newest row of each key |
//! | table with table | the row that its key has on the other side | the newest row of each key, twice |
//!
//! # Guarantees
//!
//! * Results depend on the rows and on the order in which those of both sides arrive alone: not on how
//!   they were cut into batches, not on a restore between two of them.
//! * Where rows without a match are given too, such a row comes when nothing can match it any more, so
//!   there is never both: a row on its own, and later the same row with its match.
//! * A null in a key, and a row without event time, never match.
//! * What is kept is bounded by time, or by the number of keys: a join that neither bounds is refused.
//!
//! # Not here
//!
//! Where rows come from, and that both sides of a partition belong to one task: see [`crate::task`].

mod asof;
mod book;
mod clock;
mod columns;
mod core;
pub mod inspect;
mod interval;
mod operator;
mod output;
mod persist;
mod rows;
pub mod spec;
mod table;
#[cfg(test)]
mod tests;

pub use operator::{Counters, Operator, Out};
pub use persist::{Entries, InStore};
pub use spec::{How, JoinKind, JoinSpec, Side, Sides};
pub use table::{Latest, TableJoin};
