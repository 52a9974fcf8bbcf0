//! `sum` and `mean` of numbers, exact until the result is written.
//!
//! Integers and decimals are added in twice their width, so that only the result can be out of range,
//! not what is on the way to it; floats as [`super::exact`] says. A sum has the widest type of its
//! family (as pyarrow): `int64`, `uint64`, `float64`, `decimal128(38, s)`, `decimal256(76, s)`. A mean of
//! integers is a `float64`, rounded once; a mean of decimals has four more places than they have (as
//! Spark), the last rounded half to even. Without values both are null.

use super::{
    bytes::{get, get_count, put_count},
    each::{Columns, Kind, Refused},
    exact::ExactSum,
    types::shown,
};
use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, PrimitiveBuilder},
    datatypes::{
        DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type,
        Decimal256Type, Float64Type, Int64Type, UInt64Type, i256,
    },
};
use std::{marker::PhantomData, sync::Arc};

/// Places that a mean of decimals has beyond those of its values.
const MEAN_PLACES: i8 = 4;

/// A number as it is added up.
pub(super) trait Number: ArrowPrimitiveType {
    /// Holds any sum of values.
    type Total: Clone + Default + Send;
    /// Type of means.
    type Mean: ArrowPrimitiveType;

    /// Adds a value.
    fn add(total: &mut Self::Total, value: Self::Native) -> Result<(), Refused>;
    /// Takes a value out.
    fn remove(total: &mut Self::Total, value: Self::Native) -> Result<(), Refused>;
    /// Adds a total.
    fn merge(total: &mut Self::Total, other: &Self::Total) -> Result<(), Refused>;
    /// The sum, if it is in the range of `gives`.
    fn sum(total: &Self::Total, gives: &DataType) -> Option<Self::Native>;
    /// The sum divided by `count`, in the type `gives` of means.
    fn mean(
        total: &Self::Total,
        count: i64,
        reads: &DataType,
        gives: &DataType,
    ) -> Option<<Self::Mean as ArrowPrimitiveType>::Native>;
    /// Appends the total.
    fn save(total: &Self::Total, out: &mut Vec<u8>);
    /// Reads the total.
    fn load(bytes: &mut &[u8]) -> Result<Self::Total, Refused>;
    /// Bytes beside the total itself.
    fn heap(_: &Self::Total) -> usize {
        0
    }
}

/// A total and the number of its values.
#[derive(Clone, Default)]
pub(super) struct Totalled<T> {
    total: T,
    count: i64,
}

/// Adds up numbers; the result is a sum or a mean.
pub(super) struct Sum<N: Number, const MEAN: bool> {
    reads: DataType,
    gives: DataType,
    number: PhantomData<fn() -> N>,
}

impl<N: Number, const MEAN: bool> Sum<N, MEAN> {
    /// Of a column of type `reads`.
    pub(super) fn new(reads: &DataType) -> Self {
        let gives = if MEAN { mean_type(reads) } else { sum_type(reads) };
        Self { reads: reads.clone(), gives, number: PhantomData }
    }
}

/// The type of a sum of numbers that are computed in `reads`.
pub(super) fn sum_type(reads: &DataType) -> DataType {
    match reads {
        DataType::Decimal128(_, scale) => DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale),
        DataType::Decimal256(_, scale) => DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale),
        other => other.clone(),
    }
}

/// The type of a mean of numbers that are computed in `reads`.
pub(super) fn mean_type(reads: &DataType) -> DataType {
    let places = |scale: i8, most: u8| scale.saturating_add(MEAN_PLACES).min(most.cast_signed());
    match reads {
        DataType::Decimal128(_, scale) => {
            let most = DECIMAL128_MAX_PRECISION;
            DataType::Decimal128(most, places(*scale, most))
        }
        DataType::Decimal256(_, scale) => {
            let most = DECIMAL256_MAX_PRECISION;
            DataType::Decimal256(most, places(*scale, most))
        }
        _ => DataType::Float64,
    }
}

/// Results of sums or of means.
pub(super) enum Results<N: Number> {
    Sums(PrimitiveBuilder<N>),
    Means(PrimitiveBuilder<N::Mean>),
}

impl<N: Number, const MEAN: bool> Kind for Sum<N, MEAN> {
    type State = Totalled<N::Total>;
    type Input<'a> = &'a PrimitiveArray<N>;
    type Output = Results<N>;

    const RETRACTS: bool = true;

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
        state.count += 1;
        N::add(&mut state.total, input.values()[row])
    }

    fn remove(
        &self,
        state: &mut Self::State,
        input: &Self::Input<'_>,
        row: usize,
    ) -> Result<(), Refused> {
        state.count -= 1;
        N::remove(&mut state.total, input.values()[row])
    }

    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), Refused> {
        into.count += from.count;
        N::merge(&mut into.total, &from.total)
    }

    fn output(&self, capacity: usize) -> Results<N> {
        if MEAN {
            let means = PrimitiveBuilder::with_capacity(capacity);
            Results::Means(means.with_data_type(self.gives.clone()))
        } else {
            let sums = PrimitiveBuilder::with_capacity(capacity);
            Results::Sums(sums.with_data_type(self.gives.clone()))
        }
    }

    fn push(&self, state: &Self::State, out: &mut Results<N>) -> Result<(), Refused> {
        let found = match out {
            Results::Sums(out) => N::sum(&state.total, &self.gives)
                .map(|value| out.append_option((state.count != 0).then_some(value))),
            Results::Means(out) if state.count == 0 => {
                out.append_null();
                Some(())
            }
            Results::Means(out) => N::mean(&state.total, state.count, &self.reads, &self.gives)
                .map(|value| out.append_value(value)),
        };
        found.ok_or_else(|| {
            let (what, gives) = (if MEAN { "mean" } else { "sum" }, shown(&self.gives));
            format!("the {what} is out of the range of {gives}; {}", wider(&self.gives))
        })
    }

    fn finish(&self, out: Results<N>) -> Result<ArrayRef, Refused> {
        Ok(match out {
            Results::Sums(mut out) => Arc::new(out.finish()),
            Results::Means(mut out) => Arc::new(out.finish()),
        })
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(out, state.count.cast_unsigned());
        N::save(&state.total, out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, Refused> {
        let count = get_count(bytes)?.cast_signed();
        Ok(Totalled { count, total: N::load(bytes)? })
    }

    fn heap(&self, state: &Self::State) -> usize {
        N::heap(&state.total)
    }
}

/// What to do about a result that is out of range.
fn wider(gives: &DataType) -> &'static str {
    match gives {
        DataType::Int64 | DataType::UInt64 => "cast the column to decimal128(38, 0) before",
        DataType::Decimal128(..) => "cast the column to a decimal256 before",
        _ => "cast the column to float64 before",
    }
}

/// The array as the type that it has.
pub(super) fn downcast<T: ArrowPrimitiveType>(
    array: &ArrayRef,
) -> Result<&PrimitiveArray<T>, Refused> {
    array.as_any().downcast_ref().ok_or_else(|| format!("a column is {}", shown(array.data_type())))
}

/// A signed number of 128 bits, aligned as one of 64.
#[derive(Clone, Copy, Default)]
pub(super) struct Long {
    low: u64,
    high: i64,
}

impl Long {
    #[inline]
    fn get(self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }

    #[inline]
    fn put(&mut self, value: i128) {
        (self.low, self.high) = (value as u64, (value >> 64) as i64);
    }
}

macro_rules! integers {
    ($type:ty) => {
        impl Number for $type {
            type Total = Long;
            type Mean = Float64Type;

            #[inline]
            fn add(total: &mut Long, value: Self::Native) -> Result<(), Refused> {
                total.put(total.get().wrapping_add(i128::from(value)));
                Ok(())
            }

            #[inline]
            fn remove(total: &mut Long, value: Self::Native) -> Result<(), Refused> {
                total.put(total.get().wrapping_sub(i128::from(value)));
                Ok(())
            }

            fn merge(total: &mut Long, other: &Long) -> Result<(), Refused> {
                total.put(total.get().wrapping_add(other.get()));
                Ok(())
            }

            fn sum(total: &Long, _: &DataType) -> Option<Self::Native> {
                Self::Native::try_from(total.get()).ok()
            }

            fn mean(total: &Long, count: i64, _: &DataType, _: &DataType) -> Option<f64> {
                Some(divide(total.get(), count.unsigned_abs()))
            }

            fn save(total: &Long, out: &mut Vec<u8>) {
                out.extend_from_slice(&total.get().to_le_bytes());
            }

            fn load(bytes: &mut &[u8]) -> Result<Long, Refused> {
                let mut total = Long::default();
                total.put(i128::from_le_bytes(get(bytes)?));
                Ok(total)
            }
        }
    };
}

integers!(Int64Type);
integers!(UInt64Type);

/// `total / count`, rounded once, ties to even.
pub(super) fn divide(total: i128, count: u64) -> f64 {
    let size = total.unsigned_abs();
    let sign = if total < 0 { -1.0 } else { 1.0 };
    if size < 1 << 53 && count < 1 << 53 {
        return sign * (size as f64 / count as f64);
    }
    // As many digits of the quotient as fit: at least 64 bits, so more than a float has. What is
    // below them only matters for being there or not, and goes into the lowest bit.
    let shift = size.leading_zeros();
    let shifted = size << shift;
    let (quotient, rest) = (shifted / u128::from(count), shifted % u128::from(count));
    let rounded = (quotient | u128::from(rest != 0)) as f64;
    sign * rounded * 2f64.powi(-shift.cast_signed())
}

impl Number for Float64Type {
    type Total = ExactSum;
    type Mean = Self;

    #[inline]
    fn add(total: &mut ExactSum, value: f64) -> Result<(), Refused> {
        total.add(value);
        Ok(())
    }

    fn remove(total: &mut ExactSum, value: f64) -> Result<(), Refused> {
        total.remove(value);
        Ok(())
    }

    fn merge(total: &mut ExactSum, other: &ExactSum) -> Result<(), Refused> {
        total.merge(other);
        Ok(())
    }

    fn sum(total: &ExactSum, _: &DataType) -> Option<f64> {
        Some(total.value())
    }

    fn mean(total: &ExactSum, count: i64, _: &DataType, _: &DataType) -> Option<f64> {
        Some(total.value() / count as f64)
    }

    fn save(total: &ExactSum, out: &mut Vec<u8>) {
        total.save(out);
    }

    fn load(bytes: &mut &[u8]) -> Result<ExactSum, Refused> {
        ExactSum::load(bytes)
    }

    fn heap(total: &ExactSum) -> usize {
        total.heap()
    }
}

/// `total / count` with `places` more decimal places, the last rounded half to even.
fn divide_decimal(total: i256, count: i64, places: u32) -> Option<i256> {
    let scaled = total.checked_mul(i256::from_i128(10).checked_pow(places)?)?;
    let count = i256::from_i128(i128::from(count));
    let (quotient, rest) = (scaled.checked_div(count)?, scaled.checked_rem(count)?);
    let twice = rest.wrapping_abs().wrapping_add(rest.wrapping_abs());
    let odd = quotient.as_i128() & 1 == 1;
    let away = twice > count || (twice == count && odd);
    let step = if scaled.is_negative() { i256::MINUS_ONE } else { i256::ONE };
    if away { quotient.checked_add(step) } else { Some(quotient) }
}

/// Decimal places of a type.
fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

macro_rules! decimals {
    ($type:ty, $widen:expr, $narrow:expr, $digits:expr) => {
        impl Number for $type {
            type Total = i256;
            type Mean = Self;

            fn add(total: &mut i256, value: Self::Native) -> Result<(), Refused> {
                *total = total.checked_add($widen(value)).ok_or_else(past)?;
                Ok(())
            }

            fn remove(total: &mut i256, value: Self::Native) -> Result<(), Refused> {
                *total = total.checked_sub($widen(value)).ok_or_else(past)?;
                Ok(())
            }

            fn merge(total: &mut i256, other: &i256) -> Result<(), Refused> {
                *total = total.checked_add(*other).ok_or_else(past)?;
                Ok(())
            }

            fn sum(total: &i256, _: &DataType) -> Option<Self::Native> {
                fits(*total, $digits).and_then($narrow)
            }

            fn mean(
                total: &i256,
                count: i64,
                reads: &DataType,
                gives: &DataType,
            ) -> Option<Self::Native> {
                let places = u32::try_from(scale(gives) - scale(reads)).ok()?;
                fits(divide_decimal(*total, count, places)?, $digits).and_then($narrow)
            }

            fn save(total: &i256, out: &mut Vec<u8>) {
                out.extend_from_slice(&total.to_le_bytes());
            }

            fn load(bytes: &mut &[u8]) -> Result<i256, Refused> {
                Ok(i256::from_le_bytes(get(bytes)?))
            }
        }
    };
}

decimals!(Decimal128Type, i256::from_i128, i256::to_i128, u32::from(DECIMAL128_MAX_PRECISION));
decimals!(Decimal256Type, std::convert::identity, Some, u32::from(DECIMAL256_MAX_PRECISION));

/// `value` if it has at most so many digits.
fn fits(value: i256, digits: u32) -> Option<i256> {
    let limit = i256::from_i128(10).checked_pow(digits)?;
    (value.wrapping_abs() < limit).then_some(value)
}

fn past() -> Refused {
    "the sum is past what 256 bits hold; cast the column to float64 before".to_string()
}
