//! Where the time comes from: this machine, or a test.
//!
//! # Guarantees
//!
//! * Time never goes back, and both kinds of time ([`Clock::now`], [`Clock::now_ms`]) of a virtual
//!   clock move together.
//! * A sleep on a virtual clock ends with the [`Clock::advance`] that reaches its end, never before.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// A source of time. Clones tell the same time.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Virtual>>);

struct Virtual {
    start: Instant,
    start_ms: i64,
    passed: watch::Sender<Duration>,
}

impl Clock {
    /// The time of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still at `start_ms` since the Unix epoch until it is advanced.
    #[must_use]
    pub fn standing_at(start_ms: i64) -> Self {
        let passed = watch::Sender::new(Duration::ZERO);
        Self(Some(Arc::new(Virtual { start: Instant::now(), start_ms, passed })))
    }

    /// True if the time moves only by [`Clock::advance`].
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        self.0.is_some()
    }

    /// For deadlines.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(clock) => clock.start + *clock.passed.borrow(),
        }
    }

    /// For timestamps: ms since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Some(clock) => {
                let passed = i64::try_from(clock.passed.borrow().as_millis()).unwrap_or(i64::MAX);
                clock.start_ms.saturating_add(passed)
            }
        }
    }

    /// Returns at `until`, or at once if that is over.
    pub async fn sleep_until(&self, until: Instant) {
        let Some(clock) = &self.0 else {
            return tokio::time::sleep_until(until.into()).await;
        };
        let mut passed = clock.passed.subscribe();
        // The sender is in `clock`: it cannot go while this waits.
        let _ = passed.wait_for(|passed| clock.start + *passed >= until).await;
    }

    /// Returns after `time`.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    /// Returns after the next [`Clock::advance`]; never, with the time of this machine.
    pub async fn advanced(&self) {
        match &self.0 {
            None => std::future::pending().await,
            Some(clock) => {
                let _ = clock.passed.subscribe().changed().await;
            }
        }
    }

    /// Lets time pass on a virtual clock; false, and no effect, on the time of this machine.
    pub fn advance(&self, by: Duration) -> bool {
        let Some(clock) = &self.0 else { return false };
        clock.passed.send_modify(|passed| *passed = passed.saturating_add(by));
        true
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Clock::system"),
            Some(_) => write!(f, "Clock::standing_at({})", self.now_ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_only_when_it_is_advanced() {
        let clock = Clock::standing_at(1_000);
        let before = clock.now();
        assert_eq!((clock.now(), clock.now_ms()), (before, 1_000));
        assert!(clock.clone().advance(Duration::from_secs(2)));
        assert_eq!((clock.now(), clock.now_ms()), (before + Duration::from_secs(2), 3_000));
        assert!(!Clock::system().advance(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn a_sleep_ends_with_the_advance_that_reaches_it() {
        let clock = Clock::standing_at(0);
        let end = clock.now() + Duration::from_secs(10);
        let sleeper = clock.clone();
        let mut slept = tokio::spawn(async move { sleeper.sleep_until(end).await });
        clock.advance(Duration::from_secs(9));
        let early = tokio::time::timeout(Duration::from_millis(20), &mut slept).await;
        assert!(early.is_err(), "a second is missing");
        clock.advance(Duration::from_secs(1));
        slept.await.unwrap();
        clock.sleep_until(end).await;
    }
}
