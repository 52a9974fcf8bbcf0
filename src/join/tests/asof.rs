//! As-of joins.

use super::*;

fn asof(tolerance_ms: Option<i64>, grace_ms: i64) -> JoinKind {
    JoinKind::AsOf { tolerance_ms, grace_ms }
}

/// What an as-of join is, in full: no version is ever forgotten.
fn model(
    steps: &[Step],
    (how, line): (How, Line),
    tolerance: Option<i64>,
    grace: i64,
) -> Vec<Joined> {
    let (mut clock, mut out) = (ModelClock::new(line), Vec::new());
    let (mut waiting, mut versions) = (Vec::<(i64, i64, u8)>::new(), Vec::<(i64, i64, u8)>::new());
    let answer = |now: i64, waiting: &mut Vec<_>, versions: &[(i64, i64, u8)], out: &mut Vec<_>| {
        waiting.sort_unstable();
        for (time, id, key) in
            waiting.extract_if(.., |one: &mut (i64, i64, u8)| one.0 + grace < now)
        {
            let is_before = |one: &&(i64, i64, u8)| one.2 == key && one.0 <= time;
            let newest = versions.iter().filter(is_before).max();
            let newest = newest.filter(|one| tolerance.is_none_or(|most| time - one.0 <= most));
            if newest.is_some() || how == How::Left {
                out.push((Some(id), newest.map(|one| one.1), Some(key), Some(time)));
            }
        }
    };
    for (id, step) in (0..).zip(steps) {
        let row = clock.before(*step);
        answer(clock.now, &mut waiting, &versions, &mut out);
        let Some(row) = row else { continue };
        match (row.time.zip(row.key), row.side) {
            (Some((time, key)), Side::Left) if time + grace >= clock.now => {
                waiting.push((time, id, key))
            }
            (Some((time, key)), Side::Right) => versions.push((time, id, key)),
            (None, Side::Left) if how == How::Left => out.push((Some(id), None, row.key, row.time)),
            _ => {}
        }
        clock.after(row);
        answer(clock.now, &mut waiting, &versions, &mut out);
    }
    answer(i64::MAX, &mut waiting, &versions, &mut out);
    out
}

fn left_or_inner() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Inner), Just(How::Left)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Versions that were forgotten are never missed, in any cut and with a crash after any batch.
    #[test]
    fn an_as_of_join_is_its_model(
        steps in steps(), cuts in cuts(), how in left_or_inner(), grace in 0..4_i64,
        tolerance in prop::option::of(0..9_i64), key in key_kind(), line in line(),
    ) {
        let store = MemoryStore::default();
        let ran = run(&spec(key, asof(tolerance, grace), how), key, &steps, &cuts, &store, line);
        prop_assert_eq!(ran.rows, model(&steps, (how, line), tolerance, grace));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn it_is_its_model_on_disk_too(steps in steps(), cuts in cuts(), how in left_or_inner()) {
        let (_directory, _db, store) = on_disk();
        let key = KeyKind::Text;
        let ran = run(&spec(key, asof(None, 1), how), key, &steps, &cuts, &*store, Line::Own);
        prop_assert_eq!(ran.rows, model(&steps, (how, Line::Own), None, 1));
    }
}

/// One version of a key stays, however many came; with a tolerance none does in the end.
#[test]
fn old_versions_are_forgotten() {
    for (tolerance, left) in [(None, 3), (Some(50), 0)] {
        let key = KeyKind::Int;
        let mut operator =
            Operator::new(&spec(key, asof(tolerance, 0), How::Inner), &schema(key), &schema(key))
                .unwrap();
        for round in 0..50_i64 {
            let rows: Vec<_> = (0..3)
                .map(|n| Row {
                    side: Side::Right,
                    key: Some(n),
                    time: Some(round * 10),
                    watermark: None,
                })
                .collect();
            operator.update(Side::Right, &batch(key, &rows, &[0, 1, 2])).unwrap();
            operator.advance(Side::Left, round * 10).unwrap();
        }
        for side in Side::BOTH {
            operator.advance(side, 10_000).unwrap();
        }
        assert_eq!(operator.kept_rows(), left);
    }
}
