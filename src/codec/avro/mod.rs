//! Avro to Arrow columns and back.
//!
//! Guarantees:
//!
//! - A record is good as a whole or bad as a whole, and a bad one never changes its neighbours.
//! - A record that was written with another schema becomes a row by the rules of schema resolution:
//!   defaults, aliases, promotions, fields that were added, removed or moved.
//! - Any bytes give a result: no panic, no memory for lengths and counts that the bytes do not hold.
//!
//! | Avro | column | remarks |
//! | --- | --- | --- |
//! | boolean, int, long, float, double | boolean, int32, int64, float32, float64 | |
//! | bytes, fixed, duration | binary | |
//! | string, enum, uuid | utf8 | text is checked to be UTF-8 |
//! | array, map, record | list, map, struct | recursion is refused |
//! | union of null and one type | nullable column | |
//! | other unions | | refused; a reader may name one branch, others are bad records |
//! | decimal | decimal128 | more than 38 digits stay bytes |
//! | date | date32 | |
//! | time-millis, time-micros | time64 in us | |
//! | timestamp-\* | timestamp in UTC, of the same unit | |
//! | local-timestamp-\* | timestamp without a zone | |
//!
//! Not here: asking a registry (see [`super::registry`]).

mod canonical;
mod columns;
mod decode;
mod defaults;
mod derive;
mod encode;
mod input;
mod plan;
mod read;
mod schema;
mod write;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;
pub(in crate::codec) use schema::Schema;
