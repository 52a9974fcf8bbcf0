//! The last general error of a client: all brokers down, authentication failed ...

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// An error that repeats within this time is not logged again.
const QUIET: Duration = Duration::from_secs(30);

/// What was wrong last, and what the log knows already.
#[derive(Default)]
pub(super) struct Trouble(Mutex<Known>);

#[derive(Default)]
struct Known {
    last: Option<(String, Instant)>,
    /// Errors without their numbers, and when each was logged.
    logged: HashMap<String, Instant>,
}

impl Trouble {
    /// Notes an error; logs it unless the log has just had one like it.
    pub(super) fn note(&self, client: &str, what: &str) {
        let now = Instant::now();
        let kind: String = what.chars().filter(|c| !c.is_ascii_digit()).collect();
        let mut known = self.0.lock();
        known.last = Some((what.to_owned(), now));
        known.logged.retain(|_, at| now - *at < QUIET);
        if known.logged.insert(kind, now).is_none() {
            tracing::warn!(target: "turbine.kafka", "{client}: {what}");
        }
    }

    /// The last error, if it was seen within `age`.
    pub(super) fn within(&self, age: Duration) -> Option<String> {
        let known = self.0.lock();
        known.last.as_ref().filter(|(_, at)| at.elapsed() < age).map(|(what, _)| what.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last error counts, whether it was logged or not.
    #[test]
    fn remembers_the_last_error() {
        let trouble = Trouble::default();
        assert_eq!(trouble.within(QUIET), None);
        trouble.note("test", "1/1 brokers are down");
        trouble.note("test", "2/2 brokers are down");
        assert_eq!(trouble.within(QUIET).as_deref(), Some("2/2 brokers are down"));
        assert_eq!(trouble.0.lock().logged.len(), 1);
        assert_eq!(trouble.within(Duration::ZERO), None);
    }
}
