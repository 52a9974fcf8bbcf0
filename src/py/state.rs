//! The state of a handler, for Python.

use super::{state_columns as columns, state_values as values};
use crate::{
    error::Error,
    state::value::{Kind, Value},
    task::subscription::state::{BatchState, Due, JoinState},
};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString},
};
use pyo3_arrow::PyArray;
use std::sync::Arc;

/// What a handler keeps from batch to batch; valid as long as its batch.
#[pyclass(frozen, module = "turbine._native")]
pub struct State {
    state: Arc<BatchState>,
    scope: Option<Vec<u8>>,
    /// May the root of it be used?
    is_keyed: bool,
}

type Pairs<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

impl State {
    pub(super) fn root(state: Arc<BatchState>) -> Self {
        Self { state, scope: None, is_keyed: false }
    }

    /// The state that `timer` was set on.
    pub(super) fn of_timer(state: Arc<BatchState>, timer: &Due) -> Self {
        Self { state, scope: timer.scope.clone(), is_keyed: true }
    }

    /// The state, if it may be used now.
    fn open(&self) -> PyResult<(&BatchState, Option<&[u8]>)> {
        if !self.state.is_open() {
            return Err(PyRuntimeError::new_err(
                "the state was used after its batch had ended: use it while the handler runs, and await \
                 what uses it",
            ));
        }
        if self.scope.is_none() && self.state.is_shared() && !self.is_keyed {
            return Err(Error::Declaration(
                "with parallelism= several handlers have the state of a partition at the same time: use \
                 state.scope(key) with the partition_key of a row, or write process_key(self, key, rows, \
                 state)"
                    .into(),
            )
            .into());
        }
        Ok((&self.state, self.scope.as_deref()))
    }

    /// The entries of joins.
    pub(super) fn joins(&self) -> PyResult<JoinState> {
        Ok(self.open()?.0.joins()?)
    }

    /// The payload of the value of `key`, if there is one, which was put as `kind`.
    fn get_payload<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        kind: Kind,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (state, scope) = self.open()?;
        let key = columns::key(key)?;
        let stored = py.detach(|| state.get(scope, &key))?;
        stored.map(|stored| payload(py, &stored, kind, &key)).transpose()
    }

    fn put_all(
        &self,
        keys: &[Vec<u8>],
        payloads: &[(Kind, Vec<u8>)],
        ttl_ms: Option<i64>,
        py: Python<'_>,
    ) -> PyResult<()> {
        let (state, scope) = self.open()?;
        if keys.len() != payloads.len() {
            return Err(PyValueError::new_err(format!(
                "there are {} keys and {} values: give one value for each key",
                keys.len(),
                payloads.len()
            )));
        }
        py.detach(|| {
            keys.iter().zip(payloads).try_for_each(|(key, (kind, payload))| {
                state.put(scope, key, *kind, payload, ttl_ms)
            })
        })?;
        Ok(())
    }

    fn found<'py>(
        &self,
        py: Python<'py>,
        prefix: &Bound<'py, PyAny>,
        limit: Option<usize>,
    ) -> PyResult<Pairs<'py>> {
        let (state, scope) = self.open()?;
        let beginning = columns::key(prefix)?;
        let limit = limit.unwrap_or(usize::MAX);
        let found = py.detach(|| state.scan(scope, &beginning, limit))?;
        let as_text = prefix.cast::<PyString>().is_ok();
        found
            .into_iter()
            .map(|(key, stored)| Ok((named(py, &key, as_text), values::read(py, &stored)?)))
            .collect()
    }
}

/// A key as it was given: as text if it has a form as text.
pub(super) fn named<'py>(py: Python<'py>, key: &[u8], as_text: bool) -> Bound<'py, PyAny> {
    match std::str::from_utf8(key) {
        Ok(text) if as_text => PyString::new(py, text).into_any(),
        _ => PyBytes::new(py, key).into_any(),
    }
}

fn lifetime(ttl_ms: Option<i64>) -> PyResult<Option<i64>> {
    match ttl_ms {
        Some(ms) if ms <= 0 => Err(PyValueError::new_err(format!(
            "ttl_ms={ms} is not possible: write milliseconds from 1"
        ))),
        other => Ok(other),
    }
}

/// The payload of a value that was put as `kind`, bytes or JSON text.
fn payload<'py>(
    py: Python<'py>,
    stored: &[u8],
    kind: Kind,
    key: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let value = Value::read(stored)?;
    if value.kind != kind {
        let key = String::from_utf8_lossy(key);
        let what = if kind == Kind::Json { "by a typed view" } else { "as bytes" };
        let text = format!("the value of {key:?} was not put {what}: read it with get");
        return Err(PyTypeError::new_err(text));
    }
    Ok(PyBytes::new(py, value.payload).into_any())
}

#[pymethods]
impl State {
    #[getter]
    fn scope_key<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.scope.as_ref().map(|scope| named(py, scope, true))
    }

    #[getter]
    fn watermark_ms(&self) -> Option<i64> {
        self.state.watermark()
    }

    #[pyo3(signature = (key, /))]
    fn scope(&self, key: &Bound<'_, PyAny>) -> PyResult<Self> {
        if self.scope.is_some() {
            return Err(PyValueError::new_err(
                "a scope has no scopes: call scope(key) on the state that the handler got",
            ));
        }
        let scope = Some(columns::key(key)?.into_owned());
        Ok(Self { state: Arc::clone(&self.state), scope, is_keyed: self.is_keyed })
    }

    #[pyo3(signature = (key, default = None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (state, scope) = self.open()?;
        let key = columns::key(key)?;
        match py.detach(|| state.get(scope, &key))? {
            Some(stored) => values::read(py, &stored).map(Some),
            None => Ok(default),
        }
    }

    #[pyo3(signature = (key, value, /, *, ttl_ms = None))]
    fn put(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl_ms: Option<i64>,
    ) -> PyResult<()> {
        let (state, scope) = self.open()?;
        let shown = key;
        let key = columns::key(key)?;
        let name = || {
            format!("state.put({})", shown.repr().map_or_else(|_| "?".into(), |r| r.to_string()))
        };
        let (kind, payload) = values::write(value, state.format(), name)?;
        Ok(state.put(scope, &key, kind, &payload, lifetime(ttl_ms)?)?)
    }

    #[pyo3(signature = (key, /))]
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let (state, scope) = self.open()?;
        Ok(state.delete(scope, &columns::key(key)?)?)
    }

    #[pyo3(signature = (key, /))]
    fn get_bytes<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.get_payload(py, key, Kind::Bytes)
    }

    #[pyo3(signature = (key, value, /, *, ttl_ms = None))]
    fn put_bytes(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl_ms: Option<i64>,
    ) -> PyResult<()> {
        let (state, scope) = self.open()?;
        let value = as_bytes(value)?;
        Ok(state.put(scope, &columns::key(key)?, Kind::Bytes, value, lifetime(ttl_ms)?)?)
    }

    #[pyo3(signature = (keys, default = None, /))]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (state, scope) = self.open()?;
        let keys = columns::keys(keys)?;
        let slices: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let found = py.detach(|| state.get_many(scope, &slices))?;
        let all = found.iter().map(|stored| match stored {
            Some(stored) => values::read(py, stored),
            None => Ok(default.clone().unwrap_or_else(|| py.None().into_bound(py))),
        });
        PyList::new(py, all.collect::<PyResult<Vec<_>>>()?)
    }

    #[pyo3(signature = (keys, /))]
    fn get_bytes_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
        let (state, scope) = self.open()?;
        let keys = columns::keys(keys)?;
        let slices: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let found = py.detach(|| state.get_many(scope, &slices))?;
        let one = |(stored, key): (Option<Vec<u8>>, &Vec<u8>)| {
            stored.map(|stored| payload(py, &stored, Kind::Bytes, key)).transpose()
        };
        found.into_iter().zip(&keys).map(one).collect()
    }

    #[pyo3(signature = (entries, values = None, /, *, ttl_ms = None))]
    fn put_many(
        &self,
        py: Python<'_>,
        entries: &Bound<'_, PyAny>,
        values: Option<&Bound<'_, PyAny>>,
        ttl_ms: Option<i64>,
    ) -> PyResult<()> {
        let ttl_ms = lifetime(ttl_ms)?;
        let format = self.open()?.0.format();
        let (keys, objects) = divide(entries, values)?;
        if let Objects::Column(column) = &objects
            && let Some(plain) = columns::plain_values(column)
        {
            return self.put_all(&keys, &plain, ttl_ms, py);
        }
        let write = |(row, value): (usize, Bound<'_, PyAny>)| {
            let name = || format!("state.put_many, value {row}");
            values::write(&value, format, name)
        };
        let payloads = objects.list(py, values)?.into_iter().enumerate().map(write);
        self.put_all(&keys, &payloads.collect::<PyResult<Vec<_>>>()?, ttl_ms, py)
    }

    #[pyo3(signature = (entries, values = None, /, *, ttl_ms = None))]
    fn put_bytes_many(
        &self,
        py: Python<'_>,
        entries: &Bound<'_, PyAny>,
        values: Option<&Bound<'_, PyAny>>,
        ttl_ms: Option<i64>,
    ) -> PyResult<()> {
        let ttl_ms = lifetime(ttl_ms)?;
        let (keys, objects) = divide(entries, values)?;
        let one = |value: Bound<'_, PyAny>| Ok((Kind::Bytes, as_bytes(&value)?.to_vec()));
        let payloads = objects.list(py, values)?.into_iter().map(one);
        self.put_all(&keys, &payloads.collect::<PyResult<Vec<_>>>()?, ttl_ms, py)
    }

    #[pyo3(signature = (keys, /))]
    fn delete_many(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<()> {
        let (state, scope) = self.open()?;
        let keys = columns::keys(keys)?;
        py.detach(|| keys.iter().try_for_each(|key| state.delete(scope, key)))?;
        Ok(())
    }

    #[pyo3(signature = (keys, amounts = None, /, *, ttl_ms = None))]
    fn add_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        amounts: Option<&Bound<'py, PyAny>>,
        ttl_ms: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (state, scope) = self.open()?;
        let ttl_ms = lifetime(ttl_ms)?;
        let keys = columns::key_column(keys)?;
        let amounts = match amounts {
            Some(amounts) => columns::amounts(amounts)?,
            None => crate::task::subscription::state::Amounts::One(1),
        };
        let sums = py.detach(|| state.add_many(scope, &keys, &amounts, ttl_ms))?;
        let array = PyArray::from_array_ref(sums);
        py.import(intern!(py, "pyarrow"))?.call_method1(intern!(py, "array"), (array,))
    }

    #[pyo3(signature = (prefix = None, /, *, limit = None))]
    fn scan<'py>(
        &self,
        py: Python<'py>,
        prefix: Option<Bound<'py, PyAny>>,
        limit: Option<usize>,
    ) -> PyResult<Pairs<'py>> {
        let prefix = prefix.unwrap_or_else(|| PyString::new(py, "").into_any());
        self.found(py, &prefix, limit)
    }

    #[pyo3(signature = (prefix, /))]
    fn scan_prefix<'py>(
        &self,
        py: Python<'py>,
        prefix: &Bound<'py, PyAny>,
    ) -> PyResult<Pairs<'py>> {
        self.found(py, prefix, None)
    }

    #[pyo3(signature = (prefixes, /))]
    fn scan_many_prefixes<'py>(
        &self,
        py: Python<'py>,
        prefixes: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Pairs<'py>>> {
        prefixes.try_iter()?.map(|prefix| self.found(py, &prefix?, None)).collect()
    }

    #[pyo3(signature = (timer_id, delay_ms, /))]
    fn set_timer(&self, timer_id: &str, delay_ms: i64) -> PyResult<()> {
        let (state, scope) = self.open()?;
        if delay_ms < 0 {
            return Err(PyValueError::new_err(format!(
                "a timer {delay_ms} ms from now is over: write a delay from 0"
            )));
        }
        Ok(state.set_timer(scope, timer_id.as_bytes(), delay_ms)?)
    }

    #[pyo3(signature = (timer_id, at_ms, /))]
    fn set_event_timer(&self, timer_id: &str, at_ms: i64) -> PyResult<()> {
        let (state, scope) = self.open()?;
        Ok(state.set_event_timer(scope, timer_id.as_bytes(), at_ms)?)
    }

    #[pyo3(signature = (timer_id, delay_ms, /))]
    fn register_timer(&self, timer_id: &str, delay_ms: i64) -> PyResult<()> {
        self.set_timer(timer_id, delay_ms)
    }

    #[pyo3(signature = (timer_id, fire_time_ms, /))]
    fn register_event_time_timer(&self, timer_id: &str, fire_time_ms: i64) -> PyResult<()> {
        self.set_event_timer(timer_id, fire_time_ms)
    }

    #[pyo3(signature = (timer_id, /))]
    fn cancel_timer(&self, timer_id: &str) -> PyResult<bool> {
        let (state, scope) = self.open()?;
        Ok(state.cancel_timer(scope, timer_id.as_bytes())?)
    }

    #[pyo3(signature = (model, /))]
    fn typed<'py>(
        slf: &Bound<'py, Self>,
        model: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "turbine.state"))?
            .getattr(intern!(py, "TypedState"))?
            .call1((slf, model))
    }

    /// JSON text of a value that a codec wrote.
    #[pyo3(signature = (key, /))]
    fn _get_json<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.get_payload(py, key, Kind::Json)
    }

    #[pyo3(signature = (key, json, ttl_ms, /))]
    fn _put_json(&self, key: &Bound<'_, PyAny>, json: &[u8], ttl_ms: Option<i64>) -> PyResult<()> {
        let (state, scope) = self.open()?;
        Ok(state.put(scope, &columns::key(key)?, Kind::Json, json, lifetime(ttl_ms)?)?)
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        match &self.scope {
            Some(scope) => format!("<State of {:?}>", String::from_utf8_lossy(scope)),
            None => "<State>".to_owned(),
        }
    }
}

fn as_bytes<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "put_bytes takes bytes, and not {}: write put",
            value.get_type().name()?
        ))),
    }
}

/// Values of many keys.
enum Objects<'py> {
    List(Vec<Bound<'py, PyAny>>),
    Column(arrow::array::ArrayRef),
}

impl<'py> Objects<'py> {
    /// One by one; `given` is what the column was made of.
    fn list(
        self,
        py: Python<'py>,
        given: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        match (self, given) {
            (Self::List(all), _) => Ok(all),
            (Self::Column(_), Some(given)) => {
                given.call_method0(intern!(py, "to_pylist"))?.try_iter()?.collect()
            }
            (Self::Column(_), None) => Ok(Vec::new()),
        }
    }
}

/// Keys and values of a dict, or of two lists or columns.
fn divide<'py>(
    entries: &Bound<'py, PyAny>,
    values: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Vec<Vec<u8>>, Objects<'py>)> {
    if let Some(values) = values {
        let objects = match columns::column(values)? {
            Some(column) => Objects::Column(column),
            None => Objects::List(values.try_iter()?.collect::<PyResult<_>>()?),
        };
        return Ok((columns::keys(entries)?, objects));
    }
    let Ok(dict) = entries.cast::<PyDict>() else {
        return Err(PyTypeError::new_err(
            "many values are a dict of them by key, or keys and values: write put_many({key: value}) \
             or put_many(keys, values)",
        ));
    };
    let mut keys = Vec::with_capacity(dict.len());
    let mut all = Vec::with_capacity(dict.len());
    for (key, value) in dict.iter() {
        keys.push(columns::key(&key)?.into_owned());
        all.push(value);
    }
    Ok((keys, Objects::List(all)))
}
