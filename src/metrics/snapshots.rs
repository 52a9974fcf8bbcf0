//! The metrics of snapshots.

use parking_lot::Mutex;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// Bucket bounds in seconds: 10 ms to 10 min.
const SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// Those of all tasks.
#[derive(Clone)]
pub struct SnapshotMetrics {
    taken: IntCounterVec,
    failures: IntCounterVec,
    uploaded_bytes: IntCounterVec,
    skipped_bytes: IntCounterVec,
    seconds: HistogramVec,
    age: IntGaugeVec,
    completed: Arc<Mutex<BTreeMap<String, Instant>>>,
}

/// Those of one task.
pub struct TaskSnapshotMetrics {
    /// Snapshots completed.
    pub taken: IntCounter,
    /// Attempts that came to nothing.
    pub failures: IntCounter,
    /// Bytes written to the object store.
    pub uploaded_bytes: IntCounter,
    /// Bytes that were there already.
    pub skipped_bytes: IntCounter,
    /// From the frozen view to the manifest.
    pub seconds: Histogram,
    worker: String,
    completed: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl SnapshotMetrics {
    /// In `registry`.
    ///
    /// # Panics
    ///
    /// Never: the names are constants and differ.
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str| {
            let metric =
                IntCounterVec::new(Opts::new(name, help), &["worker"]).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let opts = HistogramOpts::new("turbine_snapshot_seconds", "Taking a snapshot.");
        let seconds =
            HistogramVec::new(opts.buckets(SECONDS.to_vec()), &["worker"]).expect("constant name");
        registry.register(Box::new(seconds.clone())).expect("names differ");
        let opts = Opts::new(
            "turbine_snapshot_age_seconds",
            "Time since the last snapshot of the partition that this worker has completed.",
        );
        let age = IntGaugeVec::new(opts, &["worker"]).expect("constant name");
        registry.register(Box::new(age.clone())).expect("names differ");
        Self {
            taken: counters("turbine_snapshots_total", "Snapshots completed."),
            failures: counters(
                "turbine_snapshot_failures_total",
                "Attempts at a snapshot that came to nothing.",
            ),
            uploaded_bytes: counters(
                "turbine_snapshot_uploaded_bytes_total",
                "Bytes of snapshots written to the object store.",
            ),
            skipped_bytes: counters(
                "turbine_snapshot_skipped_bytes_total",
                "Bytes of snapshots that the object store had already.",
            ),
            seconds,
            age,
            completed: Arc::default(),
        }
    }

    /// The metrics of the task with label `worker`.
    #[must_use]
    pub fn task(&self, worker: &str) -> TaskSnapshotMetrics {
        let label = &[worker];
        TaskSnapshotMetrics {
            taken: self.taken.with_label_values(label),
            failures: self.failures.with_label_values(label),
            uploaded_bytes: self.uploaded_bytes.with_label_values(label),
            skipped_bytes: self.skipped_bytes.with_label_values(label),
            seconds: self.seconds.with_label_values(label),
            worker: worker.to_owned(),
            completed: Arc::clone(&self.completed),
        }
    }

    /// Forgets the age of a task that moved away.
    pub fn forget(&self, worker: &str) {
        self.completed.lock().remove(worker);
        // A task without a snapshot has no age.
        let _ = self.age.remove_label_values(&[worker]);
    }

    pub(super) fn show_ages(&self) {
        for (worker, completed) in &*self.completed.lock() {
            let seconds = i64::try_from(completed.elapsed().as_secs()).unwrap_or(i64::MAX);
            self.age.with_label_values(&[worker]).set(seconds);
        }
    }
}

impl TaskSnapshotMetrics {
    /// One is complete now.
    pub fn completed(&self) {
        self.completed.lock().insert(self.worker.clone(), Instant::now());
    }
}
