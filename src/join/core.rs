//! What interval and as-of joins have in common: rows by key, time that passes, joined rows.

use super::{
    asof::AsOf,
    book::{Book, Place},
    clock::Clock,
    columns::{Columns, Feed, Feeds},
    interval::Interval,
    operator::Counters,
    output::{Cell, Pairs},
    persist,
    spec::Side,
};
use crate::error::Result;
use arrow::array::RecordBatch;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Joined rows of one batch that comes out, at most about so many.
const MOST_ROWS: usize = 1 << 16;

/// What happens to a row when the watermark has passed a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    /// The time, in ms.
    pub(super) at: i64,
    /// The row.
    pub(super) place: Place,
    /// Which thing, where a row has several.
    pub(super) step: u8,
}

/// How rows meet.
pub(super) enum Rule {
    Interval(Interval),
    AsOf(AsOf),
}

/// A row of a batch with its key and its time.
#[derive(Clone, Copy)]
pub(super) struct Arrived<'a> {
    pub(super) feed: &'a Feed,
    pub(super) row: usize,
    pub(super) time: i64,
}

/// See the module.
pub(super) struct Core {
    pub(super) columns: Columns,
    pub(super) book: Book,
    pub(super) clock: Clock,
    pub(super) counters: Counters,
    pub(super) pairs: Pairs,
    due: BinaryHeap<Reverse<Due>>,
    late: Vec<u32>,
    results: Vec<RecordBatch>,
}

impl Core {
    /// One without rows; of which sides it notes matches.
    pub(super) fn new(columns: Columns, name: &str, is_marked: [bool; 2]) -> Result<Self> {
        let book = Book::new(columns.groups()?, persist::tag(name), is_marked);
        Ok(Self {
            columns,
            book,
            clock: Clock::default(),
            counters: Counters::default(),
            pairs: Pairs::default(),
            due: BinaryHeap::new(),
            late: Vec::new(),
            results: Vec::new(),
        })
    }

    /// Has the watermark passed `at`?
    #[inline]
    pub(super) fn is_past(&self, at: i64) -> bool {
        self.clock.current() > at
    }

    /// Notes what is to happen to a row when the watermark has passed `at`.
    #[inline]
    pub(super) fn schedule(&mut self, at: i64, place: Place, step: u8) {
        self.due.push(Reverse(Due { at, place, step }));
    }

    /// What the watermark has passed, oldest first; none if that is nothing more.
    #[inline]
    pub(super) fn next_due(&mut self) -> Option<Due> {
        if self.due.peek().is_none_or(|Reverse(due)| self.clock.current() <= due.at) {
            return None;
        }
        self.due.pop().map(|Reverse(due)| due)
    }

    /// A row that came when it could not match any more.
    pub(super) fn reject(&mut self, row: usize) {
        self.counters.late_rows += 1;
        self.late.push(row as u32);
    }

    /// A row that matches nothing, because it has no key or no time.
    pub(super) fn alone(&mut self, feed: &Feed, row: usize, is_wanted: bool) {
        self.counters.unmatchable_rows += 1;
        if is_wanted {
            let group = self.book.group(&feed.keys, row);
            self.pad(feed.side, group, Cell::Now(row as u32), feed.time(row));
        }
    }

    /// Gives a row without a match.
    pub(super) fn pad(&mut self, side: Side, group: u32, cell: Cell, time: Option<i64>) {
        let cells = match side {
            Side::Left => [cell, Cell::Null],
            Side::Right => [Cell::Null, cell],
        };
        self.counters.padded_rows += 1;
        self.pairs.push(group, cells, time);
    }

    /// Makes columns of joined rows once they are many.
    #[inline]
    pub(super) fn overflow(&mut self, feeds: Option<&Feeds<'_>>) -> Result<()> {
        if self.pairs.len() < MOST_ROWS { Ok(()) } else { self.flush(feeds) }
    }

    /// Makes columns of the joined rows.
    fn flush(&mut self, feeds: Option<&Feeds<'_>>) -> Result<()> {
        self.results.extend(self.pairs.take(&self.columns, &self.book.keys, feeds)?);
        Ok(())
    }

    /// The results, and the numbers of the rows that came late.
    pub(super) fn finish(
        &mut self,
        feeds: Option<&Feeds<'_>>,
    ) -> Result<(Vec<RecordBatch>, Vec<u32>)> {
        self.flush(feeds)?;
        self.book.settle();
        Ok((std::mem::take(&mut self.results), std::mem::take(&mut self.late)))
    }
}

impl Rule {
    /// Takes a row in.
    #[inline]
    pub(super) fn arrive(&self, core: &mut Core, arrived: Arrived<'_>) {
        match self {
            Self::Interval(rule) => rule.arrive(core, arrived),
            Self::AsOf(rule) => rule.arrive(core, arrived),
        }
    }

    /// Does what is due.
    pub(super) fn on_due(&self, core: &mut Core, due: Due) {
        match self {
            Self::Interval(rule) => rule.on_due(core, due),
            Self::AsOf(rule) => rule.on_due(core, due),
        }
    }

    /// Notes what will be due of a row.
    pub(super) fn schedule(&self, core: &mut Core, place: Place) {
        match self {
            Self::Interval(rule) => rule.schedule(core, place),
            Self::AsOf(rule) => rule.schedule(core, place),
        }
    }
}
