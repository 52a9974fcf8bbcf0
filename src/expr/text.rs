//! Functions of text. Places and lengths are in characters (code points), patterns are those of the
//! regex crate: without look-around and back references, in linear time.

use super::bind::Typed;
use super::call::{Computed, Value};
use super::functions::{exactly, some};
use super::options::Options;
use super::types::{as_text, describe, is_text, strict_cast};
use crate::error::{Error, Result};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, ListBuilder, StringArray, StringBuilder,
};
use arrow::datatypes::DataType;
use regex::Regex;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn build(function: &str, args: Vec<Typed>, options: &Options<'_>) -> Result<Typed> {
    match function {
        "concat" => concat(function, args, options.text("separator")?.unwrap_or("")),
        "starts_with" | "ends_with" | "contains" => test(function, args),
        "replace" => replace(function, args),
        _ => {
            let [arg] = exactly(function, args)?;
            of_one(function, text(function, arg)?, options)
        }
    }
}

fn of_one(function: &str, arg: Typed, options: &Options<'_>) -> Result<Typed> {
    match function {
        "lower" => map(function, arg, |text| Some(text.to_lowercase().into())),
        "upper" => map(function, arg, |text| Some(text.to_uppercase().into())),
        "length" => Typed::unary(function, arg, |array| {
            let lengths = as_text(array)?.iter().map(|t| t.map(characters)).collect::<Int64Array>();
            Ok(Arc::new(lengths))
        }),
        "trim" => trim(function, arg, options),
        "substr" => {
            let start = options.integer("start")?.unwrap_or(0);
            let length = options.integer("length")?;
            map(function, arg, move |text| Some(part(text, start, length).into()))
        }
        "split" => split(function, arg, options.needed("separator")?),
        "regex_match" => {
            let pattern = pattern(function, options.needed("pattern")?)?;
            Typed::unary(function, arg, move |array| {
                let found = as_text(array)?;
                let found = found.iter().map(|text| text.map(|text| pattern.is_match(text)));
                Ok(Arc::new(found.collect::<BooleanArray>()))
            })
        }
        "regex_replace" => {
            let pattern = pattern(function, options.needed("pattern")?)?;
            let with = options.needed("with")?.to_string();
            map(function, arg, move |text| Some(pattern.replace_all(text, with.as_str())))
        }
        _ => extract(function, arg, options),
    }
}

/// As plain text; refuses what is none.
pub(super) fn text(function: &str, arg: Typed) -> Result<Typed> {
    if is_text(&arg.data_type) || arg.data_type == DataType::Null {
        return arg.cast(&DataType::Utf8);
    }
    Err(Error::Declaration(format!(
        "{function} works on text, and {} is {}: cast it, as .cast('string')",
        arg.text,
        describe(&arg.data_type)
    )))
}

/// A text for each text; null stays null.
fn map(
    function: &str,
    arg: Typed,
    op: impl for<'a> Fn(&'a str) -> Option<Cow<'a, str>> + Send + Sync + 'static,
) -> Result<Typed> {
    Typed::unary(function, arg, move |array| {
        let texts = as_text(array)?;
        let mut out = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
        for text in &texts {
            out.append_option(text.and_then(&op));
        }
        Ok(Arc::new(out.finish()))
    })
}

fn characters(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// `length` characters from `start` on; a negative start counts from the end.
fn part(text: &str, start: i64, length: Option<i64>) -> &str {
    let start = if start < 0 { (characters(text) + start).max(0) } else { start };
    let from = byte(text, start);
    let to = length.map_or(text.len(), |length| byte(text, start.saturating_add(length.max(0))));
    &text[from..to]
}

/// Where character `place` begins.
fn byte(text: &str, place: i64) -> usize {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    if text.is_ascii() {
        return place.min(text.len());
    }
    text.char_indices().nth(place).map_or(text.len(), |(at, _)| at)
}

fn trim(function: &str, arg: Typed, options: &Options<'_>) -> Result<Typed> {
    let Some(set) = options.text("characters")? else {
        return map(function, arg, |text| Some(text.trim().into()));
    };
    let set: Vec<char> = set.chars().collect();
    map(function, arg, move |text| Some(text.trim_matches(set.as_slice()).into()))
}

fn concat(function: &str, args: Vec<Typed>, separator: &str) -> Result<Typed> {
    some(function, args.clone())?;
    let args = args.into_iter().map(|arg| text(function, arg)).collect::<Result<Vec<_>>>()?;
    let separator = separator.to_string();
    let kernel = move |args: &[Value], rows: usize| {
        let parts =
            args.iter().map(|arg| as_text(&arg.column(rows)?)).collect::<Result<Vec<_>, _>>()?;
        let mut out = StringBuilder::new();
        let mut row_text = String::new();
        for row in 0..rows {
            if parts.iter().any(|part| part.is_null(row)) {
                out.append_null();
                continue;
            }
            row_text.clear();
            for (i, part) in parts.iter().enumerate() {
                row_text.push_str(if i == 0 { "" } else { &separator });
                row_text.push_str(part.value(row));
            }
            out.append_value(&row_text);
        }
        Ok(Arc::new(out.finish()) as ArrayRef)
    };
    Typed::call(function, args, Arc::new(kernel))
}

fn test(function: &str, args: Vec<Typed>) -> Result<Typed> {
    use arrow::compute::kernels::comparison;
    let [value, part] = exactly(function, args)?;
    let kernel = match function {
        "starts_with" => comparison::starts_with,
        "ends_with" => comparison::ends_with,
        _ => comparison::contains,
    };
    let args = vec![text(function, value)?, text(function, part)?];
    let kernel = move |args: &[Value], _: usize| {
        Ok(Arc::new(kernel(args[0].datum().as_ref(), args[1].datum().as_ref())?) as ArrayRef)
    };
    Typed::call(function, args, Arc::new(kernel))
}

fn replace(function: &str, args: Vec<Typed>) -> Result<Typed> {
    let [value, old, new] = exactly(function, args)?;
    let args = vec![text(function, value)?, text(function, old)?, text(function, new)?];
    let kernel = |args: &[Value], rows: usize| {
        let column = |i: usize| as_text(&args[i].column(rows)?);
        let (value, old, new) = (column(0)?, column(1)?, column(2)?);
        let pairs = value.iter().zip(&old).zip(&new);
        let replaced = pairs.map(|((value, old), new)| Some(value?.replace(old?, new?)));
        Ok(Arc::new(replaced.collect::<StringArray>()) as ArrayRef)
    };
    Typed::call(function, args, Arc::new(kernel))
}

fn split(function: &str, arg: Typed, separator: &str) -> Result<Typed> {
    if separator.is_empty() {
        return Err(Error::Declaration("split needs a separator of at least one character".into()));
    }
    let separator = separator.to_string();
    Typed::unary(function, arg, move |array| {
        let mut out = ListBuilder::new(StringBuilder::new());
        for text in &as_text(array)? {
            for piece in text.into_iter().flat_map(|text| text.split(separator.as_str())) {
                out.values().append_value(piece);
            }
            out.append(text.is_some());
        }
        Ok(Arc::new(out.finish()))
    })
}

fn pattern(function: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| {
        let why = e.to_string().lines().last().unwrap_or_default().trim().to_string();
        Error::Declaration(format!("{function}: {pattern:?} is not a pattern: {why}"))
    })
}

/// What a group of the first match caught; null without a match.
fn extract(function: &str, arg: Typed, options: &Options<'_>) -> Result<Typed> {
    let source = options.needed("pattern")?;
    let pattern = pattern(function, source)?;
    let wanted = options.text("group")?;
    let group = match wanted {
        None => usize::from(pattern.captures_len() > 1),
        Some(name) => pattern
            .capture_names()
            .position(|known| known == Some(name))
            .or_else(|| name.parse().ok().filter(|group| *group < pattern.captures_len()))
            .ok_or_else(|| {
                Error::Declaration(format!("{function}: {source:?} has no group {name:?}"))
            })?,
    };
    map(function, arg, move |text| {
        Some(pattern.captures(text)?.get(group)?.as_str().to_owned().into())
    })
}

/// Bytes of each value, for hashes: binary as it is, anything else as text.
pub(super) fn bytes_of(array: &ArrayRef) -> Computed {
    match array.data_type() {
        DataType::Binary => Ok(Arc::clone(array)),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            strict_cast(array, &DataType::Binary)
        }
        _ => strict_cast(&strict_cast(array, &DataType::Utf8)?, &DataType::Binary),
    }
}
