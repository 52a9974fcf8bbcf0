//! JSON objects as dicts, with the names of the objects before.
//!
//! Objects of a topic have the same names in the same order as a rule, so that a dict is a copy of one with these
//! names, into which the values are put. One that has other names is made anew.

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
    mould: Option<Mould>,
    misses: u32,
}

/// The last object, without its values: a copy of it needs no table that grows with the names.
struct Mould {
    dict: Py<PyDict>,
    /// Numbers of its names in their order.
    numbers: Vec<usize>,
}

/// Objects that did not fit the mould, after which there is none any more.
const MOST_MISSES: u32 = 16;

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
        if let Some(mould) = self.mould.take() {
            let dict = mould.dict.bind(py).copy().ok()?;
            let mut fits = mould.numbers.iter();
            let is_next = |number| fits.next() == Some(&number);
            if self.fill(&dict, text, is_next).is_some() && fits.next().is_none() {
                self.mould = Some(mould);
                return Some(dict);
            }
            self.misses += 1;
        }
        let (dict, mut numbers) = (PyDict::new(py), Vec::new());
        self.fill(&dict, text, |number| {
            numbers.push(number);
            true
        })?;
        if self.misses < MOST_MISSES {
            self.mould = Mould::new(&dict, numbers);
        }
        Some(dict)
    }

    /// Puts the members of an object into `dict`; none if somebody else has to read it, or `is_wanted` says so of the
    /// number of a name.
    fn fill(
        &mut self,
        dict: &Bound<'_, PyDict>,
        text: &[u8],
        mut is_wanted: impl FnMut(usize) -> bool,
    ) -> Option<()> {
        let (py, names) = (dict.py(), &mut self.names);
        self.members.read(text, |name, value| {
            if !is_wanted(name.number) {
                return None;
            }
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
        })
    }
}

impl Mould {
    /// Of an object with the names `numbers`; none if Python says no.
    fn new(like: &Bound<'_, PyDict>, numbers: Vec<usize>) -> Option<Self> {
        let py = like.py();
        let dict = PyDict::new(py);
        like.keys().iter().try_for_each(|name| dict.set_item(name, py.None())).ok()?;
        Some(Self { dict: dict.unbind(), numbers })
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
