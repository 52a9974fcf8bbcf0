//! Protobuf messages, one a record, to Arrow columns and back.
//!
//! Guarantees, next to those of every format:
//!
//! - A field that is not in the record is what Protobuf says: its zero without presence, null (or
//!   the default of the column) with presence. A field that the schema requires makes a record bad
//!   when it is missing.
//! - Unknown fields are checked and left out. A known field that is written as another type makes
//!   the record bad: it was written with another schema.
//! - No integer is cut to fit 32 bits, as other readers do.
//!
//! | Protobuf | column without a model |
//! | --- | --- |
//! | numbers, `bool`, `string`, `bytes` | the same |
//! | `enum` | utf8, the name; the number as text if it has none. Integer columns get the number |
//! | message | struct; nullable |
//! | `repeated`, packed or not | list |
//! | `map` | map with text as keys, as in Protobuf's JSON |
//! | `optional`, members of a `oneof` | nullable; of a `oneof` the last one counts |
//! | `google.protobuf.Timestamp`, `Duration` | `timestamp[us, UTC]`, `duration[us]` |
//! | `google.protobuf.*Value` (wrappers) | what they wrap, nullable |
//! | a message that contains itself | refused: leave it out with a model |
//!
//! In front of the message stands nothing, or Confluent's frame: a zero byte, the id of the schema
//! (4 bytes), and the path to the message in its file.
//!
//! Source of the encoding: Protobuf's "Encoding" and "Field presence" documents.

mod decode;
mod encode;
mod frame;
mod plan;
mod scalar;
mod schema;
mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;
pub use schema::{Source, find_message};
