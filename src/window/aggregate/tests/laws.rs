//! Neither cuts, nor saving and loading, nor merging, nor taking rows out changes a result.

use super::{
    data::{self, Case, Column, SLOTS},
    spec,
};
use crate::window::aggregate::{Accumulators, AggregateSpec, Rows, build};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::concat,
    datatypes::Float64Type,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use std::ops::Range;

/// How close results must be to those without merges.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Merges {
    /// The same, and the same bytes.
    Exact,
    /// Something else that is as close to the truth.
    Other,
    /// The same, but the state may have another form.
    SameResults,
    /// Floats within 1e-12.
    Close,
}

type Checked = Result<(), TestCaseError>;

/// Fresh accumulators with room for `slots`.
fn fresh(spec: &AggregateSpec, case: &Case, slots: u32) -> Box<dyn Accumulators> {
    let types: Vec<_> = case.columns.iter().map(|column| column.data_type().clone()).collect();
    let mut all = build(spec, &types).expect("the specification is right");
    all.grow(slots as usize);
    all
}

/// Puts some rows into their slots, moved by `shift`, as a batch of their own.
fn update(all: &mut dyn Accumulators, case: &Case, range: Range<usize>, shift: u32) {
    let slots: Vec<_> = case.slots[range.clone()].iter().map(|slot| slot + shift).collect();
    let inputs: Vec<_> =
        case.columns.iter().map(|column| column.slice(range.start, range.len())).collect();
    let rows = Rows { slots: &slots, rows: None, inputs: &inputs, times: &case.times[range] };
    all.update(rows).expect("no result is out of range");
}

/// The parts that the cuts make.
fn parts(case: &Case) -> Vec<Range<usize>> {
    let ends = case.cuts.iter().copied().chain([case.slots.len()]);
    let mut start = 0;
    ends.map(|end| std::mem::replace(&mut start, end)..end).collect()
}

fn saved(all: &dyn Accumulators, slot: u32) -> Vec<u8> {
    let mut out = Vec::new();
    all.save(slot, &mut out);
    out
}

fn all_slots() -> Vec<u32> {
    (0..SLOTS).collect()
}

/// Results, and saved bytes.
fn contents(all: &dyn Accumulators) -> (ArrayRef, Vec<Vec<u8>>) {
    let slots = all_slots();
    let results = all.results(&slots).expect("no result is out of range");
    (results, slots.iter().map(|slot| saved(all, *slot)).collect())
}

/// Checks every law on a case.
fn keeps_the_laws(spec: &AggregateSpec, merges: Merges, case: &Case) -> Checked {
    let mut whole = fresh(spec, case, SLOTS);
    update(&mut *whole, case, 0..case.slots.len(), 0);
    let whole = contents(&*whole);
    let promised = fresh(spec, case, 0).data_type();
    prop_assert_eq!(whole.0.data_type(), &promised);

    prop_assert_eq!(&whole, &in_parts_and_restored(spec, case)?, "cuts and restarts");
    prop_assert_eq!(&whole, &picked(spec, case), "rows in an order of their own");
    same(&whole, &merged(spec, case, false), merges, "merges from the left")?;
    same(&whole, &merged(spec, case, true), merges, "merges from the right")?;
    running(spec, case, &whole.0)?;
    retracted(spec, case)
}

/// A fresh object after every part, loaded with what was saved; what cannot be read is refused.
fn in_parts_and_restored(
    spec: &AggregateSpec,
    case: &Case,
) -> Result<(ArrayRef, Vec<Vec<u8>>), TestCaseError> {
    let mut all = fresh(spec, case, SLOTS);
    for part in parts(case) {
        update(&mut *all, case, part, 0);
        let mut next = fresh(spec, case, SLOTS + 1);
        for slot in 0..SLOTS {
            let mut bytes = saved(&*all, slot);
            for end in 0..bytes.len() {
                prop_assert!(next.load(SLOTS, &bytes[..end]).is_err(), "{end} of {bytes:?}");
            }
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x41;
                // Whether it is noticed or not: reading and asking for the result never panics.
                if next.load(SLOTS, &damaged).is_ok() {
                    let _ = next.results(&[SLOTS]);
                }
            }
            bytes.push(7);
            prop_assert_eq!(next.load(slot, &bytes).expect("as it was saved"), &[7]);
        }
        all = next;
    }
    Ok(contents(&*all))
}

/// Slot by slot, with the rows named.
fn picked(spec: &AggregateSpec, case: &Case) -> (ArrayRef, Vec<Vec<u8>>) {
    let mut all = fresh(spec, case, SLOTS);
    for slot in 0..SLOTS {
        let of_slot = (0u32..).zip(&case.slots).filter(|(_, of)| **of == slot);
        let rows: Vec<_> = of_slot.map(|(row, _)| row).collect();
        let slots = vec![slot; rows.len()];
        let rows =
            Rows { slots: &slots, rows: Some(&rows), inputs: &case.columns, times: &case.times };
        all.update(rows).expect("no result is out of range");
    }
    contents(&*all)
}

/// Each part in slots of its own, merged; then used slots are cleared and must be empty.
fn merged(spec: &AggregateSpec, case: &Case, from_right: bool) -> (ArrayRef, Vec<Vec<u8>>) {
    let parts = parts(case);
    let count = u32::try_from(parts.len()).expect("few parts");
    let mut all = fresh(spec, case, SLOTS * (count + 1));
    for (i, part) in (1..).zip(parts) {
        update(&mut *all, case, part, i * SLOTS);
    }
    let of = |part: u32| all_slots().iter().map(|slot| slot + part * SLOTS).collect::<Vec<_>>();
    if from_right {
        for part in (0..count).rev() {
            all.merge(&of(part + 1), &of(part)).expect("no result is out of range");
        }
    } else {
        for part in 0..count {
            all.merge(&of(part + 1), &of(0)).expect("no result is out of range");
        }
    }
    let merged = contents(&*all);
    all.clear(&of(0));
    assert_eq!(contents(&*all), contents(&*fresh(spec, case, SLOTS)), "cleared slots are empty");
    merged
}

fn same(
    whole: &(ArrayRef, Vec<Vec<u8>>),
    merged: &(ArrayRef, Vec<Vec<u8>>),
    merges: Merges,
    what: &str,
) -> Checked {
    if merges == Merges::Exact {
        prop_assert_eq!(whole, merged, "{}", what);
        return Ok(());
    }
    if merges == Merges::Other {
        return Ok(());
    }
    if merges == Merges::SameResults {
        prop_assert_eq!(&whole.0, &merged.0, "{}", what);
        return Ok(());
    }
    let (a, b) = (whole.0.as_primitive::<Float64Type>(), merged.0.as_primitive::<Float64Type>());
    for (a, b) in a.iter().zip(b) {
        prop_assert_eq!(a.is_some(), b.is_some(), "{}", what);
        let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
        let close = (a - b).abs() <= 1e-12 * a.abs().max(1.0) || (a.is_nan() && b.is_nan());
        prop_assert!(close, "{what}: {a} {b}");
    }
    Ok(())
}

/// The running value after the last row of a slot is its result.
fn running(spec: &AggregateSpec, case: &Case, whole: &ArrayRef) -> Checked {
    let mut all = fresh(spec, case, SLOTS);
    let rows = Rows { slots: &case.slots, rows: None, inputs: &case.columns, times: &case.times };
    let each = all.update_each(rows).expect("no result is out of range");
    prop_assert_eq!(each.len(), case.slots.len());
    for slot in 0..SLOTS {
        if let Some(last) = case.slots.iter().rposition(|of| *of == slot) {
            prop_assert_eq!(&each.slice(last, 1), &whole.slice(slot as usize, 1));
        }
    }
    Ok(())
}

/// What is left after the first part was taken out is what the others give alone.
fn retracted(spec: &AggregateSpec, case: &Case) -> Checked {
    let mut all = fresh(spec, case, SLOTS);
    let first = parts(case)[0].clone();
    let inputs: Vec<_> = case.columns.iter().map(|column| column.slice(0, first.len())).collect();
    let slots = &case.slots[first.clone()];
    let rows = Rows { slots, rows: None, inputs: &inputs, times: &case.times[first.clone()] };
    if !all.can_retract() {
        prop_assert!(all.retract(rows).is_err() || slots.is_empty() || no_values(&inputs));
        return Ok(());
    }
    update(&mut *all, case, 0..case.slots.len(), 0);
    all.retract(rows).expect("it says that it can");
    let mut rest = fresh(spec, case, SLOTS);
    update(&mut *rest, case, first.end..case.slots.len(), 0);
    prop_assert_eq!(contents(&*all), contents(&*rest));
    Ok(())
}

/// True if no row has a value in every column.
fn no_values(inputs: &[ArrayRef]) -> bool {
    let len = inputs.first().map_or(0, |input| input.len());
    (0..len).all(|row| inputs.iter().any(|input| input.is_null(row)))
}

/// Checks an aggregate on random rows of each combination of columns.
pub(super) fn check(function: &str, options: &Value, columns: &[Vec<Column>], merges: Merges) {
    for columns in columns {
        let spec = spec(function, columns.len(), options);
        let mut runner = TestRunner::new(Config { cases: 10, ..Config::default() });
        let run =
            runner.run(&data::case(columns.clone()), |case| keeps_the_laws(&spec, merges, &case));
        if let Err(why) = run {
            panic!("{function} {options}: {why}");
        }
    }
}

/// Each of the columns alone.
pub(super) fn alone(columns: Vec<Column>) -> Vec<Vec<Column>> {
    columns.into_iter().map(|column| vec![column]).collect()
}

#[test]
fn count_keeps_the_laws() {
    check("count", &json!({}), &[vec![]], Merges::Exact);
    check("count", &json!({}), &alone(data::any_column()), Merges::Exact);
}

#[test]
fn sum_and_mean_keep_the_laws() {
    check("sum", &json!({}), &alone(data::numbers()), Merges::Exact);
    check("mean", &json!({}), &alone(data::numbers()), Merges::Exact);
}

#[test]
fn min_and_max_keep_the_laws() {
    check("min", &json!({}), &alone(data::any_column()), Merges::Exact);
    check("max", &json!({}), &alone(data::any_column()), Merges::Exact);
}

/// Columns of which each pair is read together.
fn pairs(columns: &[Column]) -> Vec<Vec<Column>> {
    columns.iter().map(|column| vec![column.clone(), data::integers()]).collect()
}

#[test]
fn moments_keep_the_laws() {
    let exact = || [data::integers(), data::unsigned(), data::decimals()];
    let floats = || alone(vec![data::tame_floats()]);
    for function in ["variance", "std_dev"] {
        check(function, &json!({"ddof": 1}), &alone(exact().into()), Merges::Exact);
        check(function, &json!({}), &floats(), Merges::Close);
    }
    for function in ["covariance", "correlation"] {
        check(function, &json!({}), &pairs(&exact()), Merges::Exact);
        check(function, &json!({}), &pairs(&[data::tame_floats()]), Merges::Close);
    }
}

#[test]
fn flags_keep_the_laws() {
    check("any_true", &json!({}), &alone(vec![data::booleans()]), Merges::Exact);
    check("all_true", &json!({}), &alone(vec![data::booleans()]), Merges::Exact);
}

#[test]
fn chosen_values_keep_the_laws() {
    for function in ["first", "last"] {
        check(function, &json!({}), &alone(data::any_column()), Merges::Exact);
    }
    for function in ["first", "last", "arg_min", "arg_max"] {
        let by = [data::short_integers(), data::floats(), data::strings(), data::times()];
        let columns: Vec<_> = by.iter().map(|by| vec![data::strings(), by.clone()]).collect();
        check(function, &json!({}), &columns, Merges::Exact);
    }
}

#[test]
fn tallies_keep_the_laws() {
    for function in ["count_distinct", "mode", "collect_set"] {
        check(function, &json!({}), &alone(data::any_column()), Merges::Exact);
    }
    check("top_k", &json!({"k": 2}), &alone(data::any_column()), Merges::Exact);
    check("collect_set", &json!({"limit": 2}), &alone(data::any_column()), Merges::Exact);
}

#[test]
fn collections_keep_the_laws() {
    check("collect_list", &json!({}), &alone(data::any_column()), Merges::Exact);
    check("collect_list", &json!({"limit": 3}), &alone(data::any_column()), Merges::Exact);
    check("largest", &json!({"k": 3}), &alone(data::any_column()), Merges::Exact);
    check("smallest", &json!({"k": 3}), &alone(data::any_column()), Merges::Exact);
    check("histogram", &json!({"edges": [-2.0, 0, 1.5]}), &alone(data::numbers()), Merges::Exact);
}

#[test]
fn sketches_keep_the_laws() {
    let columns = || alone(data::any_column());
    check("approx_count_distinct", &json!({"precision": 5}), &columns(), Merges::SameResults);
    let numbers = || alone(data::numbers());
    check("quantile", &json!({"q": 0.3, "compression": 10}), &numbers(), Merges::SameResults);
    check("quantiles", &json!({"qs": [0.0, 0.5, 1]}), &numbers(), Merges::SameResults);
    check("quantile", &json!({"q": 0.3, "method": "kll"}), &numbers(), Merges::SameResults);
    let small = json!({"q": 0.3, "method": "kll", "k": 10});
    check("quantile", &small, &numbers(), Merges::Other);
}

#[test]
fn slices_of_results_can_be_put_together() {
    let mut all = build(&spec("sum", 1, &json!({})), &[arrow::datatypes::DataType::Int64])
        .expect("the specification is right");
    all.grow(2);
    let both = all.results(&[0, 1]).expect("empty");
    let one = all.results(&[0]).expect("empty");
    assert_eq!(&concat(&[&one, &one]).expect("of one type"), &both);
}
