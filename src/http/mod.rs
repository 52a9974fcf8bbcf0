//! The HTTP side of a worker: health, metrics and assignments, read-only.
//!
//! # Guarantees
//!
//! * Nothing here touches the data: routes read [`crate::worker::view::View`] and run on their own thread,
//!   so a scraper that hangs never slows a partition down.
//! * A bind beyond loopback has a token, or the worker does not start.
//! * On loopback only requests for a loopback name are answered, and no CORS header is ever sent: a
//!   page of another site cannot read a worker through the browser of its developer.
//! * A route that is not declared open asks for the token.
//!
//! # Not here
//!
//! TLS (a proxy adds it) and the pages of the user's application.

mod bind;
mod connection;
mod guard;
pub mod registry;
mod routes;
mod server;
mod tables;
#[cfg(test)]
mod tables_tests;

pub use server::Server;
