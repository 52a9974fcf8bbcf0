//! What the codec promises, case by case and by properties.

use super::*;
use crate::{
    codec::{Decode, DecodeOptions, Decoded, Encode, Encoded},
    types::OwnedRecord,
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit},
};
use proptest::prelude::*;
use std::sync::Arc;

const COMMA: Dialect = Dialect { delimiter: b',', quote: b'"' };

fn decode(schema: &SchemaRef, lines: &[&[u8]]) -> Decoded {
    let record = |v: &&[u8]| OwnedRecord { value: Some(v.to_vec()), ..OwnedRecord::default() };
    let records: Vec<OwnedRecord> = lines.iter().map(record).collect();
    let options = DecodeOptions::default();
    let mut decoder = Decoder::new(Some(Arc::clone(schema)), &[], "", COMMA, options).unwrap();
    decoder.decode(&records, 0..records.len())
}

fn encode(batch: &RecordBatch) -> Vec<String> {
    let mut out = Encoded::default();
    let encoder = Encoder { columns: Vec::new(), null: String::new(), dialect: COMMA };
    encoder.encode(batch, &mut out).unwrap();
    (0..out.len()).map(|i| String::from_utf8(out.value(i).to_vec()).unwrap()).collect()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
    ]))
}

fn why(line: &[u8]) -> String {
    let decoded = decode(&schema(), &[line]);
    assert_eq!(decoded.batch.num_rows(), 0);
    decoded.bad[0].message.clone()
}

#[test]
fn quotes_delimiters_and_line_breaks_come_through() {
    let lines: [&[u8]; 4] = [b"1,\"a,\"\"b\"\"\nc\",2.5", b"2,,\r\n", b"3,\"\",NaN\n", b"4,x,-inf"];
    let decoded = decode(&schema(), &lines);
    assert_eq!(decoded.bad, []);
    let names = decoded.batch.column(1).as_string::<i32>();
    assert_eq!(names.value(0), "a,\"b\"\nc");
    assert!(names.is_null(1) && !names.is_null(2), "only what is quoted can be empty text");
    let prices = decoded.batch.column(2).as_primitive::<Float64Type>();
    assert!(prices.is_null(1) && prices.value(2).is_nan() && prices.value(3) < 0.0);
    let written = encode(&decoded.batch);
    assert_eq!(written, ["1,\"a,\"\"b\"\"\nc\",2.5", "2,,", "3,\"\",NaN", "4,x,-inf"]);
}

#[test]
fn damage_is_named() {
    assert_eq!(why(b"1,a"), "expected 3 cells, found 2 at byte 0");
    assert_eq!(why(b"1,a,2,3"), "expected 3 cells, found 4 at byte 0");
    assert_eq!(why(b"1,\"a,2"), "the record ends inside a quoted cell at byte 6");
    assert_eq!(why(b"1,\"a\"b,2"), "something follows behind a closing quote at byte 5");
    assert_eq!(why(b"1,a\"b,2"), "a quote in the middle of a cell that is not quoted at byte 3");
    assert_eq!(why(b"1,a,2\n2,b,3"), "a second line follows in the same record at byte 5");
    assert_eq!(why(b"1,\xFF,2"), "field `name`: text that is not UTF-8 at byte 2");
    assert_eq!(why(b"x,a,2"), "field `id`: expected an integer, found `x` at byte 0");
    assert_eq!(why(b",a,2"), "field `id`: expected an integer, found null at byte 0");
    assert_eq!(why(b"1 ,a,2"), "field `id`: something follows behind the value at byte 0");
    assert_eq!(why(b""), "the value is empty at byte 0");
}

#[test]
fn nested_values_are_json() {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let fields = Arc::new(Schema::new(vec![
        Field::new("l", DataType::List(item), true),
        Field::new("t", DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("b", DataType::Boolean, true),
    ]));
    let line = "\"[1,null]\",2024-05-31T12:30:00Z,1.50,true";
    let decoded = decode(&fields, &[line.as_bytes(), b"[1],1717158600,2,True"]);
    assert_eq!(decoded.bad, []);
    assert_eq!(
        decoded.batch.column(0).as_list::<i32>().value(0).as_primitive::<Int64Type>().value(0),
        1
    );
    assert_eq!(encode(&decoded.batch), [line, "[1],2024-05-31T12:30:00Z,2.00,true"]);
}

#[test]
fn names_say_which_cell_is_which() {
    let options = DecodeOptions::default();
    let names = ["price".to_owned(), "extra".to_owned(), "id".to_owned()];
    let mut decoder = Decoder::new(
        Some(schema()),
        &names,
        "-",
        Dialect { delimiter: b'\t', quote: b'\'' },
        options,
    )
    .unwrap();
    let record = OwnedRecord { value: Some(b"-\t'it''s'\t7".to_vec()), ..OwnedRecord::default() };
    let decoded = decoder.decode(&vec![record], 0..1);
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values(), &[7]);
    assert!(decoded.batch.column(1).is_null(0) && decoded.batch.column(2).is_null(0));
    let missing = Decoder::new(Some(schema()), &names[..2], "", COMMA, options).err().unwrap();
    assert!(missing.to_string().contains("field `id` of the model is no cell"));
    let nameless = Decoder::new(None, &[], "", COMMA, options).err().unwrap();
    assert!(nameless.to_string().contains("needs names for the cells"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Text of any characters comes back, and so do numbers.
    #[test]
    fn lines_come_back(
        rows in proptest::collection::vec((any::<i64>(), proptest::option::of(any::<String>()), any::<f64>()), 1..20)
    ) {
        let (ids, rest): (Vec<i64>, Vec<_>) = rows.iter().map(|(a, b, c)| (*a, (b.clone(), *c))).unzip();
        let (names, prices): (Vec<Option<String>>, Vec<f64>) = rest.into_iter().unzip();
        let batch = RecordBatch::try_new(schema(), vec![
            Arc::new(arrow::array::Int64Array::from(ids)),
            Arc::new(arrow::array::StringArray::from(names)),
            Arc::new(arrow::array::Float64Array::from(prices)),
        ]).unwrap();
        let lines = encode(&batch);
        let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        let decoded = decode(&schema(), &lines);
        prop_assert_eq!(decoded.bad, vec![]);
        prop_assert_eq!(format!("{:?}", decoded.batch), format!("{batch:?}"));
    }

    /// Any bytes give a row or a reason.
    #[test]
    fn any_bytes_give_a_result(noise in proptest::collection::vec(any::<u8>(), 0..40)) {
        let decoded = decode(&schema(), &[b"1,a,2", &noise, b"2,b,3"]);
        prop_assert_eq!(decoded.batch.num_rows() + decoded.bad.len(), 3);
        prop_assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().value(0), 1);
    }
}
