//! Python values of a handler's state to bytes, and back.
//!
//! Text, numbers, bytes, truth values and None have a form of their own; lists and dicts are JSON or
//! `MessagePack`. Whatever has no form is refused, with the path to it.

use super::{decode, encode};
use crate::{
    config::StateFormat,
    state::value::{Kind, Value},
};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use rmp::{Marker, decode as unpack, encode as pack};

/// Deeper values are refused; they would exhaust the stack here or in a reader.
const MAX_DEPTH: usize = 64;

/// A value without a form: what it is, and the way to it, from the inside.
struct NoForm {
    path: Vec<String>,
    what: String,
}

type Written = Result<(), NoForm>;

/// Kind and payload of `value`; `name` is what a message calls it, as `state.put("k")`.
pub(super) fn write(
    value: &Bound<'_, PyAny>,
    format: StateFormat,
    name: impl Fn() -> String,
) -> PyResult<(Kind, Vec<u8>)> {
    if value.is_none() {
        return Ok((Kind::Null, Vec::new()));
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Ok((Kind::Text, encode::utf8(text)?.as_bytes().to_vec()));
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok((if flag.is_true() { Kind::True } else { Kind::False }, Vec::new()));
    }
    if let Ok(number) = value.cast_exact::<PyInt>()
        && let Ok(small) = number.extract::<i64>()
    {
        return Ok((Kind::Int, small.to_le_bytes().to_vec()));
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return Ok((Kind::Float, number.value().to_le_bytes().to_vec()));
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return Ok((Kind::Bytes, bytes.as_bytes().to_vec()));
    }
    let mut out = Vec::with_capacity(64);
    let (kind, written) = match format {
        StateFormat::Json => (Kind::Json, write_json(value, &mut out, 0)),
        StateFormat::Msgpack => (Kind::Msgpack, write_msgpack(value, &mut out, 0)),
    };
    written.map_err(|NoForm { path, what }| {
        let path: String = path.into_iter().rev().collect();
        PyTypeError::new_err(format!("{}: the value{path} is {what}", name()))
    })?;
    Ok((kind, out))
}

/// The object of a stored value.
pub(super) fn read<'py>(py: Python<'py>, stored: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let value = Value::read(stored)?;
    let damaged = || -> PyErr {
        crate::error::Error::State("a value of the state is damaged: it is not what was put".into())
            .into()
    };
    Ok(match value.kind {
        Kind::Null => py.None().into_bound(py),
        Kind::False => PyBool::new(py, false).to_owned().into_any(),
        Kind::True => PyBool::new(py, true).to_owned().into_any(),
        Kind::Int => value.int().ok_or_else(damaged)?.into_pyobject(py)?.into_any(),
        Kind::Float => value.float().ok_or_else(damaged)?.into_pyobject(py)?.into_any(),
        Kind::Text => {
            let text = std::str::from_utf8(value.payload).map_err(|_| damaged())?;
            PyString::new(py, text).into_any()
        }
        Kind::Bytes => PyBytes::new(py, value.payload).into_any(),
        Kind::Json => decode::json(py, value.payload).map_err(|_| damaged())?,
        Kind::Msgpack => {
            let mut from = value.payload;
            let object = read_msgpack(py, &mut from, 0)?.ok_or_else(damaged)?;
            if from.is_empty() { object } else { return Err(damaged()) }
        }
    })
}

fn no_form(what: impl Into<String>) -> NoForm {
    NoForm { path: Vec::new(), what: what.into() }
}

fn other(value: &Bound<'_, PyAny>, format: &str) -> NoForm {
    let kind = value.get_type().name().map_or_else(|_| "an object".into(), |name| name.to_string());
    let is_model = value.hasattr("__pydantic_serializer__").unwrap_or(false);
    let hint = if is_model {
        format!("read and write it with state.typed({kind})")
    } else {
        "put text, numbers, None, lists, tuples and dicts, or bytes with put_bytes".to_owned()
    };
    no_form(format!("of type {kind}, which has no form in {format}: {hint}"))
}

fn too_deep() -> NoForm {
    no_form(format!("nested more than {MAX_DEPTH} levels deep, or contains itself"))
}

/// Adds where an inner value was.
fn inside(written: Written, step: impl FnOnce() -> String) -> Written {
    written.map_err(|mut refused| {
        refused.path.push(step());
        refused
    })
}

fn name_of<'a>(key: &'a Bound<'_, PyAny>) -> Result<&'a str, NoForm> {
    let text = key.cast::<PyString>().map_err(|_| {
        let kind = key.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
        no_form(format!("a dict with a key of type {kind}: write its keys as text"))
    })?;
    encode::utf8(text).map_err(|_| no_form("a dict with a key that has no UTF-8"))
}

fn text_of<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str, NoForm> {
    encode::utf8(text).map_err(|_| no_form("text with half a surrogate pair, which has no UTF-8"))
}

fn write_json(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize) -> Written {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        encode::write_text(text_of(text)?, out);
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if flag.is_true() { b"true" } else { b"false" });
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        encode::write_int(number, out).map_err(|e| no_form(e.to_string()))?;
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        if !number.value().is_finite() {
            return Err(no_form(format!(
                "{}, which JSON has no form for: write state_format=\"msgpack\"",
                number.value()
            )));
        }
        encode::write_float(number.value(), out);
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        out.push(b'{');
        for (at, (key, inner)) in dict.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let name = name_of(&key)?;
            encode::write_text(name, out);
            out.push(b':');
            inside(write_json(&inner, out, depth + 1), || format!("[{name:?}]"))?;
        }
        out.push(b'}');
    } else if value.cast_exact::<PyList>().is_ok() || value.cast_exact::<PyTuple>().is_ok() {
        out.push(b'[');
        for (at, inner) in items(value)?.enumerate() {
            if at > 0 {
                out.push(b',');
            }
            inside(write_json(&inner, out, depth + 1), || format!("[{at}]"))?;
        }
        out.push(b']');
    } else if value.cast_exact::<PyBytes>().is_ok() {
        return Err(no_form(
            "bytes, which JSON has no form for: write state_format=\"msgpack\", or put them alone",
        ));
    } else {
        return Err(other(value, "JSON"));
    }
    Ok(())
}

fn items<'py>(
    value: &Bound<'py, PyAny>,
) -> Result<impl Iterator<Item = Bound<'py, PyAny>>, NoForm> {
    let all: PyResult<Vec<_>> = value.try_iter().and_then(Iterator::collect);
    Ok(all.map_err(|e| no_form(e.to_string()))?.into_iter())
}

fn length(count: usize) -> Result<u32, NoForm> {
    u32::try_from(count).map_err(|_| no_form("too long for MessagePack"))
}

fn write_msgpack(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize) -> Written {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    // A vector takes whatever is written to it.
    let done = if let Ok(text) = value.cast_exact::<PyString>() {
        pack::write_str(out, text_of(text)?).is_ok()
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        pack::write_bool(out, flag.is_true()).is_ok()
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        match (number.extract::<i64>(), number.extract::<u64>()) {
            (Ok(number), _) => pack::write_sint(out, number).is_ok(),
            (_, Ok(number)) => pack::write_uint(out, number).is_ok(),
            _ => return Err(no_form(format!("{number}, which does not fit 64 bits"))),
        }
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        pack::write_f64(out, number.value()).is_ok()
    } else if value.is_none() {
        pack::write_nil(out).is_ok()
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        pack::write_bin(out, bytes.as_bytes()).is_ok()
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let began = pack::write_map_len(out, length(dict.len())?).is_ok();
        for (key, inner) in dict.iter() {
            let name = name_of(&key)?;
            let _ = pack::write_str(out, name);
            inside(write_msgpack(&inner, out, depth + 1), || format!("[{name:?}]"))?;
        }
        began
    } else if value.cast_exact::<PyList>().is_ok() || value.cast_exact::<PyTuple>().is_ok() {
        let count = value.len().map_err(|e| no_form(e.to_string()))?;
        let began = pack::write_array_len(out, length(count)?).is_ok();
        for (at, inner) in items(value)?.enumerate() {
            inside(write_msgpack(&inner, out, depth + 1), || format!("[{at}]"))?;
        }
        began
    } else {
        return Err(other(value, "MessagePack"));
    };
    if done { Ok(()) } else { Err(no_form("too long for MessagePack")) }
}

/// One value; none for bytes that are no value.
fn read_msgpack<'py>(
    py: Python<'py>,
    from: &mut &[u8],
    depth: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(&first) = from.first().filter(|_| depth <= MAX_DEPTH + 1) else { return Ok(None) };
    Ok(match Marker::from_u8(first) {
        Marker::Null => unpack::read_nil(from).ok().map(|()| py.None().into_bound(py)),
        Marker::True | Marker::False => {
            unpack::read_bool(from).ok().map(|flag| PyBool::new(py, flag).to_owned().into_any())
        }
        Marker::F64 => match unpack::read_f64(from) {
            Ok(number) => Some(number.into_pyobject(py)?.into_any()),
            Err(_) => None,
        },
        Marker::U64 => match unpack::read_u64(from) {
            Ok(number) => Some(number.into_pyobject(py)?.into_any()),
            Err(_) => None,
        },
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let bytes = unpack::read_str_len(from).ok().and_then(|length| take(from, length));
            let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
            text.map(|text| PyString::new(py, text).into_any())
        }
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            let bytes = unpack::read_bin_len(from).ok().and_then(|length| take(from, length));
            bytes.map(|bytes| PyBytes::new(py, bytes).into_any())
        }
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            let Ok(count) = unpack::read_array_len(from) else { return Ok(None) };
            let list = PyList::empty(py);
            for _ in 0..count {
                let Some(inner) = read_msgpack(py, from, depth + 1)? else { return Ok(None) };
                list.append(inner)?;
            }
            Some(list.into_any())
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            let Ok(count) = unpack::read_map_len(from) else { return Ok(None) };
            let dict = PyDict::new(py);
            for _ in 0..count {
                let Some(name) = read_msgpack(py, from, depth + 1)? else { return Ok(None) };
                let Some(inner) = read_msgpack(py, from, depth + 1)? else { return Ok(None) };
                dict.set_item(name, inner)?;
            }
            Some(dict.into_any())
        }
        _ => match unpack::read_int::<i64, _>(from) {
            Ok(number) => Some(number.into_pyobject(py)?.into_any()),
            Err(_) => None,
        },
    })
}

fn take<'a>(from: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length as usize)?;
    *from = rest;
    Some(taken)
}
