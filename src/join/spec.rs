//! What a join is to do, as it was declared.

use crate::error::{Error, Result};
use arrow::array::{Array, BooleanArray};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest span of time that a declaration may have: that of all event times there are.
const MOST_MS: i64 = 315_576_000_000_000;

/// One of the two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

impl Side {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// Its place.
    #[must_use]
    pub fn at(self) -> usize {
        self as usize
    }

    /// The one that it is joined with.
    #[must_use]
    pub fn other(self) -> Self {
        Self::BOTH[1 - self.at()]
    }
}

/// Whose rows a batch has.
#[derive(Clone, Copy, Debug)]
pub enum Sides<'a> {
    /// Those of one side.
    One(Side),
    /// Those of both, in the order of their arrival: the right where it is true.
    Each(&'a BooleanArray),
}

impl Sides<'_> {
    /// Whose `row` is.
    #[inline]
    #[must_use]
    pub fn of(self, row: usize) -> Side {
        match self {
            Self::One(side) => side,
            Self::Each(right) => Side::BOTH[usize::from(right.is_valid(row) && right.value(row))],
        }
    }

    /// May there be rows of `side`?
    #[must_use]
    pub fn has(self, side: Side) -> bool {
        !matches!(self, Self::One(one) if one != side)
    }
}

impl From<Side> for Sides<'_> {
    fn from(side: Side) -> Self {
        Self::One(side)
    }
}

/// Which rows without a match are given too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// None.
    Inner,
    /// Those of the left, with nulls for the right.
    Left,
    /// Those of the right, with nulls for the left.
    Right,
    /// Those of both.
    Full,
}

impl How {
    /// Are rows of `side` given without a match?
    #[must_use]
    pub fn pads(self, side: Side) -> bool {
        match self {
            Self::Inner => false,
            Self::Left => side == Side::Left,
            Self::Right => side == Side::Right,
            Self::Full => true,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Inner => "inner",
            Self::Left => "left",
            Self::Right => "right",
            Self::Full => "full",
        }
    }
}

/// What a row is joined with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum JoinKind {
    /// Every row of the other stream with `left - before <= right <= left + after`, in event time.
    Interval {
        /// How far the right may be in front of the left, in ms.
        before_ms: Option<i64>,
        /// How far it may be behind, in ms.
        after_ms: Option<i64>,
        /// How far rows may be behind the watermark and still find all of their matches, in ms.
        grace_ms: i64,
    },
    /// The newest row of the right at or before the time of a row of the left.
    AsOf {
        /// How old it may be, in ms.
        tolerance_ms: Option<i64>,
        /// As that of an interval; rows of the left wait so long behind the watermark.
        grace_ms: i64,
    },
    /// The row of the right that arrived last, at the moment when a row of the left arrives.
    Table,
    /// The rows of both sides that arrived last, whenever one of them changes.
    Tables,
}

/// A join as it was declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinSpec {
    /// What messages call it, and its state.
    pub name: String,
    /// What a row is joined with.
    pub kind: JoinKind,
    /// Key columns of the left.
    pub left_on: Vec<String>,
    /// Key columns of the right, each beside that of the left.
    pub right_on: Vec<String>,
    /// Which rows without a match are given too.
    pub how: How,
    /// Behind the name of a column of the right that the left has too.
    pub suffix: String,
}

impl JoinSpec {
    /// Checks what can be checked without columns.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] for a join that contradicts itself, or that nothing bounds.
    pub fn check(&self) -> Result<()> {
        if self.left_on.is_empty() || self.left_on.len() != self.right_on.len() {
            return Err(
                self.wrong("name as many key columns of the left as of the right, one or more")
            );
        }
        for on in [&self.left_on, &self.right_on] {
            if on.iter().collect::<BTreeSet<_>>().len() != on.len() {
                return Err(self.wrong("a key column is named twice; name each once"));
            }
        }
        match self.kind {
            JoinKind::Interval { before_ms, after_ms, grace_ms } => {
                let (Some(before), Some(after)) = (before_ms, after_ms) else {
                    return Err(self.wrong(
                        "two streams without a bound of time would be kept for ever; say within=",
                    ));
                };
                self.check_times(&[before, after], grace_ms)?;
                if before + after < 0 {
                    return Err(self.wrong("the interval ends in front of its beginning"));
                }
            }
            JoinKind::AsOf { tolerance_ms, grace_ms } => {
                self.check_times(&[tolerance_ms.unwrap_or(0)], grace_ms)?;
                if tolerance_ms.is_some_and(|tolerance| tolerance < 0) {
                    return Err(self.wrong("the tolerance is negative; say 0 or more"));
                }
                self.check_left("an as-of join")?;
            }
            JoinKind::Table => self.check_left("a join with a table")?,
            JoinKind::Tables => {}
        }
        Ok(())
    }

    fn check_times(&self, spans: &[i64], grace_ms: i64) -> Result<()> {
        if grace_ms < 0 {
            return Err(self.wrong("the grace is negative; say 0 or more"));
        }
        if spans.iter().chain([&grace_ms]).any(|&span| !(-MOST_MS..=MOST_MS).contains(&span)) {
            return Err(
                self.wrong("a span of more than 10,000 years bounds nothing; say a shorter one")
            );
        }
        Ok(())
    }

    fn check_left(&self, what: &str) -> Result<()> {
        if self.how.pads(Side::Right) {
            return Err(self.wrong(&format!(
                "{what} answers rows of the left, and how={:?} asks for those of the right; say \
                 how=\"inner\" or how=\"left\"",
                self.how.word()
            )));
        }
        Ok(())
    }

    /// An error of this join.
    pub(super) fn wrong(&self, what: &str) -> Error {
        Error::Declaration(format!("join {:?}: {what}", self.name))
    }
}
