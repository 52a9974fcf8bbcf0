//! The functions there are, by name, and where each is.

use super::bind::Typed;
use super::options::Options;
use super::{arithmetic, compare, hash, logic, numbers, text, time};
use crate::error::{Error, Result};

/// `function` applied to `args`.
pub(super) fn call(function: &str, args: Vec<Typed>, options: &Options<'_>) -> Result<Typed> {
    match function {
        "add" | "sub" | "mul" | "divide" | "divide_or_null" | "divide_or_zero" | "mod"
        | "floor_divide" | "negate" => arithmetic::build(function, args),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "is_in" => compare::build(function, args),
        "and" | "or" | "not" | "is_null" | "is_not_null" | "is_nan" | "is_finite" | "coalesce"
        | "min2" | "max2" | "clip" => logic::build(function, args),
        "cast" | "cast_or_null" | "cast_or_default" | "abs" | "round" | "floor" | "ceil"
        | "sign" | "sqrt" | "exp" | "ln" | "log10" => numbers::build(function, args, options),
        "lower" | "upper" | "length" | "trim" | "substr" | "split" | "concat" | "replace"
        | "starts_with" | "ends_with" | "contains" | "regex_match" | "regex_extract"
        | "regex_replace" => text::build(function, args, options),
        "epoch_ms" | "year" | "quarter" | "month" | "week" | "day" | "day_of_year" | "weekday"
        | "hour" | "minute" | "second" | "format_ts" | "parse_ts" | "parse_ts_or_null"
        | "date_trunc" | "date_add" | "date_diff" => time::build(function, args, options),
        "hash64" | "murmur2" | "md5" | "sha256" => hash::build(function, args),
        _ => Err(Error::Declaration(format!(
            "there is no function {function:?}: turbine.functions has those there are"
        ))),
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
