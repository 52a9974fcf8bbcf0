//! Every metric: its name, its unit in the name, its help text.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::sync::Arc;

/// Bucket bounds in seconds: 100 us to 10 s, about three a decade.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

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
        let counters = |name: &str, help: &str| {
            let metric =
                IntCounterVec::new(Opts::new(name, help), &["worker"]).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let counter = |name: &str, help: &str| {
            let metric = IntCounter::new(name, help).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let lag = IntGaugeVec::new(
            Opts::new("turbine_lag_records", "End offset less committed offset, in records."),
            &["worker"],
        )
        .expect("constant name");
        registry.register(Box::new(lag.clone())).expect("names differ");
        Arc::new(Self {
            poll: histogram("turbine_poll_seconds", "Waiting for records of the batch."),
            decode: histogram("turbine_decode_seconds", "Decoding the batch into Arrow."),
            process: histogram("turbine_process_seconds", "The handler, on the batch."),
            produce: histogram(
                "turbine_produce_seconds",
                "Encoding the outputs of the batch and waiting for their acknowledgement.",
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
            lag,
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

    /// Forgets the lag of a task that moved away, so that nobody alerts on it.
    pub fn forget_lag(&self, worker: &str) {
        // A task without a lag sample has nothing to forget.
        let _ = self.lag.remove_label_values(&[worker]);
    }

    /// Everything, in Prometheus' text format 0.0.4.
    ///
    /// # Panics
    ///
    /// Never: writing to a vector cannot fail.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out).expect("a vector takes bytes");
        String::from_utf8(out).expect("the text format is UTF-8")
    }
}
