//! Joins with tables.

use super::*;
use crate::{
    error::Result,
    join::{Latest, TableJoin},
};
use std::collections::{BTreeMap, HashMap};

#[derive(Default)]
struct Rows(HashMap<Vec<u8>, Vec<u8>>);

impl Latest for Rows {
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        Ok(keys.iter().map(|key| self.0.get(*key).cloned()).collect())
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<()> {
        match value {
            Some(value) => drop(self.0.insert(key, value)),
            None => drop(self.0.remove(&key)),
        }
        Ok(())
    }
}

/// A row, and whether it removes its key.
type Change = (Row, bool);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let row =
        (side(), prop::option::weighted(0.95, 0..4_u8), prop::option::weighted(0.95, 0..50_i64));
    let row = row.prop_map(|(side, key, time)| Row { side, key, time, watermark: None });
    prop::collection::vec((row, prop::bool::weighted(0.25)), 0..40)
}

/// A joined row, and whether it is a removal.
type Given = (Joined, bool);

/// What a join with tables is, in full.
fn model(changes: &[Change], how: How, tables: [bool; 2]) -> Vec<Given> {
    let mut rows: [BTreeMap<u8, (i64, Option<i64>)>; 2] = Default::default();
    let mut out = Vec::new();
    for (id, (row, is_deleted)) in (0..).zip(changes) {
        let at = row.side.at();
        let pads = how.pads(row.side) && !tables[at];
        let Some(key) = row.key else {
            out.extend(pads.then_some(((Some(id), None, None, row.time), false)));
            continue;
        };
        let seen = |rows: &[BTreeMap<u8, (i64, Option<i64>)>; 2]| {
            let [left, right] = [0, 1].map(|at| rows[at].get(&key).copied());
            let wanted = left.is_some() && (right.is_some() || how.pads(Side::Left))
                || right.is_some() && how.pads(Side::Right);
            let time = left.and_then(|one| one.1).max(right.and_then(|one| one.1));
            wanted.then_some((left.map(|one| one.0), right.map(|one| one.0), Some(key), time))
        };
        if !tables[at] {
            let right = rows[1].get(&key).map(|one| one.0);
            let is_wanted = right.is_some() || pads;
            out.extend(is_wanted.then_some(((Some(id), right, row.key, row.time), false)));
            continue;
        }
        let before = seen(&rows);
        match is_deleted {
            true => drop(rows[at].remove(&key)),
            false => drop(rows[at].insert(key, (id, row.time))),
        }
        match (before, seen(&rows)) {
            (_, Some(after)) if tables == [true, true] => out.push((after, false)),
            (Some(_), None) if tables == [true, true] => {
                out.push(((None, None, Some(key), row.time), true));
            }
            _ => {}
        }
    }
    out
}

/// Runs changes in batches of at most so many rows.
fn run_tables(
    spec: &JoinSpec,
    (key, line): (KeyKind, Line),
    changes: &[Change],
    cuts: &[usize],
) -> Vec<Given> {
    let (mut latest, mut out, mut at) = (Rows::default(), Vec::new(), 0);
    for &most in cuts.iter().cycle() {
        let Some((first, _)) = changes.get(at) else { break };
        let side = first.side;
        let own = changes[at..]
            .iter()
            .take(most)
            .take_while(|(row, _)| line == Line::Shared || row.side == side);
        let (rows, deleted): (Vec<_>, Vec<_>) = own.copied().unzip();
        let ids: Vec<_> = (at as i64..).take(rows.len()).collect();
        at += rows.len();
        let plain = batch(key, &rows, &ids);
        let mut fields: Vec<_> = plain.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_deleted", DataType::Boolean, true)));
        let mut columns = plain.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(deleted)));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let right: BooleanArray = rows.iter().map(|row| Some(row.side == Side::Right)).collect();
        let sides = if line == Line::Shared { Sides::Each(&right) } else { Sides::One(side) };
        // Nothing is held between batches: each has an operator of its own.
        let mut operator = TableJoin::new(spec, &schema(key), &schema(key)).unwrap();
        let Some(joined) = operator.update(sides, &batch, &mut latest).unwrap() else { continue };
        assert_eq!(joined.schema(), operator.schema());
        let removals = joined.column_by_name("_deleted").map(|column| column.as_boolean().clone());
        let is_removal = |row: usize| removals.as_ref().is_some_and(|removals| removals.value(row));
        out.extend(read(&joined).into_iter().enumerate().map(|(row, one)| (one, is_removal(row))));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_stream_meets_the_table_as_it_is(
        changes in changes(), cuts in prop::collection::vec(1..6_usize, 1..8), is_left: bool, key in key_kind(),
        line in line(),
    ) {
        let how = if is_left { How::Left } else { How::Inner };
        let found = run_tables(&spec(key, JoinKind::Table, how), (key, line), &changes, &cuts);
        prop_assert_eq!(found, model(&changes, how, [false, true]));
    }

    #[test]
    fn two_tables_are_joined_at_each_change(
        changes in changes(), cuts in prop::collection::vec(1..6_usize, 1..8), how in how(), key in key_kind(),
        line in line(),
    ) {
        let found = run_tables(&spec(key, JoinKind::Tables, how), (key, line), &changes, &cuts);
        prop_assert_eq!(found, model(&changes, how, [true, true]));
    }
}
