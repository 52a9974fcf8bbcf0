//! Interval joins.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Matches have `left - BEFORE <= right <= left + AFTER`.
const BEFORE: i64 = 3;
const AFTER: i64 = 5;

fn interval(grace_ms: i64) -> JoinKind {
    JoinKind::Interval { before_ms: Some(BEFORE), after_ms: Some(AFTER), grace_ms }
}

/// A row that a model keeps: when it is over, number, row, has it had a match?
type Held = (i64, i64, Row, bool);

fn joined(one: &(i64, Row), other: Option<&Held>) -> Joined {
    let (id, row) = *one;
    let time = row.time.max(other.and_then(|held| held.2.time));
    match row.side {
        Side::Left => (Some(id), other.map(|held| held.1), row.key, time),
        Side::Right => (other.map(|held| held.1), Some(id), row.key, time),
    }
}

/// What an interval join is, in full.
fn model(steps: &[Step], how: How, grace: i64, line: Line) -> Ran {
    let (mut clock, mut held, mut ran) =
        (ModelClock::new(line), Vec::<Held>::new(), Ran::default());
    let close = |now: i64, held: &mut Vec<Held>, rows: &mut Vec<Joined>| {
        held.sort_by_key(|one| (one.0, one.1));
        let over: Vec<_> = held.extract_if(.., |one| one.0 < now).collect();
        let alone = over.iter().filter(|one| !one.3 && how.pads(one.2.side));
        rows.extend(alone.map(|one| joined(&(one.1, one.2), None)));
    };
    for (id, step) in (0..).zip(steps) {
        let row = clock.before(*step);
        close(clock.now, &mut held, &mut ran.rows);
        let Some(row) = row else { continue };
        if let (Some(time), Some(_)) = (row.time, row.key) {
            let reach = if row.side == Side::Left { AFTER } else { BEFORE };
            let over = time + reach + grace;
            if over < clock.now {
                ran.late.push(id);
            } else {
                held.sort_by_key(|one| (one.2.time, one.1));
                let is_match = |one: &&mut Held| {
                    let (left, right) =
                        if row.side == Side::Left { (row, one.2) } else { (one.2, row) };
                    let apart = right.time.unwrap() - left.time.unwrap();
                    one.2.side != row.side
                        && one.2.key == row.key
                        && (-BEFORE..=AFTER).contains(&apart)
                };
                let mut matched = false;
                for other in held.iter_mut().filter(is_match) {
                    (matched, other.3) = (true, true);
                    ran.rows.push(joined(&(id, row), Some(other)));
                }
                held.push((over, id, row, matched));
            }
        } else if how.pads(row.side) {
            ran.rows.push(joined(&(id, row), None));
        }
        clock.after(row);
        close(clock.now, &mut held, &mut ran.rows);
    }
    close(i64::MAX, &mut held, &mut ran.rows);
    ran
}

/// What SQL makes of rows that are all there.
fn whole(steps: &[Step], how: How) -> BTreeSet<Joined> {
    let rows: Vec<(i64, Row)> = (0..)
        .zip(steps)
        .filter_map(|(id, step)| if let Step::Row(row) = step { Some((id, *row)) } else { None })
        .collect();
    let is_match = |left: &Row, right: &Row| {
        left.key.is_some()
            && left.key == right.key
            && left.time.zip(right.time).is_some_and(|(l, r)| l - BEFORE <= r && r <= l + AFTER)
    };
    let mut out = BTreeSet::new();
    let mut met = BTreeSet::new();
    for (l, left) in rows.iter().filter(|(_, row)| row.side == Side::Left) {
        for (r, right) in rows.iter().filter(|(_, row)| row.side == Side::Right) {
            if is_match(left, right) {
                out.insert((Some(*l), Some(*r), left.key, left.time.max(right.time)));
                met.extend([*l, *r]);
            }
        }
    }
    let alone = rows.iter().filter(|(id, row)| !met.contains(id) && how.pads(row.side));
    out.extend(alone.map(|one| joined(one, None)));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any cut into batches, with a crash and a restore after any of them, gives what the model gives.
    #[test]
    fn an_interval_join_is_its_model(
        steps in steps(), cuts in cuts(), how in how(), grace in 0..4_i64, key in key_kind(),
        line in line(),
    ) {
        let store = MemoryStore::default();
        let ran = run(&spec(key, interval(grace), how), key, &steps, &cuts, &store, line);
        prop_assert_eq!(ran, model(&steps, how, grace, line));
    }

    /// Whatever comes late, no row is given both on its own and with a match, nor on its own twice.
    #[test]
    fn a_row_on_its_own_has_no_match(steps in steps(), cuts in cuts(), how in how()) {
        let store = MemoryStore::default();
        let ran = run(&spec(KeyKind::Int, interval(0), how), KeyKind::Int, &steps, &cuts, &store, Line::Own);
        let mut seen = BTreeMap::<i64, (usize, usize)>::new();
        for (left, right, ..) in &ran.rows {
            let is_pair = left.is_some() && right.is_some();
            for id in [left, right].into_iter().flatten() {
                let counts = seen.entry(*id).or_default();
                if is_pair { counts.0 += 1 } else { counts.1 += 1 }
            }
        }
        for (id, (pairs, alone)) in seen {
            prop_assert!(alone == 0 || (alone == 1 && pairs == 0), "row {id}: {pairs}, {alone}");
        }
    }

    /// Where nothing is later than the grace, it is the join of all rows at once.
    #[test]
    fn without_late_rows_it_is_the_join_of_all(steps in steps(), cuts in cuts(), how in how()) {
        let store = MemoryStore::default();
        let ran = run(&spec(KeyKind::Text, interval(1_000), how), KeyKind::Text, &steps, &cuts, &store, Line::Own);
        prop_assert_eq!(ran.late, Vec::<i64>::new());
        prop_assert_eq!(ran.rows.len(), ran.rows.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(ran.rows.into_iter().collect::<BTreeSet<_>>(), whole(&steps, how));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn it_is_its_model_on_disk_too(steps in steps(), cuts in cuts(), how in how(), key in key_kind()) {
        let (_directory, _db, store) = on_disk();
        let ran = run(&spec(key, interval(1), how), key, &steps, &cuts, &*store, Line::Own);
        prop_assert_eq!(ran, model(&steps, how, 1, Line::Own));
    }
}

/// The store has nothing of rows that are over.
#[test]
fn what_is_over_is_gone_from_the_store() {
    let store = MemoryStore::default();
    let mut operator = Operator::new(
        &spec(KeyKind::Int, interval(0), How::Full),
        &schema(KeyKind::Int),
        &schema(KeyKind::Int),
    )
    .unwrap();
    let mut sizes = Vec::new();
    for round in 0..40_i64 {
        for side in Side::BOTH {
            let rows: Vec<_> = (0..20)
                .map(|n| Row { side, key: Some(n % 5), time: Some(round * 10), watermark: None })
                .collect();
            let ids: Vec<_> = (0..20).collect();
            operator.update(side, &batch(KeyKind::Int, &rows, &ids)).unwrap();
        }
        let mut writes = Writes::default();
        operator.changes(&mut writes).unwrap();
        commit(&store, writes);
        let mut entries = 0;
        store
            .scan(SPACE, &[], &mut |_, _| {
                entries += 1;
                Ok(())
            })
            .unwrap();
        sizes.push((operator.kept_rows(), entries));
    }
    assert_eq!(sizes[5..].iter().collect::<BTreeSet<_>>().len(), 1, "{sizes:?}");
    let bytes = operator.memory();
    for side in Side::BOTH {
        operator.advance(side, 1_000_000).unwrap();
    }
    assert_eq!(operator.kept_rows(), 0);
    assert!(operator.memory() < bytes);
}

/// More joined rows than one batch has: they come as several, in order.
#[test]
fn many_matches_come_as_several_batches() {
    let mut operator = Operator::new(
        &spec(KeyKind::Int, interval(0), How::Inner),
        &schema(KeyKind::Int),
        &schema(KeyKind::Int),
    )
    .unwrap();
    let rows = |side: Side, count: usize| {
        let row = Row { side, key: Some(1), time: Some(7), watermark: None };
        batch(KeyKind::Int, &vec![row; count], &(0..count as i64).collect::<Vec<_>>())
    };
    operator.update(Side::Left, &rows(Side::Left, 700)).unwrap();
    let out = operator.update(Side::Right, &rows(Side::Right, 300)).unwrap();
    assert!(out.results.len() > 1);
    let found: Vec<_> = out.results.iter().flat_map(read).collect();
    let expected =
        (0..300).flat_map(|r| (0..700).map(move |l| (Some(l), Some(r), Some(1), Some(7))));
    assert_eq!(found, expected.collect::<Vec<_>>());
}
