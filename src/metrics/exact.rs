//! The metrics of exactly-once commits.

use super::SECONDS;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

/// Those of all tasks.
#[derive(Clone)]
pub(super) struct OfAll {
    seconds: HistogramVec,
    steps: HistogramVec,
    early: IntCounterVec,
    aborted: IntCounterVec,
    recycled: IntCounterVec,
    fenced: IntCounterVec,
}

/// The metrics of the commits of one exactly-once task.
#[derive(Clone)]
pub struct ExactMetrics {
    /// A commit, from its first record sent to the state that has it.
    pub seconds: Histogram,
    /// What it consists of.
    pub steps: CommitSteps,
    /// Transactions that came before the coordinator was done with the last one.
    pub early: IntCounter,
    /// Transactions taken back.
    pub aborted: IntCounter,
    /// Producers replaced.
    pub recycled: IntCounter,
    /// Times that a producer was shut out by another one.
    pub fenced: IntCounter,
}

/// The steps of a commit, in their order.
#[derive(Clone)]
pub struct CommitSteps {
    /// Letting the coordinator end the last transaction.
    pub wait: Histogram,
    /// Giving its records to the client library.
    pub produce: Histogram,
    /// Writing the pending commit; the records are on their way meanwhile.
    pub prepare: Histogram,
    /// The wait for their acknowledgement after that.
    pub flush: Histogram,
    /// Adding the offset to the transaction.
    pub offsets: Histogram,
    /// Ending the transaction.
    pub commit: Histogram,
    /// Changing the state.
    pub apply: Histogram,
}

impl OfAll {
    /// In `registry`.
    ///
    /// # Panics
    ///
    /// Never: the names are constants and differ.
    pub(super) fn new(registry: &Registry) -> Self {
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let metric = HistogramVec::new(opts, labels).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let counters = |name: &str, help: &str| {
            let opts = Opts::new(name, help);
            let metric = IntCounterVec::new(opts, &["worker"]).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        Self {
            seconds: histogram(
                "turbine_eos_commit_seconds",
                "An exactly-once commit: transaction and state.",
                &["worker"],
            ),
            steps: histogram(
                "turbine_eos_step_seconds",
                "A step of an exactly-once commit.",
                &["worker", "step"],
            ),
            early: counters(
                "turbine_eos_early_total",
                "Transactions refused for 20 ms because the coordinator still ended the last one.",
            ),
            aborted: counters(
                "turbine_eos_aborted_total",
                "Transactions that were aborted and made again.",
            ),
            recycled: counters(
                "turbine_eos_producers_recycled_total",
                "Transactional producers that were replaced after trouble.",
            ),
            fenced: counters(
                "turbine_eos_fenced_total",
                "Times that another worker shut a transactional producer out.",
            ),
        }
    }

    pub(super) fn task(&self, worker: &str) -> ExactMetrics {
        let step = |name| self.steps.with_label_values(&[worker, name]);
        let label = &[worker];
        ExactMetrics {
            seconds: self.seconds.with_label_values(label),
            steps: CommitSteps {
                wait: step("wait"),
                produce: step("produce"),
                prepare: step("prepare"),
                flush: step("flush"),
                offsets: step("offsets"),
                commit: step("commit"),
                apply: step("apply"),
            },
            early: self.early.with_label_values(label),
            aborted: self.aborted.with_label_values(label),
            recycled: self.recycled.with_label_values(label),
            fenced: self.fenced.with_label_values(label),
        }
    }
}
