//! `any_true` and `all_true` of booleans. Without values both are null.

use super::{
    bytes::{get_count, put_count},
    each::{Columns, Kind, Refused},
};
use arrow::array::{ArrayRef, AsArray, BooleanArray, BooleanBuilder};
use std::sync::Arc;

/// Is one of the values true; or are all?
pub(super) struct Flags {
    /// True: all; false: any.
    pub(super) all: bool,
}

/// How many values there were of each.
#[derive(Clone, Default)]
pub(super) struct Tally {
    trues: i64,
    falses: i64,
}

impl Tally {
    fn of(&mut self, value: bool) -> &mut i64 {
        if value { &mut self.trues } else { &mut self.falses }
    }
}

impl Kind for Flags {
    type State = Tally;
    type Input<'a> = BooleanArray;
    type Output = BooleanBuilder;

    const RETRACTS: bool = true;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<BooleanArray, Refused> {
        columns.arrays[0].as_boolean_opt().cloned().ok_or_else(|| "it is not boolean".to_string())
    }

    fn add(&self, state: &mut Tally, input: &BooleanArray, row: usize) -> Result<(), Refused> {
        *state.of(input.value(row)) += 1;
        Ok(())
    }

    fn remove(&self, state: &mut Tally, input: &BooleanArray, row: usize) -> Result<(), Refused> {
        *state.of(input.value(row)) -= 1;
        Ok(())
    }

    fn merge(&self, into: &mut Tally, from: &Tally) -> Result<(), Refused> {
        into.trues += from.trues;
        into.falses += from.falses;
        Ok(())
    }

    fn output(&self, capacity: usize) -> BooleanBuilder {
        BooleanBuilder::with_capacity(capacity)
    }

    fn push(&self, state: &Tally, out: &mut BooleanBuilder) -> Result<(), Refused> {
        let result = if self.all { state.falses == 0 } else { state.trues > 0 };
        out.append_option((state.trues + state.falses > 0).then_some(result));
        Ok(())
    }

    fn finish(&self, mut out: BooleanBuilder) -> Result<ArrayRef, Refused> {
        Ok(Arc::new(out.finish()))
    }

    fn save(&self, state: &Tally, out: &mut Vec<u8>) {
        put_count(out, state.trues.cast_unsigned());
        put_count(out, state.falses.cast_unsigned());
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Tally, Refused> {
        let trues = get_count(bytes)?.cast_signed();
        Ok(Tally { trues, falses: get_count(bytes)?.cast_signed() })
    }
}
