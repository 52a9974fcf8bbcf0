//! `first`, `last`, `arg_min`, `arg_max`: the value of the row that something chooses.
//!
//! Rows in which value or chooser is null, or the chooser is NaN, are skipped. Of rows with equal
//! choosers the first counts; for `last` the last.

use super::{
    bytes::{get, get_bytes, get_i64, put_bytes},
    each::{Columns, Kind, Refused},
    values::{Bytes, Values, without_nan},
};
use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    row::Rows,
};
use std::{cmp::Ordering, mem::size_of};

/// Which row is chosen.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Which {
    /// With the least chooser, the first of them.
    First,
    /// With the greatest chooser, the first of them.
    FirstGreatest,
    /// With the greatest chooser, the last of them.
    Last,
}

impl Which {
    /// True if a row whose chooser compares to the present one's like this takes its place.
    fn replaces(self, new_to_old: Ordering) -> bool {
        match self {
            Self::First => new_to_old.is_lt(),
            Self::FirstGreatest => new_to_old.is_gt(),
            Self::Last => new_to_old.is_ge(),
        }
    }
}

/// What rows are chosen by.
pub(super) trait By: Send {
    /// A chooser as it is kept.
    type Key: Clone + Send;
    /// Choosers of a batch.
    type Input<'a>;

    /// Prepares the choosers of a batch; rows that are null in the buffer have none.
    fn open<'a>(
        &self,
        columns: &Columns<'a>,
    ) -> Result<(Self::Input<'a>, Option<NullBuffer>), Refused>;
    /// Compares a row's chooser with one that is kept.
    fn compare(input: &Self::Input<'_>, row: usize, kept: &Self::Key) -> Ordering;
    /// A row's chooser, to be kept.
    fn key(input: &Self::Input<'_>, row: usize) -> Self::Key;
    /// Compares two that are kept.
    fn order(a: &Self::Key, b: &Self::Key) -> Ordering;
    /// Appends a chooser.
    fn save(key: &Self::Key, out: &mut Vec<u8>);
    /// Reads a chooser.
    fn load(bytes: &mut &[u8]) -> Result<Self::Key, Refused>;
    /// Bytes beside the chooser itself.
    fn heap(key: &Self::Key) -> usize;
}

/// By event time.
pub(super) struct ByTime;

impl By for ByTime {
    type Key = i64;
    type Input<'a> = &'a [i64];

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<(&'a [i64], Option<NullBuffer>), Refused> {
        Ok((columns.times, None))
    }

    fn compare(input: &&[i64], row: usize, kept: &i64) -> Ordering {
        input[row].cmp(kept)
    }

    fn key(input: &&[i64], row: usize) -> i64 {
        input[row]
    }

    fn order(a: &i64, b: &i64) -> Ordering {
        a.cmp(b)
    }

    fn save(key: &i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_le_bytes());
    }

    fn load(bytes: &mut &[u8]) -> Result<i64, Refused> {
        get_i64(bytes)
    }

    fn heap(_: &i64) -> usize {
        0
    }
}

/// By the second input.
pub(super) struct ByColumn(pub(super) Values);

impl By for ByColumn {
    type Key = Bytes;
    type Input<'a> = Rows;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<(Rows, Option<NullBuffer>), Refused> {
        let choosers = without_nan(&columns.arrays[1]);
        Ok((self.0.encode(&choosers)?, choosers.logical_nulls()))
    }

    fn compare(input: &Rows, row: usize, kept: &Bytes) -> Ordering {
        input.row(row).as_ref().cmp(kept)
    }

    fn key(input: &Rows, row: usize) -> Bytes {
        input.row(row).as_ref().into()
    }

    fn order(a: &Bytes, b: &Bytes) -> Ordering {
        a.cmp(b)
    }

    fn save(key: &Bytes, out: &mut Vec<u8>) {
        put_bytes(out, key);
    }

    fn load(bytes: &mut &[u8]) -> Result<Bytes, Refused> {
        Ok(get_bytes(bytes)?.into())
    }

    fn heap(key: &Bytes) -> usize {
        key.len()
    }
}

/// The value of the chosen row.
pub(super) struct Pick<B> {
    pub(super) values: Values,
    pub(super) by: B,
    pub(super) which: Which,
}

/// Values and choosers of a batch.
pub(super) struct Candidates<I> {
    values: Rows,
    choosers: I,
    nulls: Option<NullBuffer>,
}

impl<B: By> Kind for Pick<B> {
    type State = Option<(B::Key, Bytes)>;
    type Input<'a> = Candidates<B::Input<'a>>;
    type Output = Vec<Option<Bytes>>;

    const CHECKED: bool = true;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Self::Input<'a>, Refused> {
        let values = self.values.encode(&columns.arrays[0])?;
        let (choosers, nulls) = self.by.open(columns)?;
        Ok(Candidates { values, choosers, nulls })
    }

    fn add(
        &self,
        state: &mut Self::State,
        input: &Self::Input<'_>,
        row: usize,
    ) -> Result<(), Refused> {
        if input.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(());
        }
        let compared = state.as_ref().map(|(key, _)| B::compare(&input.choosers, row, key));
        if compared.is_none_or(|compared| self.which.replaces(compared)) {
            *state = Some((B::key(&input.choosers, row), input.values.row(row).as_ref().into()));
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused> {
        if let Some((new, _)) = from
            && into.as_ref().is_none_or(|(old, _)| self.which.replaces(B::order(new, old)))
        {
            into.clone_from(from);
        }
        Ok(())
    }

    fn output(&self, capacity: usize) -> Self::Output {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Self::State, out: &mut Self::Output) -> Result<(), Refused> {
        out.push(state.as_ref().map(|(_, value)| value.clone()));
        Ok(())
    }

    fn finish(&self, out: Self::Output) -> Result<ArrayRef, Refused> {
        self.values.decode(out.iter().map(Option::as_deref))
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some((key, value)) = state {
            B::save(key, out);
            put_bytes(out, value);
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused> {
        match get::<1>(bytes)? {
            [0] => Ok(None),
            [1] => Ok(Some((B::load(bytes)?, get_bytes(bytes)?.into()))),
            [other] => Err(format!("{other} is neither a value nor none")),
        }
    }

    fn heap(&self, state: &Self::State) -> usize {
        let bytes =
            |(key, value): &(B::Key, Bytes)| B::heap(key) + value.len() + size_of::<Bytes>();
        state.as_ref().map_or(0, bytes)
    }
}
