//! Bytes to Arrow columns and back. No I/O and no waiting in here, but for what a registry is asked
//! in `prepare`.

pub mod avro;
mod column;
pub mod csv;
mod extras;
pub mod format;
pub mod ipc;
pub mod json;
mod keys;
pub mod metadata;
pub mod msgpack;
mod output;
pub mod plain;
pub mod protobuf;
pub mod registry;
pub mod rows;

pub use column::DecodeOptions;
pub use keys::{KeyForm, refuse_bad_keys, row_keys};
pub use output::Output;
pub use rows::{BadRecord, Decode, Decoded, Encode, Encoded, Ready};
