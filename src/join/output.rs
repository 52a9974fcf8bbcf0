//! Joined rows, gathered until they are columns.

use super::{
    columns::{Columns, Feed, Feeds},
    spec::Side,
};
use crate::{
    error::{Error, Result},
    window::keys::{Group, Keys},
};
use arrow::{
    array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array},
    compute::take,
};
use std::sync::Arc;

/// One side of a joined row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    /// There is no such row.
    Null,
    /// A row of the batch that is walked through.
    Now(u32),
    /// A row that was kept: from, to.
    Kept(usize, usize),
}

/// See the module.
#[derive(Default)]
pub(super) struct Pairs {
    groups: Vec<Group>,
    cells: [Vec<Cell>; 2],
    times: Vec<Option<i64>>,
    /// Rows that were kept; they may be gone before they are columns.
    bytes: Vec<u8>,
}

impl Pairs {
    /// Rows gathered.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Copies a row that is kept.
    #[inline]
    pub(super) fn keep(&mut self, row: &[u8]) -> Cell {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(row);
        Cell::Kept(start, self.bytes.len())
    }

    /// Adds a joined row with its event time.
    #[inline]
    pub(super) fn push(&mut self, group: Group, [left, right]: [Cell; 2], time: Option<i64>) {
        self.groups.push(group);
        self.cells[0].push(left);
        self.cells[1].push(right);
        self.times.push(time);
    }

    /// The columns, and none if there are no rows. `feeds` is the batch that is walked through.
    pub(super) fn take(
        &mut self,
        columns: &Columns,
        keys: &Keys,
        feeds: Option<&Feeds<'_>>,
    ) -> Result<Option<RecordBatch>> {
        if self.groups.is_empty() {
            return Ok(None);
        }
        let mut arrays = keys.columns(&self.groups)?;
        for (own, cells) in Side::BOTH.into_iter().zip(&self.cells) {
            let feed = feeds.and_then(|feeds| feeds.at(own));
            arrays.extend(side(&columns.sides[own.at()], cells, &self.bytes, feed)?);
        }
        arrays.push(Arc::new(Int64Array::from(std::mem::take(&mut self.times))));
        self.groups.clear();
        self.cells.iter_mut().for_each(Vec::clear);
        self.bytes.clear();
        let batch = RecordBatch::try_new(Arc::clone(&columns.output), arrays);
        batch.map(Some).map_err(|err| Error::Declaration(format!("rows of a join: {err}")))
    }
}

/// Columns of one side: taken from the batch where all of its rows are there.
fn side(
    own: &super::columns::SideColumns,
    cells: &[Cell],
    bytes: &[u8],
    feed: Option<&Feed>,
) -> Result<Vec<ArrayRef>> {
    let now = |cell: &Cell| if let Cell::Now(row) = cell { Some(*row) } else { None };
    if let (Some(feed), Some(rows)) = (feed, cells.iter().map(now).collect::<Option<Vec<_>>>()) {
        let rows = UInt32Array::from(rows);
        let taken = feed.rest.iter().map(|column: &ArrayRef| take(column, &rows, None));
        return taken
            .collect::<std::result::Result<_, _>>()
            .map_err(|err| Error::Declaration(format!("rows of a join: {err}")));
    }
    let rows = cells.iter().map(|cell| match (cell, feed) {
        (Cell::Kept(from, to), _) => &bytes[*from..*to],
        (Cell::Now(row), Some(feed)) => feed.rows.row(*row as usize),
        _ => own.codec.nulls(),
    });
    let columns = own.codec.decode(rows)?;
    debug_assert!(columns.iter().all(|column| column.len() == cells.len()));
    Ok(columns)
}
