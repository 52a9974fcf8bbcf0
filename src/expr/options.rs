//! Options of a function: what is no expression, as a format or a unit.

use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// The options of one call.
pub(super) struct Options<'a> {
    function: &'a str,
    values: &'a Map<String, Value>,
}

impl<'a> Options<'a> {
    pub(super) fn new(function: &'a str, values: &'a Map<String, Value>) -> Self {
        Self { function, values }
    }

    fn given(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.given(name)
            .map(|value| value.as_str().ok_or_else(|| self.wrong(name, value, "text")))
            .transpose()
    }

    pub(super) fn needed(&self, name: &str) -> Result<&'a str> {
        self.text(name)?
            .ok_or_else(|| Error::Declaration(format!("{} needs {name}=", self.function)))
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>> {
        self.given(name)
            .map(|value| value.as_i64().ok_or_else(|| self.wrong(name, value, "an integer")))
            .transpose()
    }

    fn wrong(&self, name: &str, value: &Value, wanted: &str) -> Error {
        Error::Declaration(format!("{}: {name}={value} is not {wanted}", self.function))
    }
}
