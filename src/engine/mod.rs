//! Pure logic of one partition: no I/O, no async.

pub mod commit;
pub mod groups;
pub mod halt;
pub mod horizon;
pub mod identity;
pub mod inputs;
pub mod origin;
pub mod receipt;
pub mod reconcile;
pub mod shard;
pub mod tracker;
