//! A clock that a test moves, for Python.

use crate::{clock, error::Error};
use pyo3::prelude::*;
use std::time::Duration;

/// Time that stands still until it is advanced.
#[pyclass(frozen, module = "turbine._native")]
pub struct Clock(clock::Clock);

impl Clock {
    /// The clock of the core that tells the same time; that of this machine without one.
    pub(super) fn or_system(clock: Option<&Bound<'_, Self>>) -> clock::Clock {
        clock.map_or_else(clock::Clock::system, |clock| clock.get().0.clone())
    }
}

#[pymethods]
impl Clock {
    #[new]
    #[pyo3(signature = (start = 0.0))]
    fn new(start: f64) -> PyResult<Self> {
        let start_ms = duration(start, "start")?.as_millis();
        Ok(Self(clock::Clock::standing_at(i64::try_from(start_ms).unwrap_or(i64::MAX))))
    }

    /// Lets time pass; what is due then becomes due at once.
    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let by = duration(seconds, "seconds")?;
        py.detach(|| self.0.advance(by));
        Ok(())
    }

    /// Seconds since the Unix epoch.
    #[expect(clippy::cast_precision_loss, reason = "ms of some 10,000 years are exact")]
    fn now(&self) -> f64 {
        self.0.now_ms() as f64 / 1000.0
    }

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    fn __repr__(&self) -> String {
        format!("<Clock at {} ms>", self.0.now_ms())
    }
}

fn duration(seconds: f64, what: &str) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Error::Config(format!(
            "{what} is {seconds}: give seconds, 0 or more; time does not go back"
        ))
    })
}
