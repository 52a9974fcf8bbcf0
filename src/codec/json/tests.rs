use super::*;
use crate::types::OwnedRecord;
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

fn records(values: &[&[u8]]) -> Vec<OwnedRecord> {
    values
        .iter()
        .map(|v| OwnedRecord { value: Some(v.to_vec()), ..OwnedRecord::default() })
        .collect()
}

fn lines(batch: &arrow::array::RecordBatch) -> Vec<String> {
    let mut out = Encoded::default();
    Encoder::new(None).encode(batch, &mut out).unwrap();
    (0..out.len()).map(|i| String::from_utf8(out.value(i).to_vec()).unwrap()).collect()
}

#[test]
fn a_bad_record_leaves_its_neighbours_alone() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("user", DataType::Utf8, true),
        Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
    ]);
    let mut decoder = Decoder::new(Arc::new(schema), DecodeOptions::default()).unwrap();
    let records = records(&[
        br#"{"id":1,"user":"a","tags":["x","y"],"more":{"z":[1,2]}}"#,
        br#"{"id":2,"user":"b","tags":["x",7]}"#,
        br#"{"user":"\u00fc\n","id":3}"#,
    ]);
    let out = decoder.decode(&records, 0..3);
    assert_eq!(out.rows, Some(vec![0, 2]));
    assert_eq!(out.bad.len(), 1);
    assert_eq!(
        out.bad[0].message,
        "field `tags[1]`: expected a string, found the number 7 at line 1 column 32"
    );
    assert_eq!(
        lines(&out.batch),
        [r#"{"id":1,"user":"a","tags":["x","y"]}"#, r#"{"id":3,"user":"ü\n","tags":null}"#]
    );
}
