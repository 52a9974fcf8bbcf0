//! A task runs the line for one assigned partition, from top to bottom:
//!
//! ```text
//! poll -> decode -> process (Python) -> produce -> commit
//! ```
//!
//! * [`subscription`]: batches, decoded to Arrow.
//! * [`agent`]: events, decoded when the agent asks for them.
//! * [`commit`]: transactions of tasks that promise exactly once.
//! * [`repartition`]: records written once more under another key, for subscriptions that ask for it.
//! * [`trailing`]: markers of transactions, at which a partition may end.
//! * [`status`]: the state machine both share; [`shelf`]: where Python picks work up.
//!
//! # Guarantees
//!
//! * Rows of one partition are processed in offset order, one batch at a time.
//! * The committed offset moves only after every output of the batch is acknowledged.
//! * A crash between any two steps repeats the batch; it never skips one.
//! * What a task holds in memory is bounded by bytes, whatever arrives.
//!
//! # Not here
//!
//! Which partitions run in this process, and when offsets go to the broker: see [`crate::worker`].

pub mod agent;
mod bad_records;
pub mod changelog;
pub mod commit;
pub mod cursor;
pub mod cut;
pub mod dead_letter;
pub mod input;
mod order;
mod ready;
pub mod repartition;
pub mod restore;
pub mod shelf;
pub mod sink;
pub mod state;
pub mod status;
pub mod subscription;
pub mod tables;
pub mod trailing;
pub mod watch;
