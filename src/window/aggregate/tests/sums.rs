//! Sums and means against arithmetic of another kind.

use super::spec;
use crate::window::aggregate::{Rows, build, exact::ExactSum, sum::divide};
use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array, Int64Array},
    datatypes::{DataType, Decimal128Type},
};
use proptest::{collection::vec, prelude::*};
use serde_json::json;
use std::sync::Arc;

fn sum_of(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::default();
    values.iter().for_each(|value| sum.add(*value));
    sum
}

/// Shewchuk's expansion, as Python's `math.fsum` has it.
fn fsum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        let mut x = *value;
        let mut kept = Vec::new();
        for y in &partials {
            let (large, small) = if x.abs() < y.abs() { (*y, x) } else { (x, *y) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    // Rounded once: the parts do not overlap, so only a tie needs the next one.
    let Some(mut high) = partials.pop() else { return 0.0 };
    while let Some(next) = partials.pop() {
        let sum = high + next;
        let rest = next - (sum - high);
        high = sum;
        if rest != 0.0 {
            if let Some(below) = partials.last()
                && (rest < 0.0) == (*below < 0.0)
                && high + rest * 2.0 - high == rest * 2.0
            {
                high += rest * 2.0;
            }
            break;
        }
    }
    high
}

proptest! {
    #[test]
    fn a_sum_of_floats_is_rounded_once(values in vec(-1e300..1e300f64, 0..60)) {
        prop_assert_eq!(sum_of(&values).value(), fsum(&values));
    }

    #[test]
    fn a_sum_of_floats_of_any_size_is_rounded_once(
        values in vec((any::<f64>(), -200..200i32).prop_map(|(x, e)| x.clamp(-1.0, 1.0) * 2f64.powi(e)), 0..60)
    ) {
        prop_assume!(values.iter().all(|x| x.is_finite()));
        prop_assert_eq!(sum_of(&values).value(), fsum(&values));
    }

    #[test]
    fn the_order_of_floats_does_not_matter(
        mut values in vec(any::<f64>(), 0..60), seed: u64
    ) {
        let sum = sum_of(&values);
        values.sort_by_key(|x| x.to_bits() ^ seed);
        let other = sum_of(&values);
        prop_assert_eq!(sum.value().to_bits(), other.value().to_bits());
        let (mut a, mut b) = (Vec::new(), Vec::new());
        sum.save(&mut a);
        other.save(&mut b);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn quotients_are_rounded_once(total in -(1i128 << 100)..1i128 << 100, count in 1u64..1 << 40) {
        let quotient = divide(total, count);
        // The float is nearest if twice the error is at most the distance to its neighbours.
        let error = |of: f64| {
            let (whole, part) = (of.trunc() as i128, of.fract());
            ((total - whole * i128::from(count)) as f64 - part * count as f64).abs()
        };
        prop_assert!(error(quotient) <= error(quotient.next_up()) * (1.0 + 1e-9));
        prop_assert!(error(quotient) <= error(quotient.next_down()) * (1.0 + 1e-9));
    }
}

#[test]
fn sums_beyond_the_largest_float_come_back() {
    let mut sum = sum_of(&[f64::MAX, f64::MAX, f64::MIN_POSITIVE]);
    assert_eq!(sum.value(), f64::INFINITY);
    sum.remove(f64::MAX);
    sum.remove(f64::MAX);
    assert_eq!(sum.value(), f64::MIN_POSITIVE);
    assert_eq!(sum_of(&[f64::INFINITY, f64::NEG_INFINITY]).value().to_bits() >> 52 & 0x7ff, 0x7ff);
    assert!(sum_of(&[1.0, f64::NAN]).value().is_nan());
}

fn results(function: &str, column: &ArrayRef) -> crate::error::Result<ArrayRef> {
    let mut all = build(&spec(function, 1, &json!({})), &[column.data_type().clone()])?;
    all.grow(1);
    let slots = vec![0; column.len()];
    let times = vec![0; column.len()];
    let inputs = [Arc::clone(column)];
    all.update(Rows { slots: &slots, rows: None, inputs: &inputs, times: &times })?;
    all.results(&[0])
}

#[test]
fn an_integer_sum_out_of_range_says_so() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let error = results("sum", &column).expect_err("2^63 is no int64").to_string();
    assert_eq!(
        error,
        "cannot compute: aggregate out: the sum is out of the range of int64; \
         cast the column to decimal128(38, 0) before"
    );
    let back: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1, -1]));
    assert_eq!(
        &results("sum", &back).expect("in range"),
        &(Arc::new(Int64Array::from(vec![i64::MAX])) as ArrayRef)
    );
}

#[test]
fn means_of_decimals_have_four_places_more_and_are_rounded_half_to_even() {
    let of = |values: Vec<i128>| {
        let column = Decimal128Array::from(values).with_data_type(DataType::Decimal128(10, 2));
        let mean = results("mean", &(Arc::new(column) as ArrayRef)).expect("in range");
        assert_eq!(mean.data_type(), &DataType::Decimal128(38, 6));
        mean.as_primitive::<Decimal128Type>().value(0)
    };
    assert_eq!(of(vec![100, 101]), 1_005_000);
    assert_eq!(of(vec![1, 0, 0]), 3_333);
    assert_eq!(of(vec![-2, 0, 0]), -6_667);
    let mut thousandths = vec![0; 32_000];
    thousandths[0] = 1 << 4; // 0.16 / 32000 = 0.000005
    assert_eq!(of(thousandths.clone()), 5);
    thousandths[0] = 24; // 0.24 / 32000 = 0.0000075: to the even 8
    assert_eq!(of(thousandths.clone()), 8);
    thousandths[0] = 8; // 0.0000025: to the even 2
    assert_eq!(of(thousandths), 2);
}
