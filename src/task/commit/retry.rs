//! Names of attempts, and how long to wait between them.

use std::time::Duration;

/// First wait, doubled each time.
const FIRST_MS: u64 = 20;
const LONGEST_MS: u64 = 2_000;

/// How long to wait after so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    let doubled = FIRST_MS << failures.saturating_sub(1).min(10);
    Duration::from_millis(doubled.min(LONGEST_MS))
}

/// A random number that is not 0.
pub(super) fn token() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    // Version and variant of the uuid are fixed bits of the two halves, at different places.
    (high.rotate_left(32) ^ low).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit() {
        assert_eq!(pause(1), Duration::from_millis(20));
        assert_eq!(pause(3), Duration::from_millis(80));
        assert_eq!(pause(u32::MAX), Duration::from_millis(LONGEST_MS));
    }

    #[test]
    fn tokens_differ_and_are_not_nothing() {
        let tokens: std::collections::BTreeSet<_> = (0..1_000).map(|_| token()).collect();
        assert!(tokens.len() == 1_000 && !tokens.contains(&0));
    }
}
