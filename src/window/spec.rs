//! A window as it is declared: what Python hands over, checked.

use super::aggregate::AggregateSpec;
use serde::{Deserialize, Serialize};

/// One window of a subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Unique in its subscription; names its state.
    pub name: String,
    /// How rows are assigned to windows.
    pub kind: WindowKind,
    /// Columns whose values tell groups apart; empty: all rows are one group.
    pub key: Vec<String>,
    /// What is computed, in the order of the output columns.
    pub aggregates: Vec<AggregateSpec>,
    /// Column with the event time; none: `_event_time`, which the line adds.
    #[serde(default)]
    pub time_column: Option<String>,
    /// How long a window still takes rows after the watermark has passed its end, in ms.
    #[serde(default)]
    pub grace_ms: i64,
    /// When results come out.
    #[serde(default)]
    pub emit: Emit,
    /// What happens to a row whose windows are all closed.
    #[serde(default)]
    pub on_late: OnLate,
    /// True: kept in the store and restored; false: in memory only.
    #[serde(default)]
    pub persistent: bool,
    /// May windows be closed by the clock, so that results can be marked `idle`?
    #[serde(default)]
    pub idle_close: bool,
    /// Most open windows over all keys, in memory only; the oldest is closed before its time.
    #[serde(default)]
    pub max_open: Option<usize>,
}

impl WindowSpec {
    /// Can open windows be made again by reading the rows of their time once more?
    ///
    /// Not those that never end or end by a number of rows. Nor sessions with a longest duration, where
    /// closed ones decide where the next begins, and windows with a time of their own, whose rows the
    /// line does not know by that time.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        let ends = match self.kind {
            WindowKind::Tumbling { .. }
            | WindowKind::Calendar { .. }
            | WindowKind::Hopping { .. }
            | WindowKind::Sliding { .. }
            | WindowKind::Session { max_duration_ms: None, .. } => true,
            WindowKind::Session { .. } | WindowKind::Count { .. } | WindowKind::Global => false,
        };
        ends && self.time_column.is_none()
    }
}

/// How rows are assigned to windows. All times are in ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum WindowKind {
    /// Fixed windows side by side, `[start, start + size)`, aligned to `offset`.
    Tumbling {
        /// Length.
        size_ms: i64,
        /// Where one window begins, from the epoch.
        #[serde(default)]
        offset_ms: i64,
    },
    /// Calendar windows of a time zone: a day may have 23 or 25 hours.
    Calendar {
        /// `hour`, `day`, `week`, `month`, `quarter` or `year`.
        unit: CalendarUnit,
        /// IANA name.
        timezone: String,
    },
    /// Fixed windows that overlap: one begins every `step`.
    Hopping {
        /// Length.
        size_ms: i64,
        /// From one start to the next; divides `size_ms`.
        step_ms: i64,
        /// Where one window begins, from the epoch.
        #[serde(default)]
        offset_ms: i64,
    },
    /// For each row, the rows of its key in `(time - size, time]`.
    Sliding {
        /// Length.
        size_ms: i64,
    },
    /// Rows of a key with gaps below `gap`.
    Session {
        /// A pause of this length ends a session.
        gap_ms: i64,
        /// Longest session; none: unbounded.
        #[serde(default)]
        max_duration_ms: Option<i64>,
    },
    /// So many rows of a key.
    Count {
        /// Rows of a window.
        rows: u64,
        /// Rows from one start to the next; none: `rows`.
        #[serde(default)]
        step: Option<u64>,
    },
    /// One window for ever.
    Global,
}

/// Units of calendar windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    /// An hour, as the zone's clock shows it.
    Hour,
    /// Midnight to midnight.
    Day,
    /// Monday to Sunday.
    Week,
    /// First to last.
    Month,
    /// Three months from January, April, July, October.
    Quarter,
    /// January to December.
    Year,
}

/// When results come out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Emit {
    /// Once, when the window is closed.
    #[default]
    Final,
    /// One result for each row, and the final one.
    Changes,
    /// The windows that changed, every so many ms of event time, and the final result.
    Early {
        /// From one early result to the next.
        interval_ms: i64,
    },
    /// After every so many rows of a key.
    EveryRows {
        /// Rows from one result to the next.
        rows: u64,
    },
}

/// What happens to a row whose windows are all closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLate {
    /// Counted.
    #[default]
    Drop,
    /// Handed out, with the window that rejected it.
    Route,
    /// The window is opened again from what is still kept of it, and a result marked as an update
    /// comes out.
    Update,
}
