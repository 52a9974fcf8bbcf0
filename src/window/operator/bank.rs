//! The accumulators of a window, all of its aggregates side by side, and what they read of a batch.

use super::columns::Inputs;
use crate::{
    error::Result,
    window::aggregate::{Accumulators, AggregateSpec, Rows, Slot, build},
};
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field},
};

/// The accumulators of each aggregate; a slot is the same place in all of them.
pub(super) struct Bank {
    accumulators: Vec<Box<dyn Accumulators>>,
}

impl Bank {
    pub(super) fn new(specs: &[AggregateSpec], types: &[Vec<DataType>]) -> Result<Self> {
        let accumulators = specs.iter().zip(types).map(|(spec, types)| build(spec, types));
        Ok(Self { accumulators: accumulators.collect::<Result<_>>()? })
    }

    pub(super) fn fields(&self, specs: &[AggregateSpec]) -> Vec<Field> {
        let pairs = specs.iter().zip(&self.accumulators);
        pairs.map(|(spec, one)| Field::new(&spec.output, one.data_type(), true)).collect()
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.accumulators.iter_mut().for_each(|one| one.grow(slots));
    }

    pub(super) fn clear(&mut self, slots: &[Slot]) {
        self.accumulators.iter_mut().for_each(|one| one.clear(slots));
    }

    pub(super) fn update(
        &mut self,
        slots: &[Slot],
        rows: Option<&[u32]>,
        inputs: &Inputs,
    ) -> Result<()> {
        for (one, arrays) in self.accumulators.iter_mut().zip(&inputs.arrays) {
            one.update(Rows { slots, rows, inputs: arrays, times: &inputs.times })?;
        }
        Ok(())
    }

    pub(super) fn update_each(
        &mut self,
        slots: &[Slot],
        rows: Option<&[u32]>,
        inputs: &Inputs,
    ) -> Result<Vec<ArrayRef>> {
        let pairs = self.accumulators.iter_mut().zip(&inputs.arrays);
        let each = |(one, arrays): (&mut Box<dyn Accumulators>, &Vec<ArrayRef>)| {
            one.update_each(Rows { slots, rows, inputs: arrays, times: &inputs.times })
        };
        pairs.map(each).collect()
    }

    /// Adds `from[i]` behind `into[i]`, in order.
    pub(super) fn merge(&mut self, from: &[Slot], into: &[Slot]) -> Result<()> {
        self.accumulators.iter_mut().try_for_each(|one| one.merge(from, into))
    }

    pub(super) fn results(&self, slots: &[Slot]) -> Result<Vec<ArrayRef>> {
        self.accumulators.iter().map(|one| one.results(slots)).collect()
    }

    pub(super) fn save(&self, slot: Slot, out: &mut Vec<u8>) {
        self.accumulators.iter().for_each(|one| one.save(slot, out));
    }

    pub(super) fn load<'a>(&mut self, slot: Slot, mut bytes: &'a [u8]) -> Result<&'a [u8]> {
        for one in &mut self.accumulators {
            bytes = one.load(slot, bytes)?;
        }
        Ok(bytes)
    }

    pub(super) fn memory(&self) -> usize {
        self.accumulators.iter().map(|one| one.memory()).sum()
    }
}
