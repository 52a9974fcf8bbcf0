//! State of handlers and what is promised of it, as declared.

use serde::{Deserialize, Serialize};

/// What a crash may do to outputs and state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Outputs may come twice; state is exact.
    #[default]
    AtLeastOnce,
    /// Outputs, offsets and state take effect together, once.
    ExactlyOnce,
}

/// What happens where the state is behind the committed offset and nothing closes the gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnGap {
    /// The handler sees the records of the gap again, its outputs are suppressed.
    #[default]
    Replay,
    /// The state stays without them.
    Accept,
}

/// Where state is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// On disk.
    #[default]
    Rocksdb,
    /// In memory; after a restart it comes from the changelog, a snapshot or a replay.
    Memory,
}

/// How values are kept that are neither text, a number nor bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateFormat {
    /// As JSON text; bytes inside of a value have no form.
    #[default]
    Json,
    /// As `MessagePack`.
    Msgpack,
}

/// The state of a subscription's handler.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateConfig {
    /// Prefix of keys, and how long one of their values lives in event time, in ms.
    #[serde(default)]
    pub ttl_ms: Vec<(String, i64)>,
    /// How values are kept.
    #[serde(default)]
    pub format: StateFormat,
    /// Does the handler take timers?
    #[serde(default)]
    pub timers: bool,
    /// Is every call of the handler about one key, that scopes its state?
    #[serde(default)]
    pub keyed: bool,
}

/// One `app.Table`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// Unique in the app.
    pub name: String,
    /// Compacted topic, one record a changed key.
    pub changelog: String,
    /// Partitions of the changelog; none: those of the topic that the agents read.
    #[serde(default)]
    pub partitions: Option<i32>,
    /// Does every worker read all of its partitions?
    #[serde(default)]
    pub is_global: bool,
}
