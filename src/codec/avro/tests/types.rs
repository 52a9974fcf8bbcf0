//! Every type, and what is wrong with values of it.

use super::*;

#[test]
fn plain_types_are_read() {
    assert_eq!(value(json!("boolean"), &[1]).unwrap(), "true");
    assert_eq!(value(json!("int"), &[0x03]).unwrap(), "-2");
    assert_eq!(
        value(json!("long"), &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        Ok(i64::MIN.to_string())
    );
    assert_eq!(value(json!("float"), &1.5_f32.to_le_bytes()).unwrap(), "1.5");
    assert_eq!(value(json!("double"), &(-0.1_f64).to_le_bytes()).unwrap(), "-0.1");
    assert_eq!(value(json!("string"), b"\x06abc").unwrap(), "\"abc\"");
    assert_eq!(value(json!("bytes"), b"\x04ab").unwrap(), "\"ab\"");
    assert_eq!(value(json!({"type": "fixed", "name": "f", "size": 2}), b"ab").unwrap(), "\"ab\"");
    let suits = json!({"type": "enum", "name": "e", "symbols": ["A", "B"]});
    assert_eq!(value(suits, &[2]).unwrap(), "\"B\"");
}

#[test]
fn nested_types_are_read() {
    let list = json!({"type": "array", "items": "int"});
    assert_eq!(value(list.clone(), &[4, 2, 4, 0]).unwrap(), "[1,2]");
    // Two blocks, the second one with its size in bytes.
    assert_eq!(value(list, &[2, 2, 1, 2, 6, 0]).unwrap(), "[1,3]");
    let map = json!({"type": "map", "values": "int"});
    assert_eq!(value(map, b"\x02\x02k\x02\x00").unwrap(), "{\"k\":1}");
    let inner = json!({"type": "record", "name": "s", "fields": [{"name": "x", "type": "int"}]});
    assert_eq!(value(inner, &[2]).unwrap(), "{\"x\":1}");
    assert_eq!(value(json!(["null", "int"]), &[0]).unwrap(), "null");
    assert_eq!(value(json!(["int", "null"]), &[0, 2]).unwrap(), "1");
}

#[test]
fn logical_types_are_read() {
    let logical = |of: &str, logical: &str| json!({"type": of, "logicalType": logical});
    assert_eq!(value(logical("int", "date"), &[2]).unwrap(), "\"1970-01-02\"");
    assert_eq!(value(logical("int", "time-millis"), &[2]).unwrap(), "\"00:00:00.001\"");
    assert_eq!(value(logical("long", "time-micros"), &[2]).unwrap(), "\"00:00:00.000001\"");
    for (kind, shown) in [
        ("timestamp-millis", "\"1970-01-01T00:00:00.001Z\""),
        ("timestamp-micros", "\"1970-01-01T00:00:00.000001Z\""),
        ("timestamp-nanos", "\"1970-01-01T00:00:00.000000001Z\""),
        ("local-timestamp-millis", "\"1970-01-01T00:00:00.001\""),
        ("local-timestamp-micros", "\"1970-01-01T00:00:00.000001\""),
        ("local-timestamp-nanos", "\"1970-01-01T00:00:00.000000001\""),
    ] {
        assert_eq!(value(logical("long", kind), &[2]).unwrap(), shown, "{kind}");
    }
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    assert_eq!(value(decimal.clone(), &[2, 0xFF]).unwrap(), "\"-0.01\"");
    assert_eq!(value(decimal.clone(), &[4, 0x01, 0x00]).unwrap(), "\"2.56\"");
    assert!(value(decimal, &[6, 0x01, 0x00, 0x00]).unwrap_err().contains("cannot hold"));
    let id = json!({"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"});
    assert_eq!(value(id, &[0x11; 16]).unwrap(), "\"11111111-1111-1111-1111-111111111111\"");
    assert_eq!(value(logical("string", "uuid"), b"\x02x").unwrap(), "\"x\"");
}

#[test]
fn a_bad_record_leaves_no_trace_in_its_neighbours() {
    let schema = record(json!([
        {"name": "a", "type": "int"},
        {"name": "l", "type": {"type": "array", "items": "string"}},
        {"name": "b", "type": "string"},
    ]));
    let good: &[u8] = b"\x02\x02\x02x\x00\x02y";
    let bad: &[&[u8]] =
        &[b"", b"\x02\x02\x02x\x00\x02", b"\x02\x04\x02x\x02\xFF\x00\x02y", b"\x02\x00\x02yz"];
    let values = [&[good][..], bad, &[good]].concat();
    let out = decode(&format(&schema, &[]), &values);
    assert_eq!(lines(&out.batch), vec!["{\"a\":1,\"l\":[\"x\"],\"b\":\"y\"}"; 2]);
    assert_eq!(out.rows, Some(vec![0, 5]));
    let found: Vec<&str> = out.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "field `a`: the record ends inside an integer at byte 0",
            "field `b`: the record ends 1 byte(s) too early at byte 6",
            "field `l[1]`: expected text, found bytes that are not UTF-8 at byte 4",
            "1 byte(s) are left behind the record at byte 4",
        ]
    );
}

#[test]
fn hostile_lengths_and_counts_are_refused_without_memory() {
    let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    let said = value(json!("bytes"), &huge).unwrap_err();
    assert!(said.contains("too early"), "{said}");
    assert!(value(json!("string"), &[1]).unwrap_err().contains("a length of -1"));
    for items in ["null", "int"] {
        let list = json!({"type": "array", "items": items});
        value(list.clone(), &huge).unwrap_err();
        // Skipped as a field that the reader does not have.
        let writer = record(json!([{"name": "l", "type": list}, {"name": "v", "type": "int"}]));
        resolved(&writer, &one(json!("int")), &huge).unwrap_err();
    }
    // The smallest number has no positive counterpart.
    let least = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x00];
    value(json!({"type": "array", "items": "null"}), &least).unwrap_err();
    assert!(value(json!("long"), &[0xFF; 11]).unwrap_err().contains("more than 64 bits"));
    let suits = json!({"type": "enum", "name": "e", "symbols": ["A"]});
    assert!(value(suits, &[2]).unwrap_err().contains("symbol 1 of 1"));
    assert!(value(json!(["null", "int"]), &[3]).unwrap_err().contains("branch -2 of 2"));
}

#[test]
fn schemas_without_columns_are_refused_with_a_sentence() {
    let said = |schema: &str| decoder(&format(schema, &[])).err().unwrap().to_string();
    let node = json!({"type": "record", "name": "Node", "fields": [
        {"name": "next", "type": ["null", "Node"]},
    ]});
    assert!(said(&node.to_string()).contains("Node contains itself"));
    assert!(said(&one(json!(["int", "string"]))).contains("a union of int, string"));
    assert!(said("\"int\"").contains("wrap it in a record"));
    assert!(said("{").contains("cannot be used"));
}

#[test]
fn a_framing_that_is_another_is_named() {
    let schema = one(json!("int"));
    let single = AvroFormat { framing: Framing::SingleObject, ..format(&schema, &[]) };
    let out = decode(&single, &[&b"\x00\x00\x00\x00\x07\x02"[..], b"", b"\xC3\x01abcdefgh\x02"]);
    let found: Vec<&str> = out.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert!(found[0].contains("found 00 00 00 00 07 02: is the framing another?"), "{found:?}");
    assert!(found[1].contains("found nothing"), "{found:?}");
    assert!(found[2].contains("no schema with the fingerprint 6867666564636261"), "{found:?}");
}

#[test]
fn a_single_object_has_the_fingerprint_of_its_schema() {
    let schema = one(json!("int"));
    let single = AvroFormat { framing: Framing::SingleObject, ..format(&schema, &[]) };
    let batch = decode(&format(&schema, &[]), &[[2]]).batch;
    let encoder = Encoder::new(&single, None, "t", false).unwrap();
    let mut out = Encoded::default();
    encoder.encode(&batch, &mut out).unwrap();
    assert_eq!(out.value(0)[..2], [0xC3, 0x01]);
    assert_eq!(lines(&decode(&single, &[out.value(0)]).batch), ["{\"v\":1}"]);
}

#[test]
fn what_a_schema_cannot_hold_is_named() {
    let batch = decode(&format(&one(json!(["null", "long"])), &[]), &[&[2, 2][..], &[0]]).batch;
    let said = |schema: Value| encode(&record(schema), &batch).unwrap_err();
    let long = json!([{"name": "v", "type": "long"}]);
    assert_eq!(
        said(long),
        "cannot encode: column `v`, row 1: null, which the schema does not allow"
    );
    assert!(
        said(json!([{"name": "v", "type": "string"}])).contains("an integer cannot be written")
    );
    assert!(said(json!([])).contains("`v` is not a field of the schema"));
    let more = json!([{"name": "v", "type": ["null", "long"]}, {"name": "w", "type": "int"}]);
    assert!(said(more).contains("`w`: there is no such column, and the field has no default"));
    let filled = json!([
        {"name": "w", "type": "string", "default": "x"},
        {"name": "v", "type": ["null", "long"]},
    ]);
    assert_eq!(encode(&record(filled), &batch).unwrap()[0], b"\x02x\x02\x02");
}
