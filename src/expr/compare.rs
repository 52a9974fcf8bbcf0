//! Comparisons.
//!
//! Null compared with anything is null. Floats compare as IEEE 754 says: NaN is not equal to itself, and
//! `-0.0 == 0.0`. Text compares by code points. Numbers meet as in arithmetic, but an `int64` and a
//! `uint64` compare exactly. A constant text beside a time is read as one.

use super::arithmetic::{common_number, same_unit};
use super::bind::Typed;
use super::call::{Computed, Value};
use super::functions::{exactly, some};
use super::types::{describe, is_text};
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use std::sync::Arc;

pub(super) fn build(function: &str, args: Vec<Typed>) -> Result<Typed> {
    if function == "is_in" {
        return is_in(function, args);
    }
    let [left, right] = exactly(function, args)?;
    compare(function, left, right)
}

/// `left` is one of the constants behind it.
fn is_in(function: &str, args: Vec<Typed>) -> Result<Typed> {
    let (value, choices) = some(function, args)?;
    let equal =
        choices.map(|choice| compare("eq", value.clone(), choice)).collect::<Result<Vec<_>>>()?;
    if equal.is_empty() {
        return Err(Error::Declaration("is_in([]) is true for nothing: name some values".into()));
    }
    super::logic::build("or", equal)
}

pub(super) fn compare(function: &str, left: Typed, right: Typed) -> Result<Typed> {
    let (left, right) = comparable(left, right)?;
    let op = Op::of(function);
    let floats = left.data_type.is_floating();
    let kernel = move |args: &[Value], rows: usize| {
        if floats {
            return op.floats(&args[0].column(rows)?, &args[1].column(rows)?);
        }
        Ok(Arc::new(op.kernel()(args[0].datum().as_ref(), args[1].datum().as_ref())?) as ArrayRef)
    };
    Typed::call(function, vec![left, right], Arc::new(kernel))
}

/// Both in one type.
pub(super) fn comparable(left: Typed, right: Typed) -> Result<(Typed, Typed)> {
    use DataType::{Binary, Date32, LargeBinary, Null, Timestamp, UInt64, Utf8};
    match (&left.data_type, &right.data_type) {
        (Null, _) => Ok((left.cast(&right.data_type)?, right)),
        (_, Null) => {
            let to = left.data_type.clone();
            Ok((left, right.cast(&to)?))
        }
        (l, r) if is_text(l) && is_text(r) => {
            if l == r {
                Ok((left, right))
            } else {
                Ok((left.cast(&Utf8)?, right.cast(&Utf8)?))
            }
        }
        (l, r)
            if (l == &UInt64 && r.is_signed_integer() || r == &UInt64 && l.is_signed_integer())
                && left.constant().is_none()
                && right.constant().is_none() =>
        {
            let wide = DataType::Decimal128(20, 0);
            Ok((left.cast(&wide)?, right.cast(&wide)?))
        }
        (l, r) if l.is_numeric() && r.is_numeric() => {
            let (left, right) = common_number("a comparison", left, right)?;
            let wide = super::arithmetic::meet(&left.data_type, &right.data_type);
            Ok((left.cast(&wide)?, right.cast(&wide)?))
        }
        (Timestamp(..) | Date32, r) if is_text(r) && right.constant().is_some() => {
            let to = left.data_type.clone();
            Ok((left, right.cast(&to)?))
        }
        (l, Timestamp(..) | Date32) if is_text(l) && left.constant().is_some() => {
            Ok((left.cast(&right.data_type)?, right))
        }
        (Timestamp(_, a), Timestamp(_, b)) if a.is_some() == b.is_some() => same_unit(left, right),
        (Date32, Timestamp(..)) => Ok((left.cast(&right.data_type)?, right)),
        (Timestamp(..), Date32) => {
            let to = left.data_type.clone();
            Ok((left, right.cast(&to)?))
        }
        (DataType::Duration(_), DataType::Duration(_)) => same_unit(left, right),
        (Binary | LargeBinary, Binary | LargeBinary) => {
            Ok((left.cast(&Binary)?, right.cast(&Binary)?))
        }
        (l, r) if l == r => Ok((left, right)),
        _ => Err(incomparable(&left, &right)),
    }
}

fn incomparable(left: &Typed, right: &Typed) -> Error {
    Error::Declaration(format!(
        "{} is {} and {} is {}: they do not meet in one type, cast one of them",
        left.text,
        describe(&left.data_type),
        right.text,
        describe(&right.data_type)
    ))
}

#[derive(Clone, Copy)]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    fn of(function: &str) -> Self {
        match function {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "lt" => Self::Lt,
            "le" => Self::Le,
            "gt" => Self::Gt,
            _ => Self::Ge,
        }
    }

    fn kernel(self) -> fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::Eq => cmp::eq,
            Self::Ne => cmp::neq,
            Self::Lt => cmp::lt,
            Self::Le => cmp::lt_eq,
            Self::Gt => cmp::gt,
            Self::Ge => cmp::gt_eq,
        }
    }

    /// Arrow's kernels order floats totally, which no user expects of `==`.
    fn floats(self, left: &ArrayRef, right: &ArrayRef) -> Computed {
        match left.data_type() {
            DataType::Float16 => self.pairs::<Float16Type>(left, right),
            DataType::Float32 => self.pairs::<Float32Type>(left, right),
            _ => self.pairs::<Float64Type>(left, right),
        }
    }

    fn pairs<T: ArrowPrimitiveType>(self, left: &ArrayRef, right: &ArrayRef) -> Computed
    where
        T::Native: PartialOrd,
    {
        let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
        Ok(match self {
            Self::Eq => each(left, right, |a, b| a == b),
            Self::Ne => each(left, right, |a, b| a != b),
            Self::Lt => each(left, right, |a, b| a < b),
            Self::Le => each(left, right, |a, b| a <= b),
            Self::Gt => each(left, right, |a, b| a > b),
            Self::Ge => each(left, right, |a, b| a >= b),
        })
    }
}

fn each<T: ArrowPrimitiveType>(
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    op: impl Fn(T::Native, T::Native) -> bool,
) -> ArrayRef {
    let (a, b) = (left.values(), right.values());
    let bits = BooleanBuffer::collect_bool(a.len(), |row| op(a[row], b[row]));
    Arc::new(BooleanArray::new(bits, NullBuffer::union(left.nulls(), right.nulls())))
}
