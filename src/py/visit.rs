//! A turn of a partition without a record, for Python.

use super::table::Turn;
use crate::task::cut;
use parking_lot::Mutex;
use pyo3::prelude::*;
use std::sync::Arc;

/// What is written and sent with its turn is committed together, at the offset that the partition is at.
#[pyclass(frozen, module = "turbine._native")]
pub struct Visit(Mutex<Option<cut::Visit>>, Turn);

impl Visit {
    pub(super) fn new(visit: cut::Visit) -> Self {
        let turn = Turn { task: Arc::clone(visit.task()), cut: visit.cut() };
        Self(Mutex::new(Some(visit)), turn)
    }
}

#[pymethods]
impl Visit {
    #[getter]
    fn turn(&self) -> Turn {
        Turn { task: Arc::clone(&self.1.task), cut: self.1.cut }
    }

    /// Ends it; idempotent.
    fn end(&self) {
        self.0.lock().take();
    }

    /// Ends it, and stops the partition: nothing of it is committed.
    #[pyo3(signature = (message, /))]
    fn fail(&self, message: &str) {
        let visit = self.0.lock().take();
        self.1.task.status.fail(message);
        drop(visit);
    }
}
