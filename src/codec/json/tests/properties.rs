//! Whatever bytes come: no panic, no loss, the same rows however records are batched.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn nested() -> SchemaRef {
    let point =
        DataType::Struct(vec![field("x", DataType::Int64), field("y", DataType::Float64)].into());
    schema(vec![
        field("id", DataType::Int64),
        field("name", DataType::Utf8),
        field("score", DataType::Float64),
        field("ok", DataType::Boolean),
        field("points", DataType::new_list(point, true)),
        field("tags", DataType::new_list(DataType::Utf8, true)),
        field("price", DataType::Decimal128(20, 4)),
        with(field("any", DataType::Utf8), RAW_JSON, "1"),
    ])
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn row() -> impl Strategy<Value = Value> {
    let point = (any::<Option<i64>>(), prop::option::of(-1e9..1e9))
        .prop_map(|(x, y)| serde_json::json!({"x": x, "y": y}));
    let points = prop::collection::vec(prop::option::of(point), 0..4);
    let tags = prop::collection::vec(prop::option::of(".{0,9}"), 0..4);
    (
        any::<Option<i64>>(),
        prop::option::of(".{0,20}"),
        prop::option::of(-1e300..1e300),
        any::<Option<bool>>(),
        prop::option::of(points),
        prop::option::of(tags),
        prop::option::of(-99_999_999_999i64..99_999_999_999),
        any_json(),
    )
        .prop_map(|(id, name, score, ok, points, tags, price, any)| {
            let price = price.map(|p| {
                format!(
                    "{}{}.{:04}",
                    if p < 0 { "-" } else { "" },
                    p.abs() / 10_000,
                    p.abs() % 10_000
                )
            });
            serde_json::json!({"id": id, "name": name, "score": score, "ok": ok, "points": points,
                "tags": tags, "price": price, "any": any})
        })
}

/// Good rows and garbage, in the spellings that JSON allows.
pub(super) fn record() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => row().prop_map(|v| v.to_string().into_bytes()),
        2 => row().prop_map(|v| serde_json::to_vec_pretty(&v).unwrap()),
        1 => any_json().prop_map(|v| v.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        2 => (row(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(v, at, byte)| {
            let mut bytes = v.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
        1 => "[\\[\\]{}\",:0-9eE.+a-z\\\\ -]{0,30}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_decoded_encodes_to_the_same_json(rows in prop::collection::vec(row(), 1..20)) {
        let texts: Vec<String> = rows.iter().map(Value::to_string).collect();
        let out = decode(&nested(), &texts);
        prop_assert!(out.bad.is_empty(), "{:?}", out.bad);
        for (line, text) in lines(&out.batch).iter().zip(&texts) {
            let parse = |text| serde_json::from_str::<Value>(text).unwrap();
            prop_assert_eq!(parse(line), parse(text));
        }
    }

    #[test]
    fn records_decode_alike_however_they_are_batched(
        values in prop::collection::vec(record(), 0..24),
        cut in any::<prop::sample::Index>(),
    ) {
        let records = records(&values);
        let cut = cut.index(records.len() + 1);
        let mut decoder = Decoder::new(nested(), DecodeOptions::default()).unwrap();
        let whole = decoder.decode(&records, 0..records.len());
        let left = decoder.decode(&records, 0..cut);
        let right = decoder.decode(&records, cut..records.len());
        let parts = arrow::compute::concat_batches(&nested(), [&left.batch, &right.batch]).unwrap();
        prop_assert_eq!(parts, whole.batch.clone());
        prop_assert_eq!([left.bad, right.bad].concat(), whole.bad.clone());
        // Each alone, with a decoder that has seen nothing else, gives the same again.
        for (index, value) in values.iter().enumerate() {
            let alone = decode(&nested(), &[value]);
            let bad = whole.bad.iter().find(|b| b.index == index).map(|b| b.message.as_str());
            prop_assert_eq!(alone.bad.first().map(|b| b.message.as_str()), bad);
        }
    }

    #[test]
    fn the_grammar_is_that_of_serde_json(value in record()) {
        // Compared on the tape of an object without known fields, where only the grammar counts.
        let text = [b"{\"x\":".as_slice(), &value, b"}"].concat();
        let ours = decode(&schema(vec![]), &[&text]).bad;
        let theirs = serde_json::from_slice::<Value>(&text);
        match (ours.first(), theirs) {
            (None, Err(e)) => {
                // We check numbers by their grammar only, where no column has to hold them.
                prop_assert!(e.to_string().contains("number out of range"), "we accept: {e}");
            }
            (Some(bad), Ok(_)) => prop_assert!(false, "we refuse: {}", bad.message),
            _ => {}
        }
    }

    #[test]
    fn inference_takes_any_bytes(values in prop::collection::vec(record(), 0..16)) {
        let records = records(&values);
        let schema = infer(&records, 0..records.len()).unwrap();
        let shared = Arc::new(SharedSchema::unnamed());
        let mut decoder = Decoder::inferring(shared, DecodeOptions::default()).unwrap();
        let first = decoder.decode(&records, 0..records.len());
        prop_assert_eq!(first.batch.schema(), schema);
        prop_assert_eq!(first.batch.num_rows() + first.bad.len(), values.len());
        let again = decoder.decode(&records, 0..records.len());
        for (row, line) in lines(&again.batch).iter().enumerate() {
            let index = again.rows.as_ref().map_or(row, |rows| rows[row] as usize);
            let parsed: Value = serde_json::from_str(line).unwrap();
            let source: Value = serde_json::from_slice(&values[index]).unwrap();
            prop_assert!(holds(&parsed, &source), "{parsed} lost something of {source}");
        }
    }

    #[test]
    fn numbers_are_read_as_rust_reads_them(
        number in any::<f64>().prop_filter("finite", |f| f.is_finite()),
        digits in 0usize..20,
    ) {
        for text in [format!("{number}"), format!("{number:e}"), format!("{number:.digits$}")] {
            let found: f64 = value(DataType::Float64, &text).unwrap().parse().unwrap();
            prop_assert_eq!(found.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
        }
    }
}

/// Every value of `source` is in `parsed`, which may have more nulls.
fn holds(parsed: &Value, source: &Value) -> bool {
    match (parsed, source) {
        (Value::Object(p), Value::Object(s)) => {
            s.iter().all(|(k, v)| p.get(k).is_some_and(|p| holds(p, v)))
        }
        (Value::Array(p), Value::Array(s)) => {
            p.len() == s.len() && p.iter().zip(s).all(|(p, s)| holds(p, s))
        }
        // serde_json itself is one unit off the nearest float at times.
        (Value::Number(p), Value::Number(s)) => match (p.as_f64(), s.as_f64()) {
            (Some(p), Some(s)) => (p - s).abs() <= 4.0 * f64::EPSILON * s.abs(),
            _ => false,
        },
        (p, s) => p == s,
    }
}
