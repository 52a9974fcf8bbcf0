//! State on disk: one RocksDB instance for all tasks of a worker process.

mod db;
mod failure;
mod options;
mod record;
mod scan;
mod store;
#[cfg(test)]
mod tests;

pub use db::{StateDb, StateOptions};
