//! A proxy between Kafka clients and a cluster that lets things go wrong on purpose.
//!
//! It understands the frames of the protocol: rules pick requests by their kind, topic and client,
//! and the nodes that responses name are replaced by listeners of the proxy, so that clients stay
//! behind it.
//!
//! | module | what it is |
//! | --- | --- |
//! | `frame` | frames of the protocol on a socket |
//! | `rewrite` | nodes in responses; pure |
//! | `nodes` | which listener stands for which node |
//! | `connection` | one client and its node: requests one way, responses the other |
//! | `server` | start and stop, and what happens to all connections at once |
//!
//! # Guarantees
//!
//! * A frame goes on as it came, byte for byte, unless it names nodes.
//! * After [`FaultProxy::cut`] has returned, nothing goes on in either direction.
//! * The responses of a connection keep their order, whatever waits.
//!
//! # Not here
//!
//! TLS: the proxy has to read what goes through. SASL goes through, but for raw tokens as sent after
//! the oldest version of `SaslHandshake`.

mod connection;
mod frame;
mod nodes;
mod rewrite;
mod server;
#[cfg(test)]
mod tests;

pub use server::FaultProxy;
