//! How far back a restart has to read, so that windows in memory are what they were.
//!
//! The offset that is committed is not the next record but the first one whose row may still stand in
//! an open window; beside it stands what the records in between are to be read with: the watermark in
//! front of them, and the offset up to which their results are out already.
//!
//! # Guarantees
//!
//! * Reading from [`Point::offset`] with [`Point::watermark_before`], and dropping what comes out in
//!   front of [`Point::position`], gives the open windows that there were at the position: a row that
//!   stands in one of them is read again, and each row is judged late or not as it was.
//! * The offset never moves back.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Event times of rows that open windows still hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// From this one on, in ms since the epoch.
    Since(i64),
    /// None.
    Nothing,
}

/// A batch that has gone through the windows of its partition.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Offset of its first record.
    pub first: i64,
    /// Offset behind its last one.
    pub next: i64,
    /// Watermark in front of it.
    pub watermark_before: i64,
    /// Watermark behind it.
    pub watermark_after: i64,
    /// Latest event time in it; none without rows that have one.
    pub latest: Option<i64>,
    /// What open windows hold behind it.
    pub needed: Needed,
}

/// Where a restart begins to read, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// The first record to read.
    #[serde(skip)]
    pub offset: i64,
    /// The first record whose results are not out yet.
    #[serde(rename = "p")]
    pub position: i64,
    /// Watermark in front of `offset`.
    #[serde(rename = "b", default = "never", skip_serializing_if = "is_never")]
    pub watermark_before: i64,
    /// Watermark in front of `position`.
    #[serde(rename = "w", default = "never", skip_serializing_if = "is_never")]
    pub watermark: i64,
}

impl Point {
    /// One that reads nothing again.
    #[must_use]
    pub fn plain(position: i64) -> Self {
        Self { offset: position, position, watermark_before: i64::MIN, watermark: i64::MIN }
    }

    /// True if it says nothing but its offset.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self == Self::plain(self.position)
    }

    /// As the text beside a committed offset; empty for a plain one.
    #[must_use]
    pub fn to_metadata(self) -> String {
        if self.is_plain() {
            return String::new();
        }
        let json = serde_json::to_string(&self).expect("numbers have a form in JSON");
        format!("{PREFIX}{json}")
    }

    /// From the text beside the committed offset `offset`; none if it is not from here.
    #[must_use]
    pub fn from_metadata(offset: i64, metadata: &str) -> Option<Self> {
        let json = metadata.strip_prefix(PREFIX)?;
        let point: Self = serde_json::from_str(json).ok()?;
        (point.position >= offset).then_some(Self { offset, ..point })
    }
}

/// In front of the metadata, with the version of its form.
pub(super) const PREFIX: &str = "turbine:1:";

/// The watermark in front of every row.
fn never() -> i64 {
    i64::MIN
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_never(watermark: &i64) -> bool {
    *watermark == never()
}

/// The batches that a restart may have to read again.
#[derive(Debug, Default)]
pub struct Horizon {
    spans: VecDeque<Span>,
    committed: Option<Point>,
}

impl Horizon {
    /// Adds the next batch.
    ///
    /// # Panics
    ///
    /// If it is not behind the last one.
    pub fn push(&mut self, span: Span) {
        let end = self.spans.back().map(|last| last.next);
        assert!(end.is_none_or(|end| span.first >= end), "batches come in the order of offsets");
        self.spans.push_back(span);
    }

    /// What to commit now that everything in front of `position` is done; forgets what no restart from
    /// there needs. None before the first batch is done.
    pub fn commit(&mut self, position: i64) -> Option<Point> {
        let done = self.spans.partition_point(|span| span.next <= position);
        let Some(last) = done.checked_sub(1).map(|index| self.spans[index]) else {
            // Nothing went through the windows since: only the position has moved.
            if let Some(point) = self.committed.as_mut().filter(|point| point.position < position) {
                let is_whole = point.offset == point.position;
                point.position = position;
                point.offset = if is_whole { position } else { point.offset };
            }
            return self.committed;
        };
        let is_over = |span: &Span| match (span.latest, last.needed) {
            (Some(latest), Needed::Since(time)) => latest < time,
            _ => true,
        };
        while self.spans.front().is_some_and(|span| span.next <= position && is_over(span)) {
            self.spans.pop_front();
        }
        let from = self.spans.front().filter(|span| span.next <= position);
        self.committed = Some(Point {
            offset: from.map_or(position, |span| span.first),
            position,
            watermark_before: from.map_or(last.watermark_after, |span| span.watermark_before),
            watermark: last.watermark_after,
        });
        // The last batch that is done is kept in `committed`, should it have been forgotten here.
        self.committed
    }
}

#[cfg(test)]
mod tests;
