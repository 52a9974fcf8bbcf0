//! Whatever a handler returns becomes JSON, or a sentence.

use super::*;
use crate::codec::metadata;
use arrow::{
    array::*,
    compute::cast,
    datatypes::{Int8Type, Int32Type, TimeUnit},
};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

fn column(array: ArrayRef) -> Vec<String> {
    let lines = lines(&batch(vec![("v", array)]));
    lines.iter().map(|l| l["{\"v\":".len()..l.len() - 1].to_owned()).collect()
}

#[test]
fn text_of_every_arrow_type_is_the_same() {
    let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"b"), None, Some("ü")]));
    for kind in [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8)),
    ] {
        let array = cast(&plain, &kind).unwrap();
        assert_eq!(column(array), [r#""a\"b""#, "null", "\"ü\""], "{kind}");
    }
}

#[test]
fn nulls_inside_a_dictionary_are_nulls() {
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
    let keys = Int8Array::from(vec![Some(0), Some(1), None]);
    let array = DictionaryArray::<Int8Type>::new(keys, values);
    assert_eq!(column(Arc::new(array)), ["\"x\"", "null", "null"]);
}

#[test]
fn numbers_of_every_width_are_written() {
    let plain: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(100)]));
    use DataType::*;
    for kind in [Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64] {
        assert_eq!(column(cast(&plain, &kind).unwrap()), ["1", "null", "100"], "{kind}");
    }
    for kind in [Float16, Float32, Float64] {
        assert_eq!(column(cast(&plain, &kind).unwrap()), ["1.0", "null", "100.0"], "{kind}");
    }
    for kind in [Decimal32(5, 2), Decimal64(12, 2), Decimal128(20, 2), Decimal256(40, 2)] {
        assert_eq!(
            column(cast(&plain, &kind).unwrap()),
            ["\"1.00\"", "null", "\"100.00\""],
            "{kind}"
        );
    }
}

#[test]
fn floats_without_a_json_form_become_null_and_are_counted() {
    let floats = Float64Array::from(vec![f64::NAN, 1.5, f64::INFINITY, f64::NEG_INFINITY]);
    let singles = Float32Array::from(vec![1.5, f32::NAN, 2.0, 3.0]);
    let mut out = Encoded::default();
    let batch = batch(vec![("a", Arc::new(floats)), ("b", Arc::new(singles))]);
    let encoder = Encoder;
    encoder.encode(&batch, &mut out).unwrap();
    assert_eq!(out.non_finite, 4);
    assert_eq!(out.value(0), br#"{"a":null,"b":1.5}"#);
    encoder.encode(&batch.slice(1, 0), &mut out).unwrap();
    assert_eq!((out.non_finite, out.len(), out.is_empty()), (0, 0, true));
}

#[test]
fn slices_and_every_kind_of_list_are_written() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(0)]),
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let plain: ArrayRef = Arc::new(lists);
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    for kind in [plain.data_type().clone(), DataType::LargeList(item)] {
        let array = cast(&plain, &kind).unwrap();
        assert_eq!(column(array.slice(1, 3)), ["[1,null]", "null", "[]"], "{kind}");
    }
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
        [Some(vec![Some(1), Some(2)]), None, Some(vec![Some(3), None])],
        2,
    );
    assert_eq!(column(Arc::new(fixed.slice(1, 2))), ["null", "[3,null]"]);
}

#[test]
fn structs_are_null_as_a_whole_or_in_part() {
    let fields = vec![field("a", DataType::Int64), field("b", DataType::Utf8)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
        Arc::new(StringArray::from(vec![Some("x"), Some("y"), None])),
    ];
    let array = StructArray::new(fields.into(), columns, Some(vec![true, false, true].into()));
    assert_eq!(column(Arc::new(array)), [r#"{"a":1,"b":"x"}"#, "null", r#"{"a":null,"b":null}"#]);
}

#[test]
fn times_are_rfc_3339() {
    let ms: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_123]));
    assert_eq!(column(Arc::clone(&ms)), ["\"2023-11-14T22:13:20.123\""]);
    let berlin = DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into()));
    assert_eq!(column(cast(&ms, &berlin).unwrap()), ["\"2023-11-14T21:13:20.123Z\""]);
    assert_eq!(column(Arc::new(Date64Array::from(vec![86_400_000]))), ["\"1970-01-02\""]);
    assert_eq!(column(Arc::new(Time32SecondArray::from(vec![61]))), ["\"00:01:01\""]);
    assert_eq!(
        column(Arc::new(TimestampSecondArray::from(vec![-62_135_596_800]))),
        ["\"0001-01-01T00:00:00\""]
    );
}

#[test]
fn metadata_columns_that_were_asked_for_never_reach_the_topic_unless_renamed() {
    let renamed = with(field("at", DataType::Int64), metadata::MARK, "offset");
    let fields = vec![field("a", DataType::Int64), field("_offset", DataType::Int64), renamed];
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch =
        RecordBatch::try_new(schema(fields), vec![ones.clone(), ones.clone(), ones]).unwrap();
    let mut out = Encoded::default();
    let names = ["offset".to_owned()];
    Output::new(Box::new(Encoder), None).without_metadata(&names).encode(&batch, &mut out).unwrap();
    assert_eq!(out.value(0), br#"{"a":1,"at":1}"#);
    // Not asked for, it is a field of the records that happens to have such a name.
    assert_eq!(lines(&batch), [r#"{"a":1,"_offset":1,"at":1}"#]);
}

#[test]
fn rare_layouts_are_written_like_common_ones() {
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]);
    let lists: ArrayRef = Arc::new(lists);
    for kind in [DataType::ListView(item.clone()), DataType::LargeListView(item)] {
        assert_eq!(column(cast(&lists, &kind).unwrap()), ["[1]", "null"], "{kind}");
    }
    let values = StringArray::from(vec![Some("x"), None]);
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &values).unwrap();
    assert_eq!(column(Arc::new(runs)), ["\"x\"", "\"x\"", "null"]);
    let fixed = FixedSizeBinaryArray::try_from_iter([b"ab", b"cd"].into_iter()).unwrap();
    assert_eq!(column(Arc::new(fixed)), ["\"ab\"", "\"cd\""]);
    let plain: ArrayRef = Arc::new(Int64Array::from(vec![5, 5]));
    let kind = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Int64));
    assert_eq!(column(cast(&plain, &kind).unwrap()), ["5", "5"]);
}

#[test]
fn equal_names_are_refused() {
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let twice = schema(vec![
        field("a", DataType::Int64),
        field("b", DataType::Int64),
        field("a", DataType::Int64),
    ]);
    let batch = RecordBatch::try_new(twice, vec![ones.clone(), ones.clone(), ones]).unwrap();
    let error = Encoder.encode(&batch, &mut Encoded::default()).unwrap_err().to_string();
    assert!(error.contains("two columns are called `a`"), "{error}");
}

#[test]
fn keys_come_from_their_column() {
    let keys = |array: ArrayRef| {
        let mut out = Encoded::default();
        Output::new(Box::new(Encoder), Some("k"))
            .encode(&batch(vec![("k", array)]), &mut out)
            .unwrap();
        (0..out.len()).map(|i| out.key(i).map(<[u8]>::to_vec)).collect::<Vec<_>>()
    };
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("")]));
    let expected = [Some(b"a".to_vec()), None, Some(vec![])];
    for kind in [
        DataType::Utf8View,
        DataType::Binary,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
    ] {
        assert_eq!(keys(cast(&text, &kind).unwrap()), expected);
    }
    assert_eq!(keys(Arc::new(UInt16Array::from(vec![7]))), [Some(b"7".to_vec())]);
    assert_eq!(keys(Arc::new(Int64Array::from(vec![-7]))), [Some(b"-7".to_vec())]);
    assert_eq!(keys(Arc::new(NullArray::new(1))), [None]);
}

#[test]
fn what_cannot_be_written_is_named() {
    let refused = |key: Option<&str>, name: &str, array: ArrayRef| {
        let encoder = Output::new(Box::new(Encoder), key);
        let error = encoder.encode(
            &batch(vec![("id", Arc::clone(&array)), (name, array)]),
            &mut Encoded::default(),
        );
        error.unwrap_err().to_string()
    };
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert_eq!(
        refused(Some("k"), "x", Arc::clone(&floats)),
        "cannot encode: message_key is `k`, and the batch has no such column; it has: id, x"
    );
    assert!(refused(Some("k"), "k", floats).contains("a key is text, binary or an integer"));
    let binary: ArrayRef = Arc::new(BinaryArray::from(vec![b"\xFF".as_slice()]));
    assert_eq!(
        refused(None, "x", binary),
        "cannot encode: column \"id\", row 0: binary that is not UTF-8 has no JSON form; encode it as text, say base64"
    );
    let interval: ArrayRef = Arc::new(IntervalYearMonthArray::from(vec![1]));
    assert!(
        refused(None, "x", interval)
            .contains("column `id`: Interval(YearMonth) has no form in records")
    );
}

#[test]
fn json_text_is_checked_before_it_is_embedded() {
    let raw = |text: &str| {
        let fields = schema(vec![with(field("v", DataType::Utf8View), RAW_JSON, "1")]);
        let array: ArrayRef = Arc::new(StringViewArray::from(vec![text]));
        let batch = RecordBatch::try_new(fields, vec![array]).unwrap();
        let mut out = Encoded::default();
        Encoder.encode(&batch, &mut out).map(|()| out.value(0).to_vec())
    };
    assert_eq!(raw("[1, {}]").unwrap(), b"{\"v\":[1, {}]}");
    let message = raw("{\"a\":}").unwrap_err().to_string();
    assert!(message.contains("column \"v\", row 0: not valid JSON: expected a value"), "{message}");
    raw("1}{").unwrap_err();
}

#[test]
fn names_are_escaped() {
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert_eq!(lines(&batch(vec![("a\"b\\\u{1}", ones)])), [r#"{"a\"b\\\u0001":1}"#]);
}
