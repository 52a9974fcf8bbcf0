//! Arrow IPC: a record holds a stream of batches, and gives as many rows as they have.
//!
//! Columns are found by name. One that is there as another type is converted where no value changes
//! (narrower integers, dictionaries, large text); anything else is a bad record. Without a model the
//! schema is that of the first record, and others have to fit it.
//!
//! Defaults, aliases and rules of a model count as in every format; a column with rules is looked at
//! value by value.
//!
//! A record is good as a whole or bad as a whole. Its rows share its offset, key and headers: if
//! the handler fails on one of them, the whole record becomes a dead letter, once.
//!
//! Written is one stream for each run of rows of about [`TARGET_BYTES`], or for each row where the
//! rows have keys, headers, timestamps or partitions of their own.
//!
//! Bytes are hostile until they are checked: `check` compares every length with the bytes that
//! there are before Arrow's reader sees them, and a record has at most [`ROWS_PER_BYTE`] rows a
//! byte. Compressed streams are refused.

mod check;
mod decode;
mod encode;
mod rules;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;

/// Bytes of rows in a record that is written, about: half of what Kafka accepts by default.
pub const TARGET_BYTES: usize = 512 << 10;
/// Most rows of a record, for each of its bytes: a column of booleans has eight.
pub const ROWS_PER_BYTE: usize = 8;
