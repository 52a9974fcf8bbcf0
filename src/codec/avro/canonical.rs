//! The fingerprint of a schema: CRC-64-AVRO of its Parsing Canonical Form.
//!
//! After the Avro specification 1.12, "Transforming into Parsing Canonical Form" and "Schema
//! Fingerprints".

use super::schema::full_name;
use serde_json::{Map, Value};

/// The fingerprint of the schema `json`, as it stands in a single object; none if it is no schema.
pub(super) fn fingerprint(json: &Value) -> Option<[u8; 8]> {
    let mut out = String::new();
    canonical(json, "", &mut out)?;
    Some(crc(out.as_bytes()).to_le_bytes())
}

fn canonical(json: &Value, space: &str, out: &mut String) -> Option<()> {
    match json {
        Value::String(name) => quoted(&known(name, space), out),
        Value::Array(branches) => list(branches, out, |branch, out| canonical(branch, space, out))?,
        Value::Object(object) => match object.get("type")? {
            Value::String(kind) => declared(kind, object, space, out)?,
            inner => canonical(inner, space, out)?,
        },
        _ => return None,
    }
    Some(())
}

fn declared(kind: &str, object: &Map<String, Value>, space: &str, out: &mut String) -> Option<()> {
    let inner = match kind {
        "array" => "items",
        "map" => "values",
        "record" | "error" | "enum" | "fixed" => return named(kind, object, space, out),
        _ => {
            quoted(&known(kind, space), out);
            return Some(());
        }
    };
    out.push_str(&format!("{{\"type\":\"{kind}\",\"{inner}\":"));
    canonical(object.get(inner)?, space, out)?;
    out.push('}');
    Some(())
}

fn named(kind: &str, object: &Map<String, Value>, space: &str, out: &mut String) -> Option<()> {
    let space = object.get("namespace").and_then(Value::as_str).unwrap_or(space);
    let name = full_name(object.get("name")?.as_str()?, space);
    let space = name.rsplit_once('.').map_or("", |(space, _)| space);
    out.push_str("{\"name\":");
    quoted(&name, out);
    out.push_str(&format!(",\"type\":\"{kind}\""));
    match kind {
        "enum" => {
            out.push_str(",\"symbols\":");
            list(object.get("symbols")?.as_array()?, out, |symbol, out| {
                quoted(symbol.as_str()?, out);
                Some(())
            })?;
        }
        "fixed" => out.push_str(&format!(",\"size\":{}", object.get("size")?.as_u64()?)),
        _ => {
            out.push_str(",\"fields\":");
            list(object.get("fields")?.as_array()?, out, |field, out| {
                out.push_str("{\"name\":");
                quoted(field.get("name")?.as_str()?, out);
                out.push_str(",\"type\":");
                canonical(field.get("type")?, space, out)?;
                out.push('}');
                Some(())
            })?;
        }
    }
    out.push('}');
    Some(())
}

fn list(
    items: &[Value],
    out: &mut String,
    mut write: impl FnMut(&Value, &mut String) -> Option<()>,
) -> Option<()> {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(item, out)?;
    }
    out.push(']');
    Some(())
}

/// The name of a type, with its namespace if it has one.
fn known(name: &str, space: &str) -> String {
    const PLAIN: [&str; 8] =
        ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    if PLAIN.contains(&name) { name.into() } else { full_name(name, space) }
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

/// CRC-64-AVRO, bit by bit: schemas are short, and there are few.
fn crc(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xC15D_213A_A4D7_A795;
    bytes.iter().fold(EMPTY, |crc, &byte| {
        let start = (crc ^ u64::from(byte)) & 0xFF;
        let table = (0..8).fold(start, |f, _| (f >> 1) ^ (EMPTY & (f & 1).wrapping_neg()));
        (crc >> 8) ^ table
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::{Schema, rabin::Rabin};
    use serde_json::json;

    /// The library of Apache gives the same.
    #[test]
    fn fingerprints_are_those_of_the_specification() {
        let inner = json!({"type": "fixed", "name": "F", "size": 3, "aliases": ["G"]});
        for schema in [
            json!("int"),
            json!({"type": "record", "name": "R", "namespace": "a.b", "doc": "text", "fields": [
                {"name": "x", "type": ["null", inner], "default": null},
                {"name": "y", "type": {"type": "array", "items": "F"}},
                {"name": "z", "type": {"type": "map", "values": {"type": "string"}}},
                {"name": "e", "type": {"type": "enum", "name": "c.E", "symbols": ["A", "B"]}},
            ]}),
        ] {
            let theirs = Schema::parse(&schema).unwrap().fingerprint::<Rabin>().bytes;
            assert_eq!(fingerprint(&schema).unwrap().as_slice(), theirs, "{schema}");
        }
        // By the specification a primitive type is its name alone, whatever is written with it.
        let date = json!({"type": "int", "logicalType": "date"});
        assert_eq!(fingerprint(&date), fingerprint(&json!("int")));
    }
}
