//! Aggregates written in Python: their states are rows of Arrow batches, and a call takes all rows of a
//! batch at once.

use crate::{
    error::{Error, Result},
    window::aggregate::{Accumulators, AggregateSpec, Factory, Rows, Slot, register},
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    compute::{cast, concat, interleave_record_batch, take},
    datatypes::{DataType, SchemaRef},
    row::{RowConverter, SortField},
};
use pyo3::{intern, prelude::*, types::PyList};
use pyo3_arrow::{PyArray, PyDataType, PyRecordBatch};
use std::{collections::HashMap, sync::Arc};

/// States may be kept twice over, and so many more, before those that were replaced are let go.
const REPLACED: usize = 8_192;

/// An object of `turbine.aggregates.Custom`.
struct PythonFactory(Py<PyAny>);

/// Makes aggregates under that name with the methods of an object.
#[pyfunction]
#[pyo3(signature = (name, aggregate, /))]
pub(super) fn register_aggregate(name: &str, aggregate: Py<PyAny>) {
    register(name, Arc::new(PythonFactory(aggregate)));
}

impl Factory for PythonFactory {
    fn build(&self, spec: &AggregateSpec, inputs: &[DataType]) -> Result<Box<dyn Accumulators>> {
        let name = spec.output.clone();
        Python::attach(|py| {
            let object = Methods { name, object: self.0.clone_ref(py) };
            let types = inputs.iter().map(|of| PyDataType::new(of.clone()).into_pyarrow(py));
            let types = types.collect::<PyResult<Vec<_>>>().and_then(|all| PyList::new(py, all));
            let types = types.map_err(|e| object.failed(py, "its inputs", &e))?;
            let zero: PyRecordBatch = object.call(py, "zero", (&types,))?;
            let gives: PyDataType = object.call(py, "result_type", (&types,))?;
            let all = Custom::new(object, zero.into_inner(), gives.into_inner(), inputs)?;
            Ok(Box::new(all) as Box<dyn Accumulators>)
        })
    }
}

/// The object, and what it is called in messages.
struct Methods {
    name: String,
    object: Py<PyAny>,
}

impl Methods {
    fn refuse(&self, what: impl std::fmt::Display) -> Error {
        Error::Compute(format!("aggregate {}: {what}", self.name))
    }

    fn failed(&self, py: Python<'_>, method: &str, error: &PyErr) -> Error {
        let kind =
            error.get_type(py).name().map_or_else(|_| String::new(), |name| name.to_string());
        self.refuse(format!("{method}: {kind}: {}", error.value(py)))
    }

    /// What a method returns, as Arrow.
    fn call<'py, T>(
        &self,
        py: Python<'py>,
        method: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> Result<T>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        let returned = self
            .object
            .bind(py)
            .call_method1(method, arguments)
            .map_err(|e| self.failed(py, method, &e))?;
        let kind = returned.get_type().to_string();
        returned.extract().map_err(|_| {
            self.refuse(format!("{method} returned {kind}, which is not what it must return"))
        })
    }
}

/// Accumulators of an aggregate in Python.
struct Custom {
    methods: Methods,
    reads: Vec<DataType>,
    gives: DataType,
    schema: SchemaRef,
    /// States; the first batch is the empty one.
    chunks: Vec<RecordBatch>,
    /// Batch and row of the state of each slot.
    at: Vec<(usize, usize)>,
    bytes: RowConverter,
}

impl Custom {
    fn new(
        methods: Methods,
        zero: RecordBatch,
        gives: DataType,
        reads: &[DataType],
    ) -> Result<Self> {
        let schema = zero.schema();
        let fields = schema.fields().iter().map(|of| SortField::new(of.data_type().clone()));
        let bytes = RowConverter::new(fields.collect()).map_err(|e| methods.refuse(e))?;
        if zero.num_rows() != 1 || zero.num_columns() == 0 {
            return Err(methods.refuse("zero must return a RecordBatch with columns and one row"));
        }
        let (reads, chunks) = (reads.to_vec(), vec![zero]);
        Ok(Self { methods, reads, gives, schema, chunks, at: Vec::new(), bytes })
    }

    /// The states of some slots.
    fn gather(&self, slots: &[Slot]) -> Result<RecordBatch> {
        let chunks: Vec<_> = self.chunks.iter().collect();
        let at: Vec<_> = slots.iter().map(|slot| self.at[*slot as usize]).collect();
        interleave_record_batch(&chunks, &at).map_err(|e| self.methods.refuse(e))
    }

    /// Makes the rows of `states` the states of `slots`.
    fn scatter(&mut self, slots: &[Slot], states: PyRecordBatch, method: &str) -> Result<()> {
        let states = states.into_inner();
        let types = |of: &SchemaRef| -> Vec<_> {
            of.fields().iter().map(|field| field.data_type().clone()).collect()
        };
        if states.num_rows() != slots.len() || types(&states.schema()) != types(&self.schema) {
            let (rows, got) = (states.num_rows(), slots.len());
            return Err(self.methods.refuse(format!(
                "{method} returned {rows} rows for {got} states, or other columns than zero has"
            )));
        }
        let states = RecordBatch::try_new(Arc::clone(&self.schema), states.columns().to_vec())
            .map_err(|e| self.methods.refuse(format!("{method}: {e}")))?;
        for (row, slot) in slots.iter().enumerate() {
            self.at[*slot as usize] = (self.chunks.len(), row);
        }
        self.chunks.push(states);
        self.let_go()
    }

    /// Copies the states that count, if many do not any more.
    fn let_go(&mut self) -> Result<()> {
        let held: usize = self.chunks.iter().map(RecordBatch::num_rows).sum();
        if held < 2 * self.at.len() + REPLACED && self.chunks.len() < REPLACED {
            return Ok(());
        }
        let slots: Vec<Slot> = (0..).take(self.at.len()).collect();
        let states = self.gather(&slots)?;
        self.chunks = vec![self.chunks[0].clone(), states];
        self.at = (0..slots.len()).map(|row| (1, row)).collect();
        Ok(())
    }

    /// Calls `update` or `retract` with rows.
    fn step(&mut self, rows: Rows<'_>, method: &str) -> Result<()> {
        if rows.slots.is_empty() {
            return Ok(());
        }
        let mut groups = HashMap::new();
        let mut slots = Vec::new();
        let group_of = |slot: &Slot| {
            *groups.entry(*slot).or_insert_with(|| {
                slots.push(*slot);
                slots.len() as u32 - 1
            })
        };
        let numbers: ArrayRef =
            Arc::new(UInt32Array::from_iter_values(rows.slots.iter().map(group_of)));
        let states = self.gather(&slots)?;
        let picked = rows.rows.map(|rows| UInt32Array::from(rows.to_vec()));
        let inputs = rows.inputs.iter().zip(&self.reads).map(|(input, reads)| {
            let input =
                if input.data_type() == reads { Arc::clone(input) } else { cast(input, reads)? };
            picked.as_ref().map_or_else(|| Ok(Arc::clone(&input)), |rows| take(&input, rows, None))
        });
        let inputs = inputs
            .collect::<Result<Vec<_>, arrow::error::ArrowError>>()
            .map_err(|e| self.methods.refuse(e))?;
        let states = Python::attach(|py| {
            let arguments = || {
                let inputs = inputs.into_iter().map(|input| array(py, input));
                let inputs = PyList::new(py, inputs.collect::<PyResult<Vec<_>>>()?)?;
                Ok((array(py, numbers)?, inputs, PyRecordBatch::new(states).into_pyarrow(py)?))
            };
            let arguments = arguments().map_err(|e| self.methods.failed(py, method, &e))?;
            self.methods.call(py, method, arguments)
        })?;
        self.scatter(&slots, states, method)
    }

    /// Merges pairs of which none touches a slot that another one changes.
    fn merge_apart(&mut self, from: &[Slot], into: &[Slot]) -> Result<()> {
        let (states, others) = (self.gather(into)?, self.gather(from)?);
        let merged = Python::attach(|py| {
            let arguments = || {
                let states = PyRecordBatch::new(states).into_pyarrow(py)?;
                Ok((states, PyRecordBatch::new(others).into_pyarrow(py)?))
            };
            let arguments = arguments().map_err(|e| self.methods.failed(py, "merge", &e))?;
            self.methods.call(py, "merge", arguments)
        })?;
        self.scatter(into, merged, "merge")
    }
}

fn array(py: Python<'_>, array: ArrayRef) -> PyResult<Bound<'_, PyAny>> {
    let pyarrow = py.import(intern!(py, "pyarrow"))?;
    pyarrow.call_method1(intern!(py, "array"), (PyArray::from_array_ref(array),))
}

impl Accumulators for Custom {
    fn data_type(&self) -> DataType {
        self.gives.clone()
    }

    fn grow(&mut self, slots: usize) {
        if slots > self.at.len() {
            self.at.resize(slots, (0, 0));
        }
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.at[*slot as usize] = (0, 0));
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.step(rows, "update")
    }

    /// Every slot's first rows together, then their second ones, and so on.
    fn update_each(&mut self, rows: Rows<'_>) -> Result<ArrayRef> {
        let mut seen: HashMap<Slot, usize> = HashMap::new();
        let mut rounds: Vec<(Vec<Slot>, Vec<u32>)> = Vec::new();
        let mut order = vec![0; rows.slots.len()];
        let mut places = Vec::new();
        for (i, slot) in rows.slots.iter().enumerate() {
            let round = seen.entry(*slot).or_default();
            if *round == rounds.len() {
                rounds.push((Vec::new(), Vec::new()));
            }
            let (slots, picked) = &mut rounds[*round];
            places.push((*round, slots.len()));
            slots.push(*slot);
            picked.push(rows.rows.map_or(i as u32, |rows| rows[i]));
            *round += 1;
        }
        let mut before = Vec::new();
        let mut results = vec![self.results(&[])?];
        let mut total = 0;
        for (slots, picked) in &rounds {
            self.step(Rows { slots, rows: Some(picked), ..rows }, "update")?;
            results.push(self.results(slots)?);
            before.push(total);
            total += slots.len() as u32;
        }
        for (i, (round, place)) in places.into_iter().enumerate() {
            order[i] = before[round] + place as u32;
        }
        let results: Vec<_> = results.iter().map(AsRef::as_ref).collect();
        let in_rounds = concat(&results).map_err(|e| self.methods.refuse(e))?;
        take(&in_rounds, &UInt32Array::from(order), None).map_err(|e| self.methods.refuse(e))
    }

    fn can_retract(&self) -> bool {
        Python::attach(|py| {
            let can = self.methods.object.bind(py).getattr("can_retract");
            can.and_then(|can| can.is_truthy()).unwrap_or(false)
        })
    }

    fn retract(&mut self, rows: Rows<'_>) -> Result<()> {
        if !self.can_retract() {
            return Err(self.methods.refuse("it cannot take rows out again"));
        }
        self.step(rows, "retract")
    }

    fn merge(&mut self, from: &[Slot], into: &[Slot]) -> Result<()> {
        let mut start = 0;
        let mut changed = HashMap::new();
        for end in 0..from.len() {
            if changed.contains_key(&from[end]) || changed.contains_key(&into[end]) {
                self.merge_apart(&from[start..end], &into[start..end])?;
                start = end;
                changed.clear();
            }
            changed.insert(into[end], ());
        }
        if start == from.len() { Ok(()) } else { self.merge_apart(&from[start..], &into[start..]) }
    }

    fn results(&self, slots: &[Slot]) -> Result<ArrayRef> {
        let states = self.gather(slots)?;
        let array: PyArray = Python::attach(|py| {
            let states = PyRecordBatch::new(states).into_pyarrow(py);
            let states = states.map_err(|e| self.methods.failed(py, "finish", &e))?;
            self.methods.call(py, "finish", (states,))
        })?;
        let (array, _) = array.into_inner();
        if array.len() != slots.len() || array.data_type() != &self.gives {
            return Err(self.methods.refuse(format!(
                "finish returned {} values of {} for {} states; they must be {}",
                array.len(),
                array.data_type(),
                slots.len(),
                self.gives
            )));
        }
        Ok(array)
    }

    fn save(&self, slot: Slot, out: &mut Vec<u8>) {
        let (chunk, row) = self.at[slot as usize];
        let state = self.chunks[chunk].slice(row, 1);
        // The types of the columns were checked when the converter was made.
        let Ok(rows) = self.bytes.convert_columns(state.columns()) else { return };
        let bytes = rows.row(0);
        let bytes = bytes.as_ref();
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
        out.extend_from_slice(bytes);
    }

    fn load<'a>(&mut self, slot: Slot, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let damaged = || self.methods.refuse("what was stored of it cannot be read");
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (sum, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (row, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
        if crc32c::crc32c(row) != u32::from_le_bytes(*sum) {
            return Err(damaged());
        }
        let parser = self.bytes.parser();
        let columns = self.bytes.convert_rows([parser.parse(row)]).map_err(|_| damaged())?;
        let state =
            RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|_| damaged())?;
        self.at[slot as usize] = (self.chunks.len(), 0);
        self.chunks.push(state);
        self.let_go()?;
        Ok(rest)
    }

    fn memory(&self) -> usize {
        let states: usize = self.chunks.iter().map(RecordBatch::get_array_memory_size).sum();
        states + self.at.capacity() * size_of::<(usize, usize)>()
    }
}
