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
    array::{
        Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, Int64Array,
        RecordBatch, StringArray,
    },
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef},
};
use proptest::prelude::*;
use std::{collections::HashMap, sync::Arc};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn rows(from: i64, count: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new((from..from + count).collect::<Int64Array>());
    let name = |i: i64| (i % 3 != 0).then(|| format!("n{i}"));
    let names: ArrayRef = Arc::new((from..from + count).map(name).collect::<StringArray>());
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

fn encode(batch: &RecordBatch, row_by_row: bool) -> Vec<Vec<u8>> {
    let mut out = Encoded::default();
    Encoder { row_by_row }.encode(batch, &mut out).unwrap();
    (0..out.len()).map(|i| out.value(i).to_vec()).collect()
}

fn one(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    encode(&RecordBatch::try_from_iter(columns).unwrap(), false).remove(0)
}

fn decode_with(decoder: &mut Decoder, values: &[Vec<u8>]) -> Decoded {
    let record = |v: &Vec<u8>| OwnedRecord { value: Some(v.clone()), ..OwnedRecord::default() };
    let records: Vec<OwnedRecord> = values.iter().map(record).collect();
    decoder.decode(&records, 0..records.len())
}

fn decode(values: &[Vec<u8>]) -> Decoded {
    decode_with(&mut Decoder::new(&schema(), DecodeOptions::default()).unwrap(), values)
}

#[test]
fn a_record_gives_all_its_rows() {
    let values = [
        encode(&rows(0, 3), false).remove(0),
        b"nothing".to_vec(),
        encode(&rows(3, 2), false).remove(0),
    ];
    let decoded = decode(&values);
    assert_eq!(decoded.batch, rows(0, 5));
    assert_eq!(decoded.rows, Some(vec![0, 0, 0, 2, 2]));
    assert_eq!(decoded.bad[0].index, 1);
    assert!(decoded.bad[0].message.contains("not an Arrow stream"), "{}", decoded.bad[0].message);
}

#[test]
fn rows_share_records_up_to_a_size_or_have_their_own() {
    assert_eq!(encode(&rows(0, 100), false).len(), 1);
    assert_eq!(encode(&rows(0, 100), true).len(), 100);
    let large = encode(&rows(0, 100_000), false);
    assert!(large.len() > 2 && large.iter().all(|record| record.len() < 2 * TARGET_BYTES));
    let decoded = decode(&large);
    assert_eq!(decoded.batch, rows(0, 100_000));
}

#[test]
fn columns_are_found_by_name_and_converted_without_loss() {
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    let names: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["a"]));
    let extra: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let decoded = decode(&[
        one(vec![("name", names), ("extra", extra), ("id", narrow)]),
        one(vec![("id", Arc::new(Int64Array::from(vec![8])))]),
    ]);
    assert_eq!(decoded.bad, []);
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values(), &[7, 8]);
    assert_eq!(decoded.batch.column(1).as_string::<i32>().value(0), "a");
    assert!(decoded.batch.column(1).is_null(1));
}

#[test]
fn what_does_not_fit_is_a_bad_record() {
    let why = |columns| decode(&[one(columns)]).bad[0].message.clone();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["7"]));
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let big: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX]));
    assert_eq!(why(vec![("id", texts.clone())]), "field `id`: expected Int64, found Utf8");
    assert_eq!(why(vec![("id", nulls)]), "field `id`: expected Int64, found null");
    assert_eq!(why(vec![("name", texts)]), "field `id`: missing");
    assert!(why(vec![("id", big)]).contains("field `id`"));
}

#[test]
fn rules_of_a_model_count() {
    let mark = |field: Field, key: &str, value: &str| {
        field.with_metadata(HashMap::from([(key.to_owned(), value.to_owned())]))
    };
    let id = mark(Field::new("id", DataType::Int64, false), json::CHECK, r#"{"le": 3}"#);
    let n = mark(Field::new("n", DataType::Int64, false), json::DEFAULT, "7");
    let named = mark(Field::new("name", DataType::Utf8, true), json::NAMES, r#"["nom"]"#);
    let text = mark(Field::new("text", DataType::Utf8, true), json::RAW_JSON, "1");
    let extra = HashMap::from([(json::EXTRA.to_owned(), "forbid".to_owned())]);
    let schema = Arc::new(Schema::new_with_metadata(vec![id, n, named, text], extra));
    let ids = |v: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![v])) };
    let texts = |v: &str| -> ArrayRef { Arc::new(StringArray::from(vec![v])) };
    let values = [
        one(vec![("id", ids(3)), ("nom", texts("x")), ("text", texts("[1]"))]),
        one(vec![("id", ids(4))]),
        one(vec![("id", ids(1)), ("name", texts("x"))]),
        one(vec![("id", ids(1)), ("text", texts("[1"))]),
    ];
    let mut decoder = Decoder::new(&schema, DecodeOptions::default()).unwrap();
    let decoded = decode_with(&mut decoder, &values);
    assert_eq!(decoded.batch.column(1).as_primitive::<Int64Type>().values(), &[7]);
    assert_eq!(decoded.batch.column(2).as_string::<i32>().value(0), "x");
    assert_eq!(decoded.batch.column(3).as_string::<i32>().value(0), "[1]");
    let said: Vec<&str> = decoded.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert_eq!(said[0], "field `id`: expected at most 3, found 4");
    assert_eq!(said[1], "`name` is not a field of the schema");
    assert!(said[2].contains("field `text`: the record ends inside an array"), "{}", said[2]);
}

#[test]
fn the_first_record_may_give_the_schema() {
    let shared = Arc::new(SharedSchema::new("s", prometheus::IntCounter::new("w", "w").unwrap()));
    let mut first = Decoder::inferring(Arc::clone(&shared), DecodeOptions::default());
    let mut second = Decoder::inferring(shared, DecodeOptions::default());
    let good = encode(&rows(1, 1), false).remove(0);
    let other = one(vec![("id", Arc::new(StringArray::from(vec!["x"])))]);
    let decoded = decode_with(&mut first, &[b"x".to_vec(), good.clone(), other.clone()]);
    assert_eq!((decoded.batch.num_rows(), decoded.bad.len(), decoded.widened), (1, 2, true));
    let decoded = decode_with(&mut second, &[other, good]);
    assert_eq!((decoded.batch.num_rows(), decoded.bad.len()), (1, 1));
}

#[test]
fn a_dictionary_does_not_fill_the_memory() {
    let long = "x".repeat(100_000);
    let keys = Int32Array::from(vec![0; 100_000]);
    let values: ArrayRef = Arc::new(StringArray::from(vec![long]));
    let column: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
    let ids: ArrayRef = Arc::new((0..100_000).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("id", ids), ("name", column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    assert!(decode(&[bytes]).bad[0].message.contains("too much memory"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Any damage to a stream gives rows or a reason; neighbours stay whole, and nothing is huge.
    #[test]
    fn any_damage_gives_a_result(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let good = encode(&rows(1, 4), false).remove(0);
        let mut damaged = good.clone();
        for (at, byte) in damage {
            let at = at.index(good.len());
            damaged[at] = byte;
        }
        let values = [good.clone(), damaged, good[..cut.index(good.len())].to_vec(), noise, good.clone()];
        let decoded = decode(&values);
        let sources = decoded.rows.unwrap();
        prop_assert_eq!(sources.len(), decoded.batch.num_rows());
        prop_assert_eq!(sources.iter().filter(|&&i| i == 0 || i == 4).count(), 8);
        prop_assert!(sources.len() <= 8 + good.len() * ROWS_PER_BYTE);
        prop_assert_eq!(decoded.batch.slice(0, 4), rows(1, 4));
        prop_assert_eq!(decoded.batch.slice(sources.len() - 4, 4), rows(1, 4));
    }
}
