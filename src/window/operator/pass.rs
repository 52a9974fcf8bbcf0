//! Rows and results on their way through the accumulators.
//!
//! A kind of window decides row by row; the accumulators work on many rows at once. So rows and results
//! are collected, and go through together. A result is taken when they do: a slot with a result that is
//! waiting is *pinned*, and another row for it makes what is waiting go through first. That way the
//! answer is that of one row at a time.

use super::{bank::Bank, columns::Inputs};
use crate::{
    error::{Error, Result},
    window::{
        aggregate::Slot,
        keys::{Group, Keys},
    },
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringBuilder},
    compute::interleave,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// What kind of result a row of the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Final,
    Change,
    Early,
    Update,
    Idle,
    Evicted,
}

impl Mark {
    fn name(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Change => "change",
            Self::Early => "early",
            Self::Update => "update",
            Self::Idle => "idle",
            Self::Evicted => "evicted",
        }
    }
}

/// The group of a result and the bounds of its window, in ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: Group,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Do the windows of a kind have bounds in time?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    Always,
    /// Where the rows have times; else they are `i64::MIN`.
    WithTime,
    Never,
}

#[derive(Clone, Copy)]
enum Source {
    /// The slot as it is behind all waiting rows.
    Slot(Slot),
    /// The slot as it is behind the n-th waiting row.
    Each(u32),
}

/// Results that wait.
#[derive(Default)]
struct Waiting {
    keys: Vec<Group>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    marks: Vec<Mark>,
    sources: Vec<Source>,
    /// How many are of [`Source::Each`].
    each: usize,
}

impl Waiting {
    fn push(&mut self, place: Place, mark: Mark, source: Source) {
        self.keys.push(place.key);
        self.starts.push(place.start);
        self.ends.push(place.end);
        self.marks.push(mark);
        self.sources.push(source);
        self.each += usize::from(matches!(source, Source::Each(_)));
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.starts.clear();
        self.ends.clear();
        self.marks.clear();
        self.sources.clear();
        self.each = 0;
    }
}

/// Rows and results that wait, and the results that are ready.
pub(super) struct Pass {
    slots: Vec<Slot>,
    rows: Vec<u32>,
    waiting: Waiting,
    released: Vec<Slot>,
    pinned: Vec<bool>,
    pins: Vec<Slot>,
    /// Of the batch under way.
    pub(super) inputs: Inputs,
    pub(super) key_columns: Vec<ArrayRef>,
    pub(super) batch_rows: usize,
    schema: SchemaRef,
    has_marks: bool,
    bounds: Bounds,
    ready: Vec<RecordBatch>,
}

impl Pass {
    pub(super) fn new(
        keys: &[Field],
        outputs: Vec<Field>,
        has_marks: bool,
        bounds: Bounds,
    ) -> Self {
        let mut fields = keys.to_vec();
        for name in ["window_start_ms", "window_end_ms"] {
            fields.push(Field::new(name, DataType::Int64, bounds != Bounds::Always));
        }
        fields.extend(outputs);
        if has_marks {
            fields.push(Field::new("window_result", DataType::Utf8, false));
        }
        Self {
            slots: Vec::new(),
            rows: Vec::new(),
            waiting: Waiting::default(),
            released: Vec::new(),
            pinned: Vec::new(),
            pins: Vec::new(),
            inputs: Inputs::default(),
            key_columns: Vec::new(),
            batch_rows: 0,
            schema: Arc::new(Schema::new(fields)),
            has_marks,
            bounds,
            ready: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn is_pinned(&self, slot: Slot) -> bool {
        !self.pins.is_empty() && self.pinned.get(slot as usize).is_some_and(|pinned| *pinned)
    }

    /// A row for a slot that is not pinned.
    #[inline]
    pub(super) fn push(&mut self, row: usize, slot: Slot) {
        self.slots.push(slot);
        self.rows.push(row as u32);
    }

    /// The result of a slot behind the row that was pushed last.
    #[inline]
    pub(super) fn emit_row(&mut self, place: Place, mark: Mark) {
        self.waiting.push(place, mark, Source::Each(self.rows.len() as u32 - 1));
    }

    /// The result of a slot as it is now; pins it.
    pub(super) fn emit(&mut self, slot: Slot, place: Place, mark: Mark) {
        self.waiting.push(place, mark, Source::Slot(slot));
        self.pin(slot);
    }

    fn pin(&mut self, slot: Slot) {
        if self.pinned.len() <= slot as usize {
            self.pinned.resize(slot as usize + 1, false);
        }
        if !std::mem::replace(&mut self.pinned[slot as usize], true) {
            self.pins.push(slot);
        }
    }

    /// A slot that no row and no result needs any more, once what is waiting has gone through.
    pub(super) fn release(&mut self, slot: Slot) {
        self.released.push(slot);
    }

    /// Lets everything that waits go through; slots that were released are free then.
    pub(super) fn flush(&mut self, bank: &mut Bank, keys: &mut Keys) -> Result<()> {
        bank.grow(keys.bound());
        let each = self.apply(bank)?;
        if !self.waiting.keys.is_empty() {
            let batch = self.results(bank, keys, each)?;
            self.ready.push(batch);
        }
        self.slots.clear();
        self.rows.clear();
        self.waiting.clear();
        for slot in self.pins.drain(..) {
            self.pinned[slot as usize] = false;
        }
        if !self.released.is_empty() {
            bank.clear(&self.released);
            keys.recycle(&self.released);
            self.released.clear();
        }
        Ok(())
    }

    fn apply(&self, bank: &mut Bank) -> Result<Vec<ArrayRef>> {
        if self.slots.is_empty() {
            return Ok(Vec::new());
        }
        let rows = (self.rows.len() != self.batch_rows).then_some(&self.rows[..]);
        if self.waiting.each > 0 {
            return bank.update_each(&self.slots, rows, &self.inputs);
        }
        bank.update(&self.slots, rows, &self.inputs)?;
        Ok(Vec::new())
    }

    fn results(&self, bank: &Bank, keys: &Keys, each: Vec<ArrayRef>) -> Result<RecordBatch> {
        let waiting = &self.waiting;
        let one_a_row = waiting.each == waiting.keys.len() && waiting.each == self.slots.len();
        let outputs = if one_a_row { each } else { self.outputs(bank, &each)? };
        let mut columns = if one_a_row && waiting.each == self.batch_rows {
            self.key_columns.clone()
        } else {
            keys.columns(&waiting.keys)?
        };
        let count = waiting.keys.len();
        for bounds in [&waiting.starts, &waiting.ends] {
            columns.push(Arc::new(match self.bounds {
                Bounds::Always => Int64Array::from(bounds.clone()),
                Bounds::WithTime => {
                    bounds.iter().map(|at| (*at != i64::MIN).then_some(*at)).collect()
                }
                Bounds::Never => Int64Array::new_null(count),
            }));
        }
        columns.extend(outputs);
        if self.has_marks {
            let mut marks = StringBuilder::with_capacity(count, count * 6);
            waiting.marks.iter().for_each(|mark| marks.append_value(mark.name()));
            columns.push(Arc::new(marks.finish()));
        }
        RecordBatch::try_new(self.schema.clone(), columns).map_err(|err| result_error(&err))
    }

    /// Results of slots and of single rows, in their order.
    fn outputs(&self, bank: &Bank, each: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let mut slots = Vec::new();
        let mut places = Vec::with_capacity(self.waiting.sources.len());
        for source in &self.waiting.sources {
            match source {
                Source::Slot(slot) => {
                    places.push((0, slots.len()));
                    slots.push(*slot);
                }
                Source::Each(row) => places.push((1, *row as usize)),
            }
        }
        let results = bank.results(&slots)?;
        if self.waiting.each == 0 {
            return Ok(results);
        }
        let pairs = results.iter().zip(each);
        pairs
            .map(|(slots, rows)| {
                interleave(&[slots, rows], &places).map_err(|err| result_error(&err))
            })
            .collect()
    }

    /// The results that are ready, as one batch if there are any.
    pub(super) fn take(&mut self) -> Result<Vec<RecordBatch>> {
        let ready = std::mem::take(&mut self.ready);
        if ready.len() < 2 {
            return Ok(ready);
        }
        let whole = arrow::compute::concat_batches(&self.schema, &ready);
        Ok(vec![whole.map_err(|err| result_error(&err))?])
    }

    pub(super) fn memory(&self) -> usize {
        8 * (self.slots.capacity() + self.waiting.keys.capacity() * 4) + self.pinned.capacity()
    }
}

fn result_error(err: &dyn std::fmt::Display) -> Error {
    Error::Declaration(format!("results of a window: {err}"))
}
