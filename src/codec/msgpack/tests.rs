//! What the codec promises, case by case and by properties.

use super::*;
use crate::{
    codec::{
        Decode, DecodeOptions, Decoded, Encode, Encoded,
        json::{self, SharedSchema},
    },
    types::OwnedRecord,
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
        TimestampMicrosecondType, UInt64Type,
    },
};
use proptest::prelude::*;
use std::{collections::HashMap, sync::Arc};

fn records(values: &[Vec<u8>]) -> Vec<OwnedRecord> {
    let record = |v: &Vec<u8>| OwnedRecord { value: Some(v.clone()), ..OwnedRecord::default() };
    values.iter().map(record).collect()
}

fn decode(schema: &SchemaRef, values: &[Vec<u8>]) -> Decoded {
    let mut decoder = Decoder::new(Arc::clone(schema), DecodeOptions::default()).unwrap();
    decoder.decode(&records(values), 0..values.len())
}

fn encode(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let mut out = Encoded::default();
    Encoder.encode(batch, &mut out).unwrap();
    (0..out.len()).map(|i| out.value(i).to_vec()).collect()
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// A map of one name and the value `bytes`.
fn one(bytes: &[u8]) -> Vec<u8> {
    [&[0x81, 0xa1, b'v'], bytes].concat()
}

fn why(data_type: DataType, bytes: &[u8]) -> String {
    let decoded = decode(&schema(vec![field("v", data_type)]), &[one(bytes)]);
    assert_eq!(decoded.batch.num_rows(), 0, "no row of a bad record");
    decoded.bad[0].message.clone()
}

#[test]
fn unsigned_integers_have_their_whole_range() {
    let fields = schema(vec![field("v", DataType::UInt64)]);
    let most = one(&[&[0xcf][..], &[0xff; 8]].concat());
    let decoded = decode(&fields, &[most.clone(), one(&[5])]);
    assert_eq!(decoded.batch.column(0).as_primitive::<UInt64Type>().values(), &[u64::MAX, 5]);
    assert_eq!(encode(&decoded.batch), [most, one(&[5])]);
    assert_eq!(
        why(DataType::Int64, &[&[0xcf][..], &[0xff; 8]].concat()),
        "field `v`: expected an integer from -9223372036854775808 to 9223372036854775807, found \
         the number 18446744073709551615 at byte 3"
    );
}

#[test]
fn numbers_are_taken_as_json_takes_them() {
    let fields = schema(vec![field("v", DataType::Int64)]);
    let five = one(&[&[0xcb][..], &5.0f64.to_be_bytes()].concat());
    assert_eq!(decode(&fields, &[five]).batch.column(0).as_primitive::<Int64Type>().value(0), 5);
    let half = [&[0xcb][..], &5.5f64.to_be_bytes()].concat();
    assert!(why(DataType::Int64, &half).contains("expected an integer, found the number 5.5"));
    assert!(why(DataType::Int8, &[0xcc, 200]).contains("from -128 to 127"));
    assert!(why(DataType::Int64, &[0xa1, b'5']).contains("found the string \"5\""));
    let nan = one(&[&[0xcb][..], &f64::NAN.to_be_bytes()].concat());
    let floats = decode(&schema(vec![field("v", DataType::Float64)]), &[nan]);
    assert!(floats.batch.column(0).as_primitive::<Float64Type>().value(0).is_nan());
}

#[test]
fn text_and_binary_are_told_apart() {
    assert!(why(DataType::Utf8, &[0xc4, 1, b'x']).contains("expected a string, found binary"));
    assert!(why(DataType::Utf8, &[0xa1, 0xff]).contains("text that is not UTF-8"));
    let fields = schema(vec![field("v", DataType::Binary)]);
    let decoded = decode(&fields, &[one(&[0xc4, 1, 0xff]), one(&[0xa1, b'x'])]);
    assert_eq!(decoded.batch.column(0).as_binary::<i32>().value(0), [0xff]);
    assert_eq!(decoded.batch.column(0).as_binary::<i32>().value(1), b"x");
}

#[test]
fn timestamps_have_three_forms() {
    let fields =
        schema(vec![field("v", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))]);
    let short = one(&[&[0xd6, 0xff][..], &5u32.to_be_bytes()].concat());
    let middle = one(&[&[0xd7, 0xff][..], &(7_000u64 << 34 | 5).to_be_bytes()].concat());
    let ns = 999_999_000u32.to_be_bytes();
    let long = one(&[&[0xc7, 12, 0xff][..], &ns, &(-1i64).to_be_bytes()].concat());
    let values = [short, middle, long];
    let decoded = decode(&fields, &values);
    let times = decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values(), &[5_000_000, 5_000_007, -1]);
    assert_eq!(encode(&decoded.batch), values);
    assert!(why(DataType::Int64, &[0xd4, 5, 0]).contains("an extension of type 5"));
}

#[test]
fn a_bad_record_leaves_no_trace() {
    let item = Arc::new(field("item", DataType::Int64));
    let fields = schema(vec![field("a", DataType::List(item)), field("b", DataType::Utf8)]);
    let good = [0x82, 0xa1, b'a', 0x92, 1, 2, 0xa1, b'b', 0xa1, b'x'].to_vec();
    let broken = [0x82, 0xa1, b'a', 0x92, 1, 0xc3, 0xa1, b'b', 0xa1, b'x'].to_vec();
    let decoded =
        decode(&fields, &[good.clone(), broken, good[..7].to_vec(), Vec::new(), good.clone()]);
    assert_eq!(decoded.rows, Some(vec![0, 4]));
    let said: Vec<&str> = decoded.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "field `a[1]`: expected an integer, found true at byte 5",
            "the record ends inside a value at byte 7",
            "the value is empty at byte 0",
        ]
    );
    assert_eq!(encode(&decoded.batch), [good.clone(), good]);
}

#[test]
fn marks_of_the_schema_count_as_in_json() {
    let mark = |field: Field, key: &str, value: &str| {
        field.with_metadata(HashMap::from([(key.to_owned(), value.to_owned())]))
    };
    let fields = schema(vec![
        mark(Field::new("n", DataType::Int64, false), json::DEFAULT, "7"),
        mark(field("text", DataType::Utf8), json::RAW_JSON, "1"),
        mark(field("few", DataType::Int64), json::CHECK, r#"{"le": 3}"#),
    ]);
    let nested = [0x81, 0xa4, b't', b'e', b'x', b't', 0x81, 0xa1, b'k', 0x92, 1, 0xc0].to_vec();
    let many = [0x81, 0xa3, b'f', b'e', b'w', 4].to_vec();
    let decoded = decode(&fields, &[nested, many]);
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values(), &[7]);
    assert_eq!(decoded.batch.column(1).as_string::<i32>().value(0), r#"{"k":[1,null]}"#);
    assert!(decoded.bad[0].message.contains("`few`: expected at most 3, found 4"));
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let value = Arc::new(Field::new("value", DataType::Int64, true));
    let entry =
        DataType::Struct(vec![Arc::new(Field::new("key", DataType::Utf8, false)), value].into());
    let map = DataType::Map(Arc::new(Field::new("entries", entry, false)), false);
    let fields = schema(vec![field("v", map)]);
    let twice = one(&[0x83, 0xa1, b'a', 1, 0xa1, b'b', 2, 0xa1, b'a', 3]);
    let decoded = decode(&fields, &[twice.clone(), twice]);
    let maps = decoded.batch.column(0).as_map();
    assert_eq!(maps.value_offsets(), &[0, 2, 4]);
    assert_eq!(maps.values().as_primitive::<Int64Type>().values(), &[2, 3, 2, 3]);
}

#[test]
fn a_schema_is_learned_and_widened() {
    let shared = Arc::new(SharedSchema::new("s", prometheus::IntCounter::new("w", "w").unwrap()));
    let mut decoder = Decoder::inferring(shared, DecodeOptions::default()).unwrap();
    let half = one(&[&[0xcb][..], &0.5f64.to_be_bytes()].concat());
    let binary = [0x82, 0xa1, b'v', 1, 0xa1, b'b', 0xc4, 1, 0xff].to_vec();
    let decoded = decoder.decode(&records(&[one(&[1]), half, binary]), 0..3);
    assert!(decoded.bad.is_empty() && decoded.widened);
    let batch = decoded.batch;
    assert_eq!(batch.column(0).as_primitive::<Float64Type>().values(), &[1.0, 0.5, 1.0]);
    assert_eq!(batch.column(1).as_binary::<i32>().value(2), [0xff]);
    assert!(batch.column(1).is_null(0));
}

#[test]
fn nesting_ends_somewhere() {
    let deep = one(&[vec![0x91; 100_000], vec![0]].concat());
    let decoded = decode(&schema(vec![field("other", DataType::Int64)]), &[deep]);
    assert!(decoded.bad[0].message.contains("nested deeper than 64 levels"));
}

/// Every type that JSON and MessagePack both know.
fn all() -> SchemaRef {
    let item = Arc::new(field("item", DataType::Utf8));
    let inner = vec![field("x", DataType::Int64), field("y", DataType::Float64)];
    schema(vec![
        field("n", DataType::Int64),
        field("t", DataType::Utf8),
        field("b", DataType::Boolean),
        field("l", DataType::List(item)),
        field("s", DataType::Struct(inner.into())),
        field("d", DataType::Date32),
    ])
}

fn row() -> impl Strategy<Value = serde_json::Value> {
    let inner =
        (any::<i64>(), -1e300..1e300f64).prop_map(|(x, y)| serde_json::json!({"x": x, "y": y}));
    let text = proptest::option::of(".{0,20}");
    let list =
        proptest::option::of(proptest::collection::vec(proptest::option::of("[a-z]{0,40}"), 0..20));
    (any::<i64>(), text, any::<bool>(), list, inner).prop_map(|(n, t, b, l, s)| {
        serde_json::json!({"n": n, "t": t, "b": b, "l": l, "s": s, "d": "2024-02-29"})
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What the JSON codec decodes is the same batch after a way through MessagePack.
    #[test]
    fn what_was_encoded_decodes_to_the_same(rows in proptest::collection::vec(row(), 1..20)) {
        let texts: Vec<Vec<u8>> = rows.iter().map(|row| serde_json::to_vec(row).unwrap()).collect();
        let mut reader = json::Decoder::new(all(), DecodeOptions::default()).unwrap();
        let source = reader.decode(&records(&texts), 0..texts.len());
        prop_assert!(source.bad.is_empty());
        let decoded = decode(&all(), &encode(&source.batch));
        prop_assert_eq!(decoded.bad, vec![]);
        prop_assert_eq!(decoded.batch, source.batch);
    }

    /// Any bytes, and any damage to good ones, give a row or a reason; neighbours stay whole.
    #[test]
    fn any_bytes_give_a_result(
        noise in proptest::collection::vec(any::<u8>(), 0..64),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let text = br#"{"n":1,"t":"x","b":true,"l":["a",null],"s":{"x":1,"y":2.5},"d":"2024-01-01"}"#;
        let mut reader = json::Decoder::new(all(), DecodeOptions::default()).unwrap();
        let good = encode(&reader.decode(&records(&[text.to_vec()]), 0..1).batch).remove(0);
        let mut damaged = good.clone();
        let at = at.index(good.len());
        damaged[at] = byte;
        let values = [good.clone(), noise, good.clone(), damaged, good[..at].to_vec(), good.clone()];
        let decoded = decode(&all(), &values);
        prop_assert_eq!(decoded.batch.num_rows() + decoded.bad.len(), values.len());
        let again = encode(&decoded.batch);
        prop_assert!(again.iter().filter(|v| **v == good).count() >= 3);
    }
}
