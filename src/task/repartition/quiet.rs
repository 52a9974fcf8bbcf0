//! When a source partition has been silent for so long that the others go on without it.

use std::time::{Duration, Instant};

/// Longest time between two words that the source is still silent: a reader that has begun anew knows
/// nothing of the first.
const MOST: Duration = Duration::from_secs(300);

/// Times of the app's clock.
///
/// Silence never closes a window by itself; it only ends the waiting for this source. While it lasts it
/// is told again, each time after twice as long.
#[derive(Debug)]
pub struct Quiet {
    limit: Duration,
    next: Instant,
    step: Duration,
}

impl Quiet {
    /// A source that was last heard of `now`.
    #[must_use]
    pub fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, next: now + limit, step: limit }
    }

    /// Records came.
    pub fn broken(&mut self, now: Instant) {
        *self = Self::new(self.limit, now);
    }

    /// When it is to be told that the source is silent.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.next
    }

    /// It is told `now`.
    pub fn told(&mut self, now: Instant) {
        self.step = (self.step * 2).min(MOST.max(self.limit));
        self.next = now + self.step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_less_and_less_often_until_it_is_broken() {
        let (start, limit) = (Instant::now(), Duration::from_secs(10));
        let mut quiet = Quiet::new(limit, start);
        let mut due = Vec::new();
        for _ in 0..8 {
            let at = quiet.due();
            due.push((at - start).as_secs());
            quiet.told(at);
        }
        assert_eq!(due, [10, 30, 70, 150, 310, 610, 910, 1_210]);
        quiet.broken(start);
        assert_eq!(quiet.due(), start + limit);
    }
}
