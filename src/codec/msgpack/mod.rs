//! MessagePack maps, one a record, to Arrow columns and back.
//!
//! The rules are those of the JSON codec (its module says which), with what MessagePack has more:
//!
//! | MessagePack | column | result |
//! | --- | --- | --- |
//! | `bin` | binary | its bytes; in a text column it is bad |
//! | `uint 64` | `uint64` | exact, the whole range |
//! | timestamp extension (-1) | timestamp | an instant in UTC, cut to the unit of the column |
//! | any other extension | any | bad |
//! | NaN, infinities | float | what they are |
//!
//! Names of maps are text. Without a declared schema one is learned, as from JSON; timestamps are
//! `timestamp[us, UTC]` then.
//!
//! Source of the encoding: the MessagePack specification, with the timestamp extension of 2017.

mod decode;
mod encode;
mod infer;
mod text;
mod wire;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;
