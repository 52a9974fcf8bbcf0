//! Tumbling, calendar and global windows.

use super::*;
use crate::window::spec::{Emit, OnLate};

/// Windows of 10 ms, ten lines: rows in time by (end, key), in the order of the end and the first row.
fn tumbling(rows: &[Row], bound: i64, offset: i64, grace: i64) -> (Vec<Result_>, Vec<(i64, i64)>) {
    let (mut windows, mut late) = (Vec::<(i64, usize, Vec<&Row>)>::new(), Vec::new());
    for (at, time, before, row) in judged(rows, bound) {
        let end = (time - offset).div_euclid(10) * 10 + offset + 10;
        if end + grace <= before {
            late.push((row.value, end));
        } else if let Some(found) = windows.iter_mut().find(|w| w.0 == end && w.2[0].key == row.key)
        {
            found.2.push(row);
        } else {
            windows.push((end, at, vec![row]));
        }
    }
    windows.sort_by_key(|window| (window.0, window.1));
    let result = |(end, _, rows): &(i64, usize, Vec<&Row>)| Result_ {
        key: name(rows[0]),
        start: Some(end - 10),
        end: Some(*end),
        count: total(rows).0,
        sum: total(rows).1,
        mark: "final".into(),
    };
    (windows.iter().map(result).collect(), late)
}

fn tumbling_spec(offset: i64, more: &str) -> WindowSpec {
    spec(&format!(r#"{{"type": "tumbling", "size_ms": 10, "offset_ms": {offset}}}"#), more)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tumbling_windows_are_those_of_the_model_however_rows_come(
        rows in rows(60), way in ways(60), offset in -12..12_i64, grace in 0..15_i64,
    ) {
        let spec = tumbling_spec(offset, &format!(r#""grace_ms": {grace}, "on_late": "route""#));
        let ran = same_any_way(&spec, &rows, &way);
        let (results, late) = tumbling(&rows, way.bound, offset, grace);
        prop_assert_eq!(ran.results, results);
        prop_assert_eq!(ran.late_rows, late.len() as u64);
        prop_assert_eq!(ran.late, late);
    }

    #[test]
    fn changes_end_in_the_final_result_and_early_ones_come_between(
        rows in rows(60), way in ways(60), grace in 0..15_i64,
    ) {
        let (finals, _) = tumbling(&rows, way.bound, 0, grace);
        for emit in [
            Emit::Changes,
            Emit::Early { interval_ms: 7 },
            Emit::EveryRows { rows: 2 },
        ] {
            let spec = WindowSpec { emit: emit.clone(), grace_ms: grace, ..tumbling_spec(0, "") };
            let ran = same_any_way(&spec, &rows, &way);
            let only = |mark: &str| {
                let found = ran.results.iter().filter(|result| result.mark == mark);
                found.cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(only("final"), finals.clone());
            let taken = finals.iter().map(|result| result.count).sum::<i64>();
            let changes = only("change").len() as i64;
            match emit {
                Emit::Changes => prop_assert_eq!(changes, taken),
                Emit::EveryRows { .. } => {
                    let halves = finals.iter().map(|result| result.count / 2).sum::<i64>();
                    prop_assert_eq!(changes, halves);
                }
                _ => {
                    let fits = |early: &Result_| {
                        let more = |last: &Result_| last.end == early.end && last.count >= early.count;
                        finals.iter().any(more)
                    };
                    prop_assert!(only("early").iter().all(fits));
                }
            }
        }
    }

    #[test]
    fn an_update_repeats_the_whole_window_while_the_grace_lasts(
        rows in rows(60), way in ways(60), grace in 0..15_i64,
    ) {
        let spec = WindowSpec { on_late: OnLate::Update, grace_ms: grace, ..tumbling_spec(0, "") };
        let ran = same_any_way(&spec, &rows, &way);
        // The last result of each window is that of all rows within the grace.
        let (last, late) = tumbling(&rows, way.bound, 0, grace);
        for expected in last {
            let same = |r: &&Result_| r.end == expected.end && r.key == expected.key;
            let of_window: Vec<_> = ran.results.iter().filter(same).collect();
            let found = of_window.last().unwrap();
            prop_assert_eq!((found.count, found.sum), (expected.count, expected.sum));
            prop_assert!(of_window.iter().filter(|r| r.mark == "final").count() <= 1);
        }
        prop_assert_eq!(ran.late_rows, late.len() as u64);
    }

    #[test]
    fn a_global_window_gives_running_results(rows in rows(60), way in ways(60)) {
        let global = WindowSpec { emit: Emit::Changes, ..spec(r#"{"type": "global"}"#, "") };
        let ran = same_any_way(&global, &rows, &way);
        let mut seen = BTreeMap::<Option<u8>, (i64, i64)>::new();
        let mut expected = Vec::new();
        for (_, _, _, row) in judged(&rows, way.bound) {
            let (count, sum) = seen.entry(row.key).or_default();
            (*count, *sum) = (*count + 1, *sum + row.value);
            expected.push((name(row), *count, Some(*sum)));
        }
        let changes = ran.results.iter().filter(|result| result.mark == "change");
        let found: Vec<_> = changes.map(|r| (r.key.clone(), r.count, r.sum)).collect();
        prop_assert_eq!(found, expected);
        let last = ran.results.iter().filter(|result| result.mark == "final");
        prop_assert_eq!(last.count(), seen.len(), "the end of the input closes them");
    }

    #[test]
    fn too_many_windows_give_up_the_oldest(rows in rows(60), way in ways(60)) {
        let way = Way { restarts: Vec::new(), ..way };
        let most = WindowSpec { max_open: Some(2), ..tumbling_spec(0, "") };
        let ran = same_any_way(&most, &rows, &way);
        let (finals, _) = tumbling(&rows, way.bound, 0, 0);
        let counted = |results: &[Result_]| results.iter().map(|r| r.count).sum::<i64>();
        prop_assert_eq!(counted(&ran.results), counted(&finals), "no row is lost");
    }

    #[test]
    fn extreme_times_do_not_panic(
        times in prop::collection::vec(
            prop::option::of(prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()]), 0..12),
        size in 1..=i64::MAX, grace in 0..=i64::MAX,
    ) {
        let rows: Vec<_> = times.iter().map(|time| Row { time: *time, key: None, value: 1 }).collect();
        let kind = format!(r#"{{"type": "tumbling", "size_ms": {size}}}"#);
        let day = r#"{"type": "calendar", "unit": "day", "timezone": "Europe/Berlin"}"#;
        for spec in [spec(&kind, &format!(r#""grace_ms": {grace}"#)), spec(day, "")] {
            let ran = same_any_way(&spec, &rows, &Way::default());
            let counted = ran.results.iter().map(|r| r.count as u64).sum::<u64>() + ran.late_rows;
            prop_assert_eq!(counted, rows.iter().filter(|row| row.time.is_some()).count() as u64);
        }
    }
}

#[test]
fn a_jump_of_event_time_closes_everything_in_order() {
    let row = |time, key| Row { time: Some(time), key: Some(key), value: 1 };
    let rows = [row(25, 1), row(3, 2), row(1, 1), row(12, 0), row(1_000_000_000_000, 1)];
    let ran = same_any_way(&tumbling_spec(0, ""), &rows, &Way { bound: 30, ..Way::default() });
    let found: Vec<_> =
        ran.results.iter().map(|r| (r.end.unwrap(), r.key.clone().unwrap())).collect();
    let expected = [(10, 2), (10, 1), (20, 0), (30, 1), (1_000_000_000_010, 1)];
    assert_eq!(found, expected.map(|(end, key)| (end, format!("user {key}"))));
}

#[test]
fn days_in_a_zone_with_summer_time_have_23_and_25_hours() {
    let hour = 3_600_000;
    // 2024-03-30T23:00Z is midnight in Berlin; that day ends 23 hours later.
    let midnight = 1_711_839_600_000;
    let rows: Vec<_> = (0..48)
        .map(|hours| Row { time: Some(midnight + hours * hour), key: None, value: 1 })
        .collect();
    let day = spec(r#"{"type": "calendar", "unit": "day", "timezone": "Europe/Berlin"}"#, "");
    let ran = same_any_way(&day, &rows, &Way::default());
    let found: Vec<_> =
        ran.results.iter().map(|r| (r.start.unwrap() - midnight, r.count)).collect();
    assert_eq!(found, [(0, 23), (23 * hour, 24), (47 * hour, 1)]);
}

#[test]
fn silence_closes_windows_with_a_mark() {
    let mut operator = Operator::new(&tumbling_spec(0, "")).unwrap().closing_idle();
    let rows = [Row { time: Some(5), key: Some(1), value: 3 }];
    let out = operator.update(&batch(&rows, &mut Watermark::new(0))).unwrap();
    assert!(out.results.is_empty());
    let out = operator.advance(10, Cause::Idle).unwrap();
    assert_eq!(results(&out.results[0])[0].mark, "idle");
    let out = operator.update(&batch(&rows, &mut Watermark::new(0))).unwrap();
    assert!(out.results.is_empty());
    assert_eq!(operator.late_rows(), 1, "the window is closed, and stays closed");
}

#[test]
fn a_window_of_another_meaning_is_not_restored() {
    let kept = WindowSpec { persistent: true, ..tumbling_spec(0, "") };
    let mut operator = Operator::new(&kept).unwrap();
    let rows = [Row { time: Some(5), key: Some(1), value: 3 }];
    operator.update(&batch(&rows, &mut Watermark::new(0))).unwrap();
    let (mut writes, store) = (Writes::default(), MemoryStore::default());
    operator.changes(&mut writes).unwrap();
    commit(&store, &writes);
    let mut again = Writes::default();
    operator.changes(&mut again).unwrap();
    assert_eq!(again, Writes::default(), "nothing has changed");
    let other = WindowSpec { persistent: true, ..tumbling_spec(3, "") };
    let refused = Operator::new(&other).unwrap().restore(&store).unwrap_err().to_string();
    assert!(refused.contains("give the new one a new name"), "{refused}");
}

#[test]
fn a_declaration_that_contradicts_itself_is_refused_in_one_sentence() {
    for (kind, more, words) in [
        (r#"{"type": "tumbling", "size_ms": 0}"#, "", "size must be more than 0 ms"),
        (r#"{"type": "hopping", "size_ms": 10, "step_ms": 3}"#, "", "does not divide"),
        (r#"{"type": "count", "rows": 3, "step": 4}"#, "", "step must be 1 to 3"),
        (r#"{"type": "global"}"#, "", "never ends"),
        (r#"{"type": "tumbling", "size_ms": 1}"#, r#""grace_ms": -1"#, "negative"),
        (r#"{"type": "sliding", "size_ms": 1}"#, r#""on_late": "update""#, "on_late"),
    ] {
        let refused = Operator::new(&spec(kind, more)).err().map(|err| err.to_string());
        assert!(refused.as_ref().is_some_and(|text| text.contains(words)), "{refused:?}");
    }
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let mut operator = Operator::new(&tumbling_spec(0, "")).unwrap();
    let only: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("id", only)]).unwrap();
    let refused = operator.update(&batch).unwrap_err().to_string();
    assert!(refused.contains(r#"no column "user"; the rows have id"#), "{refused}");
}
