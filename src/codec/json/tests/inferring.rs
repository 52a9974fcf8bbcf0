//! Streams without a model.

use super::*;
use prometheus::IntCounter;

fn shared() -> (Arc<SharedSchema>, IntCounter) {
    let counter = IntCounter::new("widened", "widened").unwrap();
    (Arc::new(SharedSchema::new("s", counter.clone())), counter)
}

fn decoder(shared: &Arc<SharedSchema>) -> Decoder {
    Decoder::inferring(Arc::clone(shared), DecodeOptions::default()).unwrap()
}

fn kinds(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect()
}

#[test]
fn a_sample_gives_the_schema_that_holds_all_of_it() {
    let sample = records(&[
        r#"{"a":1,"b":null,"c":[],"d":{"x":1}}"#,
        r#"{"a":2.5,"b":"t","c":[1],"d":{"y":true}}"#,
        r#"{"a":3,"c":[0.5,null],"e":null}"#,
    ]);
    let first = infer(&sample, 0..3).unwrap();
    assert_eq!(kinds(&first)[..2], ["a: Float64", "b: Utf8"]);
    assert_eq!(first.field(2).data_type(), &DataType::new_list(DataType::Float64, true));
    let inner = vec![field("x", DataType::Int64), field("y", DataType::Boolean)];
    assert_eq!(first.field(3).data_type(), &DataType::Struct(inner.into()));
    assert_eq!(first.field(4).data_type(), &DataType::Null);
    assert_eq!(first, infer(&sample, 0..3).unwrap());
}

#[test]
fn rows_of_one_batch_share_the_widest_schema() {
    let (shared, counter) = shared();
    let sample = records(&[
        r#"{"a":1,"l":[]}"#,
        r#"{"b":"x","a":2.5,"l":[{"p":1}]}"#,
        r#"{"l":[{"q":null,"p":2.5}]}"#,
    ]);
    let out = decoder(&shared).decode(&sample, 0..3);
    assert!(out.widened && out.bad.is_empty(), "{:?}", out.bad);
    assert_eq!(
        lines(&out.batch),
        [
            r#"{"a":1.0,"l":[],"b":null}"#,
            r#"{"a":2.5,"l":[{"p":1.0,"q":null}],"b":"x"}"#,
            r#"{"a":null,"l":[{"p":2.5,"q":null}],"b":null}"#,
        ]
    );
    assert_eq!(counter.get(), 0, "the first batch settles the schema");
}

#[test]
fn a_later_change_is_counted_and_reaches_the_other_partitions() {
    let (shared, counter) = shared();
    let (mut left, mut right) = (decoder(&shared), decoder(&shared));
    left.decode(&records(&[r#"{"a":1}"#]), 0..1);
    assert!(right.decode(&records(&[r#"{"a":2}"#]), 0..1).widened);
    assert_eq!(counter.get(), 0);
    let out = left.decode(&records(&[r#"{"a":1}"#, r#"{"a":2.5,"b":true}"#]), 0..2);
    assert_eq!(lines(&out.batch), [r#"{"a":1.0,"b":null}"#, r#"{"a":2.5,"b":true}"#]);
    assert_eq!((counter.get(), out.widened), (1, true));
    let out = right.decode(&records(&[r#"{"a":7}"#]), 0..1);
    assert_eq!(lines(&out.batch), [r#"{"a":7.0,"b":null}"#]);
    assert!(out.widened);
    assert!(!right.decode(&records(&[r#"{"a":8}"#]), 0..1).widened);
    assert_eq!(shared.current().1, left.schema());
}

#[test]
fn what_no_type_holds_is_a_bad_record() {
    let (shared, _) = shared();
    let mut decoder = decoder(&shared);
    let sample = records(&[
        r#"{"a":1}"#,
        r#"{"a":"x","b":1}"#,
        r#"{"a":2}"#,
        r#"{"c":[1,"x"]}"#,
        r#"{"a":"#,
    ]);
    let out = decoder.decode(&sample, 0..5);
    assert_eq!(out.rows, Some(vec![0, 2]));
    assert_eq!(kinds(&out.batch.schema()), ["a: Int64"], "a bad record teaches nothing");
    assert!(out.bad[0].message.contains("expected an integer, found a string"), "{:?}", out.bad);
    assert!(out.bad[0].message.contains("no type holds both numbers and strings"));
    assert!(out.bad[1].message.contains("the items of the array differ"));
}

#[test]
fn integers_become_floats_only_where_nothing_is_lost() {
    let (shared, _) = shared();
    let mut decoder = decoder(&shared);
    let out = decoder.decode(&records(&[r#"{"a":9007199254740993}"#, r#"{"a":0.5}"#]), 0..2);
    assert_eq!(lines(&out.batch), [r#"{"a":9007199254740993}"#], "the row before is not changed");
    let out = decoder.decode(&records(&[r#"{"a":0.5}"#, r#"{"a":9007199254740993}"#]), 0..2);
    assert_eq!(lines(&out.batch), [r#"{"a":0.5}"#]);
    assert!(out.bad[0].message.contains("9007199254740993"));
    let out = decoder.decode(&records(&[r#"{"big":12345678901234567890}"#]), 0..1);
    assert!(out.bad[0].message.contains("declare the field in a model"), "{:?}", out.bad);
}

#[test]
fn names_that_are_data_end_at_a_thousand_fields() {
    let (shared, _) = shared();
    let names = (0..1_500).map(|i| format!(r#"{{"user{i}":1}}"#)).collect::<Vec<_>>();
    let out = decoder(&shared).decode(&records(&names), 0..names.len());
    assert_eq!((out.batch.num_rows(), out.batch.num_columns()), (1_000, 1_000));
    assert!(out.bad[0].message.contains("more than 1000 fields"), "{}", out.bad[0].message);
}

#[test]
fn equal_names_count_once() {
    let (shared, _) = shared();
    let out = decoder(&shared).decode(&records(&[r#"{"a":"x","a":1}"#]), 0..1);
    assert_eq!(out.bad.len(), 1, "both values are checked against the type of the last");
    let out = decoder(&shared).decode(&records(&[r#"{"b":1,"b":2}"#]), 0..1);
    assert_eq!(lines(&out.batch)[0], r#"{"a":null,"b":2}"#);
}
