//! `count`: rows, or values that are not null.

use super::{
    bytes::{get_count, put_count},
    each::{Columns, Kind, Refused},
};
use arrow::{
    array::{ArrayRef, Int64Array},
    datatypes::DataType,
};
use std::sync::Arc;

/// Counts the rows it is given; with an input, those with a null do not come.
pub(super) struct Count;

/// The type of counts.
pub(super) const TYPE: DataType = DataType::Int64;

impl Kind for Count {
    type State = i64;
    type Input<'a> = ();
    type Output = Vec<i64>;

    const RETRACTS: bool = true;

    fn open<'a>(&self, _: &Columns<'a>) -> Result<(), Refused> {
        Ok(())
    }

    fn add(&self, state: &mut i64, (): &(), _: usize) -> Result<(), Refused> {
        *state += 1;
        Ok(())
    }

    fn remove(&self, state: &mut i64, (): &(), _: usize) -> Result<(), Refused> {
        *state -= 1;
        Ok(())
    }

    fn merge(&self, into: &mut i64, from: &i64) -> Result<(), Refused> {
        *into += from;
        Ok(())
    }

    fn output(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &i64, out: &mut Vec<i64>) -> Result<(), Refused> {
        out.push(*state);
        Ok(())
    }

    fn finish(&self, out: Vec<i64>) -> Result<ArrayRef, Refused> {
        Ok(Arc::new(Int64Array::from(out)))
    }

    fn save(&self, state: &i64, out: &mut Vec<u8>) {
        put_count(out, state.cast_unsigned());
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<i64, Refused> {
        Ok(get_count(bytes)?.cast_signed())
    }
}
