//! Expressions over the columns of a batch, computed by Arrow's kernels.
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

mod arithmetic;
mod bind;
mod branch;
mod call;
mod compare;
mod explode;
mod expression;
mod functions;
mod hash;
mod logic;
mod numbers;
mod options;
mod plan;
mod steps;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod tree;
mod types;

pub use branch::{Split, split};
pub use explode::explode;
pub use expression::{Evaluated, Expression};
pub use steps::{Stepped, Steps};
pub use tally::OnComputeError;
