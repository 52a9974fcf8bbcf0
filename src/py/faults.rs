//! Rules for faults, for Python.

use crate::{
    error::{Error, Result},
    faults::{self, Action, Direction, Target},
};
use pyo3::prelude::*;
use std::{sync::Arc, time::Duration};

/// Something that goes wrong on purpose, and how often it did.
#[pyclass(frozen, module = "turbine._native")]
pub struct Fault(pub(super) Arc<faults::Rule>);

#[pymethods]
impl Fault {
    /// The method that made it, as `"fail"`.
    #[getter]
    fn action(&self) -> &'static str {
        self.0.action.name()
    }

    /// Kind of the requests, `"*"` for any.
    #[getter]
    fn api(&self) -> String {
        self.0.target.api.map_or_else(|| "*".to_owned(), faults::api_name)
    }

    /// Topic that a request must name.
    #[getter]
    fn topic(&self) -> Option<&str> {
        self.0.target.topic.as_deref()
    }

    /// `client.id` that the client must have.
    #[getter]
    fn client(&self) -> Option<&str> {
        self.0.target.client.as_deref()
    }

    /// To how many requests it happens; None is all.
    #[getter]
    fn times(&self) -> Option<u64> {
        self.0.times
    }

    /// To how many it has happened.
    #[getter]
    fn hits(&self) -> u64 {
        self.0.hits()
    }

    /// It happens no more, and what it holds goes on.
    fn remove(&self) {
        self.0.remove();
    }

    fn __repr__(&self) -> String {
        format!("<Fault {}>", self.0)
    }
}

/// An error of Kafka, by name or number.
#[derive(FromPyObject)]
pub(super) enum ErrorCode {
    Name(String),
    Number(i16),
}

impl ErrorCode {
    /// Its number.
    pub(super) fn code(&self) -> Result<i16> {
        match self {
            Self::Name(name) => faults::error_by_name(name),
            Self::Number(0) => Err(Error::Config("0 is the code of no error".into())),
            Self::Number(code) => Ok(*code),
        }
    }
}

/// Which requests the caller means, and how many of them.
pub(super) fn target(
    api: &str,
    times: Option<u64>,
    topic: Option<String>,
    client: Option<String>,
) -> Result<Target> {
    if times == Some(0) {
        return Err(Error::Config("times is 0: give how often it happens, or None".into()));
    }
    Target::named(api, topic, client)
}

/// The direction called `name`.
pub(super) fn direction(name: &str) -> Result<Direction> {
    match name {
        "requests" => Ok(Direction::Requests),
        "responses" => Ok(Direction::Responses),
        "both" => Ok(Direction::Both),
        other => Err(Error::Config(format!(
            "direction is {other:?}: give \"requests\", \"responses\" or \"both\""
        ))),
    }
}

/// A wait of `ms`.
pub(super) fn delay(ms: u64, way: Direction) -> Action {
    Action::Delay(Duration::from_millis(ms), way)
}

/// Rules as Python objects.
pub(super) fn listed(rules: &faults::Rules) -> Vec<Fault> {
    rules.all().into_iter().map(Fault).collect()
}
