//! What lookups of plans do: how often the function of a user is called, and how long that takes.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// The metrics of all lookups of a worker; the label `lookup` is `{plan}-{function}`.
#[derive(Clone)]
pub struct LookupMetrics {
    hits: IntCounterVec,
    misses: IntCounterVec,
    errors: IntCounterVec,
    seconds: HistogramVec,
}

impl LookupMetrics {
    /// Adds them to `registry`, with these bounds of `seconds`.
    ///
    /// # Panics
    ///
    /// Never: the names are constants and differ.
    #[must_use]
    pub(super) fn new(registry: &Registry, seconds: &[f64]) -> Self {
        let labels = &["lookup"];
        let counter = |name: &str, help: &str| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("constant name");
            registry.register(Box::new(metric.clone())).expect("names differ");
            metric
        };
        let opts =
            HistogramOpts::new("turbine_lookup_seconds", "One call of the function of a lookup.");
        let calls =
            HistogramVec::new(opts.buckets(seconds.to_vec()), labels).expect("constant name");
        registry.register(Box::new(calls.clone())).expect("names differ");
        Self {
            hits: counter("turbine_lookup_hits_total", "Keys of a batch that the cache knew."),
            misses: counter(
                "turbine_lookup_misses_total",
                "Keys of a batch that the function was asked for.",
            ),
            errors: counter("turbine_lookup_errors_total", "Calls of the function that failed."),
            seconds: calls,
        }
    }

    /// Counts what a batch has asked of `lookup`, and how long each call took, in seconds.
    pub fn note(&self, lookup: &str, (hits, misses, errors): (u64, u64, u64), seconds: &[f64]) {
        let label = &[lookup];
        self.hits.with_label_values(label).inc_by(hits);
        self.misses.with_label_values(label).inc_by(misses);
        self.errors.with_label_values(label).inc_by(errors);
        let calls = self.seconds.with_label_values(label);
        seconds.iter().for_each(|&one| calls.observe(one));
    }
}
