//! Pure logic of one partition: no I/O, no async.

pub mod shard;
pub mod tracker;
