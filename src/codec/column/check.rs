//! What a field allows beyond its type: listed values, bounds, lengths.

use crate::error::{Error, Result};
use arrow::datatypes::Field;
use serde::Deserialize;
use serde_json::{Number, Value};

/// The contents of [`super::CHECK`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::codec) struct Check {
    values: Option<Vec<Value>>,
    ge: Option<Number>,
    gt: Option<Number>,
    le: Option<Number>,
    lt: Option<Number>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    /// Text must be a UUID.
    uuid: bool,
    /// JSON text must be an `object` or an `array`.
    json: Option<Kind>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Object,
    Array,
}

impl Check {
    /// What `field` allows, if it says so.
    pub(in crate::codec) fn of(field: &Field) -> Result<Option<Box<Self>>> {
        let Some(text) = field.metadata().get(super::CHECK) else { return Ok(None) };
        serde_json::from_str(text).map(|check| Some(Box::new(check))).map_err(|e| {
            Error::Config(format!("field `{}`: metadata {}: {e}", field.name(), super::CHECK))
        })
    }

    /// Is this text allowed? `Err` names what would be.
    pub(in crate::codec) fn text(&self, text: &[u8]) -> Result<(), String> {
        if let Some(values) = &self.values
            && !values.iter().any(|v| v.as_str().is_some_and(|v| v.as_bytes() == text))
        {
            let found = super::shorten(text);
            return Err(format!("expected one of {}, found {found:?}", self.listed()));
        }
        if self.uuid && !is_uuid(text) {
            let found = super::shorten(text);
            return Err(format!("expected a UUID, found {found:?}"));
        }
        // Only bytes that start a character count.
        self.length(|| text.iter().filter(|&&b| b & 0xC0 != 0x80).count(), "characters")
    }

    /// Is this integer allowed?
    pub(in crate::codec) fn integer(&self, value: i64) -> Result<(), String> {
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
    pub(in crate::codec) fn float(&self, value: f64) -> Result<(), String> {
        self.bounds(&value, |bound| value.partial_cmp(&bound.as_f64()?))
    }

    /// Is this decimal allowed, which is `value / 10^scale`?
    pub(in crate::codec) fn decimal(&self, value: i128, scale: i8) -> Result<(), String> {
        let float = value as f64 / 10f64.powi(scale.into());
        self.bounds(&float, |bound| {
            match super::number::decimal(bound.to_string().as_bytes(), scale.into(), 38) {
                Ok(bound) => Some(value.cmp(&bound)),
                Err(_) => float.partial_cmp(&bound.as_f64()?),
            }
        })
    }

    /// Is JSON text that starts with `first` allowed?
    pub(in crate::codec) fn json(&self, first: u8) -> Result<(), String> {
        match self.json {
            Some(Kind::Object) if first != b'{' => Err("expected an object".into()),
            Some(Kind::Array) if first != b'[' => Err("expected an array".into()),
            _ => Ok(()),
        }
    }

    /// Is a list of `count` items allowed?
    pub(in crate::codec) fn items(&self, count: usize) -> Result<(), String> {
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

/// 32 hexadecimal digits, with the four dashes or without.
fn is_uuid(text: &[u8]) -> bool {
    let dashes = [8, 13, 18, 23];
    match text.len() {
        32 => text.iter().all(u8::is_ascii_hexdigit),
        36 => text.iter().enumerate().all(|(i, b)| match dashes.contains(&i) {
            true => *b == b'-',
            false => b.is_ascii_hexdigit(),
        }),
        _ => false,
    }
}
