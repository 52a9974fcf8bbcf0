//! Pure logic of one partition: no I/O, no async.

pub mod horizon;
pub mod origin;
pub mod shard;
pub mod tracker;
