//! Flights: records on their way to the broker that are acknowledged, and committed behind, together.

use crate::error::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

type OnLanded = Box<dyn FnOnce(Result<()>) + Send>;

/// A set of records in flight.
///
/// It lands once it is sealed and each of its records is acknowledged or has failed; then the
/// function given to [`Flight::new`] runs once, on the producer's thread, with the first failure.
pub struct Flight {
    /// Records without an answer, and one more until sealed.
    outstanding: AtomicUsize,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Keeps the flight alive while librdkafka holds plain pointers to it.
    keep: Option<Arc<Flight>>,
    on_landed: Option<OnLanded>,
    error: Option<Error>,
    /// Payloads that librdkafka reads in place.
    payloads: Vec<Bytes>,
}

impl Flight {
    /// An open, empty flight; `on_landed` must be quick and must not block.
    pub fn new(on_landed: impl FnOnce(Result<()>) + Send + 'static) -> Arc<Self> {
        let flight = Arc::new(Self {
            outstanding: AtomicUsize::new(1),
            inner: Mutex::new(Inner {
                keep: None,
                on_landed: Some(Box::new(on_landed)),
                error: None,
                payloads: Vec::new(),
            }),
        });
        flight.inner.lock().keep = Some(Arc::clone(&flight));
        flight
    }

    /// Takes `records` more records aboard; only while it is open.
    pub fn board(&self, records: usize) {
        self.outstanding.fetch_add(records, Ordering::Relaxed);
    }

    /// Keeps `payload` in memory until the flight has landed.
    pub fn hold(&self, payload: Bytes) {
        self.inner.lock().payloads.push(payload);
    }

    /// Replaces what happens when it lands; only while it is open.
    pub fn then(&self, on_landed: impl FnOnce(Result<()>) + Send + 'static) {
        self.inner.lock().on_landed = Some(Box::new(on_landed));
    }

    /// No record comes aboard any more.
    pub fn seal(&self) {
        self.answered(1);
    }

    /// `records` records were acknowledged.
    pub fn answered(&self, records: usize) {
        // AcqRel: whoever lands the flight sees every error that another thread noted.
        if self.outstanding.fetch_sub(records, Ordering::AcqRel) == records {
            self.land();
        }
    }

    /// One record failed for good.
    pub fn failed(&self, error: Error) {
        self.failed_whole(error);
        self.answered(1);
    }

    /// The flight is a failure, whatever becomes of its records.
    pub fn failed_whole(&self, error: Error) {
        self.inner.lock().error.get_or_insert(error);
    }

    fn land(&self) {
        let (keep, on_landed, error) = {
            let mut inner = self.inner.lock();
            inner.payloads.clear();
            (inner.keep.take(), inner.on_landed.take(), inner.error.take())
        };
        if let Some(on_landed) = on_landed {
            on_landed(error.map_or(Ok(()), Err));
        }
        drop(keep); // maybe the last reference: nothing of self is touched after this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Landed = Arc<Mutex<Vec<Result<(), String>>>>;

    fn landing() -> (Arc<Flight>, Landed) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&seen);
        let flight = Flight::new(move |r| note.lock().push(r.map_err(|e| e.to_string())));
        (flight, seen)
    }

    /// An open flight does not land, however many records were answered.
    #[test]
    fn lands_only_when_sealed() {
        let (flight, seen) = landing();
        flight.board(2);
        flight.answered(2);
        assert!(seen.lock().is_empty());
        flight.seal();
        assert_eq!(*seen.lock(), [Ok(())]);
    }

    /// A flight without records lands when it is sealed.
    #[test]
    fn an_empty_flight_lands_at_once() {
        let (flight, seen) = landing();
        flight.seal();
        assert_eq!(seen.lock().len(), 1);
    }

    /// The first failure is the one reported, and only after every record has its answer.
    #[test]
    fn reports_the_first_failure_last() {
        let (flight, seen) = landing();
        flight.board(3);
        flight.seal();
        flight.failed(Error::Encode("first".into()));
        flight.failed(Error::Encode("second".into()));
        assert!(seen.lock().is_empty());
        flight.answered(1);
        assert_eq!(*seen.lock(), [Err("cannot encode: first".to_owned())]);
    }
}
