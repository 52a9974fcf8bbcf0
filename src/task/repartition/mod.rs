//! The first stage of a subscription that reads its topic by another column: records of one partition
//! are written once more, to an internal topic, with the column's value as their key.
//!
//! ```text
//! orders[p] -> poll -> decode -> key, watermark -> orders-user-repartition[murmur2(key) mod n] -> commit
//! ```
//!
//! # Guarantees
//!
//! * A record keeps its value, headers and timestamp, byte for byte; a header more says where it came
//!   from ([`crate::engine::origin`]), which its reader takes away.
//! * Records of one source partition with one key keep their order.
//! * The offset moves only after the acknowledgements, so a crash writes some records again and loses
//!   none. Exactly once: records, marks, dead letters and offset are one transaction, so it writes none again.
//! * With event time, every partition of the internal topic learns how far this source partition is,
//!   by its records or else by marks, which carry no row: soon after each step of the watermark, and
//!   when the source is silent, so that the others do not wait for it.
//!
//! # Not here
//!
//! Joining the watermarks of several source partitions: [`super::subscription`].

mod letters;
mod quiet;
mod shared;
mod source;
mod target;

pub use shared::{Exact, Shared};
pub use source::{Made, Source};
pub use target::Target;
