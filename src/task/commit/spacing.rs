//! How soon after the end of a transaction the next one asks for its partitions.
//!
//! A coordinator answers as soon as it has decided a transaction, and writes the markers behind that. Whoever
//! asks it meanwhile is refused, and librdkafka asks again after 20 ms, whatever is configured. A little patience
//! costs less. How much is learned: a refusal makes the gap half as long again, a success takes 1/32 of it away,
//! so that about one in twelve is refused.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(3);
const LEAST: Duration = Duration::from_millis(1);
/// Less than what a refusal costs.
const MOST: Duration = Duration::from_millis(15);
/// Added to half of the gap.
const STEP: Duration = Duration::from_micros(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Spacing {
    gap: Duration,
    ended: Option<Instant>,
    /// Did the last one come so soon that its success says something?
    was_soon: bool,
}

impl Default for Spacing {
    fn default() -> Self {
        Self { gap: FIRST, ended: None, was_soon: false }
    }
}

impl Spacing {
    /// A transaction has ended at `now`.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// How long a transaction that begins at `now` still has to wait.
    pub(super) fn left(&mut self, now: Instant) -> Duration {
        let since = self.ended.map(|ended| now.saturating_duration_since(ended));
        self.was_soon = since.is_some_and(|since| since < 2 * self.gap);
        since.map_or(Duration::ZERO, |since| self.gap.saturating_sub(since))
    }

    /// The coordinator has taken the transaction, at once or after a refusal.
    pub(super) fn learn(&mut self, was_refused: bool) {
        if was_refused {
            self.gap = (self.gap + self.gap / 2 + STEP).min(MOST);
        } else if self.was_soon {
            self.gap = (self.gap - self.gap / 32).max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Nobody waits who comes first, or late.
    #[test]
    fn only_a_transaction_close_behind_another_waits() {
        let (mut spacing, now) = (Spacing::default(), Instant::now());
        assert_eq!(spacing.left(now), Duration::ZERO);
        spacing.ended(now);
        assert_eq!(spacing.left(now), FIRST);
        assert_eq!(spacing.left(now + FIRST / 3), FIRST - FIRST / 3);
        assert_eq!(spacing.left(now + FIRST), Duration::ZERO);
    }

    proptest! {
        /// A coordinator that takes `busy` to write its markers, whatever that is, refuses few of those who come
        /// back to back, and none of them waits much longer than it has to.
        #[test]
        fn the_gap_follows_the_coordinator(busy_us in 1_500_u64..12_000) {
            let busy = Duration::from_micros(busy_us);
            let (mut spacing, mut now, mut refused) = (Spacing::default(), Instant::now(), 0);
            for round in 0..600 {
                spacing.ended(now);
                let waited = spacing.left(now);
                prop_assert!(waited <= MOST);
                spacing.learn(waited < busy);
                if round >= 100 {
                    refused += u32::from(waited < busy);
                    prop_assert!(waited <= busy * 5 / 3 + STEP);
                }
                now += waited + busy;
            }
            prop_assert!(refused <= 60, "{} of 500", refused);
        }

        /// Who comes seldom learns nothing from being taken.
        #[test]
        fn the_gap_stays_while_it_is_not_needed(rounds in 0..100) {
            let (mut spacing, mut now) = (Spacing::default(), Instant::now());
            for _ in 0..rounds {
                spacing.ended(now);
                now += 3 * MOST;
                prop_assert_eq!(spacing.left(now), Duration::ZERO);
                spacing.learn(false);
            }
            spacing.ended(now);
            prop_assert_eq!(spacing.left(now), FIRST);
        }
    }
}
