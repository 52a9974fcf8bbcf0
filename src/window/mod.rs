//! Event time, windows and aggregates of one partition, column by column.
//!
//! ```text
//! rows -> event time, watermark -> keys -> windows -> accumulators -> results
//! ```
//!
//! # Guarantees
//!
//! * Results depend on the rows of the partition and their order alone: not on how they were cut into
//!   batches, not on when the process ran, not on threads. A row is judged late by the watermark of the
//!   rows before it, never by that of its batch.
//! * A window has exactly one final result, also when event time jumps.
//! * Integers and decimals are exact; keys keep their types.
//!
//! # Not here
//!
//! Where rows come from and where results go: see [`crate::task`].

pub mod aggregate;
pub mod dedup;
pub mod keys;
pub mod operator;
pub mod spec;
pub mod time;
pub mod watermark;
