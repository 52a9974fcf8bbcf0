//! The newest segment of a log. Kafka never compacts it, and when it ends is what `segment.bytes` and
//! `segment.ms` say.

use super::LogPolicy;

/// The segment that is appended to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    /// Offset of its first record.
    pub(super) base_offset: i64,
    /// Position of its first byte.
    pub(super) pos: u64,
    /// When its first batch came, or was written if that is known.
    since_ms: Option<i64>,
}

impl Active {
    /// An empty segment from here on.
    pub(super) fn new(base_offset: i64, pos: u64) -> Self {
        Self { base_offset, pos, since_ms: None }
    }

    /// Whether a batch of `bytes` bytes and the newest timestamp `timestamp_ms` belongs to a new
    /// segment; the log ends at `end_pos`.
    pub(super) fn is_full(
        &self,
        end_pos: u64,
        bytes: usize,
        timestamp_ms: i64,
        now_ms: i64,
        policy: &LogPolicy,
    ) -> bool {
        let Some(since) = self.since_ms else { return false };
        let now = if timestamp_ms >= 0 { timestamp_ms } else { now_ms };
        end_pos - self.pos + bytes as u64 > policy.segment_bytes
            || now.saturating_sub(since) > policy.segment_ms
    }

    /// A batch with this newest timestamp is appended.
    pub(super) fn note(&mut self, timestamp_ms: i64, now_ms: i64) {
        let time = if timestamp_ms >= 0 { timestamp_ms } else { now_ms };
        self.since_ms.get_or_insert(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_ends_when_it_is_large_or_old_but_never_empty() {
        let policy = LogPolicy { segment_bytes: 100, segment_ms: 50, ..LogPolicy::KEEP };
        let mut active = Active::new(5, 1_000);
        assert!(!active.is_full(1_000, 500, 9_999, 0, &policy), "empty");
        active.note(10, 7);
        assert!(!active.is_full(1_040, 60, 60, 0, &policy));
        assert!(active.is_full(1_040, 61, 60, 0, &policy));
        assert!(active.is_full(1_040, 60, 61, 0, &policy));
        assert!(active.is_full(1_040, 60, -1, 61, &policy), "the broker's time, without any other");
    }
}
