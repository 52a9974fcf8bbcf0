//! The line of one partition of a subscription.
//!
//! Two loops: [`Source`] polls and decodes, one batch ahead of the handler; `writer` encodes,
//! produces and, once everything is acknowledged, lets the offset move; `exact` is in its place where
//! outputs, offset and state take effect together. The handler is between them,
//! behind a [`crate::task::shelf::Shelf`], and holds a [`Job`].

mod checkpoints;
mod encoding;
pub mod event_time;
mod exact;
mod job;
mod origins;
mod plan;
mod replaying;
mod resume;
mod sharded;
mod shared;
mod silence;
mod source;
pub mod state;
mod turnstile;
mod windows;
mod writer;

pub use checkpoints::{ChangelogWriter, Checkpoints};
pub use job::{Content, Job};
pub use plan::Plan;
pub use replaying::Replaying;
pub use resume::Resume;
pub use sharded::Shards;
pub use shared::{Exact, Held, Shared};
pub use silence::Silence;
pub use source::Source;
pub use windows::{Feed, Windows};
