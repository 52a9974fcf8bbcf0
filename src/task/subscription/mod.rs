//! The line of one partition of a subscription.
//!
//! Two loops: [`Source`] polls and decodes, one batch ahead of the handler; `writer` encodes,
//! produces and, once everything is acknowledged, lets the offset move; `exact` is in its place where
//! outputs, offset and state take effect together. The handler is between them,
//! behind a [`crate::task::shelf::Shelf`], and holds a [`Job`]. Where two topics are joined each of them has a
//! [`Source`], and [`Inputs`] is what these have in common.

mod checkpoints;
mod encoding;
pub mod event_time;
mod exact;
mod feeding;
mod inputs;
mod job;
mod joined;
mod origins;
mod plan;
mod reading;
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
pub use feeding::Feeding;
pub use inputs::Inputs;
pub use job::{Content, Job};
pub use plan::{Plan, is_of_the_line};
pub use reading::Reading;
pub use replaying::Replaying;
pub use resume::Resume;
pub use sharded::Shards;
pub use shared::{Exact, Held, Shared};
pub use silence::Silence;
pub use source::{Source, read};
pub use windows::{Feed, Windows};
