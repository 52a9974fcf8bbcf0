//! Joins with tables: of each key, the row that arrived last.
//!
//! A row of a table replaces that of its key, whatever their times are; one that says so in a column
//! `_deleted` removes it. As in Kafka Streams: rows of a stream meet the table as it is when they arrive, and
//! each change of one of two joined tables gives the joined row anew, or its removal.
//!
//! # Guarantees
//!
//! * Results depend on the order of the rows alone, not on how they were cut into batches.
//! * Nothing is held between batches: what there is, is where [`Latest`] has it.

use super::{
    columns::{Columns, DELETED, Feed, Feeds},
    operator::Counters,
    output::{Cell, Pairs},
    persist,
    spec::{How, JoinKind, JoinSpec, Side, Sides},
};
use crate::{
    error::{Error, Result},
    window::keys::{Group, Keys},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// Behind the flag of a kept row, its event time.
pub(super) const HEAD_BYTES: usize = 9;

/// Where the rows of tables are: keys and values of a store with its changes that are not committed yet.
pub trait Latest {
    /// The values of `keys`, in their order.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>>;

    /// Puts a value, or removes it.
    ///
    /// # Errors
    ///
    /// If that cannot be done.
    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<()>;
}

/// See the module.
pub struct TableJoin {
    spec: JoinSpec,
    columns: Columns,
    /// Those of the batch that is walked through.
    keys: Keys,
    /// Of its keys in the store.
    tag: Vec<u8>,
    is_table: [bool; 2],
    pairs: Pairs,
    removals: Vec<bool>,
    counters: Counters,
    /// Does the store have its declaration?
    is_declared: bool,
}

/// What is known of a key while its batch is walked through.
struct Entry {
    rows: [Option<Vec<u8>>; 2],
    is_changed: [bool; 2],
}

impl TableJoin {
    /// One for rows of these schemas.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the declaration contradicts itself or the columns, or is that of a join
    /// of two streams.
    pub fn new(spec: &JoinSpec, left: &Schema, right: &Schema) -> Result<Self> {
        spec.check()?;
        let is_table = match spec.kind {
            JoinKind::Table => [false, true],
            JoinKind::Tables => [true, true],
            _ => return Err(spec.wrong("this is a join of two streams, and not one with a table")),
        };
        let columns = Columns::new(spec, [left, right])?;
        let keys = columns.groups()?;
        let (pairs, counters) = (Pairs::default(), Counters::default());
        let tag = persist::tag(&spec.name);
        Ok(Self {
            spec: spec.clone(),
            columns,
            keys,
            tag,
            is_table,
            pairs,
            removals: Vec::new(),
            counters,
            is_declared: false,
        })
    }

    /// The schema of joined rows; those of two tables have a column `_deleted` too.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        if self.is_table != [true, true] {
            return Arc::clone(&self.columns.output);
        }
        let mut fields: Vec<_> = self.columns.output.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(DELETED, DataType::Boolean, false)));
        Arc::new(Schema::new(fields))
    }

    /// Takes rows of one side in, or of both, in the order of their partition, and gives the joined rows
    /// that they cause.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the columns are not those of the declaration, and what `latest` returns.
    pub fn update<'a>(
        &mut self,
        sides: impl Into<Sides<'a>>,
        batch: &RecordBatch,
        latest: &mut dyn Latest,
    ) -> Result<Option<RecordBatch>> {
        self.declare(latest)?;
        self.keys = self.columns.groups()?;
        let feeds = self.columns.feeds(&self.spec, sides.into(), batch, &self.keys)?;
        let deleted = batch.column_by_name(DELETED).and_then(|column| column.as_boolean_opt());
        let rows: Vec<_> =
            (0..batch.num_rows()).filter_map(|row| Some((row, feeds.of(row)?))).collect();
        let groups: Vec<_> =
            rows.iter().map(|(row, feed)| self.keys.group(&feed.keys, *row, 0).0).collect();
        let mut entries = self.read(latest, self.keys.bound() as Group)?;
        for (&(row, feed), group) in rows.iter().zip(groups) {
            let is_deleted =
                deleted.is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row));
            if feed.is_null(row) {
                self.alone(feed, row, group);
            } else if self.is_table[feed.side.at()] {
                self.change(&mut entries[group as usize], feed, (row, group), is_deleted);
            } else {
                self.answer(&entries[group as usize], feed, (row, group));
            }
        }
        self.write(latest, &mut entries)?;
        self.take(&feeds)
    }

    /// Lets the store say what its rows are; those of another declaration are not read.
    fn declare(&mut self, latest: &mut dyn Latest) -> Result<()> {
        if self.is_declared {
            return Ok(());
        }
        let (key, value) = persist::declaration(&self.spec, &self.columns)?;
        match latest.get_many(&[&key])?.pop().flatten() {
            Some(declared) => persist::check_same(&self.spec, &self.columns, &declared)?,
            None => latest.set(key, value)?,
        }
        self.is_declared = true;
        Ok(())
    }

    /// What is kept of every key of the batch.
    fn read(&self, latest: &dyn Latest, bound: Group) -> Result<Vec<Entry>> {
        let mut entries: Vec<_> =
            (0..bound).map(|_| Entry { rows: [None, None], is_changed: [false; 2] }).collect();
        for side in Side::BOTH.into_iter().filter(|side| self.is_table[side.at()]) {
            let keys =
                (0..bound).map(|group| persist::latest_key(&self.tag, &self.keys, group, side));
            let keys: Vec<_> = keys.collect();
            let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
            for (entry, row) in entries.iter_mut().zip(latest.get_many(&keys)?) {
                if row.as_ref().is_some_and(|row| row.len() < HEAD_BYTES) {
                    return Err(self
                        .spec
                        .wrong("the store has a row that is none; delete its state"));
                }
                entry.rows[side.at()] = row;
            }
        }
        Ok(entries)
    }

    fn write(&self, latest: &mut dyn Latest, entries: &mut [Entry]) -> Result<()> {
        for (group, entry) in entries.iter_mut().enumerate() {
            for side in Side::BOTH.into_iter().filter(|side| entry.is_changed[side.at()]) {
                let key = persist::latest_key(&self.tag, &self.keys, group as Group, side);
                latest.set(key, entry.rows[side.at()].take())?;
            }
        }
        Ok(())
    }

    /// A row without a key is in no table and meets nothing.
    fn alone(&mut self, feed: &Feed, row: usize, group: Group) {
        self.counters.unmatchable_rows += 1;
        if !self.is_table[feed.side.at()] && self.spec.how.pads(feed.side) {
            self.counters.padded_rows += 1;
            self.pairs.push(group, [Cell::Now(row as u32), Cell::Null], feed.time(row));
            self.removals.push(false);
        }
    }

    /// A row of a stream meets the table.
    fn answer(&mut self, entry: &Entry, feed: &Feed, (row, group): (usize, Group)) {
        let found = entry.rows[Side::Right.at()].as_ref();
        if found.is_none() && self.spec.how == How::Inner {
            return;
        }
        let cell = found.map_or(Cell::Null, |found| self.pairs.keep(&found[HEAD_BYTES..]));
        self.count(found.is_some());
        self.pairs.push(group, [Cell::Now(row as u32), cell], feed.time(row));
        self.removals.push(false);
    }

    fn count(&mut self, is_match: bool) {
        let counted =
            if is_match { &mut self.counters.matched_rows } else { &mut self.counters.padded_rows };
        *counted += 1;
    }

    /// A row of a table takes the place of the one before it.
    fn change(
        &mut self,
        entry: &mut Entry,
        feed: &Feed,
        (row, group): (usize, Group),
        is_deleted: bool,
    ) {
        let is_seen = |rows: &[Option<Vec<u8>>; 2]| {
            let there = Side::BOTH.map(|side| rows[side.at()].is_some());
            there == [true, true]
                || Side::BOTH.iter().any(|&side| there[side.at()] && self.spec.how.pads(side))
        };
        let was_seen = is_seen(&entry.rows);
        let new = (!is_deleted).then(|| kept(feed.time(row), feed.rows.row(row)));
        entry.rows[feed.side.at()] = new;
        entry.is_changed[feed.side.at()] = true;
        if self.is_table != [true, true] {
            return;
        }
        let is_seen = is_seen(&entry.rows);
        if is_seen {
            let time = entry.rows.iter().flatten().filter_map(|row| time(row)).max();
            let cells = entry.rows.each_ref().map(|row| match row {
                Some(row) => self.pairs.keep(&row[HEAD_BYTES..]),
                None => Cell::Null,
            });
            self.count(entry.rows.iter().all(Option::is_some));
            self.pairs.push(group, cells, time);
        } else if was_seen {
            self.pairs.push(group, [Cell::Null; 2], feed.time(row));
        }
        if is_seen || was_seen {
            self.removals.push(!is_seen);
        }
    }

    fn take(&mut self, feeds: &Feeds<'_>) -> Result<Option<RecordBatch>> {
        let removals = BooleanArray::from(std::mem::take(&mut self.removals));
        let Some(joined) = self.pairs.take(&self.columns, &self.keys, Some(feeds))? else {
            return Ok(None);
        };
        if self.is_table != [true, true] {
            return Ok(Some(joined));
        }
        let mut columns = joined.columns().to_vec();
        columns.push(Arc::new(removals) as ArrayRef);
        let batch = RecordBatch::try_new(self.schema(), columns);
        batch.map(Some).map_err(|err| Error::Declaration(format!("rows of a join: {err}")))
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

/// A row of a table as it is kept.
fn kept(time: Option<i64>, row: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEAD_BYTES + row.len());
    value.push(u8::from(time.is_some()));
    value.extend(time.unwrap_or(0).to_be_bytes());
    value.extend_from_slice(row);
    value
}

fn time(value: &[u8]) -> Option<i64> {
    let (&flag, rest) = value.split_first()?;
    let time = rest.first_chunk::<8>()?;
    (flag == 1).then(|| i64::from_be_bytes(*time))
}
