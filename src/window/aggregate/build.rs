//! From a specification and the types of its inputs to accumulators.

use super::{
    Accumulators, AggregateSpec,
    collect::{Collect, Keeps},
    count::{self, Count},
    custom,
    each::{Each, Kind, Named, Refused},
    extreme::{Extreme, Ordered},
    extreme_bytes::ExtremeBytes,
    flags::Flags,
    histogram::Histogram,
    hll::ApproxDistinct,
    kll::Kll,
    lists::list_type,
    moments::{self, Exact, Floats, Moments},
    options::Options,
    pick::{ByColumn, ByTime, Pick, Which},
    quantiles::{Quantiles, Sketch},
    sum::{Number, Sum, mean_type, sum_type},
    tally::{self, Tally},
    tdigest::TDigest,
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
/// [`Error::Declaration`] if there is no such function, or it does not take such inputs or options; the
/// sentence names the aggregate and says what it takes.
pub fn build(spec: &AggregateSpec, inputs: &[DataType]) -> Result<Box<dyn Accumulators>> {
    let mut options = Options::of(spec);
    let inputs: Vec<_> = inputs.iter().map(types::plain).collect();
    if spec.function == "custom" {
        let factory = options
            .need::<String>("name")
            .and_then(|name| custom::factory(&name))
            .map_err(|why| Error::Declaration(format!("aggregate {}: {why}", spec.output)))?;
        return factory.build(spec, &inputs);
    }
    let built = Built { spec, inputs: &inputs, options: &mut options }
        .function()
        .and_then(|accumulators| options.done().map(|()| accumulators));
    built.map_err(|why| {
        Error::Declaration(format!("aggregate {} ({}): {why}", spec.output, spec.function))
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
            "variance" => self.variance(false),
            "std_dev" => self.variance(true),
            "covariance" => self.covariance(),
            "correlation" => self.moments(2, moments::Made::Correlation),
            "any_true" => self.flags(false),
            "all_true" => self.flags(true),
            "first" => self.pick(Which::First),
            "last" => self.pick(Which::Last),
            "arg_min" => self.pick(Which::First),
            "arg_max" => self.pick(Which::FirstGreatest),
            _ => self.collection(),
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

/// Values that `collect_list` and `collect_set` hold unless they are told otherwise.
const LIMIT: usize = 10_000;

// What is chosen, or made of moments.
impl Built<'_> {
    fn flags(&self, all: bool) -> Accumulating {
        match self.one()? {
            DataType::Boolean => {
                self.each(Flags { all }, vec![DataType::Boolean], DataType::Boolean)
            }
            other => Err(format!("it reads booleans, and the column is {}", types::shown(other))),
        }
    }

    fn variance(&mut self, root: bool) -> Accumulating {
        let ddof = self.options.take("ddof")?.unwrap_or(0);
        self.moments(1, moments::Made::Covariance { ddof, root })
    }

    fn covariance(&mut self) -> Accumulating {
        let ddof = self.options.take("ddof")?.unwrap_or(0);
        self.moments(2, moments::Made::Covariance { ddof, root: false })
    }

    fn moments(&self, columns: usize, made: moments::Made) -> Accumulating {
        if self.inputs.len() != columns {
            return Err(format!("it reads {columns} columns, not {}", self.inputs.len()));
        }
        let numbers =
            self.inputs.iter().map(|of| types::number(of).ok_or_else(|| not_a_number(of)));
        let mut reads: Vec<_> =
            numbers.map(|number| Ok(moments::read_as(&number?))).collect::<Result<_, Refused>>()?;
        if reads.contains(&DataType::Float64) {
            reads = vec![DataType::Float64; columns];
            let kind = Moments::<Floats>::new(made, &reads);
            return self.each(kind, reads, DataType::Float64);
        }
        let kind = Moments::<Exact>::new(made, &reads);
        self.each(kind, reads, DataType::Float64)
    }

    fn pick(&self, which: Which) -> Accumulating {
        let by_time = matches!(self.spec.function.as_str(), "first" | "last");
        match self.inputs {
            [of] if by_time => {
                let kind = Pick { values: Values::new(of)?, by: ByTime, which };
                self.each(kind, vec![of.clone()], of.clone())
            }
            [of, by] => {
                let reads = vec![of.clone(), by.clone()];
                let by = ByColumn(Values::new(by)?);
                self.each(Pick { values: Values::new(of)?, by, which }, reads, of.clone())
            }
            other => Err(format!("it reads a value and what chooses it, not {}", other.len())),
        }
    }
}

// What keeps many values of a slot, or a sketch of them.
impl Built<'_> {
    fn collection(&mut self) -> Accumulating {
        match self.spec.function.as_str() {
            "count_distinct" => self.tally(tally::Made::Distinct),
            "mode" => self.tally(tally::Made::Mode),
            "top_k" => {
                let k = self.size("k")?.ok_or("it needs k=...")?;
                self.tally(tally::Made::Top(k))
            }
            "collect_set" => match self.size("limit")? {
                Some(limit) => self.tally(tally::Made::LeastOfSet(limit)),
                None => self.tally(tally::Made::Set(LIMIT)),
            },
            "collect_list" => {
                let limit = self.size("limit")?;
                self.collect(limit.map_or(Keeps::All(LIMIT), Keeps::First))
            }
            "largest" => self.sorted(Keeps::Greatest),
            "smallest" => self.sorted(Keeps::Least),
            "approx_count_distinct" => self.approx_distinct(),
            "histogram" => self.histogram(),
            "quantile" | "quantiles" => self.quantiles(),
            other => Err(format!("there is no aggregate function {other}")),
        }
    }

    /// A parameter that must be at least 1.
    fn size(&mut self, name: &str) -> Result<Option<usize>, Refused> {
        match self.options.take(name)? {
            Some(0) => Err(format!("{name} must be at least 1")),
            other => Ok(other),
        }
    }

    fn tally(&self, made: tally::Made) -> Accumulating {
        let of = self.one()?.clone();
        let kind = Tally { values: Values::new(&of)?, made };
        let gives = kind.gives();
        self.each(kind, vec![of], gives)
    }

    fn sorted(&mut self, keeps: fn(usize) -> Keeps) -> Accumulating {
        let k = self.size("k")?.ok_or("it needs k=...")?;
        self.collect(keeps(k))
    }

    fn collect(&self, keeps: Keeps) -> Accumulating {
        let of = self.one()?.clone();
        let kind = Collect { values: Values::new(&of)?, keeps };
        self.each(kind, vec![of.clone()], list_type(of))
    }

    fn approx_distinct(&mut self) -> Accumulating {
        let precision = self.options.take("precision")?.unwrap_or(12);
        let of = self.one()?.clone();
        let kind = ApproxDistinct::new(Values::new(&of)?, precision)?;
        self.each(kind, vec![of], DataType::Int64)
    }

    fn histogram(&mut self) -> Accumulating {
        let kind = Histogram::new(self.options.need("edges")?)?;
        self.number()?;
        self.each(kind, vec![DataType::Float64], Histogram::gives())
    }

    fn quantiles(&mut self) -> Accumulating {
        self.number()?;
        let many = self.spec.function == "quantiles";
        let qs = if many { self.options.need("qs")? } else { vec![self.options.need("q")?] };
        match self.options.take::<String>("method")?.as_deref() {
            None | Some("tdigest") => {
                let size = self.options.take("compression")?.unwrap_or(100);
                self.sketch(Quantiles::<TDigest>::new(qs, many, size)?)
            }
            Some("kll") => {
                let size = self.options.take("k")?.unwrap_or(200);
                self.sketch(Quantiles::<Kll>::new(qs, many, size)?)
            }
            Some(other) => Err(format!("method is tdigest or kll, not {other:?}")),
        }
    }

    fn sketch<S: Sketch + 'static>(&self, kind: Quantiles<S>) -> Accumulating {
        let gives = kind.gives();
        self.each(kind, vec![DataType::Float64], gives)
    }
}

fn not_a_number(data_type: &DataType) -> Refused {
    let shown = types::shown(data_type);
    format!("it reads numbers, and the column is {shown}; cast it, or choose another column")
}
