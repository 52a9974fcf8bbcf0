//! Rows go to the first branch whose predicate is true.

use super::expression::Expression;
use super::tally::OnComputeError;
use crate::error::{Error, Result};
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{and, and_not, filter_record_batch};

/// A batch, divided; rows keep their order in each part.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The rows of each branch; none if there are none.
    pub branches: Vec<Option<RecordBatch>>,
    /// The rows of no branch; none if there are none.
    pub unmatched: Option<RecordBatch>,
    /// How many values of predicates could not be computed; such a predicate does not match.
    pub failed: u64,
}

/// Each row of `batch` in the part of the first of `predicates` that is true for it; null is false.
///
/// # Errors
///
/// [`Error::Declaration`] if a predicate is none, or cannot work on the columns; [`Error::Compute`] as
/// `policy` says.
pub fn split(
    batch: &RecordBatch,
    predicates: &[Expression],
    policy: OnComputeError,
) -> Result<Split> {
    let mut left = BooleanArray::from(vec![true; batch.num_rows()]);
    let mut failed = 0;
    let mut branches = Vec::with_capacity(predicates.len());
    for predicate in predicates {
        let (matches, count) = predicate.matches(batch, policy)?;
        failed += count;
        branches.push(part(batch, &and(&left, &matches).map_err(broken)?)?);
        left = and_not(&left, &matches).map_err(broken)?;
    }
    Ok(Split { branches, unmatched: part(batch, &left)?, failed })
}

fn part(batch: &RecordBatch, rows: &BooleanArray) -> Result<Option<RecordBatch>> {
    match rows.true_count() {
        0 => Ok(None),
        all if all == batch.num_rows() => Ok(Some(batch.clone())),
        _ => filter_record_batch(batch, rows).map(Some).map_err(broken),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: arrow::error::ArrowError) -> Error {
    Error::Compute(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Arc;

    fn above(bound: i64) -> Expression {
        let tree = json!({"call": "gt", "args": [{"col": "n"}, {"lit": bound}]});
        Expression::parse(&tree).unwrap()
    }

    fn batch(numbers: Vec<Option<i64>>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(numbers)) as _)]).unwrap()
    }

    fn numbers(part: Option<&RecordBatch>) -> Vec<Option<i64>> {
        part.map_or_else(Vec::new, |rows| {
            rows.column(0).as_primitive::<Int64Type>().iter().collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn every_row_is_in_the_first_part_that_fits(
            rows in prop::collection::vec(prop::option::of(-3_i64..8), 0..30)
        ) {
            let split = split(&batch(rows.clone()), &[above(5), above(2)], OnComputeError::Null).unwrap();
            let of = |test: fn(Option<i64>) -> bool| rows.iter().copied().filter(|n| test(*n)).collect::<Vec<_>>();
            prop_assert_eq!(numbers(split.branches[0].as_ref()), of(|n| n > Some(5)));
            prop_assert_eq!(numbers(split.branches[1].as_ref()), of(|n| n > Some(2) && n <= Some(5)));
            prop_assert_eq!(numbers(split.unmatched.as_ref()), of(|n| n <= Some(2)));
        }
    }

    #[test]
    fn a_part_without_rows_is_none() {
        let split = split(&batch(vec![Some(9)]), &[above(5)], OnComputeError::Null).unwrap();
        assert!(split.branches[0].is_some());
        assert_eq!(split.unmatched, None);
    }
}
