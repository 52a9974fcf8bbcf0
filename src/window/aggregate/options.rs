//! Reading the further parameters of an aggregate: each once, of the right type, none unknown.

use super::AggregateSpec;
use super::each::Refused;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The parameters that have not been read yet.
pub(super) struct Options {
    left: Map<String, Value>,
}

impl Options {
    /// All parameters of a specification.
    pub(super) fn of(spec: &AggregateSpec) -> Self {
        Self { left: spec.options.clone() }
    }

    /// The parameter `name`; none if it is not given or null.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refused> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                serde_json::from_value(value.clone()).map_err(|e| format!("{name}={value}: {e}"))
            }
        }
    }

    /// The parameter `name`, which must be there.
    pub(super) fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Refused> {
        self.take(name)?.ok_or_else(|| format!("it needs {name}=..."))
    }

    /// Refuses parameters that nobody has read.
    pub(super) fn done(self) -> Result<(), Refused> {
        match self.left.keys().next() {
            Some(name) => Err(format!("it has no parameter {name}")),
            None => Ok(()),
        }
    }
}
