//! Tests of the crate from outside. One binary: each further one would link librdkafka again.

mod broker;
mod exact;
mod groups;
mod layers;
mod log_reader;
mod nodes;
mod places;
mod producer;
mod proxy;
mod restore;
mod returning;
mod security;
mod transactions;
