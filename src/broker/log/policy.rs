//! The settings of a topic that its logs obey.

use super::{AppendError, ProducedBatch, batch::TimestampType, record};

/// The settings of a topic that its logs obey.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LogPolicy {
    /// Largest batch that may be appended.
    pub(crate) max_message_bytes: usize,
    /// Whose clock stamps the records.
    pub(crate) timestamp_type: TimestampType,
    /// How far the producer's clock may be ahead of the broker's, in ms.
    pub(crate) max_ahead_ms: i64,
    /// True if only the last record of each key counts: then every record needs a key.
    pub(crate) compacts: bool,
    /// True if records go for their age, or where there are too many.
    pub(crate) deletes: bool,
    /// Bytes that are kept; the oldest batches beyond them go. `None` keeps all.
    pub(crate) retention_bytes: Option<u64>,
    /// Age at which batches go, by their timestamps, in ms. `None` keeps all.
    pub(crate) retention_ms: Option<i64>,
    /// Size at which a segment ends.
    pub(crate) segment_bytes: u64,
    /// Age at which a segment ends, in ms; where it compacts, at most `max.compaction.lag.ms`.
    pub(crate) segment_ms: i64,
    /// Share of bytes that no compaction has seen, from which on one is worth it.
    pub(crate) min_dirty_ratio: f64,
    /// Age up to which a record is not compacted, in ms.
    pub(crate) min_lag_ms: i64,
    /// Age at which a record is compacted, worth it or not, in ms.
    pub(crate) max_lag_ms: i64,
    /// How long a tombstone stays after the compaction that found nothing older, in ms.
    pub(crate) delete_retention_ms: i64,
}

impl LogPolicy {
    /// True if nothing goes but records whose key has a newer one.
    pub(crate) fn only_compacts(&self) -> bool {
        self.compacts && !self.deletes
    }

    /// Whether a batch may be in the topic, whoever wrote it.
    pub(super) fn check(&self, batch: &ProducedBatch, now_ms: i64) -> Result<(), AppendError> {
        let (bytes, limit) = (batch.bytes.len(), self.max_message_bytes);
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        let (timestamp_ms, limit_ms) = (batch.header.max_timestamp_ms, self.max_ahead_ms);
        let stamped = self.timestamp_type == TimestampType::LogAppend;
        if !stamped && timestamp_ms.saturating_sub(now_ms) > limit_ms {
            return Err(AppendError::Ahead { timestamp_ms, limit_ms });
        }
        if self.compacts {
            let keyless = record::without_key(&batch.bytes)
                .map_err(|e| AppendError::Damaged(e.to_string()))?;
            if !keyless.is_empty() {
                return Err(AppendError::NoKey(keyless));
            }
        }
        Ok(())
    }

    /// That of a topic for which nothing is set, except that it keeps everything.
    #[cfg(test)]
    pub(crate) const KEEP: Self = Self {
        max_message_bytes: 1 << 20,
        timestamp_type: TimestampType::Create,
        max_ahead_ms: i64::MAX,
        compacts: false,
        deletes: true,
        retention_bytes: None,
        retention_ms: None,
        segment_bytes: 1 << 30,
        segment_ms: 604_800_000,
        min_dirty_ratio: 0.5,
        min_lag_ms: 0,
        max_lag_ms: i64::MAX,
        delete_retention_ms: 86_400_000,
    };
}
