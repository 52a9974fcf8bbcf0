//! Tests of the crate from outside. One binary: each further one would link librdkafka again.

mod broker;
mod groups;
mod layers;
mod nodes;
mod proxy;
mod security;
mod transactions;
