//! The schema registry of the embedded broker: subjects, versions and ids, for development and tests.
//!
//! Guarantees:
//!
//! - Requests and answers are those of Confluent's API, with its error codes, as far as it goes here:
//!   subjects, versions, ids, references, compatibility, and their settings.
//! - The same schema has the same id under every subject; a version that was given never changes.
//! - With a file, what was answered is in it: a change is written before it is answered.
//!
//! Not here: HTTP (see `http::registry`); compatibility of Protobuf and JSON schemas, of which every
//! version is taken; modes, contexts, rules and metadata.

mod answer;
mod check;
mod store;

pub use answer::Answer;
pub use check::Compatibility;
pub use store::Schemas;
