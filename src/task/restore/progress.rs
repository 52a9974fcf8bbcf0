//! How far a restore is, for the log, for `/ready` and for metrics.

use crate::{kafka::messages::Messages, metrics::RestoreMetrics, types::TopicPartition};
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How often the log says something.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// Shared by who restores and who looks.
#[derive(Debug)]
pub struct Progress {
    task: String,
    metrics: RestoreMetrics,
    what: Mutex<What>,
    keys: AtomicU64,
    bytes: AtomicU64,
    start: AtomicI64,
    position: AtomicI64,
    end: AtomicI64,
    began: Instant,
}

#[derive(Debug)]
struct What {
    doing: String,
    said: Instant,
}

/// What can be seen of it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// What is being done, as `reading app-counts-changelog[0]`.
    pub doing: String,
    /// Keys restored so far, removed ones too.
    pub keys: u64,
    /// Bytes read so far.
    pub bytes: u64,
    /// How much of the present log is read, in percent.
    pub percent: u8,
    /// Keys a second since the beginning.
    pub keys_per_s: u64,
}

impl Progress {
    /// Of the task called `task`, which has not begun.
    #[must_use]
    pub fn new(task: String, metrics: RestoreMetrics) -> Self {
        let now = Instant::now();
        let what = Mutex::new(What { doing: "looking for its state".into(), said: now });
        Self {
            task,
            metrics,
            what,
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            start: AtomicI64::new(0),
            position: AtomicI64::new(0),
            end: AtomicI64::new(0),
            began: now,
        }
    }

    /// Notes what is being done now.
    pub fn doing(&self, what: impl Into<String>) {
        self.what.lock().doing = what.into();
    }

    pub(super) fn begin(&self, tp: &TopicPartition, from: i64, end: i64) {
        self.start.store(from, Ordering::Relaxed);
        self.position.store(from, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.doing(format!("reading {tp}"));
    }

    pub(super) fn note(&self, records: &Messages, position: i64) {
        let bytes = records.bytes() as u64;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.metrics.bytes.inc_by(bytes);
        self.reach(position);
        self.wait();
    }

    pub(super) fn reach(&self, position: i64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// Notes keys that have gone to the store.
    pub fn add_keys(&self, keys: usize) {
        self.keys.fetch_add(keys as u64, Ordering::Relaxed);
        self.metrics.keys.inc_by(keys as u64);
    }

    /// Says how far it is, if that was not said for a while.
    pub fn wait(&self) {
        let is_due = {
            let mut what = self.what.lock();
            let is_due = what.said.elapsed() >= SAY_EVERY;
            if is_due {
                what.said = Instant::now();
            }
            is_due
        };
        if is_due {
            tracing::info!(target: "turbine.state", "{}: {}", self.task, self.seen());
        }
    }

    /// How far it is.
    pub fn seen(&self) -> Seen {
        let load = |at: &AtomicI64| at.load(Ordering::Relaxed);
        let (start, position, end) = (load(&self.start), load(&self.position), load(&self.end));
        let share = if end > start { (position - start).max(0) * 100 / (end - start) } else { 100 };
        let keys = self.keys.load(Ordering::Relaxed);
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        Seen {
            doing: self.what.lock().doing.clone(),
            keys,
            bytes: self.bytes.load(Ordering::Relaxed),
            percent: u8::try_from(share.min(100)).unwrap_or(100),
            keys_per_s: keys.saturating_mul(1_000) / ms,
        }
    }
}

impl fmt::Display for Seen {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { doing, keys, bytes, percent, keys_per_s } = self;
        let megabytes = *bytes as f64 / 1e6;
        write!(
            f,
            "restoring, {doing}: {percent} %, {keys} keys, {megabytes:.1} MB, {keys_per_s} keys/s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_far_it_is() {
        let progress =
            Progress::new("totals-p0".into(), crate::metrics::Metrics::new().restore("totals-p0"));
        assert!(progress.seen().to_string().starts_with("restoring, looking for its state: 100 %"));
        progress.begin(&TopicPartition::new("log", 0), 100, 300);
        progress.reach(150);
        progress.add_keys(10);
        let seen = progress.seen().to_string();
        assert!(seen.starts_with("restoring, reading log[0]: 25 %, 10 keys, 0.0 MB, "), "{seen}");
    }
}
