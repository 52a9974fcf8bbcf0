//! Hopping windows.

use super::*;

/// Windows of `span` panes of 5 ms, by hand: every window takes the rows that came before it closed.
fn hopping(rows: &[Row], bound: i64, span: i64, grace: i64) -> (Vec<Result_>, Vec<(i64, i64)>) {
    let (mut windows, mut late) = (BTreeMap::<i64, Vec<(usize, &Row)>>::new(), Vec::new());
    for (at, time, before, row) in judged(rows, bound) {
        let pane = time.div_euclid(5);
        for end in (pane..pane + span).map(|last| (last + 1) * 5) {
            if end + grace <= before {
                late.push((row.value, end));
            } else {
                windows.entry(end).or_default().push((at, row));
            }
        }
    }
    let mut results = Vec::new();
    for (end, rows) in windows {
        let mut groups = BTreeMap::<Option<u8>, Vec<&Row>>::new();
        rows.iter().for_each(|(_, row)| groups.entry(row.key).or_default().push(row));
        results.extend(groups.values().map(|rows| Result_ {
            key: name(rows[0]),
            start: Some(end - 5 * span),
            end: Some(end),
            count: total(rows).0,
            sum: total(rows).1,
            mark: "final".into(),
        }));
    }
    (results, late)
}

fn by_key(mut results: Vec<Result_>) -> Vec<Result_> {
    results.sort_by(|a, b| (a.end, &a.key).cmp(&(b.end, &b.key)));
    results
}

fn hopping_spec(span: i64, more: &str) -> WindowSpec {
    let size = 5 * span;
    spec(&format!(r#"{{"type": "hopping", "size_ms": {size}, "step_ms": 5}}"#), more)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hopping_windows_are_those_of_the_model_however_rows_come(
        rows in rows(60), way in ways(60), span in 1..7_i64, grace in 0..15_i64,
    ) {
        let spec = hopping_spec(span, &format!(r#""grace_ms": {grace}, "on_late": "route""#));
        let ran = same_any_way(&spec, &rows, &way);
        let (results, late) = hopping(&rows, way.bound, span, grace);
        prop_assert!(ran.results.is_sorted_by_key(|result| result.end), "in the order of ends");
        prop_assert_eq!(by_key(ran.results), results);
        prop_assert_eq!(&ran.late, &late);
        let counted = WindowSpec { on_late: crate::window::spec::OnLate::Drop, ..spec };
        let counted = run(&counted, &rows, &way).late_rows;
        let mut rejected: Vec<_> = judged(&rows, way.bound)
            .into_iter()
            .filter(|(_, time, before, _)| (time.div_euclid(5) + 1) * 5 + grace <= *before)
            .collect();
        rejected.dedup_by_key(|row| row.0);
        prop_assert_eq!(counted, rejected.len() as u64);
    }

    #[test]
    fn extreme_times_do_not_panic(
        times in prop::collection::vec(
            prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>(), -9..9_i64], 0..8),
        step in prop_oneof![1..4_i64, 1..i64::MAX / 4], span in 1..4_i64,
    ) {
        let row = |time: &i64| Row { time: Some(*time), key: None, value: 1 };
        let rows: Vec<_> = times.iter().map(row).collect();
        let size = step * span;
        let kind = format!(r#"{{"type": "hopping", "size_ms": {size}, "step_ms": {step}}}"#);
        let mut operator = Operator::new(&spec(&kind, "")).unwrap();
        let mut watermark = Watermark::new(0);
        for row in &rows {
            operator.update(&batch(std::slice::from_ref(row), &mut watermark)).unwrap();
        }
        operator.advance(i64::MAX, Cause::Stop).unwrap();
    }
}

#[test]
fn a_window_without_rows_of_a_group_gives_no_result_for_it() {
    let row = |time, key| Row { time: Some(time), key: Some(key), value: 1 };
    let rows = [row(0, 1), row(30, 2), row(1_000_000, 1)];
    let ran = same_any_way(&hopping_spec(2, ""), &rows, &Way::default());
    let found: Vec<_> =
        ran.results.iter().map(|r| (r.end.unwrap(), r.key.clone().unwrap())).collect();
    let expected = [(5, 1), (10, 1), (35, 2), (40, 2), (1_000_005, 1), (1_000_010, 1)];
    assert_eq!(found, expected.map(|(end, key)| (end, format!("user {key}"))));
}
