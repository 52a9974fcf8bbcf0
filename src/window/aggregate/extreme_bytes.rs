//! `min` and `max` of values that are not numbers: strings (by their UTF-8 bytes), booleans, binary,
//! lists, structs.

use super::{
    bytes::{get, get_bytes, put_bytes},
    each::{Columns, Kind, Refused},
    values::{Bytes, Values},
};
use arrow::{array::ArrayRef, row::Rows};

/// The least value, or the greatest, of any type with an order.
pub(super) struct ExtremeBytes {
    values: Values,
    greatest: bool,
}

impl ExtremeBytes {
    /// The least, or the greatest.
    pub(super) fn new(values: Values, greatest: bool) -> Self {
        Self { values, greatest }
    }

    fn offer(&self, state: &mut Option<Bytes>, new: &[u8]) {
        let replaces = |old: &Bytes| if self.greatest { new > &**old } else { new < &**old };
        if state.as_ref().is_none_or(replaces) {
            *state = Some(new.into());
        }
    }
}

impl Kind for ExtremeBytes {
    type State = Option<Bytes>;
    type Input<'a> = Rows;
    type Output = Vec<Option<Bytes>>;

    const CHECKED: bool = true;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Rows, Refused> {
        self.values.encode(&columns.arrays[0])
    }

    fn add(&self, state: &mut Self::State, input: &Rows, row: usize) -> Result<(), Refused> {
        self.offer(state, input.row(row).as_ref());
        Ok(())
    }

    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused> {
        if let Some(new) = from {
            self.offer(into, new);
        }
        Ok(())
    }

    fn output(&self, capacity: usize) -> Self::Output {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Self::State, out: &mut Self::Output) -> Result<(), Refused> {
        out.push(state.clone());
        Ok(())
    }

    fn finish(&self, out: Self::Output) -> Result<ArrayRef, Refused> {
        self.values.decode(out.iter().map(Option::as_deref))
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        save(state.as_deref(), out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused> {
        load(bytes)
    }

    fn heap(&self, state: &Self::State) -> usize {
        state.as_ref().map_or(0, |bytes| bytes.len())
    }
}

/// Appends a value, or that there is none.
pub(super) fn save(value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(u8::from(value.is_some()));
    if let Some(bytes) = value {
        put_bytes(out, bytes);
    }
}

/// Reads what [`save`] wrote.
pub(super) fn load(bytes: &mut &[u8]) -> Result<Option<Bytes>, Refused> {
    match get::<1>(bytes)? {
        [0] => Ok(None),
        [1] => Ok(Some(get_bytes(bytes)?.into())),
        [other] => Err(format!("{other} is neither a value nor none")),
    }
}
