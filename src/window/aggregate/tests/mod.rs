//! What every aggregate must keep, on random rows: see [`laws`]; and values of single aggregates.

mod data;
mod laws;
mod sums;

use super::{AggregateSpec, InputSpec};

/// A specification that reads columns `c0`, `c1` ... .
fn spec(function: &str, columns: usize, options: &serde_json::Value) -> AggregateSpec {
    AggregateSpec {
        output: "out".to_string(),
        function: function.to_string(),
        inputs: (0..columns).map(|i| InputSpec::Column(format!("c{i}"))).collect(),
        options: options.as_object().cloned().unwrap_or_default(),
    }
}
