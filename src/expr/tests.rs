use super::{Expression, OnComputeError};
use crate::error::{Error, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    StructArray,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn expression(tree: &Value) -> Expression {
    Expression::parse(tree).expect("a tree")
}

fn evaluate(tree: &Value, batch: &RecordBatch) -> Result<ArrayRef> {
    expression(tree).evaluate(batch)
}

fn ints(tree: &Value, batch: &RecordBatch) -> Vec<Option<i64>> {
    evaluate(tree, batch).unwrap().as_primitive::<Int64Type>().iter().collect()
}

fn bools(tree: &Value, batch: &RecordBatch) -> Vec<Option<bool>> {
    evaluate(tree, batch).unwrap().as_boolean().iter().collect()
}

fn call(function: &str, args: &[Value]) -> Value {
    json!({"call": function, "args": args})
}

fn col(name: &str) -> Value {
    json!({"col": name})
}

fn lit(value: impl Into<Value>) -> Value {
    json!({"lit": value.into()})
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn numbers() -> RecordBatch {
    batch(vec![
        ("a", Arc::new(Int64Array::from(vec![Some(7), Some(-7), Some(i64::MAX), None]))),
        ("b", Arc::new(Int64Array::from(vec![Some(2), Some(0), Some(1), Some(1)]))),
        ("f", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), Some(-0.0), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("x"), Some("y"), None, Some("")]))),
    ])
}

#[test]
fn arithmetic_of_columns_and_constants() {
    let rows = numbers();
    assert_eq!(ints(&call("sub", &[col("a"), col("b")]), &rows)[..2], [Some(5), Some(-7)]);
    assert_eq!(ints(&call("mul", &[col("b"), lit(3), lit(2)]), &rows)[0], Some(12));
    assert_eq!(ints(&call("mod", &[col("a"), lit(3)]), &rows)[..2], [Some(1), Some(2)]);
    assert_eq!(ints(&call("floor_divide", &[col("a"), lit(2)]), &rows)[1], Some(-4));
}

#[test]
fn a_row_that_cannot_be_computed_is_null_and_counted_and_leaves_the_others_alone() {
    let rows = numbers();
    let sum = expression(&call("add", &[col("a"), col("b")]));
    let done = sum.evaluate_with(&rows, OnComputeError::Null).unwrap();
    assert_eq!(
        done.array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(9), Some(-7), None, None]
    );
    assert_eq!(done.failed, 1, "an overflow, and no null");
    let ratio = expression(&call("divide", &[col("a"), col("b")]));
    let done = ratio.evaluate_with(&rows, OnComputeError::Null).unwrap();
    assert_eq!(done.array.as_primitive::<Float64Type>().value(0), 3.5);
    assert!(done.array.is_null(1));
    assert_eq!(done.failed, 1);
}

#[test]
fn the_policy_fail_says_what_cannot_be_computed() {
    let rows = numbers();
    for (function, why) in [("add", "Overflow"), ("divide", "division by zero")] {
        let tree = call(function, &[col("a"), col("b")]);
        let error = expression(&tree).evaluate_with(&rows, OnComputeError::Fail).unwrap_err();
        assert!(matches!(&error, Error::Compute(text) if text.contains(why)), "{error}");
    }
}

#[test]
fn floats_compare_as_ieee_says() {
    let rows = numbers();
    let same = call("eq", &[col("f"), col("f")]);
    assert_eq!(bools(&same, &rows), [Some(true), Some(false), Some(true), None]);
    assert_eq!(bools(&call("eq", &[col("f"), lit(0.0)]), &rows)[2], Some(true));
}

#[test]
fn a_branch_is_computed_for_its_own_rows_only() {
    let guarded = json!({
        "when": [[call("ne", &[col("b"), lit(0)]), call("divide", &[col("a"), col("b")])]],
        "otherwise": {"lit": -1},
    });
    let done = expression(&guarded).evaluate_with(&numbers(), OnComputeError::Fail).unwrap();
    assert_eq!(done.array.as_primitive::<Float64Type>().value(1), -1.0);
    assert_eq!(done.failed, 0);
}

#[test]
fn fields_of_structs_are_null_where_the_struct_is() {
    let inner: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let fields = vec![Field::new("x", DataType::Int64, false)].into();
    let nulls = vec![true, false].into();
    let parent = StructArray::new(fields, vec![inner], Some(nulls));
    let rows = batch(vec![("p", Arc::new(parent))]);
    assert_eq!(ints(&col("p.x"), &rows), [Some(1), None]);
    let error = evaluate(&col("p.y"), &rows).unwrap_err();
    assert_eq!(error.to_string(), "there is no field \"y\" in p: there are x");
}

#[test]
fn what_cannot_work_is_said_when_the_schema_is_known() {
    let schema = numbers().schema();
    for (tree, sentence) in [
        (col("c"), "there is no column \"c\": there are a, b, f, s"),
        (call("add", &[col("a"), col("s")]), "add computes with numbers, and s is text"),
        (call("eq", &[col("a"), col("s")]), "a is int64 and s is text: they do not meet"),
        (call("and", &[col("a"), col("b")]), "and joins conditions, and a is int64"),
        (call("nonsense", &[]), "there is no function \"nonsense\""),
        (call("not", &[]), "not takes 1 values, and 0 were given"),
    ] {
        let error = expression(&tree).check(&schema).unwrap_err();
        assert!(matches!(error, Error::Declaration(_)));
        assert!(error.to_string().starts_with(sentence), "{error}");
    }
}

#[test]
fn a_tree_that_is_none_is_refused() {
    for tree in [json!(1), json!({}), json!({"call": 3}), json!({"when": [[1]]})] {
        assert!(matches!(Expression::parse(&tree), Err(Error::Declaration(_))), "{tree}");
    }
    let deep = (0..300).fold(col("a"), |tree, _| call("not", &[tree]));
    assert!(Expression::parse(&deep).is_err());
    assert!(Expression::parse_text(&"[".repeat(100_000)).is_err());
}

/// A tree of arithmetic and comparisons over the columns `a`, `b` and `f`.
fn trees() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(col("a")),
        Just(col("b")),
        Just(col("f")),
        (-3_i64..3).prop_map(lit),
        Just(lit(Value::Null)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let number = prop_oneof![
            Just("add"),
            Just("sub"),
            Just("mul"),
            Just("divide"),
            Just("mod"),
            Just("floor_divide"),
            Just("min2"),
            Just("max2"),
            Just("coalesce"),
        ];
        let compare = prop_oneof![Just("lt"), Just("eq"), Just("ge")];
        prop_oneof![
            3 => (number, inner.clone(), inner.clone()).prop_map(|(f, a, b)| call(f, &[a, b])),
            1 => (compare, inner.clone(), inner.clone(), inner.clone(), inner).prop_map(
                |(f, a, b, x, y)| json!({"when": [[call(f, &[a, b]), x]], "otherwise": y})
            ),
        ]
    })
}

fn rows() -> impl Strategy<Value = RecordBatch> {
    let int = prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), -5_i64..5];
    let float = prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), -5.0..5.0];
    let row = (prop::option::of(int.clone()), prop::option::of(int), prop::option::of(float));
    prop::collection::vec(row, 1..20).prop_map(|rows| {
        batch(vec![
            ("a", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
            ("b", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())),
            ("f", Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>())),
        ])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Values and counts are those of the rows one by one, however they are cut.
    #[test]
    fn any_cut_gives_the_same(tree in trees(), rows in rows(), cut in 0_usize..20) {
        let expression = expression(&tree);
        let whole = expression.evaluate_with(&rows, OnComputeError::Null).unwrap();
        let cut = cut.min(rows.num_rows());
        let first = expression.evaluate_with(&rows.slice(0, cut), OnComputeError::Null).unwrap();
        let rest = rows.slice(cut, rows.num_rows() - cut);
        let rest = expression.evaluate_with(&rest, OnComputeError::Null).unwrap();
        let joined = concat(&[&first.array, &rest.array]).unwrap();
        prop_assert_eq!(joined.to_data(), whole.array.to_data());
        prop_assert_eq!(first.failed + rest.failed, whole.failed);
        prop_assert_eq!(whole.array.data_type(), &expression.check(&rows.schema()).unwrap());
    }
}

#[test]
fn a_predicate_that_is_null_does_not_match() {
    let predicate = expression(&call("gt", &[col("f"), lit(0)]));
    let (rows, _) = predicate.matches(&numbers(), OnComputeError::Null).unwrap();
    assert_eq!(rows, BooleanArray::from(vec![true, false, false, false]));
    let number = expression(&col("a")).matches(&numbers(), OnComputeError::Null).unwrap_err();
    assert!(number.to_string().starts_with("a is int64 and no predicate"), "{number}");
}
