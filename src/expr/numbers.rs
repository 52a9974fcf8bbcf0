//! Functions of one number, and casts.
//!
//! `floor`, `ceil`, `sign` and `round` leave integers as they are and give `float64` for the rest; `round`
//! rounds halves to the even neighbour, as Python's does. A cast of a float to an integer drops the
//! fraction; a value without a counterpart cannot be computed.

use super::arithmetic::{number, of_floats};
use super::bind::Typed;
use super::call::{Computed, Value};
use super::functions::exactly;
use super::options::Options;
use super::tally::{failed, is_strict};
use super::types::{parse, strict_cast};
use crate::error::Result;
use arrow::array::{Array, ArrayRef};
use arrow::compute::kernels::{cmp, numeric, zip::zip};
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::DataType;
use std::sync::Arc;

pub(super) fn build(function: &str, args: Vec<Typed>, options: &Options<'_>) -> Result<Typed> {
    match function {
        "cast" | "cast_or_null" => {
            let [arg] = exactly(function, args)?;
            cast_to(arg, parse(options.needed("to")?)?, function == "cast")
        }
        "cast_or_default" => {
            let [arg, default] = exactly(function, args)?;
            let to = parse(options.needed("to")?)?;
            let default = default.cast(&to)?;
            let value = cast_to(arg, to, false)?;
            Typed::call(function, vec![value, default], Arc::new(or_default))
        }
        "round" => {
            let digits = options.integer("digits")?.unwrap_or(0).clamp(-300, 300);
            let [arg] = exactly(function, args)?;
            // Digits before the point round integers, too.
            if arg.data_type.is_integer() && digits >= 0 {
                return Ok(arg);
            }
            let exponent = i32::try_from(digits).unwrap_or(0);
            of_floats(function, arg, move |x| round(x, exponent))
        }
        _ => {
            let [arg] = exactly(function, args)?;
            of_one(function, arg)
        }
    }
}

fn of_one(function: &str, arg: Typed) -> Result<Typed> {
    number(function, &arg)?;
    let is_integer = arg.data_type.is_integer();
    match function {
        "abs" if !arg.data_type.is_signed_integer() && is_integer => Ok(arg),
        "abs" if is_integer || matches!(arg.data_type, DataType::Decimal128(..)) => {
            Typed::unary(function, arg, absolute)
        }
        "floor" | "ceil" if is_integer => Ok(arg),
        "abs" => of_floats(function, arg, f64::abs),
        "floor" => of_floats(function, arg, f64::floor),
        "ceil" => of_floats(function, arg, f64::ceil),
        "sqrt" => of_floats(function, arg, f64::sqrt),
        "exp" => of_floats(function, arg, f64::exp),
        "ln" => of_floats(function, arg, f64::ln),
        "log10" => of_floats(function, arg, f64::log10),
        _ if is_integer => {
            let kind = arg.data_type.clone();
            of_floats(function, arg, sign)?.cast(&kind)
        }
        _ => of_floats(function, arg, sign),
    }
}

fn sign(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() { x } else { x.signum() }
}

fn round(x: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits.abs());
    let rounded = if digits >= 0 {
        (x * scale).round_ties_even() / scale
    } else {
        (x / scale).round_ties_even() * scale
    };
    // Beyond what the scale can express there are no such digits.
    if rounded.is_finite() || !x.is_finite() { rounded } else { x }
}

/// The smallest integer has no positive counterpart: its negation fails.
fn absolute(array: &ArrayRef) -> Computed {
    let zero = strict_cast(
        &(Arc::new(arrow::array::Int64Array::from(vec![0])) as ArrayRef),
        array.data_type(),
    )?;
    let negative = cmp::lt(array, &arrow::array::Scalar::new(zero))?;
    let negative = super::call::true_rows(&negative);
    // Only negative values are negated: the others must not fail.
    let none = arrow::array::new_null_array(array.data_type(), array.len());
    let below = zip(&negative, array, &none)?;
    zip(&negative, &numeric::neg(&below)?, array)
}

fn cast_to(arg: Typed, to: DataType, counted: bool) -> Result<Typed> {
    if arg.data_type == to {
        return Ok(arg);
    }
    let name = if counted { "cast" } else { "cast_or_null" };
    Typed::unary(name, arg, move |array| {
        // What has no form at all in the type is for the strict cast to say.
        let done = if array.is_empty() { strict_cast(array, &to)? } else { cast(array, &to)? };
        let lost = done.null_count().saturating_sub(array.null_count());
        if counted && lost > 0 {
            if is_strict() {
                return strict_cast(array, &to);
            }
            failed(lost, String::new)?;
        }
        Ok(done)
    })
}

/// Null only where the value before the cast was.
fn or_default(args: &[Value], rows: usize) -> Computed {
    let (value, default) = (args[0].column(rows)?, args[1].column(rows)?);
    zip(&is_not_null(&value)?, &value, &default)
}
