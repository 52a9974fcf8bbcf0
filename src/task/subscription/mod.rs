//! The line of one partition of a subscription.
//!
//! Two loops: [`Source`] polls and decodes, one batch ahead of the handler; `writer` encodes,
//! produces and, once everything is acknowledged, lets the offset move. The handler is between them,
//! behind a [`crate::task::shelf::Shelf`], and holds a [`Job`].

mod job;
mod shared;
mod source;
mod writer;

pub use job::Job;
pub use shared::Shared;
pub use source::Source;
