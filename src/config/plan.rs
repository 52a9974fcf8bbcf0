//! What is done to rows that no handler takes, as declared.

use super::{EventTimeConfig, Format, SubscriptionConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Steps around the windows or the join of a subscription, or its only work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanConfig {
    /// Steps in front of the windows, as `expr` reads them; in front of a join those of its left.
    pub before: Value,
    /// Steps behind them.
    pub after: Value,
    /// True: a value that cannot be computed stops the partition; false: it is null.
    #[serde(default)]
    pub is_strict: bool,
    /// A second topic whose rows are joined with those of the first; then there are no windows.
    #[serde(default)]
    pub join: Option<JoinConfig>,
}

/// How rows get to an internal topic with the watermark of their task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedsConfig {
    /// Column by which rows are placed; none: all go to the first partition.
    #[serde(default)]
    pub column: Option<String>,
    /// How far a row may be behind the watermark of the task that makes it, in ms.
    pub lag_ms: i64,
}

/// The join of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinConfig {
    /// What meets what, as `join::spec` reads it.
    pub spec: Value,
    /// True: the left is a table, which is read from its beginning wherever others start.
    #[serde(default)]
    pub is_left_table: bool,
    /// Where the rows of the right come from.
    pub right: SideConfig,
}

/// The right of a join. Its topic has as many partitions as that of the left.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideConfig {
    /// Topic read.
    pub topic: String,
    /// Format of the values.
    #[serde(default)]
    pub value_format: Format,
    /// True: a tombstone is a row of nulls; false: it is a bad record.
    #[serde(default)]
    pub tombstones_as_nulls: bool,
    /// Event time of the rows.
    pub event_time: EventTimeConfig,
    /// True: the topic is an internal one, that a [`super::RepartitionConfig`] writes.
    #[serde(default)]
    pub is_repartitioned: bool,
    /// True: it is a table.
    #[serde(default)]
    pub is_table: bool,
    /// Steps in front of the join.
    pub before: Value,
}

impl SubscriptionConfig {
    /// The join of two topics, if its plan has one.
    #[must_use]
    pub fn join(&self) -> Option<&JoinConfig> {
        self.plan.as_ref()?.join.as_ref()
    }
}
