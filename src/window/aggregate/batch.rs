//! Aggregates of a batch in memory: groups in the order in which they came.

use super::{
    Accumulators, AggregateSpec, InputSpec, Rows, Slot, build,
    each::Refused,
    types::{cast_to, plain},
    values::canonical,
};
use crate::{
    error::{Error, Result},
    expr::Expression,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{DataType, Field, Int64Type, Schema, TimeUnit},
    row::{RowConverter, SortField},
};
use std::{collections::HashMap, sync::Arc};

/// One row each group of `keys`: the keys, then the aggregates. `time` is the column with the event
/// time; without it rows come in their order.
///
/// # Errors
///
/// [`Error::Declaration`] if the columns do not fit, and what the aggregates return.
pub fn aggregate(
    batch: &RecordBatch,
    keys: &[String],
    specs: &[AggregateSpec],
    time: Option<&str>,
) -> Result<RecordBatch> {
    let key_columns: Vec<_> = keys.iter().map(|key| column(batch, key)).collect::<Result<_>>()?;
    let groups = Groups::of(&key_columns, batch.num_rows()).map_err(Error::Declaration)?;
    let times = times(batch, time)?;
    let slots: Vec<Slot> = (0..).take(groups.first_rows.len()).collect();
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (key, array) in keys.iter().zip(&key_columns) {
        let one_a_group = take(array, &groups.first_rows, None);
        arrays.push(one_a_group.map_err(|e| Error::Compute(e.to_string()))?);
        fields.push(Field::new(key, array.data_type().clone(), true));
    }
    for spec in specs {
        let inputs: Vec<_> =
            spec.inputs.iter().map(|of| input(batch, of)).collect::<Result<_>>()?;
        let types: Vec<_> = inputs.iter().map(|input| input.data_type().clone()).collect();
        let mut all: Box<dyn Accumulators> = build(spec, &types)?;
        all.grow(slots.len());
        all.update(Rows { slots: &groups.slots, rows: None, inputs: &inputs, times: &times })?;
        arrays.push(all.results(&slots)?);
        fields.push(Field::new(&spec.output, all.data_type(), true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(slots.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|e| Error::Compute(e.to_string()))
}

/// Which group each row belongs to.
struct Groups {
    slots: Vec<Slot>,
    first_rows: UInt32Array,
}

impl Groups {
    fn of(keys: &[ArrayRef], rows: usize) -> Result<Self, Refused> {
        if keys.is_empty() {
            return Ok(Self { slots: vec![0; rows], first_rows: UInt32Array::from(vec![0]) });
        }
        let plain: Vec<_> = keys
            .iter()
            .map(|key| Ok(canonical(&cast_to(key, &plain(key.data_type()))?)))
            .collect::<Result<_, Refused>>()?;
        let fields = plain.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|e| e.to_string())?;
        let encoded = converter.convert_columns(&plain).map_err(|e| e.to_string())?;
        let (mut known, mut slots, mut first_rows) = (HashMap::new(), Vec::new(), Vec::new());
        for (row, key) in (0..).zip(&encoded) {
            let next = first_rows.len() as Slot;
            let slot = *known.entry(key).or_insert(next);
            if slot == next {
                first_rows.push(row);
            }
            slots.push(slot);
        }
        Ok(Self { slots, first_rows: first_rows.into() })
    }
}

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef> {
    batch.column_by_name(name).cloned().ok_or_else(|| {
        let schema = batch.schema();
        let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::Declaration(format!("there is no column {name:?}; there are {}", there.join(", ")))
    })
}

fn input(batch: &RecordBatch, input: &InputSpec) -> Result<ArrayRef> {
    match input {
        InputSpec::Column(name) => column(batch, name),
        InputSpec::Expression(tree) => Expression::parse(tree)?.evaluate(batch),
    }
}

/// Times in ms; without a column the numbers of the rows.
fn times(batch: &RecordBatch, name: Option<&str>) -> Result<Vec<i64>> {
    let Some(name) = name else { return Ok((0..).take(batch.num_rows()).collect()) };
    let of = column(batch, name)?;
    let refuse = |why: &str| Error::Declaration(format!("{name:?} is no column of times: {why}"));
    let in_ms = match of.data_type() {
        DataType::Int64 => Ok(of),
        DataType::Timestamp(_, zone) => {
            cast_to(&of, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
                .and_then(|in_ms| cast_to(&in_ms, &DataType::Int64))
        }
        _ => return Err(refuse("it must be a timestamp, or int64 with milliseconds")),
    };
    let in_ms = in_ms.map_err(|e| refuse(&e))?;
    if in_ms.null_count() > 0 {
        return Err(refuse("it has nulls"));
    }
    Ok(in_ms.as_primitive::<Int64Type>().values().to_vec())
}
