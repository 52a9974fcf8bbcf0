//! `histogram`: how many values are between given edges.
//!
//! `edges` of `n` numbers make `n + 1` counts: below the first, `[edge, next)` for each pair, and from
//! the last on; no value is left out but NaN and null.

use super::{
    bytes::{get_count, get_len, put_count},
    each::{Columns, Kind, Refused},
    lists::list,
    sum::downcast,
};
use arrow::{
    array::{ArrayRef, Float64Array, Int64Array},
    datatypes::{DataType, Float64Type},
};
use std::{mem::size_of, sync::Arc};

/// Counts between edges.
pub(super) struct Histogram {
    edges: Vec<f64>,
}

impl Histogram {
    /// With finite edges in ascending order.
    pub(super) fn new(edges: Vec<f64>) -> Result<Self, Refused> {
        let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
        if edges.is_empty() || !ascending || !edges.iter().all(|edge| edge.is_finite()) {
            return Err("edges must be finite numbers in ascending order, at least one".to_string());
        }
        Ok(Self { edges })
    }

    /// The type of the results.
    pub(super) fn gives() -> DataType {
        super::lists::list_type(DataType::Int64)
    }

    /// The place of a value; none for NaN.
    fn place(&self, value: f64) -> Option<usize> {
        (!value.is_nan()).then(|| self.edges.partition_point(|edge| *edge <= value))
    }

    fn shift(&self, state: &mut Box<[i64]>, value: f64, times: i64) {
        if let Some(place) = self.place(value) {
            if state.is_empty() {
                *state = vec![0; self.edges.len() + 1].into();
            }
            state[place] += times;
            if times < 0 && state.iter().all(|count| *count == 0) {
                *state = Box::default();
            }
        }
    }
}

impl Kind for Histogram {
    /// Empty before the first value.
    type State = Box<[i64]>;
    type Input<'a> = &'a Float64Array;
    type Output = (Vec<i64>, Vec<usize>);

    const RETRACTS: bool = true;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Self::Input<'a>, Refused> {
        downcast::<Float64Type>(&columns.arrays[0])
    }

    fn add(
        &self,
        state: &mut Self::State,
        input: &Self::Input<'_>,
        row: usize,
    ) -> Result<(), Refused> {
        self.shift(state, input.value(row), 1);
        Ok(())
    }

    fn remove(
        &self,
        state: &mut Self::State,
        input: &Self::Input<'_>,
        row: usize,
    ) -> Result<(), Refused> {
        self.shift(state, input.value(row), -1);
        Ok(())
    }

    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused> {
        if into.is_empty() {
            into.clone_from(from);
        } else {
            into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
        }
        Ok(())
    }

    fn output(&self, _: usize) -> Self::Output {
        (Vec::new(), Vec::new())
    }

    fn push(&self, state: &Self::State, out: &mut Self::Output) -> Result<(), Refused> {
        let places = self.edges.len() + 1;
        out.0.extend((0..places).map(|place| state.get(place).copied().unwrap_or(0)));
        out.1.push(places);
        Ok(())
    }

    fn finish(&self, (counts, lengths): Self::Output) -> Result<ArrayRef, Refused> {
        let present = vec![true; lengths.len()];
        list(Arc::new(Int64Array::from(counts)), lengths, present)
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(out, state.len() as u64);
        state.iter().for_each(|count| put_count(out, count.cast_unsigned()));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused> {
        let len = get_len(bytes)?;
        if len != 0 && len != self.edges.len() + 1 {
            return Err(format!("{len} counts belong to other edges"));
        }
        (0..len).map(|_| Ok(get_count(bytes)?.cast_signed())).collect()
    }

    fn heap(&self, state: &Self::State) -> usize {
        state.len() * size_of::<i64>()
    }
}
