//! Count windows.

use super::*;
use crate::window::spec::Emit;

/// Windows of `size` rows of a key, one every `step`; the oldest that is not full comes at the end.
fn counted(rows: &[Row], size: usize, step: usize) -> Vec<Result_> {
    let (mut seen, mut order) = (BTreeMap::<Option<u8>, Vec<&Row>>::new(), Vec::new());
    let (mut results, mut last) = (Vec::new(), Vec::new());
    let result = |rows: &[&Row]| Result_ {
        key: name(rows[0]),
        start: rows[0].time,
        end: rows[rows.len() - 1].time,
        count: total(rows).0,
        sum: total(rows).1,
        mark: "final".into(),
    };
    for (at, _, _, row) in judged(rows, 0) {
        let rows = seen.entry(row.key).or_default();
        rows.push(row);
        let before = rows.len().saturating_sub(size);
        if rows.len() == 1 || (step == size && rows.len() % size == 1 % size) {
            order.retain(|(_, key)| *key != row.key);
            order.push((at, row.key));
        }
        if rows.len() >= size && before % step == 0 {
            results.push(result(&rows[before..]));
        }
    }
    for (_, key) in order {
        let rows = &seen[&key];
        let first = if rows.len() < size { 0 } else { ((rows.len() - size) / step + 1) * step };
        if first < rows.len() {
            last.push(result(&rows[first..]));
        }
    }
    results.extend(last);
    results
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn count_windows_are_those_of_the_model_however_rows_come(
        rows in rows(60), way in ways(60), size in 1..9_usize, step in 1..9_usize,
    ) {
        let step = step.min(size);
        let kind = format!(r#"{{"type": "count", "rows": {size}, "step": {step}}}"#);
        let ran = same_any_way(&spec(&kind, ""), &rows, &way);
        prop_assert_eq!(ran.results, counted(&rows, size, step));
    }

    #[test]
    fn changes_come_row_by_row(rows in rows(60), way in ways(60), size in 1..9_usize) {
        let kind = format!(r#"{{"type": "count", "rows": {size}}}"#);
        let spec = WindowSpec { emit: Emit::Changes, ..spec(&kind, "") };
        let ran = same_any_way(&spec, &rows, &way);
        let last: Vec<_> = ran.results.iter().filter(|r| r.mark == "final").cloned().collect();
        prop_assert_eq!(&last, &counted(&rows, size, size));
        prop_assert_eq!(ran.results.len() - last.len(), judged(&rows, 0).len());
    }

    #[test]
    fn too_many_windows_give_up_the_oldest(rows in rows(60), way in ways(60), size in 2..9_usize) {
        let way = Way { restarts: Vec::new(), ..way };
        let kind = format!(r#"{{"type": "count", "rows": {size}}}"#);
        let spec = WindowSpec { max_open: Some(1), ..spec(&kind, "") };
        let ran = same_any_way(&spec, &rows, &way);
        let counted = ran.results.iter().map(|r| r.count).sum::<i64>();
        prop_assert_eq!(counted, judged(&rows, 0).len() as i64, "no row is lost");
    }
}

#[test]
fn rows_without_any_time_are_counted_too() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "a", "a"]));
    let batch = RecordBatch::try_from_iter([("user", keys), ("value", values)]).unwrap();
    let mut operator = Operator::new(&spec(r#"{"type": "count", "rows": 2}"#, "")).unwrap();
    let out = operator.update(&batch).unwrap();
    let found = &results(&out.results[0])[0];
    assert_eq!((found.count, found.sum, found.start, found.end), (2, Some(3), None, None));
    assert_eq!(operator.open_windows(), 1);
}
