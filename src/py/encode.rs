//! Python values to bytes.
//!
//! What JSON knows is written here; a model, and whatever else pydantic knows (dates, decimals, sets),
//! is written by pydantic.

use super::error::EncodeError;
use pyo3::{
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use std::borrow::Cow;

/// Deeper values are refused; they would exhaust the stack here or in a reader.
const MAX_DEPTH: usize = 64;

/// Bytes of a key or value as they go to Kafka; `None` for None.
pub(super) fn to_bytes<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Option<Cow<'a, [u8]>>> {
    if value.is_none() {
        return Ok(None);
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Some(Cow::Borrowed(bytes.as_bytes())));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Some(Cow::Borrowed(utf8(text)?.as_bytes())));
    }
    let mut out = Vec::with_capacity(128);
    write(value, &mut out, 0)?;
    Ok(Some(Cow::Owned(out)))
}

/// JSON of a Python value, as `Producer.send` writes it.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(super) fn encode_json<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Vec::with_capacity(128);
    write(value, &mut out, 0)?;
    Ok(PyBytes::new(value.py(), &out))
}

/// Appends JSON of a Python value.
pub(super) fn write_json(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    write(value, out, 0)
}

/// Partition that Kafka's standard partitioner chooses.
#[pyfunction]
#[pyo3(signature = (key, partitions, /))]
pub(super) fn partition_for(key: &[u8], partitions: u32) -> PyResult<u32> {
    if partitions == 0 {
        return Err(pyo3::exceptions::PyValueError::new_err("a topic has at least one partition"));
    }
    Ok(crate::types::murmur2(key) % partitions)
}

pub(super) fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str().map_err(|_| EncodeError::new_err("text with half a surrogate pair has no UTF-8"))
}

fn write(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize) -> PyResult<()> {
    if depth > MAX_DEPTH {
        return Err(EncodeError::new_err(format!(
            "the value is nested more than {MAX_DEPTH} levels deep, or contains itself"
        )));
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        write_text(utf8(text)?, out);
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        write_int(number, out)?;
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        write_float(number.value(), out);
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        write_dict(dict, out, depth)?;
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if flag.is_true() { b"true" } else { b"false" });
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        write_items(list.iter(), out, depth)?;
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        write_items(tuple.iter(), out, depth)?;
    } else {
        write_other(value, out)?;
    }
    Ok(())
}

fn write_dict(dict: &Bound<'_, PyDict>, out: &mut Vec<u8>, depth: usize) -> PyResult<()> {
    out.push(b'{');
    for (i, (key, value)) in dict.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if let Ok(text) = key.cast::<PyString>() {
            write_text(utf8(text)?, out);
        } else if let Ok(number) = key.cast_exact::<PyInt>() {
            out.push(b'"');
            write_int(number, out)?;
            out.push(b'"');
        } else {
            return Err(EncodeError::new_err(format!(
                "a JSON object needs text as its names, not {}: {key}",
                key.get_type().name()?
            )));
        }
        out.push(b':');
        write(&value, out, depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    out: &mut Vec<u8>,
    depth: usize,
) -> PyResult<()> {
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(&item, out, depth + 1)?;
    }
    out.push(b']');
    Ok(())
}

pub(super) fn write_int(number: &Bound<'_, PyInt>, out: &mut Vec<u8>) -> PyResult<()> {
    match number.extract::<i64>() {
        Ok(small) => out.extend_from_slice(itoa::Buffer::new().format(small).as_bytes()),
        Err(_) => out.extend_from_slice(number.str()?.to_str()?.as_bytes()),
    }
    Ok(())
}

pub(super) fn write_float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        // JSON has no NaN and no infinity; pydantic writes null too.
        out.extend_from_slice(b"null");
    }
}

fn write_other(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let py = value.py();
    let json = if let Ok(serializer) = value.getattr(intern!(py, "__pydantic_serializer__")) {
        serializer.call_method1(intern!(py, "to_json"), (value,))
    } else {
        py.import(intern!(py, "pydantic_core"))?.call_method1(intern!(py, "to_json"), (value,))
    };
    let json = json.map_err(|error| {
        let kind = value.get_type().name().map_or_else(|_| "value".into(), |n| n.to_string());
        EncodeError::new_err(format!("{kind} has no JSON form: {}", error.value(py)))
    })?;
    out.extend_from_slice(json.cast::<PyBytes>()?.as_bytes());
    Ok(())
}

/// Bytes that JSON text must escape.
const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    if bytes.iter().any(|&b| needs_escape(b)) {
        for &byte in bytes {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                ..0x20 => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\u00");
                    out.push(HEX[usize::from(byte >> 4)]);
                    out.push(HEX[usize::from(byte & 15)]);
                }
                _ => out.push(byte),
            }
        }
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}
