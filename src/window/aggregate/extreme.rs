//! `min` and `max` of numbers, decimals and times.
//!
//! NaN counts only if there is nothing else, as in pyarrow and in SQL's order of floats for `min`;
//! -0.0 is below 0.0. Other types are compared as bytes: see [`super::extreme_bytes`].

use super::{
    bytes::get,
    each::{Columns, Kind, Refused},
    sum::downcast,
};
use arrow::{
    array::{ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, PrimitiveArray, PrimitiveBuilder},
    datatypes::{
        DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type, i256,
    },
};
use std::{marker::PhantomData, sync::Arc};

/// Values with an order and a form in bytes.
pub(super) trait Ordered: ArrowPrimitiveType {
    /// True for NaN.
    fn is_nan(_: Self::Native) -> bool {
        false
    }
    /// Appends a value.
    fn save(value: Self::Native, out: &mut Vec<u8>);
    /// Reads a value.
    fn load(bytes: &mut &[u8]) -> Result<Self::Native, Refused>;
}

/// The least value, or the greatest.
pub(super) struct Extreme<T, const GREATEST: bool> {
    reads: DataType,
    values: PhantomData<fn() -> T>,
}

impl<T, const GREATEST: bool> Extreme<T, GREATEST> {
    /// Of a column of type `reads`.
    pub(super) fn new(reads: &DataType) -> Self {
        Self { reads: reads.clone(), values: PhantomData }
    }
}

/// True if `new` takes the place of `old`; of equal values the first stays.
#[inline]
fn replaces<T: Ordered, const GREATEST: bool>(new: T::Native, old: T::Native) -> bool {
    if T::is_nan(old) {
        return !T::is_nan(new);
    }
    if T::is_nan(new) {
        return false;
    }
    if GREATEST { new.is_gt(old) } else { new.is_lt(old) }
}

impl<T: Ordered, const GREATEST: bool> Kind for Extreme<T, GREATEST> {
    type State = Option<T::Native>;
    type Input<'a> = &'a PrimitiveArray<T>;
    type Output = PrimitiveBuilder<T>;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Self::Input<'a>, Refused> {
        downcast(&columns.arrays[0])
    }

    #[inline]
    fn add(
        &self,
        state: &mut Self::State,
        input: &Self::Input<'_>,
        row: usize,
    ) -> Result<(), Refused> {
        let new = input.values()[row];
        if state.is_none_or(|old| replaces::<T, GREATEST>(new, old)) {
            *state = Some(new);
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused> {
        if let Some(new) = *from
            && into.is_none_or(|old| replaces::<T, GREATEST>(new, old))
        {
            *into = Some(new);
        }
        Ok(())
    }

    fn output(&self, capacity: usize) -> Self::Output {
        PrimitiveBuilder::with_capacity(capacity).with_data_type(self.reads.clone())
    }

    fn push(&self, state: &Self::State, out: &mut Self::Output) -> Result<(), Refused> {
        out.append_option(*state);
        Ok(())
    }

    fn finish(&self, mut out: Self::Output) -> Result<ArrayRef, Refused> {
        Ok(Arc::new(out.finish()))
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some(value) = state {
            T::save(*value, out);
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused> {
        match get::<1>(bytes)? {
            [0] => Ok(None),
            [1] => T::load(bytes).map(Some),
            [other] => Err(format!("{other} is neither a value nor none")),
        }
    }
}

macro_rules! ordered {
    ($type:ty, $native:ty, $is_nan:expr) => {
        impl Ordered for $type {
            fn is_nan(value: Self::Native) -> bool {
                $is_nan(value)
            }

            fn save(value: Self::Native, out: &mut Vec<u8>) {
                out.extend_from_slice(&value.to_le_bytes());
            }

            fn load(bytes: &mut &[u8]) -> Result<Self::Native, Refused> {
                Ok(<$native>::from_le_bytes(get(bytes)?))
            }
        }
    };
}

ordered!(Int64Type, i64, |_| false);
ordered!(UInt64Type, u64, |_| false);
ordered!(Float64Type, f64, f64::is_nan);
ordered!(Decimal128Type, i128, |_| false);
ordered!(Decimal256Type, i256, |_| false);
