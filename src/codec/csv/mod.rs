//! Lines of separated values, one a record, to Arrow columns and back.
//!
//! A record is one line as RFC 4180 has it: cells between delimiters, quoted where they hold a
//! delimiter, a quote (doubled) or a line break; a line break at the end is no part of it. The
//! names of the cells are declared, as there is no line for them.
//!
//! | cell | column | result |
//! | --- | --- | --- |
//! | the null word, unquoted | any | null, or bad where the field has none |
//! | anything | text, binary | its characters |
//! | JSON number | numbers | as in JSON; `NaN`, `inf` and `-inf` in floats too |
//! | `true`, `false` | bool | in lower case, or as `True` and `False` |
//! | text or number | times, dates, durations, decimals | as in JSON |
//! | JSON | lists, structs, maps, text marked as JSON | what the JSON says |
//! | more or fewer cells than declared | | a bad record |

mod decode;
mod encode;
mod split;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Between two cells.
    pub delimiter: u8,
    /// Around cells that need it.
    pub quote: u8,
}
