//! One state a slot: what most aggregates are made of.
//!
//! A [`Kind`] says what one row does to one state; [`Each`] makes [`Accumulators`] of it. The loops are
//! compiled for each kind, so a row costs no call through a table, and columns without nulls are never
//! asked for them.
//!
//! Rows in which one of the inputs is null are skipped, unless the kind looks at nulls itself.

use super::{Accumulators, Rows, Slot};
use crate::error::{Error, Result};
use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    compute::cast,
    datatypes::DataType,
};
use std::mem::size_of;

/// What is wrong, without the name of the aggregate: [`Each`] puts it in front.
pub(super) type Refused = String;

/// The columns of a batch, as the kind reads them.
pub(super) struct Columns<'a> {
    /// One array each input, in the type that the kind was built for.
    pub(super) arrays: &'a [ArrayRef],
    /// Event time of each row, in ms.
    pub(super) times: &'a [i64],
}

/// One kind of aggregate.
pub(super) trait Kind: Send {
    /// Content of a slot; the default is empty.
    type State: Clone + Default + Send;
    /// The columns of a batch, ready to be read by row.
    type Input<'a>;
    /// Collects results.
    type Output;

    /// True if [`Kind::remove`] works.
    const RETRACTS: bool = false;
    /// True if the kind wants to see rows with nulls.
    const NULLS: bool = false;
    /// True if only bytes that `save` wrote may be used, and so a checksum goes with them.
    const CHECKED: bool = false;

    /// Prepares the columns of a batch.
    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Self::Input<'a>, Refused>;

    /// Takes a row in.
    fn add(
        &self,
        state: &mut Self::State,
        input: &Self::Input<'_>,
        row: usize,
    ) -> Result<(), Refused>;

    /// Takes the oldest row out.
    fn remove(&self, _: &mut Self::State, _: &Self::Input<'_>, _: usize) -> Result<(), Refused> {
        Err("it cannot take rows out again".to_string())
    }

    /// True if this instance can take rows out: some can for some types only.
    fn retracts(&self) -> bool {
        Self::RETRACTS
    }

    /// Adds `from` behind `into`.
    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused>;

    /// An empty collection of results.
    fn output(&self, capacity: usize) -> Self::Output;

    /// Appends the result of a state.
    fn push(&self, state: &Self::State, out: &mut Self::Output) -> Result<(), Refused>;

    /// The results as an array.
    fn finish(&self, out: Self::Output) -> Result<ArrayRef, Refused>;

    /// Appends the state's bytes.
    fn save(&self, state: &Self::State, out: &mut Vec<u8>);

    /// Reads a state from what `save` wrote, and leaves `bytes` behind it.
    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused>;

    /// Bytes that the state holds beside itself.
    fn heap(&self, _: &Self::State) -> usize {
        0
    }
}

/// What [`Each`] knows beside its kind.
pub(super) struct Named {
    /// Name of the output column, for messages.
    pub(super) output: String,
    /// Types in which the kind reads its inputs; columns of other types are cast.
    pub(super) reads: Vec<DataType>,
    /// Type of the results; the kind's output is cast to it if it is of another.
    pub(super) gives: DataType,
}

impl Named {
    /// The error of this aggregate.
    fn refuse(&self, why: impl std::fmt::Display) -> Error {
        Error::Compute(format!("aggregate {}: {why}", self.output))
    }
}

/// Accumulators with a state a slot.
pub(super) struct Each<K: Kind> {
    kind: K,
    named: Named,
    states: Vec<K::State>,
}

impl<K: Kind + 'static> Each<K> {
    /// Accumulators without slots.
    pub(super) fn boxed(kind: K, named: Named) -> Box<dyn Accumulators> {
        Box::new(Self { kind, named, states: Vec::new() })
    }

    /// The inputs in the types that the kind reads.
    fn cast(&self, inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        if inputs.len() != self.named.reads.len() {
            let (wants, got) = (self.named.reads.len(), inputs.len());
            return Err(self.named.refuse(format!("it reads {wants} columns and was given {got}")));
        }
        let casts = inputs.iter().zip(&self.named.reads);
        casts
            .map(|(array, reads)| {
                super::types::cast_to(array, reads).map_err(|e| self.named.refuse(e))
            })
            .collect()
    }

    /// Calls `each` with the slot and the row of every row that has no null, or of every row.
    fn walk(
        &mut self,
        rows: Rows<'_>,
        mut each: impl FnMut(&K, &mut K::State, &K::Input<'_>, usize) -> Result<(), Refused>,
    ) -> Result<()> {
        let arrays = self.cast(rows.inputs)?;
        let columns = Columns { arrays: &arrays, times: rows.times };
        let input = self.kind.open(&columns).map_err(|e| self.named.refuse(e))?;
        let nulls = if K::NULLS { None } else { nulls_of(&arrays) };
        let (kind, states) = (&self.kind, &mut self.states[..]);
        let done = match (nulls, rows.rows) {
            (None, None) => {
                rows.slots.iter().enumerate().try_for_each(|(row, slot)| {
                    each(kind, &mut states[*slot as usize], &input, row)
                })
            }
            (None, Some(picked)) => rows.slots.iter().zip(picked).try_for_each(|(slot, row)| {
                each(kind, &mut states[*slot as usize], &input, *row as usize)
            }),
            (Some(nulls), picked) => rows.slots.iter().enumerate().try_for_each(|(i, slot)| {
                let row = picked.map_or(i, |picked| picked[i] as usize);
                if nulls.is_null(row) {
                    return Ok(());
                }
                each(kind, &mut states[*slot as usize], &input, row)
            }),
        };
        done.map_err(|e| self.named.refuse(e))
    }

    /// A state, and the bytes behind it.
    fn read<'a>(&self, bytes: &'a [u8]) -> Result<(K::State, &'a [u8]), Refused> {
        let mut rest = bytes;
        let state = self.kind.load(&mut rest)?;
        if K::CHECKED {
            let sum = crc32c::crc32c(&bytes[..bytes.len() - rest.len()]);
            if super::bytes::get(&mut rest)? != sum.to_le_bytes() {
                return Err("its checksum is wrong".to_string());
            }
        }
        Ok((state, rest))
    }

    /// Results in the type that was promised.
    fn array(&self, out: K::Output) -> Result<ArrayRef> {
        let array = self.kind.finish(out).map_err(|e| self.named.refuse(e))?;
        if array.data_type() == &self.named.gives {
            return Ok(array);
        }
        cast(&array, &self.named.gives).map_err(|e| self.named.refuse(e))
    }
}

/// Rows in which one of the arrays is null; none if there are no nulls.
fn nulls_of(arrays: &[ArrayRef]) -> Option<NullBuffer> {
    let union = |all: Option<NullBuffer>, array: &ArrayRef| {
        NullBuffer::union(all.as_ref(), array.logical_nulls().as_ref())
    };
    arrays.iter().fold(None, union).filter(|nulls| nulls.null_count() > 0)
}

impl<K: Kind + 'static> Accumulators for Each<K> {
    fn data_type(&self) -> DataType {
        self.named.gives.clone()
    }

    fn grow(&mut self, slots: usize) {
        if slots > self.states.len() {
            self.states.resize_with(slots, K::State::default);
        }
    }

    fn clear(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.states[*slot as usize] = K::State::default();
        }
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.walk(rows, |kind, state, input, row| kind.add(state, input, row))
    }

    fn update_each(&mut self, rows: Rows<'_>) -> Result<ArrayRef> {
        let arrays = self.cast(rows.inputs)?;
        let columns = Columns { arrays: &arrays, times: rows.times };
        let refuse = |e| self.named.refuse(e);
        let input = self.kind.open(&columns).map_err(refuse)?;
        let nulls = if K::NULLS { None } else { nulls_of(&arrays) };
        let mut out = self.kind.output(rows.slots.len());
        for (i, slot) in rows.slots.iter().enumerate() {
            let row = rows.rows.map_or(i, |picked| picked[i] as usize);
            let state = &mut self.states[*slot as usize];
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                self.kind.add(state, &input, row).map_err(refuse)?;
            }
            self.kind.push(state, &mut out).map_err(refuse)?;
        }
        self.array(out)
    }

    fn can_retract(&self) -> bool {
        self.kind.retracts()
    }

    fn retract(&mut self, rows: Rows<'_>) -> Result<()> {
        self.walk(rows, |kind, state, input, row| kind.remove(state, input, row))
    }

    fn merge(&mut self, from: &[Slot], into: &[Slot]) -> Result<()> {
        for (from, into) in from.iter().zip(into) {
            let (from, into) = (*from as usize, *into as usize);
            let done = if let Ok([from, into]) = self.states.get_disjoint_mut([from, into]) {
                self.kind.merge(into, from)
            } else {
                let copy = self.states[from].clone();
                self.kind.merge(&mut self.states[into], &copy)
            };
            done.map_err(|e| self.named.refuse(e))?;
        }
        Ok(())
    }

    fn results(&self, slots: &[Slot]) -> Result<ArrayRef> {
        let mut out = self.kind.output(slots.len());
        for slot in slots {
            let state = &self.states[*slot as usize];
            self.kind.push(state, &mut out).map_err(|e| self.named.refuse(e))?;
        }
        self.array(out)
    }

    fn save(&self, slot: Slot, out: &mut Vec<u8>) {
        let start = out.len();
        self.kind.save(&self.states[slot as usize], out);
        if K::CHECKED {
            let sum = crc32c::crc32c(&out[start..]);
            out.extend_from_slice(&sum.to_le_bytes());
        }
    }

    fn load<'a>(&mut self, slot: Slot, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let (state, rest) = self
            .read(bytes)
            .map_err(|e| self.named.refuse(format!("what was stored of it cannot be read: {e}")))?;
        self.states[slot as usize] = state;
        Ok(rest)
    }

    fn memory(&self) -> usize {
        let beside: usize = self.states.iter().map(|state| self.kind.heap(state)).sum();
        self.states.capacity() * size_of::<K::State>() + beside
    }
}
