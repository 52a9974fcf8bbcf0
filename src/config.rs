//! What a worker is told to run: the declarations of an app, as Python hands them over in one JSON document.

mod format;
mod plan;
mod registry;
mod state;

pub use format::{AvroFormat, CsvFormat, Format, Framing, ProtobufFormat, Strategy, Subject};
pub use plan::{FeedsConfig, JoinConfig, PlanConfig, SideConfig};
pub use registry::RegistryConfig;
pub use state::{Guarantee, OnGap, StateConfig, StateFormat, StoreKind, TableConfig};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happens to a record that cannot be decoded or handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The partition stops in front of the record; nothing is lost, `/health` says why.
    #[default]
    Fail,
    /// The record is left out, counted and logged.
    Skip,
    /// The record goes to the dead-letter topic, whole, with its reason in headers.
    Dlq,
}

/// Where a consumer group without offsets starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartAt {
    /// At the oldest record.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
}

/// One worker process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// Names groups and internal topics.
    pub app_id: String,
    /// `host:port,host:port`.
    pub brokers: String,
    /// librdkafka settings of the user, for consumer, producer and admin client.
    #[serde(default)]
    pub kafka: BTreeMap<String, String>,
    /// Where a group without offsets starts.
    #[serde(default)]
    pub start_at: StartAt,
    /// Longest time between two commits of a partition, in ms.
    #[serde(default = "defaults::commit_interval_ms")]
    pub commit_interval_ms: u64,
    /// Longest time that a stop or a revocation waits for handlers, in ms.
    #[serde(default = "defaults::drain_timeout_ms")]
    pub drain_timeout_ms: u64,
    /// Bytes of fetched records that may wait in memory, over all partitions.
    #[serde(default = "defaults::fetch_buffer_bytes")]
    pub fetch_buffer_bytes: usize,
    /// Bytes of records that may wait for their acknowledgement.
    #[serde(default = "defaults::produce_buffer_bytes")]
    pub produce_buffer_bytes: usize,
    /// Is the front end told of each commit of agents?
    #[serde(default)]
    pub tells_commits: bool,
    /// Columnar handlers.
    #[serde(default)]
    pub subscriptions: Vec<SubscriptionConfig>,
    /// First stages of subscriptions that read their topic by another column.
    #[serde(default)]
    pub repartitions: Vec<RepartitionConfig>,
    /// Per-event handlers.
    #[serde(default)]
    pub agents: Vec<AgentConfig>,
    /// Directory for the state of partitions; needed by what is persistent.
    #[serde(default)]
    pub state_dir: Option<String>,
    /// Longest time between two checkpoints of a partition's state, in ms.
    #[serde(default = "defaults::checkpoint_interval_ms")]
    pub checkpoint_interval_ms: u64,
    /// Where state is kept.
    #[serde(default)]
    pub store: StoreKind,
    /// Bytes that the stores of all partitions may hold in memory, caches and write buffers together.
    #[serde(default = "defaults::state_memory_bytes")]
    pub state_memory_bytes: usize,
    /// Object store of the snapshots, as `s3://bucket/prefix`; none: no snapshots.
    #[serde(default)]
    pub checkpoint_url: Option<String>,
    /// Longest time between two snapshots of a partition's state, in ms.
    #[serde(default = "defaults::snapshot_interval_ms")]
    pub snapshot_interval_ms: u64,
    /// So many bytes written to a partition's state make a snapshot due.
    #[serde(default = "defaults::snapshot_bytes")]
    pub snapshot_bytes: u64,
    /// Snapshots of a partition that stay.
    #[serde(default = "defaults::snapshot_keep")]
    pub snapshot_keep: usize,
    /// Tables of the agents.
    #[serde(default)]
    pub tables: Vec<TableConfig>,
    /// Topics whose agents share tables, each list by itself: partition `i` of all of them is one task, if
    /// they have the same number of partitions.
    #[serde(default)]
    pub copartitioned: Vec<Vec<String>>,
    /// Where schemas of records are kept, if anywhere.
    #[serde(default)]
    pub schema_registry: Option<RegistryConfig>,
    /// HTTP server; none if switched off.
    #[serde(default)]
    pub http: Option<HttpConfig>,
}

/// One `@app.subscribe`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionConfig {
    /// Unique in the app.
    pub name: String,
    /// Consumer group, `{app_id}-{name}`.
    pub group: String,
    /// Topics read.
    pub topics: Vec<String>,
    /// Topic written, if any.
    #[serde(default)]
    pub publish_to: Option<String>,
    /// Format of the values read.
    #[serde(default)]
    pub value_format: Format,
    /// Format of the values written.
    #[serde(default)]
    pub output_format: Format,
    /// Most rows of a batch.
    pub batch_size: usize,
    /// Longest time that rows wait for more rows while the handler is busy, in ms.
    pub batch_timeout_ms: u64,
    /// Column whose value becomes the key of the output record.
    #[serde(default)]
    pub message_key: Option<String>,
    /// Metadata columns: `key`, `partition`, `offset`, `timestamp`, `headers`, `topic`.
    #[serde(default)]
    pub with_metadata: Vec<String>,
    /// Format of the keys read.
    #[serde(default)]
    pub key_format: Option<Format>,
    /// Format of the keys written.
    #[serde(default)]
    pub output_key_format: Option<Format>,
    /// Columns that become metadata of the records written: `headers`, `timestamp`, `partition`.
    #[serde(default)]
    pub write_metadata: Vec<String>,
    /// True: a row of nulls is written as a tombstone.
    #[serde(default)]
    pub write_tombstones: bool,
    /// Policy for bad records and failing handlers.
    #[serde(default)]
    pub on_error: OnError,
    /// Dead-letter topic, with `on_error = dlq`.
    #[serde(default)]
    pub dlq: Option<String>,
    /// True: a tombstone is a row of nulls; false: it is a bad record.
    #[serde(default)]
    pub tombstones_as_nulls: bool,
    /// Event time of the rows; none: rows have none.
    #[serde(default)]
    pub event_time: Option<EventTimeConfig>,
    /// Rows that are left out because their key was there already.
    #[serde(default)]
    pub dedup: Option<DedupConfig>,
    /// Windows, if there are any.
    #[serde(default)]
    pub windows: Option<WindowsConfig>,
    /// What is done to rows instead of handing them to a handler; none: a handler takes them.
    #[serde(default)]
    pub plan: Option<PlanConfig>,
    /// Topics for `ctx.emit`.
    #[serde(default)]
    pub side_outputs: Vec<Target>,
    /// Column by which rows are divided inside a partition.
    #[serde(default)]
    pub partition_key: Option<String>,
    /// Into how many shards; 1 divides nothing.
    #[serde(default = "defaults::parallelism")]
    pub parallelism: usize,
    /// True: the topics are internal ones, that a [`RepartitionConfig`] writes.
    #[serde(default)]
    pub is_repartitioned: bool,
    /// What a crash may do to outputs and state.
    #[serde(default)]
    pub guarantee: Guarantee,
    /// The handler's state; none: it has none.
    #[serde(default)]
    pub state: Option<StateConfig>,
    /// Topic that the changes of its state (and persistent windows) are written to; none: no changelog.
    #[serde(default)]
    pub changelog: Option<String>,
    /// What it writes is an internal topic, whose readers are told how far it is.
    #[serde(default)]
    pub feeds: Option<FeedsConfig>,
    /// What happens where the state is behind the committed offset.
    #[serde(default)]
    pub on_gap: OnGap,
    /// A gap of more records than this stops the worker.
    #[serde(default)]
    pub halt_if_gap_exceeds: Option<u64>,
}

/// Which rows are duplicates.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupConfig {
    /// Columns that tell rows apart.
    pub key: Vec<String>,
    /// How far apart in event time two rows of a key have to be, in ms.
    pub within_ms: i64,
}

/// A topic whose records are written once more, with a column of theirs as the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepartitionConfig {
    /// Unique in the app, `{topic}-{column}-repartition`.
    pub name: String,
    /// Consumer group, and the topic written.
    pub to: String,
    /// Topic read.
    pub topic: String,
    /// Column whose value becomes the key.
    pub column: String,
    /// Expression that gives the column; none: the rows have it.
    #[serde(default)]
    pub key: Option<serde_json::Value>,
    /// A subscription with the schema of the rows.
    pub rows_of: String,
    /// Format of the values.
    #[serde(default)]
    pub value_format: Format,
    /// Policy for bad records.
    #[serde(default)]
    pub on_error: OnError,
    /// Dead-letter topic, with `on_error = dlq`.
    #[serde(default)]
    pub dlq: Option<String>,
    /// True: a tombstone is a row of nulls; false: it is a bad record.
    #[serde(default)]
    pub tombstones_as_nulls: bool,
    /// Event time of the rows; none: rows have none.
    #[serde(default)]
    pub event_time: Option<EventTimeConfig>,
    /// What a crash may do to what it writes.
    #[serde(default)]
    pub guarantee: Guarantee,
}

/// Where the event time of rows is, and how late rows may be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTimeConfig {
    /// Column, or dotted path into structs; none: the timestamps of the records.
    #[serde(default)]
    pub column: Option<String>,
    /// What a number counts: `s`, `ms`, `us` or `ns`.
    pub unit: String,
    /// How far behind the newest row a row may be without being late, in ms.
    pub out_of_orderness_ms: i64,
    /// After so long without records the watermark goes on with the clock, in ms; none: never.
    #[serde(default)]
    pub idle_close_ms: Option<u64>,
}

/// Windows of a subscription, and who feeds them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowsConfig {
    /// True: every row as it was decoded, and the handler gets results; false: the rows that the
    /// handler gives them.
    pub before_handler: bool,
    /// Declarations, as `window::spec` reads them.
    pub specs: Vec<serde_json::Value>,
    /// Topic for late rows that are routed.
    #[serde(default)]
    pub late_data: Option<Target>,
}

/// A further topic that a subscription writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What the handler calls it.
    pub name: String,
    /// Topic name.
    pub topic: String,
    /// Format of the values.
    #[serde(default)]
    pub value_format: Format,
}

/// One `@app.agent`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Unique in the app.
    pub name: String,
    /// Consumer group, shared by the agents of an app.
    pub group: String,
    /// Topics read.
    pub topics: Vec<String>,
    /// Format of the values read.
    #[serde(default)]
    pub value_format: Format,
    /// Instances of the agent; a key always meets the same one.
    pub concurrency: usize,
    /// Policy for bad records and failing handlers.
    #[serde(default)]
    pub on_error: OnError,
    /// Dead-letter topic, with `on_error = dlq`.
    #[serde(default)]
    pub dlq: Option<String>,
    /// What a crash may do to outputs and state.
    #[serde(default)]
    pub guarantee: Guarantee,
    /// Are its rows done when it says so, in any order? Then its topics have no cuts, and write to no table.
    #[serde(default)]
    pub acks_by_hand: bool,
}

/// The HTTP server of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address to bind; anything but loopback needs a token.
    #[serde(default = "defaults::http_host")]
    pub host: String,
    /// Port; 0 takes any free one.
    pub port: u16,
    /// True: a taken port is an error; false: the next free one is taken.
    pub port_is_explicit: bool,
    /// Bearer token for everything but `/health` and `/ready`.
    #[serde(default)]
    pub token: Option<String>,
}

impl WorkerConfig {
    /// Does anything that is declared keep state?
    pub(crate) fn keeps_state(&self) -> bool {
        let is_persistent = |windows: &WindowsConfig| {
            windows.specs.iter().any(|spec| spec["persistent"] == serde_json::Value::Bool(true))
        };
        let keeps = |one: &SubscriptionConfig| {
            one.state.is_some() || one.windows.as_ref().is_some_and(is_persistent)
        };
        !self.tables.is_empty() || self.subscriptions.iter().any(keeps)
    }
}

mod defaults {
    pub(super) fn commit_interval_ms() -> u64 {
        100
    }
    pub(super) fn drain_timeout_ms() -> u64 {
        10_000
    }
    pub(super) fn fetch_buffer_bytes() -> usize {
        64 << 20
    }
    pub(super) fn produce_buffer_bytes() -> usize {
        64 << 20
    }
    pub(super) fn checkpoint_interval_ms() -> u64 {
        1_000
    }
    pub(super) fn snapshot_interval_ms() -> u64 {
        300_000
    }
    pub(super) fn snapshot_bytes() -> u64 {
        1 << 30
    }
    pub(super) fn snapshot_keep() -> usize {
        3
    }
    pub(super) fn state_memory_bytes() -> usize {
        256 << 20
    }
    pub(super) fn parallelism() -> usize {
        1
    }
    pub(super) fn http_host() -> String {
        "127.0.0.1".into()
    }
}
