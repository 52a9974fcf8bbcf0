//! The core of Turbine: everything that runs without the interpreter.
//!
//! ```text
//! kafka::consumer -> codec::decode -> Python handler -> codec::encode -> kafka::producer -> task::commit
//!      poll              decode           process          (produce)         produce           commit
//! ```
//!
//! A module imports only from layers above it:
//!
//! | layer | modules |
//! | --- | --- |
//! | 0 words | `error`, `types`, `clock`, `config`, `metrics`, `faults`, `failpoints` |
//! | 1 one outside thing each | `codec`, `kafka`, `broker`, `registry`, `proxy`, `state`, `expr` |
//! | 2 pure logic | `engine`, `window`, `join` |
//! | 3 the line of one partition | `task` |
//! | 4 one process | `worker` |
//! | 5 edges | `http`, `py` |

pub mod clock;
pub mod config;
pub mod error;
pub mod failpoints;
pub mod faults;
pub mod metrics;
pub mod types;

pub mod broker;
pub mod codec;
pub mod expr;
pub mod kafka;
pub mod proxy;
pub mod registry;
pub mod state;

pub mod engine;
pub mod join;
pub mod window;

pub mod task;

pub mod worker;

pub mod http;
#[cfg(feature = "python")]
mod py;
