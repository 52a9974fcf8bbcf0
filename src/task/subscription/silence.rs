//! How long a partition has been silent, and how far its watermark goes on meanwhile.

use std::time::{Duration, Instant};

/// While nothing comes, event time is taken to pass as the clock does: after a silence of `limit` the
/// watermark is as much further as the silence has lasted, and again after each further `limit`.
#[derive(Debug)]
pub struct Silence {
    /// None: windows never close by the clock.
    limit: Option<Duration>,
    since: Instant,
    /// When the watermark moved last.
    moved: Instant,
    /// The watermark at the beginning of the silence.
    watermark: Option<i64>,
    /// Does silence count in front of the first row too?
    from_start: bool,
}

impl Silence {
    /// One that begins `now`, at `watermark`.
    #[must_use]
    pub fn new(limit: Option<Duration>, now: Instant, watermark: Option<i64>) -> Self {
        Self { limit, since: now, moved: now, watermark, from_start: false }
    }

    /// The same where silence counts in front of the first row too.
    #[must_use]
    pub fn counting_from_start(self) -> Self {
        Self { from_start: true, ..self }
    }

    /// Records came: it begins anew.
    pub fn broken(&mut self, now: Instant, watermark: Option<i64>) {
        let from_start = self.from_start;
        *self = Self { from_start, ..Self::new(self.limit, now, watermark) };
    }

    /// When the watermark is to move next.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Instant> {
        // What is over already waits for something else than the clock.
        let due = self.moved + self.limit?;
        (due > now && self.counts()).then_some(due)
    }

    /// Is it time to move the watermark?
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.counts() && self.limit.is_some_and(|limit| now >= self.moved + limit)
    }

    fn counts(&self) -> bool {
        self.watermark.is_some() || self.from_start
    }

    /// Where the watermark is `now`.
    pub fn watermark(&mut self, now: Instant) -> Option<i64> {
        self.moved = now;
        let passed = i64::try_from((now - self.since).as_millis()).unwrap_or(i64::MAX);
        self.watermark.map(|watermark| watermark.saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_goes_on_with_the_clock_once_in_the_limit() {
        let (start, limit) = (Instant::now(), Duration::from_secs(5));
        let mut silence = Silence::new(Some(limit), start, Some(1_000));
        assert_eq!(silence.due(start), Some(start + limit));
        assert!(!silence.is_over(start + limit - Duration::from_millis(1)));
        assert!(silence.is_over(start + limit));
        assert_eq!(silence.watermark(start + limit), Some(6_000));
        assert_eq!(silence.due(start + limit), Some(start + 2 * limit));
        assert_eq!(silence.watermark(start + 3 * limit), Some(16_000));
        silence.broken(start + 4 * limit, Some(7));
        assert_eq!(silence.due(start + 4 * limit), Some(start + 5 * limit));
    }

    #[test]
    fn without_a_limit_or_a_watermark_nothing_is_due() {
        let now = Instant::now();
        for silence in
            [Silence::new(None, now, Some(1)), Silence::new(Some(Duration::ZERO), now, None)]
        {
            assert!(silence.due(now).is_none() && !silence.is_over(now + Duration::from_secs(99)));
        }
        let silence = Silence::new(Some(Duration::from_secs(5)), now, None).counting_from_start();
        assert!(silence.is_over(now + Duration::from_secs(5)));
    }
}
