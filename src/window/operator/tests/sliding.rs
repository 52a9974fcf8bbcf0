//! Sliding windows.

use super::*;

/// Every row in time with the rows of its key that are in time, in `(time - size, time]`.
fn sliding(rows: &[Row], bound: i64, size: i64, grace: i64) -> (Vec<Result_>, Vec<(i64, i64)>) {
    let (late, taken): (Vec<_>, Vec<_>) = judged(rows, bound)
        .into_iter()
        .partition(|(_, time, before, _)| time + 1 + grace <= *before);
    let mut ordered = taken.clone();
    ordered.sort_by_key(|(at, time, _, _)| (*time, *at));
    let result = |(_, time, _, row): &(usize, i64, i64, &Row)| {
        let inside = taken.iter().filter(|(_, other, _, that)| {
            that.key == row.key && time - size < *other && other <= time
        });
        let inside: Vec<_> = inside.map(|(.., row)| *row).collect();
        Result_ {
            key: name(row),
            start: Some(time - size + 1),
            end: Some(time + 1),
            count: total(&inside).0,
            sum: total(&inside).1,
            mark: "final".into(),
        }
    };
    let late = late.iter().map(|(_, time, _, row)| (row.value, time + 1)).collect();
    (ordered.iter().map(result).collect(), late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sliding_windows_are_those_of_the_model_however_rows_come(
        rows in rows(60), way in ways(60), size in 1..40_i64, grace in 0..30_i64,
    ) {
        let kind = format!(r#"{{"type": "sliding", "size_ms": {size}}}"#);
        let spec = spec(&kind, &format!(r#""grace_ms": {grace}, "on_late": "route""#));
        let ran = same_any_way(&spec, &rows, &way);
        let (results, late) = sliding(&rows, way.bound, size, grace);
        prop_assert_eq!(ran.results, results);
        prop_assert_eq!(ran.late, late);
    }

    #[test]
    fn extreme_times_do_not_panic(
        times in prop::collection::vec(
            prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>(), -9..9_i64], 0..8),
        size in prop_oneof![1..4_i64, 1..=i64::MAX],
    ) {
        let row = |time: &i64| Row { time: Some(*time), key: None, value: 1 };
        let rows: Vec<_> = times.iter().map(row).collect();
        let spec = spec(&format!(r#"{{"type": "sliding", "size_ms": {size}}}"#), "");
        let mut operator = Operator::new(&spec).unwrap();
        let mut watermark = Watermark::new(0);
        for row in &rows {
            operator.update(&batch(std::slice::from_ref(row), &mut watermark)).unwrap();
        }
        operator.advance(i64::MAX, Cause::Stop).unwrap();
    }
}
