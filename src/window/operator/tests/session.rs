//! Session windows.

use super::*;
use crate::window::spec::Emit;

/// A session by hand: rows as (time, row), in any order, and when its first row came.
struct Open<'a> {
    rows: Vec<(i64, &'a Row)>,
    came: usize,
}

impl Open<'_> {
    fn first(&self) -> i64 {
        self.rows.iter().map(|row| row.0).min().unwrap()
    }

    fn last(&self) -> i64 {
        self.rows.iter().map(|row| row.0).max().unwrap()
    }

    fn end(&self, gap: i64, longest: i64) -> i64 {
        (self.last() + gap).min(self.first() + longest)
    }
}

/// Sessions by their definition, searching all of them for every row.
fn sessions(rows: &[Row], bound: i64, gap: i64, longest: i64, grace: i64) -> (Vec<Result_>, u64) {
    let (mut open, mut closed, mut late) = (Vec::<Open<'_>>::new(), Vec::new(), 0);
    let mut close = |open: &mut Vec<Open<'_>>, watermark: i64| {
        let mut due: Vec<_> =
            open.extract_if(.., |s| s.end(gap, longest) + grace <= watermark).collect();
        due.sort_by_key(|session| (session.end(gap, longest), session.came));
        closed.extend(due.iter().map(|session| {
            let rows: Vec<_> = session.rows.iter().map(|row| row.1).collect();
            Result_ {
                key: name(rows[0]),
                start: Some(session.first()),
                end: Some(session.end(gap, longest)),
                count: total(&rows).0,
                sum: total(&rows).1,
                mark: "final".into(),
            }
        }));
    };
    for (at, time, before, row) in judged(rows, bound) {
        close(&mut open, before);
        let mut touched: Vec<_> = (0..open.len())
            .filter(|i| open[*i].rows[0].1.key == row.key)
            .filter(|i| open[*i].first() - gap < time && time < open[*i].last() + gap)
            .collect();
        touched.sort_by_key(|i| (open[*i].first(), open[*i].came));
        let fits = |slots: &[usize]| {
            let first = slots.iter().map(|i| open[*i].first()).min().unwrap_or(time).min(time);
            let last = slots.iter().map(|i| open[*i].last()).max().unwrap_or(time).max(time);
            last - first < longest
        };
        let joined = if fits(&touched) {
            touched
        } else {
            touched.into_iter().find(|i| fits(&[*i])).into_iter().collect()
        };
        if joined.is_empty() {
            if time + gap.min(longest) + grace <= before {
                late += 1;
            } else {
                open.push(Open { rows: vec![(time, row)], came: at });
            }
            continue;
        }
        for from in joined[1..].iter().rev() {
            // Removed from behind, so that the places before stay what they are.
            let gone = std::mem::replace(&mut open[*from], Open { rows: vec![], came: 0 });
            let into = &mut open[joined[0]];
            into.rows.extend(gone.rows);
            into.came = into.came.min(gone.came);
        }
        open[joined[0]].rows.push((time, row));
        open.retain(|session| !session.rows.is_empty());
    }
    close(&mut open, i64::MAX);
    (closed, late)
}

fn session_spec(gap: i64, longest: Option<i64>, more: &str) -> WindowSpec {
    let longest = longest.map_or("null".into(), |longest| longest.to_string());
    let kind = format!(r#"{{"type": "session", "gap_ms": {gap}, "max_duration_ms": {longest}}}"#);
    spec(&kind, more)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sessions_are_those_of_the_model_however_rows_come(
        rows in rows(60), way in ways(60), gap in 1..15_i64, grace in 0..40_i64,
        longest in prop::option::of(0..30_i64),
    ) {
        let longest = longest.map(|longest| longest + gap);
        let spec = session_spec(gap, longest, &format!(r#""grace_ms": {grace}"#));
        let ran = same_any_way(&spec, &rows, &way);
        let (results, late) = sessions(&rows, way.bound, gap, longest.unwrap_or(1 << 40), grace);
        prop_assert_eq!(ran.results, results);
        prop_assert_eq!(ran.late_rows, late);
    }

    #[test]
    fn changes_and_early_results_come_between(
        rows in rows(60), way in ways(60), gap in 1..15_i64, grace in 0..40_i64,
    ) {
        let (finals, _) = sessions(&rows, way.bound, gap, 1 << 40, grace);
        for emit in [Emit::Changes, Emit::Early { interval_ms: 7 }, Emit::EveryRows { rows: 2 }] {
            let more = format!(r#""grace_ms": {grace}"#);
            let spec = WindowSpec { emit: emit.clone(), ..session_spec(gap, None, &more) };
            let ran = same_any_way(&spec, &rows, &way);
            let last: Vec<_> = ran.results.iter().filter(|r| r.mark == "final").cloned().collect();
            prop_assert_eq!(&last, &finals);
            if emit == Emit::Changes {
                let changes = ran.results.len() - last.len();
                prop_assert_eq!(changes as i64, finals.iter().map(|r| r.count).sum::<i64>());
            }
        }
    }

    #[test]
    fn too_many_sessions_give_up_the_oldest(rows in rows(60), way in ways(60), gap in 1..15_i64) {
        let way = Way { restarts: Vec::new(), ..way };
        let spec = WindowSpec { max_open: Some(2), ..session_spec(gap, None, "") };
        let ran = same_any_way(&spec, &rows, &way);
        let counted = ran.results.iter().map(|r| r.count).sum::<i64>() as u64 + ran.late_rows;
        prop_assert_eq!(counted, judged(&rows, 0).len() as u64, "no row is lost");
    }

    #[test]
    fn extreme_times_do_not_panic(
        times in prop::collection::vec(
            prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>(), -9..9_i64], 0..8),
        gap in prop_oneof![1..4_i64, 1..i64::MAX],
    ) {
        let row = |time: &i64| Row { time: Some(*time), key: None, value: 1 };
        let rows: Vec<_> = times.iter().map(row).collect();
        let ran = same_any_way(&session_spec(gap, None, ""), &rows, &Way::default());
        let counted = ran.results.iter().map(|r| r.count).sum::<i64>() as u64 + ran.late_rows;
        prop_assert_eq!(counted, rows.len() as u64);
    }
}
