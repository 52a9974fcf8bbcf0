//! `approx_count_distinct`: HyperLogLog (Flajolet et al. 2007), as Apache DataSketches has it.
//!
//! The estimate is the one that depends on the set of values alone, not on their order. Its relative
//! error is about `1.04 / sqrt(2^precision)`: 1.6 % with 12; small numbers are exact.

use super::{
    bytes::{get, get_bytes, put_bytes},
    each::{Columns, Kind, Refused},
    values::Values,
};
use arrow::{
    array::{ArrayRef, Int64Array},
    row::Rows,
};
use datasketches::{
    hash::value::raw_bytes,
    hll::{HllSketch, HllType, HllUnion},
};
use std::sync::Arc;

/// Sketches of sets.
pub(super) struct ApproxDistinct {
    values: Values,
    precision: u8,
}

impl ApproxDistinct {
    /// With `2^precision` registers.
    pub(super) fn new(values: Values, precision: u8) -> Result<Self, Refused> {
        if !(4..=21).contains(&precision) {
            return Err(format!("precision must be from 4 to 21, not {precision}"));
        }
        Ok(Self { values, precision })
    }
}

impl Kind for ApproxDistinct {
    type State = Option<HllSketch>;
    type Input<'a> = Rows;
    type Output = Vec<i64>;

    const CHECKED: bool = true;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Rows, Refused> {
        self.values.encode(&columns.arrays[0])
    }

    fn add(&self, state: &mut Self::State, input: &Rows, row: usize) -> Result<(), Refused> {
        if state.is_none() {
            let empty = HllSketch::new(self.precision, HllType::Hll8);
            *state = Some(empty.map_err(|e| e.to_string())?);
        }
        if let Some(sketch) = state {
            sketch.update(raw_bytes::from_slice(input.row(row).as_ref()));
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused> {
        let Some(from) = from else { return Ok(()) };
        let Some(old) = into else {
            *into = Some(from.clone());
            return Ok(());
        };
        let mut union = HllUnion::new(self.precision).map_err(|e| e.to_string())?;
        union.update(old);
        union.update(from);
        *into = Some(union.to_sketch(HllType::Hll8));
        Ok(())
    }

    fn output(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Self::State, out: &mut Vec<i64>) -> Result<(), Refused> {
        out.push(state.as_ref().map_or(0, |sketch| sketch.composite_estimate().round() as i64));
        Ok(())
    }

    fn finish(&self, out: Vec<i64>) -> Result<ArrayRef, Refused> {
        Ok(Arc::new(Int64Array::from(out)))
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some(sketch) = state {
            put_bytes(out, &sketch.serialize());
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused> {
        match get::<1>(bytes)? {
            [0] => Ok(None),
            [1] => HllSketch::deserialize(get_bytes(bytes)?).map(Some).map_err(|e| e.to_string()),
            [other] => Err(format!("{other} is neither a sketch nor none")),
        }
    }

    fn heap(&self, state: &Self::State) -> usize {
        state.as_ref().map_or(0, HllSketch::estimated_size)
    }
}
