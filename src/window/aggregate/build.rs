//! From a specification and the types of its inputs to accumulators.

use super::{
    Accumulators, AggregateSpec,
    count::{self, Count},
    each::{Each, Kind, Named, Refused},
    extreme::{Extreme, Ordered},
    extreme_bytes::ExtremeBytes,
    options::Options,
    sum::{Number, Sum, mean_type, sum_type},
    types,
    values::Values,
};
use crate::error::{Error, Result};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type,
};

/// Accumulators for an aggregate whose inputs have the types `inputs`.
///
/// # Errors
///
/// [`Error::Config`] if there is no such function, or it does not take such inputs or options; the
/// sentence names the aggregate and says what it takes.
pub fn build(spec: &AggregateSpec, inputs: &[DataType]) -> Result<Box<dyn Accumulators>> {
    let mut options = Options::of(spec);
    let inputs: Vec<_> = inputs.iter().map(types::plain).collect();
    let built = Built { spec, inputs: &inputs, options: &mut options }
        .function()
        .and_then(|accumulators| options.done().map(|()| accumulators));
    built.map_err(|why| {
        Error::Config(format!("aggregate {} ({}): {why}", spec.output, spec.function))
    })
}

/// The type of the results of an aggregate.
///
/// # Errors
///
/// As [`build`].
pub fn output_type(spec: &AggregateSpec, inputs: &[DataType]) -> Result<DataType> {
    Ok(build(spec, inputs)?.data_type())
}

type Accumulating = Result<Box<dyn Accumulators>, Refused>;

/// An aggregate on its way.
struct Built<'a> {
    spec: &'a AggregateSpec,
    inputs: &'a [DataType],
    #[allow(dead_code)]
    options: &'a mut Options,
}

impl Built<'_> {
    fn function(&mut self) -> Accumulating {
        match self.spec.function.as_str() {
            "count" => self.count(),
            "sum" => self.sum::<false>(),
            "mean" => self.sum::<true>(),
            "min" => self.extreme::<false>(),
            "max" => self.extreme::<true>(),
            other => Err(format!("there is no aggregate function {other}")),
        }
    }

    /// Accumulators of a kind.
    fn each<K: Kind + 'static>(
        &self,
        kind: K,
        reads: Vec<DataType>,
        gives: DataType,
    ) -> Accumulating {
        Ok(Each::boxed(kind, Named { output: self.spec.output.clone(), reads, gives }))
    }

    /// The type of the only input.
    fn one(&self) -> Result<&DataType, Refused> {
        match self.inputs {
            [one] => Ok(one),
            other => Err(format!("it reads one column, not {}", other.len())),
        }
    }

    /// What the only input is computed in.
    fn number(&self) -> Result<DataType, Refused> {
        let one = self.one()?;
        types::number(one).ok_or_else(|| not_a_number(one))
    }

    fn count(&self) -> Accumulating {
        match self.inputs {
            [] => self.each(Count, Vec::new(), count::TYPE),
            [one] => self.each(Count, vec![one.clone()], count::TYPE),
            _ => Err("it reads one column or none".to_string()),
        }
    }

    fn sum<const MEAN: bool>(&self) -> Accumulating {
        let reads = self.number()?;
        match reads {
            DataType::Int64 => self.sum_of::<Int64Type, MEAN>(reads),
            DataType::UInt64 => self.sum_of::<UInt64Type, MEAN>(reads),
            DataType::Decimal128(..) => self.sum_of::<Decimal128Type, MEAN>(reads),
            DataType::Decimal256(..) => self.sum_of::<Decimal256Type, MEAN>(reads),
            _ => self.sum_of::<Float64Type, MEAN>(reads),
        }
    }

    fn sum_of<N: Number + 'static, const MEAN: bool>(&self, reads: DataType) -> Accumulating {
        let gives = if MEAN { mean_type(&reads) } else { sum_type(&reads) };
        self.each(Sum::<N, MEAN>::new(&reads), vec![reads], gives)
    }

    fn extreme<const GREATEST: bool>(&self) -> Accumulating {
        let of = self.one()?.clone();
        let integers = types::is_time(&of).then_some(DataType::Int64);
        match types::number(&of).or(integers) {
            Some(DataType::Int64) => self.extreme_of::<Int64Type, GREATEST>(DataType::Int64, of),
            Some(DataType::UInt64) => self.extreme_of::<UInt64Type, GREATEST>(DataType::UInt64, of),
            Some(DataType::Float64) => {
                self.extreme_of::<Float64Type, GREATEST>(DataType::Float64, of)
            }
            Some(reads @ DataType::Decimal128(..)) => {
                self.extreme_of::<Decimal128Type, GREATEST>(reads, of)
            }
            Some(reads) => self.extreme_of::<Decimal256Type, GREATEST>(reads, of),
            None => {
                let kind = ExtremeBytes::new(Values::new(&of)?, GREATEST);
                self.each(kind, vec![of.clone()], of)
            }
        }
    }

    fn extreme_of<T: Ordered + 'static, const GREATEST: bool>(
        &self,
        reads: DataType,
        gives: DataType,
    ) -> Accumulating {
        self.each(Extreme::<T, GREATEST>::new(&reads), vec![reads], gives)
    }
}

fn not_a_number(data_type: &DataType) -> Refused {
    let shown = types::shown(data_type);
    format!("it reads numbers, and the column is {shown}; cast it, or choose another column")
}
