//! JSON objects, one a record, to Arrow columns and back.
//!
//! Guarantees:
//!
//! - A record is good as a whole or bad as a whole, and a bad one never changes its neighbours.
//! - Nothing is lost silently: no number is cut to fit its column, no text is turned into a number.
//!   The one exception is that of pydantic: a time is cut (text) or rounded (numbers) to the unit
//!   of its column.
//! - Any bytes give a result: no panic, no recursion deeper than [`MAX_DEPTH`].
//!
//! What a record may hold follows pydantic, in its stricter reading:
//!
//! | JSON | column | result |
//! | --- | --- | --- |
//! | `5.0`, `5e0` | integer | 5; `5.5`, `"5"` and `true` are bad |
//! | any number | float | the nearest float; `1e999` is bad |
//! | `NaN`, `Infinity` | any | bad: JSON does not have them |
//! | `"2024-05-01T12:00:00Z"` | timestamp | with `T`, `t`, `_` or a space; seconds may be missing |
//! | number | timestamp | seconds up to 20,000,000,000 either way from 1970, ms beyond |
//! | number or string | decimal | exact; too many digits are bad, none is rounded away |
//! | string | binary | its UTF-8 bytes |
//! | anything | text marked [`RAW_JSON`] | its JSON text |
//! | a name twice in one object | any | the last value counts, as in Python |
//! | unknown name | | left out, or bad if the schema says [`EXTRA`]` = forbid` |
//! | missing name | nullable | null, or bad if the field is marked [`REQUIRED`] |
//! | missing name | not nullable | its [`DEFAULT`], or bad without one |
//!
//! Not here: topics and offsets (see `task`), and pydantic itself (see `turbine/models.py`, which
//! writes the schemas that are read here).

mod decode;
mod encode;
pub mod members;
mod object;
mod read;
mod scan;
mod shape;
mod write;

#[cfg(test)]
mod tests;

pub use super::column::{
    AWARE, CHECK, DEFAULT, DecodeOptions, EXTRA, NAMES, RAW_JSON, REQUIRED, SharedSchema,
};
pub use decode::Decoder;
pub use encode::Encoder;
pub(in crate::codec) use object::Guess;
pub(in crate::codec) use read::{TOO_MUCH_TEXT, moment_of_number, moment_of_text};
pub use scan::MAX_DEPTH;
pub(in crate::codec) use scan::Scan;
pub use shape::infer;
pub(in crate::codec) use write::Pen;
