//! Making things go wrong on purpose: which requests, in which way, how often.
//!
//! The embedded broker and the fault proxy both ask [`Rules`] about every request.
//!
//! | module | what it is |
//! | --- | --- |
//! | `rule` | rules, how they match, what they decide |
//! | `names` | requests and errors by their names in Kafka |
//! | `topics` | which topics a request names |
//! | `refusal` | the response that carries an error wherever the protocol has a place for it |

mod names;
pub mod refusal;
mod rule;
pub mod topics;

pub use names::{api_by_name, api_name, error_by_name, error_name};
pub use rule::{Action, Direction, Ending, Head, Rule, Rules, Stage, Target, Verdict};
