//! What a field allows beyond its type: listed values, bounds, lengths.

use crate::error::{Error, Result};
use arrow::datatypes::Field;
use serde::Deserialize;
use serde_json::{Number, Value};

/// The contents of [`super::CHECK`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Check {
    values: Option<Vec<Value>>,
    ge: Option<Number>,
    gt: Option<Number>,
    le: Option<Number>,
    lt: Option<Number>,
    min_length: Option<usize>,
    max_length: Option<usize>,
}

impl Check {
    /// What `field` allows, if it says so.
    pub(super) fn of(field: &Field) -> Result<Option<Box<Self>>> {
        let Some(text) = field.metadata().get(super::CHECK) else { return Ok(None) };
        serde_json::from_str(text).map(|check| Some(Box::new(check))).map_err(|e| {
            Error::Config(format!("field `{}`: metadata {}: {e}", field.name(), super::CHECK))
        })
    }

    /// Is this text allowed? `Err` names what would be.
    pub(super) fn text(&self, text: &[u8]) -> Result<(), String> {
        if let Some(values) = &self.values
            && !values.iter().any(|v| v.as_str().is_some_and(|v| v.as_bytes() == text))
        {
            let found = super::scan::shorten(text);
            return Err(format!("expected one of {}, found {found:?}", self.listed()));
        }
        // Only bytes that start a character count.
        self.length(|| text.iter().filter(|&&b| b & 0xC0 != 0x80).count(), "characters")
    }

    /// Is this integer allowed?
    pub(super) fn integer(&self, value: i64) -> Result<(), String> {
        if let Some(values) = &self.values
            && !values.iter().any(|v| v.as_i64() == Some(value))
        {
            return Err(format!("expected one of {}, found {value}", self.listed()));
        }
        self.bounds(&value, |bound| match bound.as_i64() {
            Some(bound) => value.partial_cmp(&bound),
            None => bound.as_f64().and_then(|bound| (value as f64).partial_cmp(&bound)),
        })
    }

    /// Is this float allowed?
    pub(super) fn float(&self, value: f64) -> Result<(), String> {
        self.bounds(&value, |bound| value.partial_cmp(&bound.as_f64()?))
    }

    /// Is a list of `count` items allowed?
    pub(super) fn items(&self, count: usize) -> Result<(), String> {
        self.length(|| count, "items")
    }

    fn bounds(
        &self,
        value: &dyn std::fmt::Display,
        compare: impl Fn(&Number) -> Option<std::cmp::Ordering>,
    ) -> Result<(), String> {
        let holds = |bound: &Option<Number>, allowed: fn(std::cmp::Ordering) -> bool| {
            bound.as_ref().is_none_or(|bound| compare(bound).is_some_and(allowed))
        };
        let rules = [
            (&self.ge, holds(&self.ge, std::cmp::Ordering::is_ge), "at least"),
            (&self.gt, holds(&self.gt, std::cmp::Ordering::is_gt), "more than"),
            (&self.le, holds(&self.le, std::cmp::Ordering::is_le), "at most"),
            (&self.lt, holds(&self.lt, std::cmp::Ordering::is_lt), "less than"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((Some(bound), _, words)) => {
                Err(format!("expected {words} {bound}, found {value}"))
            }
            _ => Ok(()),
        }
    }

    fn length(&self, count: impl Fn() -> usize, unit: &str) -> Result<(), String> {
        if self.min_length.is_none() && self.max_length.is_none() {
            return Ok(());
        }
        let count = count();
        match (self.min_length, self.max_length) {
            (Some(min), _) if count < min => {
                Err(format!("expected at least {min} {unit}, found {count}"))
            }
            (_, Some(max)) if count > max => {
                Err(format!("expected at most {max} {unit}, found {count}"))
            }
            _ => Ok(()),
        }
    }

    fn listed(&self) -> String {
        let values: Vec<String> = self.values.iter().flatten().map(Value::to_string).collect();
        values.join(", ")
    }
}
