//! Every metric: its name, its unit in the name, its help text.

mod exact;
mod lookups;
mod snapshots;

pub use exact::{CommitSteps, ExactMetrics};
pub use lookups::LookupMetrics;
pub use snapshots::{SnapshotMetrics, TaskSnapshotMetrics};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::sync::Arc;

/// Bucket bounds in seconds: 100 us to 10 s; six a decade between 1 and 100 ms, where medians are compared.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03,
    0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Labels of the metrics of windows.
const WINDOW: &[&str] = &["worker", "window"];

/// All metrics of one worker process; the label `worker` is `{name}-p{partition}`.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    poll: HistogramVec,
    decode: HistogramVec,
    process: HistogramVec,
    produce: HistogramVec,
    commit: HistogramVec,
    batch: HistogramVec,
    records_in: IntCounterVec,
    records_out: IntCounterVec,
    bad_records: IntCounterVec,
    dead_letters: IntCounterVec,
    lag: IntGaugeVec,
    event_time_null: IntCounterVec,
    watermark_ms: IntGaugeVec,
    watermark_lag_ms: IntGaugeVec,
    late_dropped: IntCounterVec,
    late_routed: IntCounterVec,
    active_windows: IntGaugeVec,
    checkpoints: IntCounterVec,
    state_missing: IntCounterVec,
    exact: exact::OfAll,
    gap_events: IntCounterVec,
    gap_halts: IntCounterVec,
    restored_keys: IntCounterVec,
    restored_bytes: IntCounterVec,
    changelog_records: IntGaugeVec,
    /// Those of snapshots.
    pub snapshots: SnapshotMetrics,
    /// Those of lookups of plans.
    pub lookups: LookupMetrics,
    /// Partitions gained since the start.
    pub assigned: IntCounter,
    /// Partitions given away since the start.
    pub revoked: IntCounter,
    /// Records acknowledged since the start, of agents and subscriptions.
    pub acknowledged: IntCounter,
    /// NaN and infinities that were written as JSON `null`.
    pub non_finite: IntCounter,
    /// Times that an inferred schema was widened.
    pub schema_widened: IntCounter,
    /// Questions that the schema registry answered.
    pub registry_answered: IntCounter,
    /// Questions that it did not.
    pub registry_failed: IntCounter,
}

/// The metrics of one task, looked up once.
#[derive(Clone)]
pub struct TaskMetrics {
    /// Waiting for records.
    pub poll: Histogram,
    /// Bytes to columns.
    pub decode: Histogram,
    /// In the handler.
    pub process: Histogram,
    /// Columns to bytes, and the wait for the acknowledgement.
    pub produce: Histogram,
    /// Committing the offset.
    pub commit: Histogram,
    /// From the first record polled to the offset stored.
    pub batch: Histogram,
    /// Records read.
    pub records_in: IntCounter,
    /// Records written by a subscription.
    pub records_out: IntCounter,
    /// Records that could not be decoded or handled.
    pub bad_records: IntCounter,
    /// Records written to the dead-letter topic.
    pub dead_letters: IntCounter,
    /// End offset less committed offset, in records.
    pub lag: IntGauge,
}

/// The metrics of event time of one task.
#[derive(Clone)]
pub struct EventTimeMetrics {
    /// Rows without event time.
    pub null: IntCounter,
    /// Watermark, in ms since the epoch.
    pub watermark_ms: IntGauge,
}

/// The metrics of one window of one task.
#[derive(Clone)]
pub struct WindowMetrics {
    /// Late rows that were left out.
    pub late_dropped: IntCounter,
    /// Late rows that were handed out.
    pub late_routed: IntCounter,
    /// Windows that are open now, over all keys.
    pub open: IntGauge,
}

/// The metrics of the state of one task.
#[derive(Clone)]
pub struct StateMetrics {
    /// Commits of the store.
    pub checkpoints: IntCounter,
    /// Times that a partition with committed offsets had no state here.
    pub missing: IntCounter,
}

/// The metrics of gaps between state and committed offset of one task.
#[derive(Clone)]
pub struct GapMetrics {
    /// Gaps that no changelog closed.
    pub gaps: IntCounter,
    /// Those that were larger than allowed.
    pub halts: IntCounter,
}

/// The metrics of bringing the state of one task back.
#[derive(Clone, Debug)]
pub struct RestoreMetrics {
    /// Keys written to the store.
    pub keys: IntCounter,
    /// Bytes read from changelogs.
    pub bytes: IntCounter,
}

impl Metrics {
    /// A fresh registry with every metric in it.
    ///
    /// # Panics
    ///
    /// Never: the names are constants and differ.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let histogram = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let metric = HistogramVec::new(opts, &["worker"]).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let labelled = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let counters = |name: &str, help: &str| labelled(name, help, &["worker"]);
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let counter = |name: &str, help: &str| {
            let metric = IntCounter::new(name, help).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        Arc::new(Self {
            poll: histogram("turbine_poll_seconds", "Waiting for records of the batch."),
            decode: histogram("turbine_decode_seconds", "Decoding the batch into Arrow."),
            process: histogram("turbine_process_seconds", "The handler, on the batch."),
            produce: histogram(
                "turbine_produce_seconds",
                "From the handler's result to its acknowledgement, or its commit.",
            ),
            commit: histogram("turbine_commit_seconds", "Committing the input offset."),
            batch: histogram(
                "turbine_batch_duration_seconds",
                "The whole batch, from its first record to its last acknowledgement.",
            ),
            records_in: counters("turbine_records_in_total", "Records read."),
            records_out: counters(
                "turbine_records_out_total",
                "Records written by a subscription.",
            ),
            bad_records: counters(
                "turbine_bad_records_total",
                "Records that could not be decoded or handled, whatever became of them.",
            ),
            dead_letters: counters(
                "turbine_dead_letters_total",
                "Records written to a dead-letter topic.",
            ),
            lag: gauges(
                "turbine_lag_records",
                "End offset less committed offset, in records.",
                &["worker"],
            ),
            event_time_null: counters(
                "turbine_event_time_null_total",
                "Rows without a readable event time.",
            ),
            watermark_ms: gauges(
                "turbine_event_time_watermark_ms",
                "Watermark of the partition, in ms since the epoch.",
                &["worker"],
            ),
            watermark_lag_ms: gauges(
                "turbine_event_time_watermark_lag_ms",
                "How far the watermark of the partition is behind the clock, in ms.",
                &["worker"],
            ),
            late_dropped: labelled(
                "turbine_late_rows_dropped_total",
                "Rows that came after their window had closed, left out.",
                WINDOW,
            ),
            late_routed: labelled(
                "turbine_late_rows_routed_total",
                "Rows that came after their window had closed, written to the topic for late data.",
                WINDOW,
            ),
            active_windows: gauges(
                "turbine_active_windows",
                "Windows that are open, over all keys.",
                WINDOW,
            ),
            checkpoints: counters(
                "turbine_checkpoints_total",
                "Checkpoints of the state of a partition.",
            ),
            state_missing: counters(
                "turbine_state_missing_total",
                "Times that a partition with committed offsets had no state on this machine.",
            ),
            exact: exact::OfAll::new(&registry),
            gap_events: counters(
                "turbine_eos_state_gap_events",
                "Times that a state was behind the committed offset and no changelog closed the gap.",
            ),
            gap_halts: counters(
                "turbine_eos_state_gap_halt_total",
                "Times that such a gap was larger than halt_if_gap_exceeds.",
            ),
            restored_keys: counters(
                "turbine_restored_keys_total",
                "Keys that were restored from changelogs.",
            ),
            restored_bytes: counters(
                "turbine_restored_bytes_total",
                "Bytes of changelogs that were read to restore state.",
            ),
            changelog_records: gauges(
                "turbine_changelog_records",
                "Offsets that the changelog of a subscription's partition spans: a restore without a snapshot reads all \
                 of them.",
                &["worker"],
            ),
            snapshots: SnapshotMetrics::new(&registry),
            lookups: LookupMetrics::new(&registry, SECONDS),
            assigned: counter("turbine_partitions_assigned_total", "Partitions gained."),
            revoked: counter("turbine_partitions_revoked_total", "Partitions given away or lost."),
            acknowledged: counter(
                "turbine_records_acknowledged_total",
                "Records that the broker has acknowledged, of agents and subscriptions.",
            ),
            non_finite: counter(
                "turbine_non_finite_total",
                "NaN and infinities written as JSON null.",
            ),
            schema_widened: counter(
                "turbine_schema_widened_total",
                "Times that an inferred schema was widened.",
            ),
            registry_answered: counter(
                "turbine_schema_registry_requests_total",
                "Questions that the schema registry has answered.",
            ),
            registry_failed: counter(
                "turbine_schema_registry_failures_total",
                "Questions that the schema registry has not answered in time.",
            ),
            registry,
        })
    }

    /// The metrics of the task with label `worker`.
    #[must_use]
    pub fn task(&self, worker: &str) -> TaskMetrics {
        let label = &[worker];
        TaskMetrics {
            poll: self.poll.with_label_values(label),
            decode: self.decode.with_label_values(label),
            process: self.process.with_label_values(label),
            produce: self.produce.with_label_values(label),
            commit: self.commit.with_label_values(label),
            batch: self.batch.with_label_values(label),
            records_in: self.records_in.with_label_values(label),
            records_out: self.records_out.with_label_values(label),
            bad_records: self.bad_records.with_label_values(label),
            dead_letters: self.dead_letters.with_label_values(label),
            lag: self.lag.with_label_values(label),
        }
    }

    /// The metrics of event time of the task with label `worker`.
    #[must_use]
    pub fn event_time(&self, worker: &str) -> EventTimeMetrics {
        let label = &[worker];
        EventTimeMetrics {
            null: self.event_time_null.with_label_values(label),
            watermark_ms: self.watermark_ms.with_label_values(label),
        }
    }

    /// The metrics of a window of the task with label `worker`.
    #[must_use]
    pub fn window(&self, worker: &str, window: &str) -> WindowMetrics {
        let labels = &[worker, window];
        WindowMetrics {
            late_dropped: self.late_dropped.with_label_values(labels),
            late_routed: self.late_routed.with_label_values(labels),
            open: self.active_windows.with_label_values(labels),
        }
    }

    /// The metrics of the state of the task with label `worker`.
    #[must_use]
    pub fn state(&self, worker: &str) -> StateMetrics {
        StateMetrics {
            checkpoints: self.checkpoints.with_label_values(&[worker]),
            missing: self.state_missing.with_label_values(&[worker]),
        }
    }

    /// The metrics of gaps of the task with label `worker`.
    #[must_use]
    pub fn gaps(&self, worker: &str) -> GapMetrics {
        GapMetrics {
            gaps: self.gap_events.with_label_values(&[worker]),
            halts: self.gap_halts.with_label_values(&[worker]),
        }
    }

    /// The metrics of restoring the task with label `worker`.
    #[must_use]
    pub fn restore(&self, worker: &str) -> RestoreMetrics {
        RestoreMetrics {
            keys: self.restored_keys.with_label_values(&[worker]),
            bytes: self.restored_bytes.with_label_values(&[worker]),
        }
    }

    /// How long the changelog of the task with label `worker` is.
    #[must_use]
    pub fn changelog_records(&self, worker: &str) -> IntGauge {
        self.changelog_records.with_label_values(&[worker])
    }

    /// The metrics of the commits of the exactly-once task with label `worker`.
    #[must_use]
    pub fn exact(&self, worker: &str) -> ExactMetrics {
        self.exact.task(worker)
    }

    /// Forgets the gauges of a task that moved away, so that nobody alerts on them.
    pub fn forget(&self, worker: &str, windows: &[String]) {
        // A task without a sample has nothing to forget.
        let _ = self.lag.remove_label_values(&[worker]);
        let _ = self.changelog_records.remove_label_values(&[worker]);
        let _ = self.watermark_ms.remove_label_values(&[worker]);
        let _ = self.watermark_lag_ms.remove_label_values(&[worker]);
        for window in windows {
            let _ = self.active_windows.remove_label_values(&[worker, window]);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "an i64 that the library shows as a float")]
    fn show_watermark_lag(&self, now_ms: i64) {
        let found = self.watermark_ms.collect();
        for one in found.iter().flat_map(|family| family.get_metric()) {
            let watermark_ms = one.get_gauge().get_value() as i64;
            let labels: Vec<&str> = one.get_label().iter().map(|label| label.value()).collect();
            self.watermark_lag_ms
                .with_label_values(&labels)
                .set(now_ms.saturating_sub(watermark_ms));
        }
    }

    /// Everything, in Prometheus' text format 0.0.4; `now_ms` is what watermarks lag behind.
    ///
    /// # Panics
    ///
    /// Never: writing to a vector cannot fail.
    #[must_use]
    pub fn text(&self, now_ms: i64) -> String {
        self.show_watermark_lag(now_ms);
        self.snapshots.show_ages();
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out).expect("a vector takes bytes");
        String::from_utf8(out).expect("the text format is UTF-8")
    }
}
