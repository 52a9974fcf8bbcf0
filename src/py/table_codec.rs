//! Keys and values of a table to bytes and back: what is stored is what the changelog has.

use super::{
    decode::{self, Decode},
    encode::write_json,
    error::{DecodeError, EncodeError},
};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use std::borrow::Cow;

/// Deeper values are refused; they would exhaust the stack.
const MAX_DEPTH: usize = 64;

/// How one side of a table becomes bytes.
enum Form {
    Raw,
    Text,
    Int,
    Float,
    Bool,
    Json,
    /// pydantic's validator and serializer of a type.
    Typed {
        validator: Py<PyAny>,
        serializer: Py<PyAny>,
    },
}

/// Keys and values of one table.
#[pyclass(frozen, module = "turbine._native")]
pub struct TableCodec {
    /// As `table counts`, for messages.
    name: String,
    key: Form,
    value: Form,
}

impl Form {
    fn new(how: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok((validator, serializer)) = how.extract() {
            return Ok(Self::Typed { validator, serializer });
        }
        Ok(match how.extract::<&str>()? {
            "raw" => Self::Raw,
            "str" => Self::Text,
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "json" => Self::Json,
            other => {
                return Err(pyo3::exceptions::PyValueError::new_err(format!("no form {other}")));
            }
        })
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Raw => "bytes",
            Self::Text => "str",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Json | Self::Typed { .. } => "JSON",
        }
    }

    /// The bytes, or what is wrong.
    fn encode<'a>(&self, object: &'a Bound<'_, PyAny>) -> Result<Cow<'a, [u8]>, String> {
        let wrong = || Err(format!("it holds {}, not {}", self.word(), describe(object)));
        match self {
            Self::Raw => match object.cast::<PyBytes>() {
                Ok(bytes) => Ok(Cow::Borrowed(bytes.as_bytes())),
                Err(_) => wrong(),
            },
            Self::Text => match object.cast::<PyString>() {
                Ok(text) => text.to_str().map(|text| Cow::Borrowed(text.as_bytes())).map_err(half),
                Err(_) => wrong(),
            },
            Self::Int => match object.cast::<PyInt>() {
                Ok(number) => int(number).map_err(|e| e.to_string()),
                Err(_) => wrong(),
            },
            Self::Float if object.is_instance_of::<PyFloat>() || is_int(object) => object
                .extract::<f64>()
                .map(|number| Cow::Owned(float(number)))
                .map_err(|e| e.to_string()),
            Self::Float => wrong(),
            Self::Bool => match object.cast::<PyBool>() {
                Ok(flag) => Ok(Cow::Borrowed(if flag.is_true() { b"true" } else { b"false" })),
                Err(_) => wrong(),
            },
            Self::Json => json(object),
            Self::Typed { validator, serializer } => typed(object, validator, serializer),
        }
    }

    fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Result<Bound<'py, PyAny>, String> {
        let text = || std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 text: {e}"));
        match self {
            Self::Raw => Decode::Raw.decode(py, Some(bytes)),
            Self::Text => Decode::Str.decode(py, Some(bytes)),
            Self::Int => Decode::Int.decode(py, Some(bytes)),
            Self::Float => {
                let text = text()?;
                let number: f64 = text.parse().map_err(|_| format!("not a number: {text:?}"))?;
                Ok(PyFloat::new(py, number).into_any())
            }
            Self::Bool | Self::Json => decode::json(py, bytes),
            Self::Typed { validator, .. } => {
                Decode::Validator(validator.clone_ref(py)).decode(py, Some(bytes))
            }
        }
    }
}

impl TableCodec {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn key_bytes<'a>(&self, key: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
        if key.is_none() {
            return Err(self.refuse("key", "None is not a key"));
        }
        self.key.encode(key).map_err(|why| self.refuse("key", &why))
    }

    pub(super) fn value_bytes<'a>(&self, value: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
        self.value.encode(value).map_err(|why| self.refuse("value", &why))
    }

    fn refuse(&self, side: &str, why: &str) -> PyErr {
        EncodeError::new_err(format!(
            "table {}: the {side} cannot be stored: {why}. Declare the table with another {side}_type, or convert the {side}",
            self.name
        ))
    }

    pub(super) fn key_object<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let key = self.key.decode(py, bytes).map_err(|why| self.damaged("key", bytes, &why))?;
        hashable(key)
    }

    pub(super) fn value_object<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        self.value.decode(py, bytes).map_err(|why| self.damaged("value", bytes, &why))
    }

    fn damaged(&self, side: &str, bytes: &[u8], why: &str) -> PyErr {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        DecodeError::new_err(format!(
            "table {}: a stored {side} is not of its {side}_type: {why}: {shown:?}. It was written with another declaration: give the table its old types, or another name",
            self.name
        ))
    }
}

#[pymethods]
impl TableCodec {
    #[new]
    #[pyo3(signature = (name, key, value, /))]
    fn new(name: String, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { name, key: Form::new(key)?, value: Form::new(value)? })
    }

    #[pyo3(signature = (key, /))]
    fn encode_key<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(key.py(), &self.key_bytes(key)?))
    }

    #[pyo3(signature = (value, /))]
    fn encode_value<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(value.py(), &self.value_bytes(value)?))
    }

    #[pyo3(signature = (data, /))]
    fn decode_key<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        self.key_object(py, data)
    }

    #[pyo3(signature = (data, /))]
    fn decode_value<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        self.value_object(py, data)
    }
}

/// Lists, as JSON gives them, are tuples in keys.
fn hashable(key: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let Ok(list) = key.cast::<PyList>() else { return Ok(key) };
    let items = list.iter().map(hashable).collect::<PyResult<Vec<_>>>()?;
    Ok(PyTuple::new(key.py(), items)?.into_any())
}

fn is_int(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyInt>()
}

fn describe(object: &Bound<'_, PyAny>) -> String {
    let kind = object.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
    let shown = object.repr().map_or_else(|_| String::new(), |text| text.to_string());
    let short: String = shown.chars().take(40).collect();
    format!("{kind} ({short})")
}

fn half(_: PyErr) -> String {
    "text with half a surrogate pair has no UTF-8".into()
}

fn int<'a>(number: &Bound<'_, PyInt>) -> PyResult<Cow<'a, [u8]>> {
    Ok(Cow::Owned(match number.extract::<i64>() {
        Ok(small) => itoa::Buffer::new().format(small).as_bytes().to_vec(),
        Err(_) => number.str()?.to_str()?.as_bytes().to_vec(),
    }))
}

fn float(number: f64) -> Vec<u8> {
    if number.is_finite() {
        zmij::Buffer::new().format_finite(number).as_bytes().to_vec()
    } else {
        number.to_string().into_bytes()
    }
}

fn json<'a>(object: &Bound<'_, PyAny>) -> Result<Cow<'a, [u8]>, String> {
    check_json(object, 0)?;
    let mut out = Vec::with_capacity(64);
    write_json(object, &mut out).map_err(|e| e.value(object.py()).to_string())?;
    Ok(Cow::Owned(out))
}

/// Refuses what would not come back as it is.
fn check_json(object: &Bound<'_, PyAny>, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("it is nested more than {MAX_DEPTH} levels deep, or contains itself"));
    }
    if let Ok(number) = object.cast_exact::<PyFloat>() {
        let finite = number.value().is_finite();
        return if finite { Ok(()) } else { Err(format!("JSON has no {}", number.value())) };
    }
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        return dict.iter().try_for_each(|(name, item)| {
            if !name.is_exact_instance_of::<PyString>() {
                return Err(format!("names in a dict are str there, not {}", describe(&name)));
            }
            check_json(&item, depth + 1)
        });
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return list.iter().try_for_each(|item| check_json(&item, depth + 1));
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        return tuple.iter().try_for_each(|item| check_json(&item, depth + 1));
    }
    let is_plain = object.is_none()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyBool>();
    if is_plain {
        Ok(())
    } else {
        Err(format!("it holds what JSON can hold, not {}", describe(object)))
    }
}

fn typed<'a>(
    object: &Bound<'_, PyAny>,
    validator: &Py<PyAny>,
    serializer: &Py<PyAny>,
) -> Result<Cow<'a, [u8]>, String> {
    let py = object.py();
    let valid = validator
        .bind(py)
        .call_method1(intern!(py, "validate_python"), (object,))
        .map_err(|e| e.value(py).to_string().replace('\n', "; "))?;
    let bytes = serializer
        .bind(py)
        .call_method1(intern!(py, "to_json"), (valid,))
        .map_err(|e| e.value(py).to_string())?;
    let bytes = bytes.cast::<PyBytes>().map_err(|e| e.to_string())?;
    Ok(Cow::Owned(bytes.as_bytes().to_vec()))
}
