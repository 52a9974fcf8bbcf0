//! Keys, values and amounts of many rows, as lists or Arrow columns.

use super::encode;
use crate::{
    engine::shard::key_bytes, error::Error, state::value::Kind, task::subscription::state::Amounts,
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{cast, concat},
    datatypes::{DataType, Float64Type, Int64Type},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyFloat, PyInt, PyString},
};
use pyo3_arrow::input::AnyArray;
use std::borrow::Cow;

/// The bytes of a key.
pub(super) fn key<'a>(key: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(text) = key.cast::<PyString>() {
        return Ok(Cow::Borrowed(encode::utf8(text)?.as_bytes()));
    }
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    let kind = key.get_type().name()?;
    Err(PyTypeError::new_err(format!("a key is str or bytes, and not {kind}: write str(key)")))
}

/// An Arrow column; none for something else.
pub(super) fn column(given: &Bound<'_, PyAny>) -> PyResult<Option<ArrayRef>> {
    let py = given.py();
    let is_arrow = given.hasattr(intern!(py, "__arrow_c_array__"))?
        || given.hasattr(intern!(py, "__arrow_c_stream__"))?;
    if !is_arrow {
        return Ok(None);
    }
    let chunks = given.extract::<AnyArray>()?.into_chunked_array()?;
    let (chunks, field) = chunks.into_inner();
    Ok(Some(match chunks.as_slice() {
        [] => arrow::array::new_empty_array(field.data_type()),
        [one] => one.clone(),
        all => {
            let all: Vec<&dyn Array> = all.iter().map(|one| &**one).collect();
            concat(&all).map_err(|e| Error::Declaration(e.to_string()))?
        }
    }))
}

/// Keys of a list or an Arrow column.
pub(super) fn keys(given: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    let Some(column) = column(given)? else {
        if given.cast::<PyString>().is_ok() || given.cast::<PyBytes>().is_ok() {
            return Err(PyTypeError::new_err("keys are a list of them, and not one: write [key]"));
        }
        return given.try_iter()?.map(|one| Ok(key(&one?)?.into_owned())).collect();
    };
    let column = key_bytes(&column, "a key")?;
    let keys = column.as_binary::<i32>().iter().enumerate();
    keys.map(|(row, key)| {
        let missing = || PyValueError::new_err(format!("key {row} of the column is null"));
        key.map(<[u8]>::to_vec).ok_or_else(missing)
    })
    .collect()
}

/// Keys as a column, for `add_many`.
pub(super) fn key_column(given: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    match column(given)? {
        Some(column) => Ok(column),
        None => Ok(std::sync::Arc::new(arrow::array::BinaryArray::from_iter_values(keys(given)?))),
    }
}

/// What `add_many` adds.
pub(super) fn amounts(given: &Bound<'_, PyAny>) -> PyResult<Amounts> {
    if given.cast::<PyBool>().is_err() {
        if given.cast::<PyInt>().is_ok() {
            return Ok(Amounts::One(given.extract()?));
        }
        if let Ok(number) = given.cast::<PyFloat>() {
            return Ok(Amounts::Real(number.value()));
        }
        if let Some(column) = column(given)? {
            return Ok(Amounts::Each(column));
        }
        let py = given.py();
        let made =
            py.import(intern!(py, "pyarrow"))?.call_method1(intern!(py, "array"), (given,))?;
        if let Some(column) = column(&made)? {
            return Ok(Amounts::Each(column));
        }
    }
    Err(PyTypeError::new_err(
        "add_many adds a number, a list of numbers or an Arrow column of them",
    ))
}

/// Values of a column that have a form of their own; none for another column.
pub(super) fn plain_values(column: &ArrayRef) -> Option<Vec<(Kind, Vec<u8>)>> {
    let kind = column.data_type();
    let to = match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Boolean => DataType::Boolean,
        DataType::Float64 | DataType::Float32 => DataType::Float64,
        kind if kind.is_integer() && *kind != DataType::UInt64 => DataType::Int64,
        _ => return None,
    };
    let column = cast(column, &to).ok()?;
    let value = |row: usize| -> (Kind, Vec<u8>) {
        if column.is_null(row) {
            return (Kind::Null, Vec::new());
        }
        match to {
            DataType::Utf8 => (Kind::Text, column.as_string::<i32>().value(row).into()),
            DataType::Binary => (Kind::Bytes, column.as_binary::<i32>().value(row).into()),
            DataType::Boolean if column.as_boolean().value(row) => (Kind::True, Vec::new()),
            DataType::Boolean => (Kind::False, Vec::new()),
            DataType::Float64 => {
                let number = column.as_primitive::<Float64Type>().value(row);
                (Kind::Float, number.to_le_bytes().into())
            }
            _ => {
                let number = column.as_primitive::<Int64Type>().value(row);
                (Kind::Int, number.to_le_bytes().into())
            }
        }
    };
    Some((0..column.len()).map(value).collect())
}
