//! `quantile` and `quantiles` of numbers, from a sketch. NaN is skipped; without values they are null.

use super::{
    each::{Columns, Kind, Refused},
    sum::downcast,
};
use arrow::{
    array::{ArrayRef, Float64Array, Float64Builder, StructArray},
    buffer::NullBuffer,
    datatypes::{DataType, Field, Fields, Float64Type},
};
use std::{marker::PhantomData, sync::Arc};

/// A sketch of a distribution; `size` says how large it may get and is the same in all calls.
pub(super) trait Sketch: Clone + Default + Send {
    /// The distribution, ready for questions.
    type View;

    /// True without values.
    fn is_empty(&self) -> bool;
    /// Adds a value, which is not NaN.
    fn add(&mut self, value: f64, size: usize);
    /// Adds another sketch.
    fn merge(&mut self, other: &Self, size: usize);
    /// Makes the distribution ready.
    fn view(&self, size: usize) -> Self::View;
    /// The value below which a part `q` of the values is, from 0 to 1.
    fn quantile(view: &Self::View, q: f64) -> f64;
    /// Appends the sketch.
    fn save(&self, out: &mut Vec<u8>);
    /// Reads the sketch.
    fn load(bytes: &mut &[u8]) -> Result<Self, Refused>;
    /// Bytes beside the sketch itself.
    fn heap(&self) -> usize;
}

/// Quantiles by a sketch.
pub(super) struct Quantiles<S> {
    size: usize,
    qs: Vec<f64>,
    /// True: one struct with a field each quantile.
    many: bool,
    sketch: PhantomData<fn() -> S>,
}

impl<S> Quantiles<S> {
    /// One quantile, or a struct of several.
    pub(super) fn new(qs: Vec<f64>, many: bool, size: usize) -> Result<Self, Refused> {
        if let Some(q) = qs.iter().find(|q| !(0.0..=1.0).contains(*q)) {
            return Err(format!("a quantile must be from 0 to 1, not {q}"));
        }
        if qs.is_empty() {
            return Err("it needs at least one quantile".to_string());
        }
        if !(10..=10_000).contains(&size) {
            return Err(format!("the size of its sketch must be from 10 to 10000, not {size}"));
        }
        Ok(Self { size, qs, many, sketch: PhantomData })
    }

    /// The type of the results.
    pub(super) fn gives(&self) -> DataType {
        if self.many { DataType::Struct(self.fields()) } else { DataType::Float64 }
    }

    /// A field each quantile, named as it is written.
    fn fields(&self) -> Fields {
        let field = |q: &f64| Field::new(format!("{q:?}"), DataType::Float64, true);
        self.qs.iter().map(field).collect()
    }
}

impl<S: Sketch> Kind for Quantiles<S> {
    type State = S;
    type Input<'a> = &'a Float64Array;
    type Output = (Vec<Float64Builder>, Vec<bool>);

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Self::Input<'a>, Refused> {
        downcast::<Float64Type>(&columns.arrays[0])
    }

    fn add(&self, state: &mut S, input: &Self::Input<'_>, row: usize) -> Result<(), Refused> {
        let value = input.value(row);
        if !value.is_nan() {
            state.add(value, self.size);
        }
        Ok(())
    }

    fn merge(&self, into: &mut S, from: &S) -> Result<(), Refused> {
        into.merge(from, self.size);
        Ok(())
    }

    fn output(&self, capacity: usize) -> Self::Output {
        (self.qs.iter().map(|_| Float64Builder::with_capacity(capacity)).collect(), Vec::new())
    }

    fn push(&self, state: &S, (columns, present): &mut Self::Output) -> Result<(), Refused> {
        present.push(!state.is_empty());
        if state.is_empty() {
            columns.iter_mut().for_each(Float64Builder::append_null);
            return Ok(());
        }
        let view = state.view(self.size);
        for (column, q) in columns.iter_mut().zip(&self.qs) {
            column.append_value(S::quantile(&view, *q));
        }
        Ok(())
    }

    fn finish(&self, (columns, present): Self::Output) -> Result<ArrayRef, Refused> {
        let arrays = columns.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef);
        if !self.many {
            return arrays.into_iter().next().ok_or_else(|| "no quantile".to_string());
        }
        let nulls = Some(NullBuffer::from(present)).filter(|nulls| nulls.null_count() > 0);
        let all = StructArray::try_new(self.fields(), arrays.collect(), nulls);
        Ok(Arc::new(all.map_err(|e| e.to_string())?))
    }

    fn save(&self, state: &S, out: &mut Vec<u8>) {
        state.save(out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<S, Refused> {
        S::load(bytes)
    }

    fn heap(&self, state: &S) -> usize {
        state.heap()
    }
}
