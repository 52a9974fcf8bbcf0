//! The functions there are, by name, and where each is.

use super::bind::Typed;
use super::options::Options;
use super::{arithmetic, compare, logic};
use crate::error::{Error, Result};

/// `function` applied to `args`.
pub(super) fn call(function: &str, args: Vec<Typed>, options: &Options<'_>) -> Result<Typed> {
    match function {
        "add" | "sub" | "mul" | "divide" | "divide_or_null" | "divide_or_zero" | "mod"
        | "floor_divide" | "negate" => arithmetic::build(function, args),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "is_in" => compare::build(function, args),
        "and" | "or" | "not" | "is_null" | "is_not_null" | "is_nan" | "is_finite" | "coalesce"
        | "min2" | "max2" | "clip" => logic::build(function, args),
        _ => {
            let _ = options;
            Err(Error::Declaration(format!(
                "there is no function {function:?}: turbine.functions has those there are"
            )))
        }
    }
}

/// Exactly `N` arguments.
pub(super) fn exactly<const N: usize>(function: &str, args: Vec<Typed>) -> Result<[Typed; N]> {
    let found = args.len();
    args.try_into().map_err(|_| {
        Error::Declaration(format!("{function} takes {N} values, and {found} were given"))
    })
}

/// At least one argument: the first, and the rest.
pub(super) fn some(function: &str, args: Vec<Typed>) -> Result<(Typed, std::vec::IntoIter<Typed>)> {
    let mut args = args.into_iter();
    let first = args.next();
    first.map(|first| (first, args)).ok_or_else(|| {
        Error::Declaration(format!("{function} takes at least one value, and none was given"))
    })
}
