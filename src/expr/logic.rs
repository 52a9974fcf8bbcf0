//! Booleans, nulls, and choices between values.
//!
//! `and` and `or` are Kleene's: `false & null` is false, `true | null` is true, else null is null.

use super::arithmetic::{meet, number};
use super::bind::Typed;
use super::call::{Computed, Value, true_rows};
use super::compare::{comparable, compare};
use super::functions::{exactly, some};
use super::plan::{Case, Plan};
use super::types::{describe, is_text};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and_kleene, is_not_null, is_null, not, or_kleene};
use arrow::datatypes::{DataType, Float64Type};
use std::sync::Arc;

pub(super) fn build(function: &str, args: Vec<Typed>) -> Result<Typed> {
    match function {
        "and" => fold(function, args, |a, b| Ok(Arc::new(and_kleene(a, b)?))),
        "or" => fold(function, args, |a, b| Ok(Arc::new(or_kleene(a, b)?))),
        "coalesce" => coalesce(function, args),
        "clip" => {
            let [value, low, high] = exactly(function, args)?;
            clip(value, low, high)
        }
        "min2" | "max2" => {
            let (first, mut rest) = some(function, args)?;
            rest.try_fold(first, |left, right| extreme(function, left, right))
        }
        _ => {
            let [arg] = exactly(function, args)?;
            of_one(function, arg)
        }
    }
}

fn of_one(function: &str, arg: Typed) -> Result<Typed> {
    match function {
        "not" => Typed::unary(function, boolean(function, arg)?, |array| {
            Ok(Arc::new(not(array.as_boolean())?))
        }),
        "is_null" => Typed::unary(function, arg, |array| Ok(Arc::new(is_null(array)?))),
        "is_not_null" => Typed::unary(function, arg, |array| Ok(Arc::new(is_not_null(array)?))),
        "is_nan" => float_test(function, arg, f64::is_nan),
        _ => float_test(function, arg, f64::is_finite),
    }
}

fn float_test(function: &str, arg: Typed, test: fn(f64) -> bool) -> Result<Typed> {
    number(function, &arg)?;
    Typed::unary(function, arg.cast(&DataType::Float64)?, move |array| {
        Ok(Arc::new(BooleanArray::from_unary(array.as_primitive::<Float64Type>(), test)))
    })
}

/// Refuses what is no boolean.
fn boolean(function: &str, arg: Typed) -> Result<Typed> {
    match arg.data_type {
        DataType::Boolean => Ok(arg),
        DataType::Null => arg.cast(&DataType::Boolean),
        _ => Err(Error::Declaration(format!(
            "{function} joins conditions, and {} is {}: compare it first, in parentheses, as (col('a') > 0)",
            arg.text,
            describe(&arg.data_type)
        ))),
    }
}

fn fold(
    function: &str,
    args: Vec<Typed>,
    join: fn(&BooleanArray, &BooleanArray) -> Computed,
) -> Result<Typed> {
    let args = args.into_iter().map(|arg| boolean(function, arg)).collect::<Result<Vec<_>>>()?;
    some(function, args.clone())?;
    let kernel = move |args: &[Value], rows: usize| {
        let mut all = args[0].column(rows)?;
        for arg in &args[1..] {
            all = join(all.as_boolean(), arg.column(rows)?.as_boolean())?;
        }
        Ok(all)
    };
    Typed::call(function, args, Arc::new(kernel))
}

/// All in the type in which they meet.
fn unify(what: &str, args: Vec<Typed>) -> Result<Vec<Typed>> {
    let known = args.iter().filter(|arg| arg.data_type != DataType::Null);
    let mut common: Option<&Typed> = None;
    let mut to = DataType::Null;
    for arg in known {
        to = match common {
            None => arg.data_type.clone(),
            Some(_) if to == arg.data_type => to,
            Some(_) if to.is_numeric() && arg.data_type.is_numeric() => meet(&to, &arg.data_type),
            Some(_) if is_text(&to) && is_text(&arg.data_type) => DataType::Utf8,
            Some(first) => {
                let (left, _) = comparable(first.clone(), arg.clone()).map_err(|_| {
                    Error::Declaration(format!(
                        "the values of {what} do not meet in one type: {} is {} and {} is {}",
                        first.text,
                        describe(&first.data_type),
                        arg.text,
                        describe(&arg.data_type)
                    ))
                })?;
                left.data_type
            }
        };
        common = Some(arg);
    }
    args.into_iter().map(|arg| arg.cast(&to)).collect()
}

fn coalesce(function: &str, args: Vec<Typed>) -> Result<Typed> {
    some(function, args.clone())?;
    let args = unify(function, args)?;
    let kernel = |args: &[Value], rows: usize| {
        let mut all = args[args.len() - 1].column(rows)?;
        for arg in args[..args.len() - 1].iter().rev() {
            let array = arg.column(rows)?;
            all = zip(&is_not_null(&array)?, &array, &all)?;
        }
        Ok(all)
    };
    Typed::call(function, args, Arc::new(kernel))
}

/// The smaller or larger of two; null and NaN only if both are.
fn extreme(function: &str, left: Typed, right: Typed) -> Result<Typed> {
    let (left, right) = comparable(left, right)?;
    let smaller = function == "min2";
    if left.data_type.is_floating() {
        let kernel = move |args: &[Value], rows: usize| {
            let (a, b) = (args[0].column(rows)?, args[1].column(rows)?);
            either(&a, &b, smaller)
        };
        let (left, right) = (left.cast(&DataType::Float64)?, right.cast(&DataType::Float64)?);
        return Typed::call(function, vec![left, right], Arc::new(kernel));
    }
    let first = if smaller {
        arrow::compute::kernels::cmp::lt_eq
    } else {
        arrow::compute::kernels::cmp::gt_eq
    };
    let kernel = move |args: &[Value], rows: usize| {
        let (a, b) = (args[0].column(rows)?, args[1].column(rows)?);
        let first = true_rows(&first(&a, &b)?);
        let alone = and_kleene(&is_not_null(&a)?, &is_null(&b)?)?;
        zip(&or_kleene(&first, &alone)?, &a, &b)
    };
    Typed::call(function, vec![left, right], Arc::new(kernel))
}

fn either(left: &ArrayRef, right: &ArrayRef, smaller: bool) -> Computed {
    let (a, b) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
    let pick = |pair| match pair {
        (Some(a), Some(b)) => Some(if smaller { f64::min(a, b) } else { f64::max(a, b) }),
        (a, b) => a.or(b),
    };
    Ok(Arc::new(a.iter().zip(b).map(pick).collect::<arrow::array::Float64Array>()))
}

/// `value`, or the bound that it is beyond; null stays null and NaN stays NaN.
fn clip(value: Typed, low: Typed, high: Typed) -> Result<Typed> {
    let below = compare("lt", value.clone(), low.clone())?;
    let above = compare("gt", value.clone(), high.clone())?;
    when(vec![(below, low), (above, high)], Some(value))
}

/// The value behind the first condition that is true; only rows that get there compute it.
pub(super) fn when(branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>) -> Result<Typed> {
    let (conditions, mut values): (Vec<_>, Vec<_>) = branches.into_iter().unzip();
    let has_rest = otherwise.is_some();
    values.extend(otherwise);
    let mut values = unify("when", values)?;
    let data_type = values.first().map_or(DataType::Null, |value| value.data_type.clone());
    let otherwise = if has_rest { values.pop().map(|value| value.plan) } else { None };
    let branches = conditions
        .into_iter()
        .zip(values)
        .map(|(condition, value)| Ok((boolean("when", condition)?.plan, value.plan)))
        .collect::<Result<Vec<_>>>()?;
    let case = Case { branches, otherwise, data_type: data_type.clone() };
    Ok(Typed { plan: Plan::Case(Arc::new(case)), data_type, text: "when(...)".into() })
}
