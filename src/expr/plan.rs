//! An expression bound to a schema, ready to be computed.

use super::call::{Call, Computed, Value};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{filter, interleave, not, take};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// Rows of a batch: all, or those that got as far as this branch of a choice.
pub(super) struct Rows<'a> {
    batch: &'a RecordBatch,
    selected: Option<UInt32Array>,
}

impl<'a> Rows<'a> {
    pub(super) fn all(batch: &'a RecordBatch) -> Self {
        Self { batch, selected: None }
    }

    pub(super) fn len(&self) -> usize {
        self.selected.as_ref().map_or(self.batch.num_rows(), Array::len)
    }

    fn column(&self, index: usize) -> Computed {
        let column = self.batch.column(index);
        self.selected
            .as_ref()
            .map_or_else(|| Ok(Arc::clone(column)), |rows| take(column, rows, None))
    }
}

/// How the values come about.
#[derive(Clone)]
pub(super) enum Plan {
    /// The column at that place.
    Column(usize),
    /// An array of length one.
    Constant(ArrayRef),
    /// A function of others.
    Call(Arc<Call>),
    /// A choice between others.
    Case(Arc<Case>),
}

impl Plan {
    pub(super) fn evaluate(&self, rows: &Rows<'_>) -> Result<Value, arrow::error::ArrowError> {
        match self {
            Self::Column(index) => rows.column(*index).map(Value::Column),
            Self::Constant(one) => Ok(Value::Constant(Arc::clone(one))),
            Self::Call(call) => call.evaluate(rows).map(Value::Column),
            Self::Case(case) => case.evaluate(rows).map(Value::Column),
        }
    }
}

/// The value behind the first condition that is true; null if there is none.
pub(super) struct Case {
    /// Conditions, and values of one type.
    pub(super) branches: Vec<(Plan, Plan)>,
    /// The value of rows without a true condition.
    pub(super) otherwise: Option<Plan>,
    /// Type of all values.
    pub(super) data_type: DataType,
}

impl Case {
    /// Each condition and value is computed for the rows that get to it alone: so a condition guards
    /// what is behind it.
    fn evaluate(&self, rows: &Rows<'_>) -> Computed {
        let total = rows.len();
        let mut places = vec![(0, 0); total];
        let mut pieces = vec![new_null_array(&self.data_type, 1)];
        let mut left = UInt32Array::from_iter_values(0..u32::try_from(total).unwrap_or(u32::MAX));
        for (condition, value) in &self.branches {
            if left.is_empty() {
                break;
            }
            let here = within(rows, &left)?;
            let mask = condition.evaluate(&here)?.column(here.len())?;
            let mask = super::call::true_rows(mask.as_boolean());
            let chosen = filter(&left, &mask)?;
            put(rows, chosen.as_primitive(), value, &mut pieces, &mut places)?;
            left = filter(&left, &not(&mask)?)?.as_primitive().clone();
        }
        if let Some(value) = &self.otherwise {
            put(rows, &left, value, &mut pieces, &mut places)?;
        }
        if pieces.len() == 2 && pieces[1].len() == total {
            return Ok(pieces.swap_remove(1));
        }
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        interleave(&pieces, &places)
    }
}

/// Computes `value` for the rows `chosen`, and notes where their values are.
fn put(
    rows: &Rows<'_>,
    chosen: &UInt32Array,
    value: &Plan,
    pieces: &mut Vec<ArrayRef>,
    places: &mut [(usize, usize)],
) -> Result<(), arrow::error::ArrowError> {
    if chosen.is_empty() {
        return Ok(());
    }
    let here = within(rows, chosen)?;
    let array = value.evaluate(&here)?.column(here.len())?;
    for (place, row) in chosen.values().iter().enumerate() {
        places[*row as usize] = (pieces.len(), place);
    }
    pieces.push(array);
    Ok(())
}

/// The rows at `places` of `rows`.
fn within<'a>(rows: &Rows<'a>, places: &UInt32Array) -> Result<Rows<'a>, arrow::error::ArrowError> {
    if places.len() == rows.len() {
        return Ok(Rows { batch: rows.batch, selected: rows.selected.clone() });
    }
    let selected = match &rows.selected {
        None => places.clone(),
        Some(outer) => take(outer, places, None)?.as_primitive().clone(),
    };
    Ok(Rows { batch: rows.batch, selected: Some(selected) })
}
