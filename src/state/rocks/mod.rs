//! State on disk: one RocksDB instance for all tasks of a worker process.

#[cfg(test)]
mod damage;
mod db;
mod declared;
mod failure;
mod guard;
mod look;
mod options;
mod reading;
mod record;
mod scan;
mod store;
#[cfg(test)]
mod tests;

pub use db::{StateDb, StateOptions};
pub use look::TaskLook;
