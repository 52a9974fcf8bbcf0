//! Bytes to Arrow columns and back. No I/O and no waiting in here.

mod column;
pub mod json;
pub mod metadata;
pub mod rows;

pub use rows::{BadRecord, Decode, Decoded, Encode, Encoded};
