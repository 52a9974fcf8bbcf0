//! Keys and values of an agent's rows to Python objects.

use super::members::Dicts;
use jiter::{FloatMode, PartialMode, PythonParse, StringCacheMode};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyString},
};

/// JSON as Python's own reader gives it, but strict: no NaN, one value, at most 200 levels.
const PARSE: PythonParse = PythonParse {
    allow_inf_nan: false,
    cache_mode: StringCacheMode::Keys,
    partial_mode: PartialMode::Off,
    catch_duplicate_keys: false,
    float_mode: FloatMode::Float,
};

/// How bytes become a Python object.
pub(super) enum Decode {
    Raw,
    Str,
    Int,
    Json(Dicts),
    /// pydantic's `SchemaValidator`.
    Validator(Py<PyAny>),
}

impl Decode {
    /// From what `Worker.set_decoder` was given.
    pub(super) fn new(how: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Ok(name) = how.cast::<PyString>() else {
            return Ok(Self::Validator(how.clone().unbind()));
        };
        match name.to_str()? {
            "raw" => Ok(Self::Raw),
            "str" => Ok(Self::Str),
            "int" => Ok(Self::Int),
            "json" => Ok(Self::Json(Dicts::default())),
            other => Err(pyo3::exceptions::PyValueError::new_err(format!("no decoder {other}"))),
        }
    }

    /// The object, or what is wrong with the bytes.
    pub(super) fn decode<'py>(
        &self,
        py: Python<'py>,
        bytes: Option<&[u8]>,
    ) -> Result<Bound<'py, PyAny>, String> {
        let Some(bytes) = bytes else { return Ok(py.None().into_bound(py)) };
        let text = || std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 text: {e}"));
        match self {
            Self::Raw => Ok(PyBytes::new(py, bytes).into_any()),
            Self::Str => Ok(PyString::new(py, text()?).into_any()),
            Self::Int => int(py, text()?),
            Self::Json(dicts) => dicts.value(py, bytes),
            Self::Validator(validator) => validator
                .bind(py)
                .call_method1(intern!(py, "validate_json"), (PyBytes::new(py, bytes),))
                .map_err(|e| explain(e.value(py).as_any())),
        }
    }
}

/// What pydantic found, in one line: field, then message, for each finding.
fn explain(error: &Bound<'_, PyAny>) -> String {
    let findings = || -> PyResult<String> {
        let mut out = Vec::new();
        for finding in error.call_method0(intern!(error.py(), "errors"))?.try_iter()? {
            let finding = finding?;
            let mut path = Vec::new();
            for part in finding.get_item("loc")?.try_iter()? {
                path.push(part?.str()?.to_string());
            }
            let message: String = finding.get_item("msg")?.extract()?;
            out.push(if path.is_empty() {
                message
            } else {
                format!("{}: {message}", path.join("."))
            });
        }
        Ok(out.join("; "))
    };
    findings().unwrap_or_else(|_| error.to_string())
}

fn int<'py>(py: Python<'py>, text: &str) -> Result<Bound<'py, PyAny>, String> {
    if let Ok(small) = text.trim().parse::<i64>() {
        return Ok(small.into_pyobject(py).map_or_else(|e| match e {}, Bound::into_any));
    }
    py.get_type::<pyo3::types::PyInt>().call1((text,)).map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        format!("not a whole number: {shown:?}")
    })
}

/// The object of JSON text, or what is wrong with it.
pub(super) fn json<'py>(py: Python<'py>, text: &[u8]) -> Result<Bound<'py, PyAny>, String> {
    PARSE.python_parse(py, text).map_err(|e| e.description(text))
}
