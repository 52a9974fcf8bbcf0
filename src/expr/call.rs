//! A function of columns, computed by an Arrow kernel, that never lets one row spoil the others.

use super::plan::{Plan, Rows};
use super::tally::{failed, is_strict};
use arrow::array::{Array, ArrayRef, BooleanArray, Datum, Scalar, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::sync::Arc;

/// Result of a kernel.
pub(super) type Computed = Result<ArrayRef, ArrowError>;

/// Computes a column of `rows` values.
///
/// It may fail as a whole because of one row; the call finds that row. What it cannot compute in any
/// row has to be found when the call is bound: kernels are tried on no rows then.
pub(super) type Kernel = Arc<dyn Fn(&[Value], usize) -> Computed + Send + Sync>;

/// An argument of a kernel.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// One value a row.
    Column(ArrayRef),
    /// One value for all rows, as an array of length one.
    Constant(ArrayRef),
}

impl Value {
    /// As an array of `rows` values.
    pub(super) fn column(&self, rows: usize) -> Computed {
        match self {
            Self::Column(array) => Ok(Arc::clone(array)),
            Self::Constant(one) => take(one, &UInt32Array::from(vec![0; rows]), None),
        }
    }

    /// As Arrow's binary kernels take it.
    pub(super) fn datum(&self) -> Box<dyn Datum> {
        match self {
            Self::Column(array) => Box::new(Arc::clone(array)),
            Self::Constant(one) => Box::new(Scalar::new(Arc::clone(one))),
        }
    }

    fn slice(&self, start: usize, rows: usize) -> Self {
        match self {
            Self::Column(array) => Self::Column(array.slice(start, rows)),
            Self::Constant(one) => Self::Constant(Arc::clone(one)),
        }
    }
}

/// A function applied to expressions.
pub(super) struct Call {
    name: String,
    args: Vec<Plan>,
    data_type: DataType,
    kernel: Kernel,
}

impl Call {
    pub(super) fn new(
        name: impl Into<String>,
        args: Vec<Plan>,
        data_type: DataType,
        kernel: Kernel,
    ) -> Self {
        Self { name: name.into(), args, data_type, kernel }
    }

    /// The values of `rows`.
    pub(super) fn evaluate(&self, rows: &Rows<'_>) -> Computed {
        let mut args =
            self.args.iter().map(|arg| arg.evaluate(rows)).collect::<Result<Vec<_>, _>>()?;
        // Of constants alone, Arrow's kernels would make one value.
        if args.iter().all(|arg| matches!(arg, Value::Constant(_)))
            && let Some(first) = args.first_mut()
        {
            *first = Value::Column(first.column(rows.len())?);
        }
        self.compute(&args, rows.len())
    }

    /// The values; rows that make the kernel fail become null and are counted.
    fn compute(&self, args: &[Value], rows: usize) -> Computed {
        match (self.kernel)(args, rows) {
            Ok(array) => Ok(array),
            Err(e) if is_strict() || rows == 0 => Err(self.because(e)),
            Err(e) if rows == 1 => {
                failed(1, || e.to_string())?;
                Ok(new_null_array(&self.data_type, 1))
            }
            Err(_) => {
                let half = rows / 2;
                let part = |start: usize, rows: usize| {
                    let args: Vec<_> = args.iter().map(|arg| arg.slice(start, rows)).collect();
                    self.compute(&args, rows)
                };
                let (first, second) = (part(0, half)?, part(half, rows - half)?);
                concat(&[&first, &second])
            }
        }
    }

    fn because(&self, error: ArrowError) -> ArrowError {
        let sentence = match &error {
            ArrowError::ComputeError(text)
            | ArrowError::CastError(text)
            | ArrowError::ParseError(text)
            | ArrowError::ArithmeticOverflow(text) => text.clone(),
            ArrowError::DivideByZero => "a division by zero".into(),
            other => other.to_string(),
        };
        let named = sentence.starts_with(&self.name);
        ArrowError::ComputeError(if named {
            sentence
        } else {
            format!("{}: {sentence}", self.name)
        })
    }
}

/// The rows where `mask` is true; null is false.
pub(super) fn true_rows(mask: &BooleanArray) -> BooleanArray {
    match mask.nulls() {
        Some(valid) => BooleanArray::new(mask.values() & valid.inner(), None),
        None => mask.clone(),
    }
}
