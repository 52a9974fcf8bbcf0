//! `+ - * / % //` on numbers, and `+ -` on times.
//!
//! * Integers of two types meet in the wider one, signed and unsigned in `int64`; a constant takes the
//!   type of the column if it fits. An integer and a float meet in `float64`.
//! * An integer that leaves its type, and a division by zero (of floats, too), cannot be computed.
//! * `/` gives `float64`, but decimals stay decimals. `%` and `//` round down, as Python's do.

use super::bind::Typed;
use super::call::{Computed, Kernel, Value, true_rows};
use super::functions::{exactly, some};
use super::tally::failed;
use super::types::{describe, strict_cast};
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Float64Array, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::numeric;
use arrow::compute::{binary, nullif, unary};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int64Type, TimeUnit, UInt64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

pub(super) fn build(function: &str, args: Vec<Typed>) -> Result<Typed> {
    match function {
        "negate" => {
            let [arg] = exactly(function, args)?;
            number(function, &arg)?;
            Typed::unary(function, arg, |array| numeric::neg(array))
        }
        "add" | "sub" | "mul" => {
            let (first, mut rest) = some(function, args)?;
            rest.try_fold(first, |left, right| exact(function, left, right))
        }
        _ => {
            let [left, right] = exactly(function, args)?;
            division(function, left, right)
        }
    }
}

type Binary = fn(&dyn Datum, &dyn Datum) -> Computed;

fn exact(function: &str, left: Typed, right: Typed) -> Result<Typed> {
    let kernel: Binary = match function {
        "add" => numeric::add,
        "sub" => numeric::sub,
        _ => numeric::mul,
    };
    let times = is_time(&left.data_type) || is_time(&right.data_type);
    let (left, right) =
        if times { same_unit(left, right)? } else { common_number(function, left, right)? };
    apply(function, left, right, kernel)
}

fn apply(function: &str, left: Typed, right: Typed, kernel: Binary) -> Result<Typed> {
    let kernel: Kernel =
        Arc::new(move |args, _| kernel(args[0].datum().as_ref(), args[1].datum().as_ref()));
    Typed::call(function, vec![left, right], kernel)
}

fn division(function: &str, left: Typed, right: Typed) -> Result<Typed> {
    let (left, right) = common_number(function, left, right)?;
    let (left, right, exact) = match &left.data_type {
        DataType::Decimal128(..) if function == "divide" => {
            return apply(function, left, right, numeric::div);
        }
        kind if function.starts_with("divide") || !kind.is_integer() => {
            (left.cast(&DataType::Float64)?, right.cast(&DataType::Float64)?, DataType::Float64)
        }
        kind => {
            let kind = kind.clone();
            let wide = if kind.is_unsigned_integer() { DataType::UInt64 } else { DataType::Int64 };
            (left.cast(&wide)?, right.cast(&wide)?, kind)
        }
    };
    let zero = match function {
        "divide_or_null" => ByZero::IsNull,
        "divide_or_zero" => ByZero::IsZero,
        _ => ByZero::Fails,
    };
    let divide = divider(function, &left.data_type);
    let kernel = move |args: &[Value], rows: usize| {
        let (left, right) = (args[0].column(rows)?, args[1].column(rows)?);
        strict_cast(&divide(&left, &right, zero)?, &exact)
    };
    Typed::call(function, vec![left, right], Arc::new(kernel))
}

/// What a division by zero gives.
#[derive(Clone, Copy, PartialEq)]
enum ByZero {
    Fails,
    IsNull,
    IsZero,
}

type Divider = fn(&ArrayRef, &ArrayRef, ByZero) -> Computed;

fn divider(function: &str, kind: &DataType) -> Divider {
    match (function, kind) {
        ("mod", DataType::UInt64) => |l, r, z| divided::<UInt64Type>(l, r, z, |a, b| a % b),
        ("mod", DataType::Int64) => |l, r, z| divided::<Int64Type>(l, r, z, floor_mod),
        ("mod", _) => |l, r, z| divided::<Float64Type>(l, r, z, |a, b| a - b * (a / b).floor()),
        ("floor_divide", DataType::UInt64) => {
            |l, r, z| divided::<UInt64Type>(l, r, z, |a, b| a / b)
        }
        ("floor_divide", DataType::Int64) => floor_divided,
        ("floor_divide", _) => |l, r, z| divided::<Float64Type>(l, r, z, |a, b| (a / b).floor()),
        _ => |l, r, z| divided::<Float64Type>(l, r, z, |a, b| a / b),
    }
}

fn floor_mod(a: i64, b: i64) -> i64 {
    let rest = a.wrapping_rem(b);
    if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
}

/// `i64::MIN // -1` is the one quotient that has no place.
fn floor_divided(left: &ArrayRef, right: &ArrayRef, zero: ByZero) -> Computed {
    let (a, b) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
    if a.iter().zip(b).any(|pair| pair == (Some(i64::MIN), Some(-1))) {
        return Err(ArrowError::ComputeError(format!(
            "{} // -1 does not fit into int64",
            i64::MIN
        )));
    }
    divided::<Int64Type>(left, right, zero, |a, b| {
        a.wrapping_div(b) - i64::from(a.wrapping_rem(b) != 0 && (a < 0) != (b < 0))
    })
}

/// `op` of each pair; not called with zero on the right.
fn divided<T: ArrowPrimitiveType>(
    left: &ArrayRef,
    right: &ArrayRef,
    zero: ByZero,
    op: impl Fn(T::Native, T::Native) -> T::Native,
) -> Computed
where
    T::Native: Default + PartialEq,
{
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    let nothing = T::Native::default();
    let safe = |a, b: T::Native| if b == nothing { nothing } else { op(a, b) };
    let quotients: PrimitiveArray<T> = binary(left, right, safe)?;
    let zeros = BooleanBuffer::collect_bool(right.len(), |row| right.value(row) == nothing);
    if zeros.count_set_bits() == 0 || zero == ByZero::IsZero {
        return Ok(Arc::new(quotients));
    }
    let zeros = BooleanArray::new(zeros, quotients.nulls().cloned());
    if zero == ByZero::Fails {
        failed(zeros.true_count(), || "a division by zero".into())?;
    }
    nullif(&quotients, &true_rows(&zeros))
}

/// Both as numbers of one type.
pub(super) fn common_number(function: &str, left: Typed, right: Typed) -> Result<(Typed, Typed)> {
    for arg in [&left, &right] {
        number(function, arg)?;
    }
    let (left, right) = (adapt(left, &right), right);
    let right = adapt(right, &left);
    let common = meet(&left.data_type, &right.data_type);
    match (&left.data_type, &right.data_type) {
        // Arrow computes with decimals of different scales.
        (DataType::Decimal128(..), DataType::Decimal128(..)) => Ok((left, right)),
        _ => Ok((left.cast(&common)?, right.cast(&common)?)),
    }
}

/// Refuses what is no number.
pub(super) fn number(function: &str, arg: &Typed) -> Result<()> {
    let kind = &arg.data_type;
    if kind.is_numeric() || kind == &DataType::Null {
        return Ok(());
    }
    Err(Error::Declaration(format!(
        "{function} computes with numbers, and {} is {}: cast it, as .cast('float64')",
        arg.text,
        describe(kind)
    )))
}

/// A constant in the type of its partner, if it has a place there.
fn adapt(arg: Typed, partner: &Typed) -> Typed {
    let same_family = match (&arg.data_type, &partner.data_type) {
        (a, b) if a.is_integer() => b.is_integer() || b.is_floating() || is_decimal(b),
        (a, b) => a.is_floating() && b.is_floating(),
    };
    let other = if is_decimal(&partner.data_type) {
        DataType::Decimal128(20, 0)
    } else {
        partner.data_type.clone()
    };
    if arg.constant().is_some() && partner.constant().is_none() && same_family {
        arg.clone().cast(&other).unwrap_or(arg)
    } else {
        arg
    }
}

fn is_decimal(kind: &DataType) -> bool {
    matches!(kind, DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// The type in which two types of numbers meet.
pub(super) fn meet(left: &DataType, right: &DataType) -> DataType {
    match (left, right) {
        (DataType::Null, DataType::Null) => DataType::Int64,
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (l, r) if l == r => l.clone(),
        (l, r) if l.is_floating() || r.is_floating() => DataType::Float64,
        (DataType::Decimal128(..), DataType::Decimal128(..)) => wider_decimal(left, right),
        (l, _) if is_decimal(l) => wider_decimal(l, &DataType::Decimal128(20, 0)),
        (_, r) if is_decimal(r) => wider_decimal(&DataType::Decimal128(20, 0), r),
        (l, r) if l.is_unsigned_integer() != r.is_unsigned_integer() => DataType::Int64,
        (l, r) => if l.primitive_width() > r.primitive_width() { l } else { r }.clone(),
    }
}

fn wider_decimal(left: &DataType, right: &DataType) -> DataType {
    match (left, right) {
        (&DataType::Decimal128(p, s), &DataType::Decimal128(q, t)) => {
            let scale = s.max(t);
            let digits = i16::from(p) - i16::from(s);
            let whole = digits.max(i16::from(q) - i16::from(t));
            let precision = (whole + i16::from(scale)).clamp(1, 38);
            DataType::Decimal128(u8::try_from(precision).unwrap_or(38), scale)
        }
        (wide, _) => wide.clone(),
    }
}

fn is_time(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Duration(_)
            | DataType::Interval(_)
    )
}

/// Times and durations in the finer of their units.
pub(super) fn same_unit(left: Typed, right: Typed) -> Result<(Typed, Typed)> {
    let Some(unit) = unit_of(&left.data_type).max(unit_of(&right.data_type)) else {
        return Ok((left, right));
    };
    let in_unit = |arg: Typed| {
        let to = match &arg.data_type {
            DataType::Timestamp(_, zone) => DataType::Timestamp(unit, zone.clone()),
            DataType::Duration(_) => DataType::Duration(unit),
            _ => return Ok(arg),
        };
        arg.cast(&to)
    };
    Ok((in_unit(left)?, in_unit(right)?))
}

fn unit_of(kind: &DataType) -> Option<TimeUnit> {
    match kind {
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => Some(*unit),
        _ => None,
    }
}

/// A function of floats; other numbers are cast.
pub(super) fn of_floats(
    function: &str,
    arg: Typed,
    op: impl Fn(f64) -> f64 + Send + Sync + 'static,
) -> Result<Typed> {
    number(function, &arg)?;
    Typed::unary(function, arg.cast(&DataType::Float64)?, move |array| {
        let result: Float64Array = unary(array.as_primitive::<Float64Type>(), &op);
        Ok(Arc::new(result))
    })
}
