use super::*;
use arrow::array::{AsArray, Int64Array, ListArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use proptest::prelude::*;
use serde_json::json;

/// Rows with a number `n`, text `t`, lists `xs`, and a column that is carried along.
fn rows(numbers: &[Option<i64>]) -> RecordBatch {
    let lists =
        numbers.iter().map(|n| n.map(|n| (0..n.rem_euclid(3)).map(Some).collect::<Vec<_>>()));
    let texts: StringArray = numbers.iter().map(|n| n.map(|n| n.to_string())).collect();
    let numbers: Int64Array = numbers.iter().copied().collect();
    let times = Int64Array::from_iter_values(0..numbers.len() as i64);
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(numbers) as ArrayRef, true),
        ("t", Arc::new(texts) as ArrayRef, true),
        ("xs", Arc::new(lists) as ArrayRef, true),
        ("_time", Arc::new(times) as ArrayRef, false),
    ])
    .unwrap()
}

fn carried(field: &Field) -> bool {
    field.name().starts_with('_')
}

fn steps(list: Value) -> Steps {
    Steps::parse(&list, OnComputeError::Null).unwrap()
}

fn columns(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn numbers(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn columns_that_are_carried_survive_a_selection_and_a_drop() {
    let selected =
        steps(json!([{"select": [["m", {"call": "add", "args": [{"col": "n"}, {"lit": 1}]}]]}]));
    let batch = selected.apply(rows(&[Some(1), None]), carried).unwrap().batch;
    assert_eq!(columns(&batch), ["m", "_time"]);
    assert_eq!(numbers(&batch, "m"), [Some(2), None]);
    let dropped =
        steps(json!([{"drop": ["n", "_time"]}])).apply(rows(&[Some(1)]), carried).unwrap();
    assert_eq!(columns(&dropped.batch), ["t", "xs", "_time"]);
}

#[test]
fn a_column_of_a_known_name_is_replaced_in_its_place_and_all_read_what_was_there() {
    let swap = steps(
        json!([{"with_columns": [["t", {"col": "n"}], ["n", {"col": "t"}], ["more", {"lit": 7}]]}]),
    );
    let batch = swap.apply(rows(&[Some(4)]), carried).unwrap().batch;
    assert_eq!(columns(&batch), ["n", "t", "xs", "_time", "more"]);
    assert_eq!(batch.column(0).data_type(), &DataType::Utf8);
    assert_eq!(numbers(&batch, "t"), [Some(4)]);
}

#[test]
fn values_that_cannot_be_computed_are_counted_or_fail() {
    let list = json!([{"with_columns": [["d", {"call": "floor_divide", "args": [{"lit": 1}, {"col": "n"}]}]]}]);
    let stepped = steps(list.clone()).apply(rows(&[Some(0), Some(1)]), carried).unwrap();
    assert_eq!((numbers(&stepped.batch, "d"), stepped.failed), (vec![None, Some(1)], 1));
    let strict = Steps::parse(&list, OnComputeError::Fail).unwrap();
    assert!(matches!(strict.apply(rows(&[Some(0)]), carried), Err(Error::Compute(_))));
}

#[test]
fn what_is_no_step_and_an_unknown_column_are_refused() {
    for list in
        [json!({}), json!([{"filters": 1}]), json!([{"select": [["a"]]}]), json!([{"drop": [1]}])]
    {
        assert!(matches!(Steps::parse(&list, OnComputeError::Null), Err(Error::Declaration(_))));
    }
    let unknown = steps(json!([{"drop": ["n"]}, {"filter": {"col": "n"}}]));
    let error = unknown.apply(rows(&[Some(1)]), carried).unwrap_err();
    assert!(error.to_string().contains('n'), "{error}");
}

proptest! {
    /// The steps of a plan give the same rows however these were cut into batches.
    #[test]
    fn a_plan_does_not_see_the_cuts_between_batches(
        values in prop::collection::vec(prop::option::of(-5_i64..9), 1..40), cut in 0_usize..40
    ) {
        let plan = steps(json!([
            {"filter": {"call": "gt", "args": [{"col": "n"}, {"lit": -2}]}},
            {"with_columns": [["m", {"call": "mul", "args": [{"col": "n"}, {"lit": 3}]}]]},
            {"explode": "xs"},
            {"filter": {"call": "ne", "args": [{"col": "m"}, {"lit": 3}]}},
            {"select": [["m", {"col": "m"}], ["x", {"col": "xs"}]]},
        ]));
        let all = rows(&values);
        let cut = cut.min(values.len());
        let run = |rows| plan.apply(rows, carried).unwrap().batch;
        let parts = [run(all.slice(0, cut)), run(all.slice(cut, values.len() - cut))];
        let together = arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap();
        prop_assert_eq!(&together, &run(all.clone()));
        let expected: Vec<_> = values.iter().flatten().filter(|n| **n > -2 && **n != 1)
            .flat_map(|n| (0..n.rem_euclid(3)).map(move |x| (Some(n * 3), Some(x)))).collect();
        let found: Vec<_> = numbers(&together, "m").into_iter().zip(numbers(&together, "x")).collect();
        prop_assert_eq!(found, expected);
    }
}
