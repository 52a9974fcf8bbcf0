//! Waits for what agents sent, before the offsets behind it are committed.

use crate::{
    error::{Act, Error, Result},
    kafka::producer::Producer,
};
use parking_lot::Mutex;
use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

/// Epochs of a producer that were turned and have not landed yet.
pub struct Epochs {
    producer: Arc<Producer>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    waiting: Vec<mpsc::Receiver<Result<()>>>,
    /// A record was lost for good: nothing behind it may ever be committed.
    failed: Option<Error>,
}

impl Epochs {
    /// For the records that `producer` sends one by one.
    #[must_use]
    pub fn new(producer: Arc<Producer>) -> Self {
        Self { producer, pending: Mutex::default() }
    }

    /// Blocks until every record sent before this call is acknowledged, at most `timeout`.
    ///
    /// # Errors
    ///
    /// With [`Act::Retry`] if the time is over: ask again. With another, a record was not delivered,
    /// and then every later call fails too.
    pub fn settle(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut pending = self.pending.lock();
        let (landed, waiting) = mpsc::channel();
        self.producer.turn_epoch(move |result| {
            // Nobody listens any more once the worker is gone.
            let _ = landed.send(result);
        });
        pending.waiting.push(waiting);
        while let Some(epoch) = pending.waiting.first() {
            let left = deadline.saturating_duration_since(Instant::now());
            match epoch.recv_timeout(left) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    pending.failed.get_or_insert(error);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => return Err(too_slow()),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::Stopped),
            }
            pending.waiting.remove(0);
        }
        pending.failed.clone().map_or(Ok(()), Err)
    }
}

fn too_slow() -> Error {
    Error::Kafka {
        what: "waiting for the acknowledgement of sent records".into(),
        code: "TimedOut".into(),
        message: "the broker has not answered yet".into(),
        act: Act::Retry,
    }
}
