//! What is done to rows that no handler takes, as declared.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Steps around the windows of a subscription, or its only work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanConfig {
    /// Steps in front of the windows, as `expr` reads them.
    pub before: Value,
    /// Steps behind them.
    pub after: Value,
    /// True: a value that cannot be computed stops the partition; false: it is null.
    #[serde(default)]
    pub is_strict: bool,
}
