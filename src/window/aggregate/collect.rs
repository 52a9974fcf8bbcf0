//! `collect_list`: the values in the order of their rows, without nulls; `largest` and `smallest`: the
//! greatest or least of them.

use super::{
    bytes::{get_bytes, get_len, put_bytes, put_count},
    each::{Columns, Kind, Refused},
    lists::Lists,
    tally::too_many,
    values::{Bytes, Values, without_nan},
};
use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    row::Rows,
};
use std::{collections::VecDeque, mem::size_of};

/// Which values are kept.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Keeps {
    /// All; more than so many are an error.
    All(usize),
    /// The first so many.
    First(usize),
    /// The greatest so many, descending; no NaN.
    Greatest(usize),
    /// The least so many, ascending; no NaN.
    Least(usize),
}

/// Values of rows.
pub(super) struct Collect {
    pub(super) values: Values,
    pub(super) keeps: Keeps,
}

impl Collect {
    fn put(&self, state: &mut VecDeque<Bytes>, value: &[u8]) -> Result<(), Refused> {
        match self.keeps {
            Keeps::All(limit) if state.len() >= limit => Err(too_many(limit)),
            Keeps::First(limit) if state.len() >= limit => Ok(()),
            Keeps::All(_) | Keeps::First(_) => {
                state.push_back(value.into());
                Ok(())
            }
            Keeps::Greatest(limit) => {
                insert(state, state.partition_point(|kept| &**kept >= value), value, limit);
                Ok(())
            }
            Keeps::Least(limit) => {
                insert(state, state.partition_point(|kept| &**kept <= value), value, limit);
                Ok(())
            }
        }
    }
}

/// Puts `value` at `at`, if that is below `limit`.
fn insert(state: &mut VecDeque<Bytes>, at: usize, value: &[u8], limit: usize) {
    if at < limit {
        state.truncate(limit - 1);
        state.insert(at, value.into());
    }
}

impl Kind for Collect {
    type State = VecDeque<Bytes>;
    type Input<'a> = (Rows, Option<NullBuffer>);
    type Output = Lists;

    const CHECKED: bool = true;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Self::Input<'a>, Refused> {
        if matches!(self.keeps, Keeps::All(_) | Keeps::First(_)) {
            return Ok((self.values.encode(&columns.arrays[0])?, None));
        }
        let numbers = without_nan(&columns.arrays[0]);
        Ok((self.values.encode(&numbers)?, numbers.logical_nulls()))
    }

    fn retracts(&self) -> bool {
        matches!(self.keeps, Keeps::All(_))
    }

    fn add(
        &self,
        state: &mut Self::State,
        input: &Self::Input<'_>,
        row: usize,
    ) -> Result<(), Refused> {
        if input.1.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(());
        }
        self.put(state, input.0.row(row).as_ref())
    }

    fn remove(
        &self,
        state: &mut Self::State,
        _: &Self::Input<'_>,
        _: usize,
    ) -> Result<(), Refused> {
        if !self.retracts() {
            return Err("it cannot take rows out again, as it has a limit".to_string());
        }
        state.pop_front();
        Ok(())
    }

    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused> {
        from.iter().try_for_each(|value| self.put(into, value))
    }

    fn output(&self, _: usize) -> Lists {
        Lists::default()
    }

    fn push(&self, state: &Self::State, out: &mut Lists) -> Result<(), Refused> {
        out.push(state.iter().cloned());
        Ok(())
    }

    fn finish(&self, out: Lists) -> Result<ArrayRef, Refused> {
        out.finish(&self.values)
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(out, state.len() as u64);
        state.iter().for_each(|value| put_bytes(out, value));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused> {
        (0..get_len(bytes)?).map(|_| Ok(get_bytes(bytes)?.into())).collect()
    }

    fn heap(&self, state: &Self::State) -> usize {
        state.iter().map(|value| value.len() + size_of::<Bytes>()).sum()
    }
}
