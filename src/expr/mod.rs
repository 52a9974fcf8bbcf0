//! Expressions over the columns of a batch; the only place that names `DataFusion`.
//!
//! ```text
//! tree (JSON) -> parse -> bind to a schema: types, kernels -> evaluate on batches -> a column
//! ```
//!
//! # Guarantees
//!
//! * What cannot work with a schema (an unknown column, types that do not fit) is said when the
//!   expression is bound, in one sentence; [`Expression::check`] binds without a batch.
//! * The value of a row depends on that row alone: not on its neighbours, not on how rows were cut into
//!   batches. Both sides of `and` and `or` are always computed; only `when` guards what is behind it.
//! * A row whose value cannot be computed (an overflow, a division by zero, text that is no number) is
//!   null and counted, or fails the batch: [`OnComputeError`]. It never changes its neighbours.
//!
//! # Not here
//!
//! Aggregates over rows: see [`crate::window`].

#![allow(dead_code, reason = "families of functions that use it follow")]

mod arithmetic;
mod bind;
mod call;
mod compare;
mod expression;
mod functions;
mod logic;
mod options;
mod tally;
#[cfg(test)]
mod tests;
mod tree;
mod types;

pub use expression::{Evaluated, Expression};
pub use tally::OnComputeError;
