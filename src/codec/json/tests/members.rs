//! Objects member by member are the objects that serde_json reads.

use crate::codec::json::members::{Members, Value};
use proptest::prelude::*;
use serde_json::{Map, Value as Json};

/// The object that its members make; none if it is for somebody else.
fn object(members: &mut Members, data: &[u8]) -> Option<Map<String, Json>> {
    let mut object = Map::new();
    let put = |name: crate::codec::json::members::Name<'_>, value: Value<'_>| {
        let value = match value {
            Value::Null => Json::Null,
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::Float(value) => value.into(),
            Value::Text(value) => value.into(),
            // Its numbers may be beyond what that one takes.
            Value::Json(text) => serde_json::from_slice(text).ok()?,
        };
        object.insert(name.text.to_owned(), value);
        Some(())
    };
    members.read(data, put)?;
    Some(object)
}

/// Are they the same but for the last bit of a float, which serde_json rounds in its own way?
fn alike(found: &Map<String, Json>, wanted: &Map<String, Json>) -> bool {
    let is_alike = |((name, a), (other, b)): ((&String, &Json), (&String, &Json))| {
        let floats = a.as_f64().zip(b.as_f64()).filter(|_| a.is_f64() || b == &Json::from(-0.0));
        name == other && (a == b || floats.is_some_and(|(a, b)| (a - b).abs() <= 1e-15 * b.abs()))
    };
    found.len() == wanted.len() && found.iter().zip(wanted).all(is_alike)
}

#[test]
fn names_in_another_order_and_names_left_out_are_found() {
    let members = &mut Members::default();
    for text in [
        r#"{"a":1,"b":2,"c":3}"#,
        r#"{"c":3,"a":1}"#,
        r#"{ "b" : 2 }"#,
        r#"{"a\"b":1,"a":2}"#,
        r#"{"a":1,"a":2}"#,
        "{}",
    ] {
        let wanted: Map<String, Json> = serde_json::from_str(text).unwrap();
        assert_eq!(object(members, text.as_bytes()), Some(wanted), "{text}");
    }
}

#[test]
fn what_is_no_object_or_would_lose_something_is_for_somebody_else() {
    let members = &mut Members::default();
    let texts = ["[1]", "1", "", r#"{"a":9223372036854775808}"#, r#"{"a":1e999}"#, r#"{"a":1} 2"#];
    for text in
        [&texts[..], &[r#"{"a":01}"#, r#"{"a"b":1}"#, r#"{"a":1,}"#, r#"{"a":NaN}"#]].concat()
    {
        assert_eq!(object(members, text.as_bytes()), None, "{text}");
    }
    assert!(object(members, br#"{"a":-9223372036854775808}"#).is_some());
}

#[test]
fn names_that_are_always_others_take_no_more_memory() {
    let members = &mut Members::default();
    let read = |n| object(members, format!("{{\"k{n}\":1}}").as_bytes()).is_some();
    assert_eq!((0..1_000).map(read).filter(|is_read| *is_read).count(), 256);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// One reader for all of them: what it has learned of some changes nothing of the others.
    #[test]
    fn members_are_what_serde_json_reads(texts in prop::collection::vec(super::properties::record(), 1..12)) {
        let members = &mut Members::default();
        for text in &texts {
            let wanted = serde_json::from_slice::<Map<String, Json>>(text).ok();
            let found = object(members, text);
            let text = String::from_utf8_lossy(text);
            match (found, wanted) {
                (Some(found), Some(wanted)) => prop_assert!(alike(&found, &wanted), "{}", text),
                (Some(_), None) => prop_assert!(false, "took {}", text),
                // Beyond 64 bits, perhaps, or nested deeper than it goes.
                (None, Some(_)) => prop_assert!(text.contains(|c: char| c.is_ascii_digit()), "refused {}", text),
                (None, None) => {}
            }
        }
    }
}
