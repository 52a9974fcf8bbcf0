//! Defined results for records of every kind, good and bad.

use super::*;
use DataType::{
    Binary, Boolean, Date32, Decimal128, Duration, Float32, Float64, Int8, Int64, UInt8, UInt64,
    Utf8,
};
use arrow::{
    array::{Array, AsArray},
    datatypes::{Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType},
};

fn order() -> SchemaRef {
    schema(vec![
        Field::new("id", Int64, false),
        field("user", Utf8),
        field("tags", DataType::new_list(Utf8, true)),
    ])
}

/// The message for a whole record of [`order`].
fn refused(record: &[u8]) -> String {
    let out = decode(&order(), &[record]);
    assert_eq!(out.batch.num_rows(), 0, "{}", String::from_utf8_lossy(record));
    out.bad[0].message.clone()
}

#[test]
fn a_bad_record_leaves_its_neighbours_alone() {
    let out = decode(
        &order(),
        &[
            br#"{"id":1,"user":"a","tags":["x","y"],"more":{"z":[1,2]}}"#.as_slice(),
            br#"{"id":2,"user":"b","tags":["x",7]}"#,
            br#"{"user":"\u00fc\n","id":3}"#,
        ],
    );
    assert_eq!(out.rows, Some(vec![0, 2]));
    assert_eq!(out.bad.len(), 1);
    assert_eq!(out.bad[0].index, 1);
    assert_eq!(
        out.bad[0].message,
        "field `tags[1]`: expected a string, found the number 7 at line 1 column 32"
    );
    assert_eq!(
        lines(&out.batch),
        [r#"{"id":1,"user":"a","tags":["x","y"]}"#, r#"{"id":3,"user":"ü\n","tags":null}"#]
    );
}

#[test]
fn rows_are_named_only_when_some_are_missing() {
    let records = records(&[r#"{"id":1}"#, r#"{"id":2}"#, "x", r#"{"id":4}"#]);
    let mut decoder = Decoder::new(order(), DecodeOptions::default()).unwrap();
    assert_eq!(decoder.decode(&records, 0..2).rows, None);
    let rest = decoder.decode(&records, 1..4);
    assert_eq!(rest.rows, Some(vec![1, 3]));
    assert_eq!(rest.bad[0].index, 2);
    assert_eq!(lines(&rest.batch)[1], r#"{"id":4,"user":null,"tags":null}"#);
}

#[test]
fn whole_records_that_are_not_one_object_are_bad() {
    let cases: [(&[u8], &str); 12] = [
        (
            br#"{"id":1}{"id":2}"#,
            "a second JSON object follows in the same record at line 1 column 9",
        ),
        (br#"{"id":1} x"#, "something follows behind the JSON object at line 1 column 10"),
        (b"", "the value is empty at line 1 column 1"),
        (b" \n ", "expected a JSON object, found the end of the record at line 2 column 2"),
        (b"\xEF\xBB\xBF{}", "expected a JSON object, found a byte order mark at line 1 column 1"),
        (br#"[{"id":1}]"#, "expected a JSON object, found an array at line 1 column 1"),
        (br#"{"id":1"#, "the record ends inside an object at line 1 column 8"),
        (br#"{"id":1,}"#, "found a comma behind the last value at line 1 column 9"),
        (br#"{"id":1 "user":"x"}"#, "expected `,` or `}`, found a string at line 1 column 9"),
        (br#"{id:1}"#, "expected a field name in quotes, found `i` at line 1 column 2"),
        (br#"{"id" 1}"#, "expected `:` behind a field name, found the number 1 at line 1 column 7"),
        (br#"{"user":"x"}"#, "field `id`: missing at line 1 column 13"),
    ];
    for (record, message) in cases {
        assert_eq!(refused(record), message);
    }
}

#[test]
fn a_truncated_record_never_reads_into_the_next_one() {
    let whole = r#"{"id":1,"user":"a\u00fcä","tags":["x",null]}"#.as_bytes();
    for end in 0..whole.len() {
        let out = decode(&order(), &[&whole[..end], br#","id":2}"#, br#"{"id":3}"#]);
        assert_eq!(out.rows, Some(vec![2]), "cut at {end}");
        assert_eq!(out.bad.len(), 2, "cut at {end}");
    }
}

#[test]
fn text_must_be_utf8_without_control_characters_or_half_surrogates() {
    let cases: [(&[u8], &str); 6] = [
        (b"{\"id\":1,\"user\":\"a\xC3\"}", "a string is not valid UTF-8 at line 1 column 18"),
        (
            b"{\"id\":1,\"user\":\"12345678\xFF\"}",
            "a string is not valid UTF-8 at line 1 column 25",
        ),
        (b"{\"id\":1,\"x\":\"\xFF\"}", "a string is not valid UTF-8 at line 1 column 14"),
        (
            b"{\"id\":1,\"user\":\"\t\"}",
            "found the control character 0x09 in a string at line 1 column 17",
        ),
        (
            br#"{"id":1,"user":"\ud800"}"#,
            "found half of a surrogate pair (\\ud800) in a string at line 1 column 17",
        ),
        (
            br#"{"id":1,"user":"\udc00\ud800"}"#,
            "found half of a surrogate pair (\\udc00) in a string at line 1 column 17",
        ),
    ];
    for (record, message) in cases {
        let found = refused(record);
        assert!(found.ends_with(message), "{found}");
    }
    assert_eq!(
        value(Utf8, r#""\ud83d\ude00 \"\\\/\b\f\n\r\t""#).unwrap(),
        r#""😀 \"\\/\u0008\u000c\n\r\t""#
    );
    for bad in [r#""\x""#, r#""\u12g4""#, r#""\u12"#, r#""\ud800\u0041""#, "\"open"] {
        fault(Utf8, bad);
    }
}

#[test]
fn nesting_ends_at_64_levels() {
    let nested = |levels: usize| {
        format!("{{\"id\":1,\"deep\":{}{}}}", "[".repeat(levels), "]".repeat(levels))
    };
    assert!(decode(&order(), &[nested(63)]).bad.is_empty());
    assert!(refused(nested(64).as_bytes()).starts_with("nested deeper than 64 levels"));
    refused(nested(300).as_bytes());
    refused("{\"id\":1,\"deep\":".repeat(300).as_bytes());
    refused("[".repeat(1_000_000).as_bytes());
    let raw = with(field("v", Utf8), RAW_JSON, "1");
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    assert!(field_value(raw, &deep).unwrap_err().contains("nested deeper than 64 levels"));
}

#[test]
fn integers_are_never_cut_or_guessed() {
    assert_eq!(value(Int64, "-9223372036854775808").unwrap(), "-9223372036854775808");
    assert_eq!(value(Int64, "9223372036854775807").unwrap(), "9223372036854775807");
    assert_eq!(value(Int64, "5.0").unwrap(), "5");
    assert_eq!(value(Int64, "5e3").unwrap(), "5000");
    assert_eq!(value(Int64, "-0").unwrap(), "0");
    assert_eq!(value(UInt64, "18446744073709551615").unwrap(), "18446744073709551615");
    assert_eq!(
        fault(Int64, "12345678901234567890"),
        "field `v`: expected an integer from -9223372036854775808 to 9223372036854775807, \
         found 12345678901234567890 at line 1 column 6"
    );
    for bad in
        ["1.5", "\"5\"", "true", "9223372036854775808", "1e30", "01", "-", "+1", "1.", ".5", "[]"]
    {
        fault(Int64, bad);
    }
    assert!(fault(Int64, "1.5").contains("found 1.5"));
    assert!(fault(Int64, "\"5\"").contains("expected an integer, found a string"));
    assert!(fault(Int64, "true").contains("expected an integer, found a boolean"));
    for (kind, bad) in [
        (Int8, "128"),
        (Int8, "-129"),
        (UInt8, "256"),
        (UInt8, "-1"),
        (UInt64, "18446744073709551616"),
    ] {
        fault(kind, bad);
    }
    assert_eq!(value(Int8, "-128").unwrap(), "-128");
    assert_eq!(value(UInt8, "255").unwrap(), "255");
}

#[test]
fn floats_are_the_nearest_and_finite() {
    for text in ["0.1", "-2.5", "1e22", "1.7976931348623157e308", "5e-324", "123456789.12345679"] {
        let found: f64 = value(Float64, text).unwrap().parse().unwrap();
        assert_eq!(found, text.parse::<f64>().unwrap());
    }
    assert_eq!(value(Float64, "7").unwrap(), "7.0");
    assert_eq!(value(Float64, "12345678901234567890").unwrap(), "1.2345678901234567e+19");
    assert_eq!(value(Float32, "0.1").unwrap(), "0.1");
    assert!(fault(Float64, "NaN").contains("NaN, which JSON does not have"));
    for bad in ["Infinity", "-Infinity", "nan", "1e999", "-1e999", "\"1.5\"", "true"] {
        fault(Float64, bad);
    }
    fault(Float32, "1e39");
}

#[test]
fn decimals_are_exact() {
    let money = Decimal128(10, 2);
    for (json, expected) in [
        ("12.5", "12.50"),
        ("\"-0.07\"", "-0.07"),
        ("1.2e3", "1200.00"),
        ("12.500", "12.50"),
        ("0", "0.00"),
    ] {
        assert_eq!(value(money.clone(), json).unwrap(), format!("\"{expected}\""));
    }
    let wide = "1234567890123456789012345678.0123456789";
    assert_eq!(value(Decimal128(38, 10), wide).unwrap(), format!("\"{wide}\""));
    assert!(fault(money.clone(), "1.005").contains("at most 2 decimal places, found 1.005"));
    assert!(fault(money.clone(), "123456789").contains("at most 10 digits"));
    for bad in ["\"abc\"", "\"\"", "\"1.\"", "\" 1\"", "true", "1e99"] {
        fault(money.clone(), bad);
    }
}

#[test]
fn null_and_missing_are_told_apart() {
    let fields = schema(vec![
        Field::new("a", Int64, false),
        with(field("b", Int64), REQUIRED, "1"),
        with(Field::new("c", Int64, false), DEFAULT, "7"),
        with(field("d", DataType::new_list(Int64, false)), DEFAULT, "[1,2]"),
    ]);
    let out = decode(
        &fields,
        &[
            r#"{"a":1,"b":null}"#,
            r#"{"a":null,"b":2}"#,
            r#"{"a":1}"#,
            r#"{"a":1,"b":2,"c":null}"#,
            r#"{"a":1,"b":2,"c":3,"d":null}"#,
        ],
    );
    assert_eq!(
        lines(&out.batch),
        [r#"{"a":1,"b":null,"c":7,"d":[1,2]}"#, r#"{"a":1,"b":2,"c":3,"d":null}"#]
    );
    let messages: Vec<&str> = out.bad.iter().map(|b| b.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "field `a`: expected an integer, found null at line 1 column 6",
            "field `b`: missing at line 1 column 8",
            "field `c`: expected an integer, found null at line 1 column 18",
        ]
    );
}

#[test]
fn a_default_that_does_not_fit_is_refused_at_once() {
    let fields = schema(vec![with(field("a", Int64), DEFAULT, "\"x\"")]);
    let error = Decoder::new(fields, DecodeOptions::default()).err().unwrap();
    assert!(error.to_string().contains("field `a`: metadata turbine.default: expected an integer"));
}

#[test]
fn the_last_of_equal_names_counts() {
    let out = decode(&order(), &[r#"{"id":"no","id":1,"tags":["a"],"tags":["b","c"],"id":2}"#]);
    assert_eq!(out.bad.len(), 1, "the first value is checked all the same");
    let out = decode(&order(), &[r#"{"id":5,"tags":["a"],"tags":["b","c"],"id":2}"#]);
    assert_eq!(lines(&out.batch), [r#"{"id":2,"user":null,"tags":["b","c"]}"#]);
    let map = map_of(DataType::new_list(Int64, true));
    assert_eq!(
        value(map, r#"{"a":[1],"b":[2,3],"a":[4,5,6]}"#).unwrap(),
        r#"{"b":[2,3],"a":[4,5,6]}"#
    );
}

fn map_of(value: DataType) -> DataType {
    let entries = vec![Field::new("key", Utf8, false), field("value", value)];
    let entries = Field::new("entries", DataType::Struct(entries.into()), false);
    DataType::Map(Arc::new(entries), false)
}

#[test]
fn unknown_names_are_left_out_or_refused_as_the_schema_says() {
    let forbidding = Schema::new_with_metadata(
        vec![field("id", Int64)],
        [(EXTRA.to_owned(), "forbid".to_owned())].into(),
    );
    let out = decode(&Arc::new(forbidding), &[r#"{"id":1}"#, r#"{"id":1,"x":2}"#]);
    assert_eq!(out.bad[0].message, "`x` is not a field of the schema at line 1 column 9");
    let inner = DataType::Struct(vec![field("a", Int64)].into());
    let message = field_value(with(field("v", inner), EXTRA, "forbid"), r#"{"b":1}"#).unwrap_err();
    assert_eq!(message, "field `v`: `b` is not a field of the schema at line 1 column 7");
    assert_eq!(decode(&order(), &[r#"{"id":1,"x":{"y":[{}]}}"#]).batch.num_rows(), 1);
}

#[test]
fn values_of_unknown_names_are_checked_too() {
    for bad in [
        r#"{"id":1,"x":tru}"#,
        r#"{"id":1,"x":[1,]}"#,
        r#"{"id":1,"x":{"y" 1}}"#,
        r#"{"id":1,"x":01}"#,
        r#"{"id":1,"x":NaN}"#,
    ] {
        refused(bad.as_bytes());
    }
}

#[test]
fn names_are_found_in_any_order_and_spelling() {
    let out = decode(
        &order(),
        &[
            r#"{"id":1,"user":"a","tags":[]}"#,
            r#"{"tags":["x"],"id":2,"user":"b"}"#,
            "{ \"id\" : 3 ,\n\t\"user\" : \"c\" }",
            r#"{"\u0069d":4,"u\u0073er":"d"}"#,
            r#"{"extra":0,"id":5,"more":1,"user":"e"}"#,
            r#"{"id":6,"user":"f","tags":null}"#,
        ],
    );
    assert!(out.bad.is_empty(), "{:?}", out.bad);
    let ids = out.batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    let aliased = with(field("user_id", Int64), NAMES, r#"["userId","uid"]"#);
    let out =
        decode(&schema(vec![aliased]), &[r#"{"userId":1}"#, r#"{"uid":2}"#, r#"{"user_id":3}"#]);
    assert_eq!(lines(&out.batch), [r#"{"user_id":1}"#, r#"{"user_id":2}"#, r#"{"user_id":null}"#]);
}

#[test]
fn tombstones_are_bad_or_rows_of_nulls() {
    let tombstone = vec![OwnedRecord::default()];
    let mut strict = Decoder::new(order(), DecodeOptions::default()).unwrap();
    let out = strict.decode(&tombstone, 0..1);
    assert_eq!(out.bad[0].message, "the record is a tombstone: it has no value");
    let options = DecodeOptions { tombstones_as_nulls: true };
    let mut lenient = Decoder::new(order(), options).unwrap();
    let out = lenient.decode(&tombstone, 0..1);
    assert_eq!(lines(&out.batch), [r#"{"id":null,"user":null,"tags":null}"#]);
    assert!(out.batch.schema().field(0).is_nullable());
    assert!(lenient.decode(&records(&[r#"{"id":null}"#]), 0..1).bad[0].message.contains("null"));
}

#[test]
fn times_are_read_as_pydantic_reads_them() {
    let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    for (json, expected) in [
        ("\"2024-02-29T12:30:00Z\"", "2024-02-29T12:30:00Z"),
        ("\"2024-02-29 12:30:00.125+02:00\"", "2024-02-29T10:30:00.125Z"),
        ("\"2024-02-29T12:30-0330\"", "2024-02-29T16:00:00Z"),
        ("\"2024-02-29t12:30:00\"", "2024-02-29T12:30:00Z"),
        ("\"1969-12-31T23:59:59.9999Z\"", "1969-12-31T23:59:59.999Z"),
        ("1700000000", "2023-11-14T22:13:20Z"),
        ("1700000000123", "2023-11-14T22:13:20.123Z"),
        ("1700000000.5", "2023-11-14T22:13:20.500Z"),
        ("-1", "1969-12-31T23:59:59Z"),
        ("-2.5e-40", "1970-01-01T00:00:00Z"),
        ("-0.0005", "1969-12-31T23:59:59.999Z"),
        ("1.0004999", "1970-01-01T00:00:01Z"),
        ("1.9996", "1970-01-01T00:00:02Z"),
        ("1700000000123.5", "2023-11-14T22:13:20.124Z"),
        ("20000000000", "2603-10-11T11:33:20Z"),
        ("20000000001", "1970-08-20T11:33:20.001Z"),
    ] {
        assert_eq!(value(utc.clone(), json).unwrap(), format!("\"{expected}\""), "{json}");
    }
    for bad in [
        "\"2023-02-29T00:00:00Z\"",
        "\"2024-01-01T24:00:00Z\"",
        "\"2024-01-01\"",
        "\"now\"",
        "true",
        "\"2024-01-01T00:00:00+25:00\"",
        "\"2024-01-01T00:00:00.Z\"",
        "1e30",
        "253402300800000",
        "\"0000-01-01T00:00:00Z\"",
        "\"0001-01-01T00:00:00+01:00\"",
        "{}",
    ] {
        fault(utc.clone(), bad);
    }
    let naive = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(
        value(naive.clone(), "\"2024-02-29T12:30:00.000001\"").unwrap(),
        "\"2024-02-29T12:30:00.000001\""
    );
    assert!(fault(naive, "\"2024-02-29T12:30:00Z\"").contains("a time without offset"));
    let aware = with(field("v", utc), AWARE, "1");
    assert!(
        field_value(aware, "\"2024-02-29T12:30:00\"").unwrap_err().contains("a time with offset")
    );
}

#[test]
fn timestamps_know_their_unit() {
    let micro = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let milli = DataType::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into()));
    let out = decode(
        &schema(vec![field("a", micro), field("b", milli)]),
        &[r#"{"a":1700000000123,"b":"2024-01-01T00:00:00+01:00"}"#],
    );
    assert_eq!(
        out.batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0),
        1_700_000_000_123_000
    );
    assert_eq!(
        out.batch.column(1).as_primitive::<TimestampMillisecondType>().value(0),
        1_704_063_600_000
    );
}

#[test]
fn dates_times_and_durations_have_one_text_each() {
    assert_eq!(value(Date32, "\"2000-02-29\"").unwrap(), "\"2000-02-29\"");
    assert_eq!(value(Date32, "\"1900-03-01\"").unwrap(), "\"1900-03-01\"");
    assert_eq!(value(Date32, "951782400").unwrap(), "\"2000-02-29\"");
    for bad in [
        "\"1900-02-29\"",
        "\"2000-13-01\"",
        "\"2000-1-1\"",
        "951782401",
        "8640000000000000000000",
        "\"2000-02-29T00:00:00\"",
    ] {
        fault(Date32, bad);
    }
    let time = DataType::Time64(TimeUnit::Microsecond);
    assert_eq!(value(time.clone(), "\"23:59:59.25\"").unwrap(), "\"23:59:59.250\"");
    assert_eq!(value(time.clone(), "3661").unwrap(), "\"01:01:01\"");
    for bad in ["\"24:00\"", "\"12:00Z\"", "86400", "-1"] {
        fault(time.clone(), bad);
    }
    let duration = Duration(TimeUnit::Microsecond);
    for (json, text) in [
        ("\"P1DT2H3M4.5S\"", "P1DT2H3M4.500S"),
        ("90", "PT0H1M30S"),
        ("\"-PT1S\"", "-PT0H0M1S"),
        ("\"P2W\"", "P14DT0H0M0S"),
        ("0.000001", "PT0H0M0.000001S"),
    ] {
        assert_eq!(value(duration.clone(), json).unwrap(), format!("\"{text}\""), "{json}");
    }
    for bad in ["\"P\"", "\"PT\"", "\"1D\"", "\"P1.5D\"", "\"P99999999999999999D\"", "\"PT1X\""] {
        fault(duration.clone(), bad);
    }
}

#[test]
fn nested_values_keep_their_shape() {
    let point = DataType::Struct(vec![Field::new("x", Int64, false), field("y", Float64)].into());
    let shapes = DataType::new_list(DataType::new_list(point.clone(), true), true);
    let json = r#"[[{"x":1,"y":2.5},null],[],null]"#;
    assert_eq!(value(shapes.clone(), json).unwrap(), json);
    assert_eq!(
        fault(shapes, r#"[[{"x":1},{"x":1,"y":"?"}]]"#),
        "field `v[0][1].y`: expected a number, found a string at line 1 column 27"
    );
    assert_eq!(value(point, "null").unwrap(), "null");
    let json = r#"{"a":{"k":1},"b":{},"c":null}"#;
    assert_eq!(value(map_of(map_of(Int64)), json).unwrap(), json);
    assert!(fault(map_of(Int64), r#"{"a b":"x"}"#).contains("field `v.a b`"));
    assert_eq!(
        value(DataType::Struct(arrow::datatypes::Fields::empty()), "{\"a\":1}").unwrap(),
        "{}"
    );
    assert_eq!(value(DataType::Null, "null").unwrap(), "null");
    fault(DataType::Null, "1");
    assert_eq!(value(Boolean, "true").unwrap(), "true");
    fault(Boolean, "1");
    assert_eq!(value(Binary, r#""a\u00fc""#).unwrap(), "\"aü\"");
}

#[test]
fn raw_json_is_kept_as_it_stands() {
    let any = || with(field("v", Utf8), RAW_JSON, "1");
    for json in [
        r#"{"b" : 1, "a":[1.50, "\u00fc"]}"#,
        "\"text\"",
        "12345678901234567890123",
        "false",
        "null",
    ] {
        assert_eq!(field_value(any(), json).unwrap(), json);
    }
    field_value(any(), "[1,]").unwrap_err();
    let object = || with(any(), CHECK, r#"{"json":"object"}"#);
    assert_eq!(field_value(object(), "{}").unwrap(), "{}");
    assert!(
        field_value(object(), "[]").unwrap_err().contains("expected an object, found an array")
    );
    let required = with(Field::new("v", Utf8, false), RAW_JSON, "1");
    assert_eq!(field_value(required, "null").unwrap(), "null");
}

#[test]
fn checks_beyond_the_type_are_made() {
    let cases = [
        (
            Utf8,
            r#"{"values":["a","b"]}"#,
            "\"a\"",
            "\"c\"",
            r#"expected one of "a", "b", found "c""#,
        ),
        (Int64, r#"{"values":[1,2]}"#, "2", "3", "expected one of 1, 2, found 3"),
        (Int64, r#"{"ge":1,"lt":10}"#, "1", "10", "expected less than 10, found 10"),
        (Float64, r#"{"gt":0,"le":0.5}"#, "0.5", "0", "expected more than 0, found 0"),
        (
            Decimal128(9, 2),
            r#"{"ge":0.10}"#,
            "\"0.10\"",
            "\"0.09\"",
            "expected at least 0.1, found 0.09",
        ),
        (UInt8, r#"{"le":9}"#, "9", "10", "expected at most 9, found 10"),
        (
            Utf8,
            r#"{"min_length":2,"max_length":3}"#,
            "\"äöü\"",
            "\"ä\"",
            "expected at least 2 characters, found 1",
        ),
        (
            DataType::new_list(Int64, true),
            r#"{"max_length":1}"#,
            "[1]",
            "[1,2]",
            "expected at most 1 items, found 2",
        ),
        (
            Utf8,
            r#"{"uuid":true}"#,
            "\"12345678-1234-1234-1234-123456789abc\"",
            "\"1234\"",
            "expected a UUID",
        ),
    ];
    for (kind, check, good, bad, message) in cases {
        let checked = || with(field("v", kind.clone()), CHECK, check);
        assert_eq!(field_value(checked(), good).unwrap(), good);
        let found = field_value(checked(), bad).unwrap_err();
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn types_without_a_json_form_are_refused_with_an_alternative() {
    for (kind, instead) in [
        (DataType::LargeUtf8, "use utf8"),
        (DataType::Date64, "use date32"),
        (DataType::Decimal256(40, 2), "use decimal128"),
        (DataType::Interval(arrow::datatypes::IntervalUnit::DayTime), "turbine.json"),
    ] {
        let inner = DataType::new_list(kind, true);
        let error =
            Decoder::new(schema(vec![field("v", inner)]), DecodeOptions::default()).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("field `v`") && text.contains(instead), "{text}");
    }
    let twice = schema(vec![field("v", Int64), field("v", Utf8)]);
    assert!(Decoder::new(twice, DecodeOptions::default()).is_err());
}

#[test]
fn a_batch_may_have_no_columns_and_no_rows() {
    let none = decode(&schema(vec![]), &["{}", "{\"a\":1}"]);
    assert_eq!(none.batch.num_rows(), 2);
    assert_eq!(lines(&none.batch), ["{}", "{}"]);
    let empty = decode::<&str>(&order(), &[]);
    assert_eq!((empty.batch.num_rows(), empty.batch.column(2).len()), (0, 0));
}
