//! A place where tests make the broker misbehave, a request at a time.

use parking_lot::RwLock;
use std::{sync::Arc, time::Duration};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is served.
    Serve,
    /// It is served after a while; what its connection sends behind it waits too.
    ServeAfter(Duration),
    /// It takes effect, but the connection closes instead of a response.
    LoseResponse,
    /// The connection closes, and the request has no effect.
    Disconnect,
}

/// A request, as far as a fate may depend on it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Number of the request kind in the Kafka protocol, 0 for Produce.
    pub api_key: i16,
    /// Version of the request.
    pub version: i16,
    /// `client.id` of the client.
    pub client_id: &'a str,
}

type Decide = dyn Fn(RequestHead<'_>) -> Fate + Send + Sync;

/// Decides the fate of every request.
#[derive(Default)]
pub(crate) struct Faults(RwLock<Option<Arc<Decide>>>);

impl Faults {
    /// From now on, `decide` is asked.
    pub(crate) fn set(&self, decide: Arc<Decide>) {
        *self.0.write() = Some(decide);
    }

    /// What happens to this request.
    pub(crate) fn fate(&self, request: RequestHead<'_>) -> Fate {
        let decide = self.0.read().clone();
        decide.map_or(Fate::Serve, |decide| decide(request))
    }
}
