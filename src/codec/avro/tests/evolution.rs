//! Records of one schema for readers with another.

use super::*;

fn field(name: &str, of: Value) -> Value {
    json!({ "name": name, "type": of })
}

#[test]
fn fields_may_be_moved_removed_and_added() {
    let writer = record(json!([
        field("gone", json!({"type": "array", "items": ["null", "string"]})),
        field("b", json!("string")),
        field("a", json!("int")),
    ]));
    let reader = record(json!([
        field("a", json!("int")),
        {"name": "new", "type": "long", "default": 7},
        {"name": "maybe", "type": ["null", "string"], "default": null},
        field("b", json!("string")),
    ]));
    let data = b"\x02\x02\x02x\x00\x02y\x04";
    assert_eq!(
        resolved(&writer, &reader, data).unwrap(),
        r#"{"a":2,"new":7,"maybe":null,"b":"y"}"#
    );
}

#[test]
fn a_new_field_without_a_default_makes_old_records_bad() {
    for of in [json!("long"), json!(["null", "long"])] {
        let reader = record(json!([field("v", json!("int")), field("new", of)]));
        let said = resolved(&one(json!("int")), &reader, &[2]).unwrap_err();
        assert!(said.starts_with("field `new`: missing"), "{said}");
    }
}

#[test]
fn a_field_is_found_by_its_aliases() {
    let reader = record(json!([{"name": "v", "aliases": ["old", "w"], "type": "int"}]));
    let writer = |name| record(json!([field(name, json!("int"))]));
    assert_eq!(resolved(&writer("old"), &reader, &[2]).unwrap(), "1");
    assert_eq!(resolved(&writer("w"), &reader, &[2]).unwrap(), "1");
    // The name itself comes first.
    let both = record(json!([field("w", json!("int")), field("v", json!("int"))]));
    assert_eq!(resolved(&both, &reader, &[2, 4]).unwrap(), "2");
}

#[test]
fn numbers_and_text_are_promoted_as_the_specification_says() {
    let promoted =
        |from: &str, to: &str, data: &[u8]| resolved(&one(json!(from)), &one(json!(to)), data);
    assert_eq!(promoted("int", "long", &[3]).unwrap(), "-2");
    assert_eq!(promoted("int", "float", &[3]).unwrap(), "-2.0");
    assert_eq!(promoted("long", "double", &[3]).unwrap(), "-2.0");
    assert_eq!(promoted("float", "double", &0.5_f32.to_le_bytes()).unwrap(), "0.5");
    assert_eq!(promoted("bytes", "string", b"\x02x").unwrap(), "\"x\"");
    assert_eq!(promoted("string", "bytes", b"\x02x").unwrap(), "\"x\"");
    assert!(promoted("bytes", "string", b"\x02\xFF").unwrap_err().contains("not UTF-8"));
    for (from, to) in [("long", "int"), ("double", "float"), ("string", "int"), ("int", "string")] {
        let said = promoted(from, to, &[0; 8]).unwrap_err();
        assert!(said.contains(&format!("{from} cannot be read as {to}")), "{said}");
    }
}

#[test]
fn unions_come_and_go() {
    let null = json!(["null", "int"]);
    assert_eq!(resolved(&one(json!("int")), &one(null.clone()), &[2]).unwrap(), "1");
    assert_eq!(resolved(&one(null.clone()), &one(json!("int")), &[2, 2]).unwrap(), "1");
    let said = resolved(&one(null), &one(json!("int")), &[0]).unwrap_err();
    assert!(said.contains("null cannot be read as int"), "{said}");
    // Of a union of many, the branches count that a record has.
    let many = one(json!(["string", "int", "null"]));
    assert_eq!(resolved(&many, &one(json!("long")), &[2, 2]).unwrap(), "1");
    let said = resolved(&many, &one(json!("long")), b"\x00\x02x").unwrap_err();
    assert!(said.contains("string cannot be read as long"), "{said}");
}

#[test]
fn symbols_that_the_reader_lacks_become_its_default() {
    let suits = |symbols: Value| json!({"type": "enum", "name": "e", "symbols": symbols});
    let writer = one(suits(json!(["A", "B"])));
    let mut reader = suits(json!(["B", "C"]));
    assert_eq!(resolved(&writer, &one(reader.clone()), &[2]).unwrap(), "\"B\"");
    let said = resolved(&writer, &one(reader.clone()), &[0]).unwrap_err();
    assert!(said.contains("does not have the symbol `A`"), "{said}");
    reader["default"] = json!("C");
    assert_eq!(resolved(&writer, &one(reader), &[0]).unwrap(), "\"C\"");
}

#[test]
fn nested_records_and_defaults_of_every_type_are_resolved() {
    let inner = |fields| json!({"type": "record", "name": "s", "fields": fields});
    let writer = one(json!({"type": "array", "items": inner(json!([field("x", json!("int"))]))}));
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2});
    let fields = json!([
        {"name": "d", "type": decimal, "default": "\u{00}\u{01}"},
        {"name": "x", "type": "long"},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 1},
        {"name": "e", "type": {"type": "enum", "name": "k", "symbols": ["K"]}, "default": "K"},
        {"name": "m", "type": {"type": "map", "values": "int"}, "default": {"a": 1}},
        {"name": "l", "type": {"type": "array", "items": "string"}, "default": []},
    ]);
    let reader = one(json!({"type": "array", "items": inner(fields)}));
    assert_eq!(
        resolved(&writer, &reader, &[2, 2, 0]).unwrap(),
        r#"[{"d":"0.01","x":1,"t":"1970-01-01T00:00:00.001Z","e":"K","m":{"a":1},"l":[]}]"#
    );
}

#[test]
fn a_logical_type_may_come_later_and_change_its_unit() {
    let timestamp =
        |unit: &str| json!({"type": "long", "logicalType": format!("timestamp-{unit}")});
    let read = |from: Value, to: &str, data: &[u8]| resolved(&one(from), &one(timestamp(to)), data);
    assert_eq!(read(json!("long"), "millis", &[2]).unwrap(), "\"1970-01-01T00:00:00.001Z\"");
    assert_eq!(read(timestamp("millis"), "micros", &[2]).unwrap(), "\"1970-01-01T00:00:00.001Z\"");
    let said = read(timestamp("micros"), "millis", &[2]).unwrap_err();
    assert!(said.contains("1 does not fit the unit"), "{said}");
}
