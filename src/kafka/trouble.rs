//! The last general error of a client: all brokers down, authentication failed ...

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// An error that repeats within this time is not logged again.
const QUIET: Duration = Duration::from_secs(30);

/// What was wrong last, and since when the log knows.
#[derive(Default)]
pub(super) struct Trouble(Mutex<Option<Last>>);

struct Last {
    what: String,
    seen: Instant,
    logged: Instant,
}

impl Trouble {
    /// Notes an error; logs it unless the log has just had the same.
    pub(super) fn note(&self, client: &str, what: &str) {
        let now = Instant::now();
        let mut last = self.0.lock();
        if let Some(last) = &mut *last
            && last.what == what
            && now - last.logged < QUIET
        {
            last.seen = now;
            return;
        }
        tracing::warn!(target: "turbine.kafka", "{client}: {what}");
        *last = Some(Last { what: what.to_owned(), seen: now, logged: now });
    }

    /// The last error, if it was seen within `age`.
    pub(super) fn within(&self, age: Duration) -> Option<String> {
        let last = self.0.lock();
        last.as_ref().filter(|last| last.seen.elapsed() < age).map(|last| last.what.clone())
    }
}
