//! What the codec promises, case by case and by properties; prost-reflect is the other opinion.

use super::*;
use crate::{
    codec::{Decode, DecodeOptions, Decoded, Encode, Encoded},
    types::OwnedRecord,
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, DurationMicrosecondType, Field, Float64Type, Int32Type, Int64Type, Schema,
        SchemaRef, TimestampMicrosecondType, UInt64Type,
    },
};
use proptest::prelude::*;
use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, Value, prost::Message};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

const ORDER: &str = r#"
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
enum Kind { VIEW = 0; BUY = 1; GONE = -1; }
message Order {
  message Item { string sku = 1; optional sint32 count = 2; repeated Tag tags = 3; }
  message Tag { string name = 1; }
  int64 id = 1;
  string user = 2;
  double amount = 3;
  Kind kind = 4;
  repeated int32 points = 5;
  repeated string words = 6;
  map<string, Item> by_sku = 7;
  map<int32, fixed64> counts = 8;
  Item best = 9;
  google.protobuf.Timestamp at = 10;
  google.protobuf.Duration took = 11;
  google.protobuf.Int64Value maybe = 12;
  oneof pay { string card = 13; int64 cash = 14; Item swap = 15; }
  bytes blob = 16;
  uint64 big = 17;
  optional int32 few = 18;
  repeated Item items = 19;
  uint32 small = 20;
  bool ok = 200;
  float ratio = 201;
}
"#;

fn message(text: &str, name: &str) -> MessageDescriptor {
    let files = BTreeMap::from([("order.proto".to_owned(), text.to_owned())]);
    find_message(Source::Files(&files), Some(name)).unwrap()
}

/// One for all: messages of two pools are never equal.
fn order() -> MessageDescriptor {
    static ONE: LazyLock<MessageDescriptor> = LazyLock::new(|| message(ORDER, "Order"));
    ONE.clone()
}

fn records(values: &[Vec<u8>]) -> Vec<OwnedRecord> {
    let record = |v: &Vec<u8>| OwnedRecord { value: Some(v.clone()), ..OwnedRecord::default() };
    values.iter().map(record).collect()
}

fn decode_as(
    message: &MessageDescriptor,
    schema: Option<SchemaRef>,
    values: &[Vec<u8>],
) -> Decoded {
    let mut decoder = Decoder::new(message, false, schema, DecodeOptions::default()).unwrap();
    decoder.decode(&records(values), 0..values.len())
}

fn decode(values: &[Vec<u8>]) -> Decoded {
    decode_as(&order(), None, values)
}

fn encode(message: &MessageDescriptor, batch: &RecordBatch) -> Vec<Vec<u8>> {
    let mut out = Encoded::default();
    Encoder::new(message.clone(), None).encode(batch, &mut out).unwrap();
    (0..out.len()).map(|i| out.value(i).to_vec()).collect()
}

/// Prost's message of a text in Protobuf's JSON mapping is not at hand: set the fields one by one.
fn built(fields: &[(&str, Value)]) -> DynamicMessage {
    let mut message = DynamicMessage::new(order());
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    message
}

fn nested(name: &str, fields: &[(&str, Value)]) -> Value {
    let descriptor = order().parent_pool().get_message_by_name(name).unwrap();
    let mut message = DynamicMessage::new(descriptor);
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    Value::Message(message)
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

#[test]
fn absent_fields_are_zero_or_null_by_their_presence() {
    let decoded = decode(&[Vec::new()]);
    assert_eq!(decoded.bad, []);
    let column = |name: &str| Arc::clone(decoded.batch.column_by_name(name).unwrap());
    assert_eq!(column("id").as_primitive::<Int64Type>().value(0), 0);
    assert_eq!(column("user").as_string::<i32>().value(0), "");
    assert_eq!(column("kind").as_string::<i32>().value(0), "VIEW");
    assert_eq!(column("points").as_list::<i32>().value(0).len(), 0);
    assert_eq!(column("by_sku").as_map().value(0).len(), 0);
    for name in ["best", "at", "took", "maybe", "card", "cash", "swap", "few"] {
        assert!(column(name).is_null(0), "{name} has presence");
    }
    assert_eq!(encode(&order(), &decoded.batch), [Vec::<u8>::new()]);
}

/// What the other implementation reads.
fn parsed(bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(order(), bytes).unwrap()
}

/// A message with something in every field.
fn full() -> DynamicMessage {
    let item = |sku: &str, count: i32| {
        let tag = nested("shop.Order.Tag", &[("name", text("red"))]);
        let fields =
            [("sku", text(sku)), ("count", Value::I32(count)), ("tags", Value::List(vec![tag]))];
        nested("shop.Order.Item", &fields)
    };
    let moment = |name: &str, seconds: i64, nanos: i32| {
        nested(name, &[("seconds", Value::I64(seconds)), ("nanos", Value::I32(nanos))])
    };
    let by_sku = HashMap::from([(MapKey::String("a".into()), item("a", -3))]);
    let counts = HashMap::from([(MapKey::I32(-7), Value::U64(u64::MAX))]);
    built(&[
        ("id", Value::I64(i64::MIN)),
        ("user", text("é")),
        ("amount", Value::F64(-0.5)),
        ("kind", Value::EnumNumber(-1)),
        ("points", Value::List(vec![Value::I32(1), Value::I32(-1), Value::I32(i32::MIN)])),
        ("words", Value::List(vec![text("a"), text("")])),
        ("by_sku", Value::Map(by_sku)),
        ("counts", Value::Map(counts)),
        ("best", item("b", 0)),
        ("at", moment("google.protobuf.Timestamp", -1, 999_999_000)),
        ("took", moment("google.protobuf.Duration", -1, -500_000_000)),
        ("maybe", nested("google.protobuf.Int64Value", &[("value", Value::I64(0))])),
        ("cash", Value::I64(0)),
        ("blob", Value::Bytes(vec![0xFF, 0].into())),
        ("big", Value::U64(u64::MAX)),
        ("few", Value::I32(0)),
        ("items", Value::List(vec![item("c", 1), item("d", 2)])),
        ("small", Value::U32(u32::MAX)),
        ("ok", Value::Bool(true)),
        ("ratio", Value::F32(1.5)),
    ])
}

#[test]
fn every_type_comes_in_and_goes_out() {
    let decoded = decode(&[full().encode_to_vec()]);
    assert_eq!(decoded.bad, []);
    let column = |name: &str| Arc::clone(decoded.batch.column_by_name(name).unwrap());
    assert_eq!(column("id").as_primitive::<Int64Type>().value(0), i64::MIN);
    assert_eq!(column("kind").as_string::<i32>().value(0), "GONE");
    let points = column("points").as_list::<i32>().value(0);
    assert_eq!(points.as_primitive::<Int32Type>().values(), &[1, -1, i32::MIN]);
    assert_eq!(column("at").as_primitive::<TimestampMicrosecondType>().value(0), -1);
    assert_eq!(column("took").as_primitive::<DurationMicrosecondType>().value(0), -1_500_000);
    assert_eq!(column("maybe").as_primitive::<Int64Type>().value(0), 0);
    assert!(!column("cash").is_null(0) && column("card").is_null(0));
    let counts = column("counts");
    assert_eq!(counts.as_map().keys().as_string::<i32>().value(0), "-7");
    assert_eq!(counts.as_map().values().as_primitive::<UInt64Type>().value(0), u64::MAX);
    let items = column("items").as_list::<i32>().value(0);
    assert_eq!(items.as_struct().column(0).as_string::<i32>().value(1), "d");
    let written = encode(&order(), &decoded.batch).remove(0);
    let read = parsed(&written);
    assert_eq!(
        read,
        parsed(&full().encode_to_vec()),
        "the other implementation reads what is written"
    );
}

#[test]
fn unpacked_and_packed_lists_may_alternate() {
    // points (5): 1 alone, then 2 and 3 packed, then 4 alone.
    let bytes = vec![0x28, 1, 0x2A, 2, 2, 3, 0x28, 4];
    let decoded = decode(&[bytes]);
    let points = decoded.batch.column_by_name("points").unwrap().as_list::<i32>().value(0);
    assert_eq!(points.as_primitive::<Int32Type>().values(), &[1, 2, 3, 4]);
}

#[test]
fn fields_that_come_twice_follow_protobuf() {
    let first = built(&[
        ("id", Value::I64(1)),
        ("best", nested("shop.Order.Item", &[("sku", text("a")), ("count", Value::I32(1))])),
        ("card", text("x")),
        (
            "by_sku",
            Value::Map(HashMap::from([(
                MapKey::String("k".into()),
                nested("shop.Order.Item", &[("sku", text("old"))]),
            )])),
        ),
    ]);
    let second = built(&[
        ("id", Value::I64(2)),
        ("best", nested("shop.Order.Item", &[("count", Value::I32(2))])),
        ("cash", Value::I64(5)),
        (
            "by_sku",
            Value::Map(HashMap::from([(
                MapKey::String("k".into()),
                nested("shop.Order.Item", &[("sku", text("new"))]),
            )])),
        ),
    ]);
    let both = [first.encode_to_vec(), second.encode_to_vec()].concat();
    let theirs = DynamicMessage::decode(order(), both.as_slice()).unwrap();
    let decoded = decode(&[both.clone(), both]);
    assert_eq!(decoded.bad, []);
    let best = decoded.batch.column_by_name("best").unwrap().as_struct();
    assert_eq!(best.column(0).as_string::<i32>().value(1), "a", "messages are merged");
    assert_eq!(best.column(1).as_primitive::<Int32Type>().value(1), 2);
    assert!(decoded.batch.column_by_name("card").unwrap().is_null(0), "of a oneof the last counts");
    let written = encode(&order(), &decoded.batch).remove(1);
    assert_eq!(DynamicMessage::decode(order(), written.as_slice()).unwrap(), theirs);
}

#[test]
fn a_bad_record_leaves_no_trace() {
    let good = full().encode_to_vec();
    let values = [
        good.clone(),
        good[..good.len() - 1].to_vec(),
        vec![0x08],
        vec![0x0D, 0, 0, 0, 0],
        vec![0x12, 1, 0xFF],
        vec![0x28, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        vec![0x0C],
        vec![0x00],
        vec![0x4A, 2, 0x12, 0],
        vec![0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
        good.clone(),
    ];
    let decoded = decode(&values);
    let said: Vec<&str> = decoded.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert_eq!(
        said[1..],
        [
            "the record ends inside a field at byte 1",
            "field `id`: written as four bytes, which is not how the schema has it at byte 0",
            "field `user`: text that is not UTF-8 at byte 0",
            "field `points[0]`: 34359738367 does not fit 32 bits at byte 0",
            "a group ends that never began at byte 0",
            "0 is no number of a field at byte 0",
            "field `best.count`: written as a length and bytes, which is not how the schema has it at byte 2",
            "an integer of more than 64 bits at byte 1",
        ]
    );
    assert_eq!(decoded.rows, Some(vec![0, 10]));
    let again = encode(&order(), &decoded.batch);
    assert_eq!(again[0], again[1]);
    assert_eq!(parsed(&again[1]), parsed(&good));
}

#[test]
fn unknown_fields_are_checked_and_left_out() {
    // Field 99: a group with a string inside; field 98: a varint.
    let unknown = vec![0x9B, 6, 0x0A, 1, b'x', 0x9C, 6, 0x90, 6, 5, 0x08, 7];
    let decoded = decode(&[unknown, vec![0x9B, 6, 0x0A, 1]]);
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values(), &[7]);
    assert_eq!(decoded.bad.len(), 1);
    let groups = [0x9B, 6].repeat(50_000);
    assert!(decode(&[groups]).bad[0].message.contains("nested deeper"));
}

#[test]
fn a_model_takes_what_it_names() {
    let fields = vec![
        Field::new("kind", DataType::Int64, false),
        Field::new("amount", DataType::Float64, false),
        Field::new("extra", DataType::Utf8, true),
        Field::new("few", DataType::Int64, false),
    ];
    let schema = Arc::new(Schema::new(fields));
    let some = built(&[("kind", Value::EnumNumber(1)), ("few", Value::I32(3))]).encode_to_vec();
    let decoded = decode_as(&order(), Some(schema), &[some, Vec::new()]);
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values(), &[1]);
    assert_eq!(decoded.batch.column(1).as_primitive::<Float64Type>().values(), &[0.0]);
    assert!(decoded.batch.column(2).is_null(0));
    assert_eq!(decoded.bad[0].message, "field `few`: missing at byte 0");
    let refuse = |field: Field| {
        let schema = Some(Arc::new(Schema::new(vec![field])));
        Decoder::new(&order(), false, schema, DecodeOptions::default()).err().unwrap().to_string()
    };
    let said = refuse(Field::new("userr", DataType::Utf8, false));
    assert!(said.contains("`userr` is not a field of the message shop.Order"), "{said}");
    let said = refuse(Field::new("points", DataType::Int64, false));
    assert!(said.contains("`points` is repeated in the message shop.Order, and Int64"), "{said}");
    let said = refuse(Field::new("best", DataType::Int64, true));
    assert!(said.contains("`best` is a message"), "{said}");
}

#[test]
fn proto2_has_required_fields_groups_and_closed_text() {
    let old = message(
        r#"syntax = "proto2";
        message Old {
          required int64 id = 1;
          optional string name = 2 [default = "x"];
          optional group Part = 3 { optional int32 n = 4; }
          repeated int32 loose = 5;
        }"#,
        "Old",
    );
    let good = vec![0x08, 1, 0x1B, 0x20, 9, 0x1C, 0x28, 1, 0x28, 2];
    let decoded = decode_as(&old, None, &[good.clone(), vec![0x12, 0]]);
    assert_eq!(decoded.bad[0].message, "field `id`: missing at byte 2");
    assert!(decoded.batch.column(1).is_null(0));
    let part = decoded.batch.column(2).as_struct().column(0);
    assert_eq!(part.as_primitive::<Int32Type>().value(0), 9);
    assert_eq!(encode(&old, &decoded.batch), [good]);
}

#[test]
fn the_frame_names_schema_and_message() {
    let tag = message(ORDER, "shop.Order.Tag");
    let mut decoder = Decoder::new(&tag, true, None, DecodeOptions::default()).unwrap();
    let body = [0x0A, 1, b'r'];
    let framed = [&[0, 0, 0, 0, 7, 4, 0, 2][..], &body].concat();
    let values = [
        framed.clone(),
        [&[0, 0, 0, 0, 7, 0][..], &body].concat(),
        body.to_vec(),
        vec![0, 0],
        Vec::new(),
    ];
    let decoded = decoder.decode(&records(&values), 0..values.len());
    assert_eq!(decoded.batch.column(0).as_string::<i32>().value(0), "r");
    let said: Vec<&str> = decoded.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert_eq!(
        said[0],
        "the record is message [0] of its file, and shop.Order.Tag is [0, 1] at byte 5"
    );
    assert!(said[1].contains("expected the zero byte of Confluent's frame, found 0x0a"));
    assert_eq!(said.len(), 4);
    let mut out = Encoded::default();
    Encoder::new(tag, Some(7)).encode(&decoded.batch, &mut out).unwrap();
    assert_eq!(out.value(0), framed);
    Encoder::new(order(), Some(7))
        .encode(
            &RecordBatch::try_from_iter([(
                "id",
                Arc::new(arrow::array::Int64Array::from(vec![1])) as _,
            )])
            .unwrap(),
            &mut out,
        )
        .unwrap();
    assert_eq!(out.value(0), [0, 0, 0, 0, 7, 0, 8, 1]);
}

#[test]
fn what_cannot_be_written_is_said() {
    let mut out = Encoded::default();
    let mut said = |columns: Vec<(&str, arrow::array::ArrayRef)>| {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        Encoder::new(order(), None).encode(&batch, &mut out).unwrap_err().to_string()
    };
    let ints: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1 << 40]));
    let texts: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["SELL"]));
    assert!(
        said(vec![("idd", ints.clone())])
            .contains("`idd` is not a field of the message shop.Order")
    );
    assert!(
        said(vec![("small", ints.clone())]).contains("field `small`: 1099511627776 does not fit")
    );
    assert!(
        said(vec![("kind", texts.clone())])
            .contains("\"SELL\" is no name of the enum; it has: GONE, VIEW, BUY")
    );
    assert!(
        said(vec![("card", texts), ("cash", ints)]).contains("`card` and `cash` both have values")
    );
}

#[test]
fn descriptions_are_checked() {
    let files = |text: &str| BTreeMap::from([("f.proto".to_owned(), text.to_owned())]);
    let find = |text: &str, name: Option<&str>| {
        find_message(Source::Files(&files(text)), name).err().unwrap().to_string()
    };
    assert!(find("syntax = \"proto3\"; message M {", None).contains("schema is broken"));
    let two = "syntax = \"proto3\"; message A { A a = 1; } message B {}";
    assert!(find(two, None).contains("write message= one of A, B"));
    assert!(find(two, Some("C")).contains("message=\"C\""));
    let own = find_message(Source::Files(&files(two)), Some("A")).unwrap();
    let said = Decoder::new(&own, false, None, DecodeOptions::default()).err().unwrap().to_string();
    assert!(said.contains("A contains itself"), "{said}");
    assert!(find_message(Source::Descriptors(b"\xFF"), None).is_err());
}

fn any_order() -> impl Strategy<Value = DynamicMessage> {
    let points = proptest::collection::vec(any::<i32>(), 0..5);
    let counts = proptest::collection::hash_map(any::<i32>(), any::<u64>(), 0..4);
    let skus = proptest::collection::vec(("[a-z]{0,3}", proptest::option::of(any::<i32>())), 0..3);
    (any::<i64>(), ".{0,8}", any::<f32>(), points, counts, skus, proptest::option::of(0..3))
        .prop_map(|(id, user, ratio, points, counts, skus, pay)| {
            let items: Vec<Value> = skus
                .into_iter()
                .map(|(sku, count)| {
                    let mut fields = vec![("sku", text(&sku))];
                    fields.extend(count.map(|count| ("count", Value::I32(count))));
                    nested("shop.Order.Item", &fields)
                })
                .collect();
            let mut message = built(&[
                ("id", Value::I64(id)),
                ("user", text(&user)),
                ("ratio", Value::F32(if ratio.is_nan() { 0.5 } else { ratio })),
                ("points", Value::List(points.into_iter().map(Value::I32).collect())),
                (
                    "counts",
                    Value::Map(
                        counts.into_iter().map(|(k, v)| (MapKey::I32(k), Value::U64(v))).collect(),
                    ),
                ),
                ("items", Value::List(items.clone())),
            ]);
            match (pay, items.into_iter().next()) {
                (Some(0), _) => message.set_field_by_name("card", text("c")),
                (Some(1), _) => message.set_field_by_name("cash", Value::I64(0)),
                (Some(2), Some(item)) => message.set_field_by_name("swap", item),
                _ => {}
            }
            message
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Through columns and back nothing changes, as the other implementation sees it.
    #[test]
    fn messages_come_back(messages in proptest::collection::vec(any_order(), 1..8)) {
        let values: Vec<Vec<u8>> = messages.iter().map(|m| m.encode_to_vec()).collect();
        let decoded = decode(&values);
        prop_assert_eq!(&decoded.bad, &vec![]);
        for (written, message) in encode(&order(), &decoded.batch).iter().zip(&messages) {
            prop_assert_eq!(parsed(written), parsed(&message.encode_to_vec()));
        }
    }

    /// Any bytes, and any damage to good ones, give a row or a reason; neighbours stay whole.
    #[test]
    fn any_bytes_give_a_result(
        noise in proptest::collection::vec(any::<u8>(), 0..64),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let good = full().encode_to_vec();
        let at = at.index(good.len());
        let mut damaged = good.clone();
        damaged[at] = byte;
        let values = [good.clone(), noise, good.clone(), damaged, good[..at].to_vec(), good.clone()];
        let decoded = decode(&values);
        prop_assert_eq!(decoded.batch.num_rows() + decoded.bad.len(), values.len());
        let again = encode(&order(), &decoded.batch);
        let whole = encode(&order(), &decode(&[good]).batch).remove(0);
        prop_assert!(again.iter().filter(|v| **v == whole).count() >= 3);
    }
}
