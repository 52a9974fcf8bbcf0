//! JSON objects as dicts, with the names of the objects before.

use super::decode::json;
use crate::codec::json::members::{Members, Name, Value};
use parking_lot::Mutex;
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

/// Makes dicts of the objects of one topic: the dicts that jiter makes, in two thirds of the time where their
/// names are the same.
#[derive(Default)]
pub(super) struct Dicts(Mutex<Made>);

#[derive(Default)]
struct Made {
    members: Members,
    /// By their numbers.
    names: Vec<Py<PyString>>,
}

impl Dicts {
    /// The object of JSON text, or what is wrong with it.
    pub(super) fn value<'py>(
        &self,
        py: Python<'py>,
        text: &[u8],
    ) -> Result<Bound<'py, PyAny>, String> {
        // Whoever waited here would keep its interpreter from pausing, and the other one may wait for that.
        let quick = self.0.try_lock().and_then(|mut made| made.object(py, text));
        quick.map_or_else(|| json(py, text), |dict| Ok(dict.into_any()))
    }
}

impl Made {
    fn object<'py>(&mut self, py: Python<'py>, text: &[u8]) -> Option<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let names = &mut self.names;
        self.members.read(text, |name, value| {
            let name = known(py, names, name);
            let added = match value {
                Value::Null => dict.set_item(name, py.None()),
                Value::Bool(value) => dict.set_item(name, value),
                Value::Int(value) => dict.set_item(name, value),
                Value::Float(value) => dict.set_item(name, value),
                Value::Text(value) => dict.set_item(name, PyString::new(py, value)),
                Value::Json(text) => dict.set_item(name, json(py, text).ok()?),
            };
            added.ok()
        })?;
        Some(dict)
    }
}

/// The name as it was made before.
#[inline]
fn known<'a, 'py>(
    py: Python<'py>,
    names: &'a mut Vec<Py<PyString>>,
    name: Name<'_>,
) -> &'a Bound<'py, PyString> {
    if name.number == names.len() {
        names.push(PyString::intern(py, name.text).unbind());
    }
    names[name.number].bind(py)
}
