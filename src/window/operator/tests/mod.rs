//! Windows against models of a few lines, over any cut into batches and any restart.

mod counted;
mod fixed;
mod hopping;
mod session;
mod sliding;

use super::{Cause, Operator};
use crate::{
    error::Result,
    state::{Delta, Mark, MemoryStore, Space, Store as _, Writes},
    window::{spec::WindowSpec, watermark::Watermark},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::Int64Type,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// A row as a test writes it.
#[derive(Clone, Debug)]
struct Row {
    time: Option<i64>,
    key: Option<u8>,
    value: i64,
}

/// A result as a test reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Result_ {
    key: Option<String>,
    start: Option<i64>,
    end: Option<i64>,
    count: i64,
    sum: Option<i64>,
    mark: String,
}

/// What came of some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ran {
    results: Vec<Result_>,
    late: Vec<(i64, i64)>,
    late_rows: u64,
}

/// Makes `writes` take effect.
fn commit(store: &MemoryStore, writes: &Writes) {
    let delta = Delta(vec![(Space::WINDOWS, writes.clone())]);
    store.commit(&delta, Mark { next: 0, token: 0, hash: 0, log: -1 }).unwrap();
}

/// A declaration with a count and a sum; `more` is the rest of it.
fn spec(kind: &str, more: &str) -> WindowSpec {
    let text = format!(
        r#"{{"name": "w", "kind": {kind}, "key": ["user"], "aggregates": [
            {{"output": "n", "function": "count"}},
            {{"output": "total", "function": "sum", "inputs": [{{"column": "value"}}]}}
        ]{}{more}}}"#,
        if more.is_empty() { "" } else { ", " }
    );
    serde_json::from_str(&text).unwrap()
}

fn batch(rows: &[Row], watermark: &mut Watermark) -> RecordBatch {
    let times: Int64Array = rows.iter().map(|row| row.time).collect();
    let name = |key: u8| format!("user {key}");
    let keys: StringArray = rows.iter().map(|row| row.key.map(name)).collect();
    let values: Int64Array = rows.iter().map(|row| row.value).collect();
    let before = watermark.before(&times);
    let columns: [(&str, ArrayRef); 4] = [
        ("user", Arc::new(keys)),
        ("value", Arc::new(values)),
        ("_event_time", Arc::new(times)),
        ("_watermark", Arc::new(before)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn results(batch: &RecordBatch) -> Vec<Result_> {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let ints = |name: &str| {
        let column = column(name).as_primitive::<Int64Type>().clone();
        move |row: usize| (!column.is_null(row)).then(|| column.value(row))
    };
    let keys = column("user").as_string::<i32>();
    let marks = batch.column_by_name("window_result").map(|marks| marks.as_string::<i32>());
    let (start, end, count, sum) =
        (ints("window_start_ms"), ints("window_end_ms"), ints("n"), ints("total"));
    let result = |row: usize| Result_ {
        key: (!keys.is_null(row)).then(|| keys.value(row).to_string()),
        start: start(row),
        end: end(row),
        count: count(row).unwrap(),
        sum: sum(row),
        mark: marks.map_or("final", |marks| marks.value(row)).to_string(),
    };
    (0..batch.num_rows()).map(result).collect()
}

/// How rows are put through.
#[derive(Clone, Debug, Default)]
struct Way {
    /// Where batches end.
    cuts: Vec<usize>,
    /// Between which of them the process starts anew.
    restarts: Vec<usize>,
    bound: i64,
}

fn run(spec: &WindowSpec, rows: &[Row], way: &Way) -> Ran {
    let spec = &WindowSpec { persistent: !way.restarts.is_empty(), ..spec.clone() };
    let (mut operator, store) = (Operator::new(spec).unwrap(), MemoryStore::default());
    let (mut watermark, mut ran) = (Watermark::new(way.bound), Ran::default());
    let mut ends: Vec<_> = way.cuts.iter().copied().filter(|cut| *cut < rows.len()).collect();
    ends.extend([0, rows.len()]);
    ends.sort_unstable();
    ends.dedup();
    for (number, part) in ends.windows(2).enumerate() {
        let out = operator.update(&batch(&rows[part[0]..part[1]], &mut watermark)).unwrap();
        collect(&mut ran, &out.results);
        if let Some(late) = out.late {
            let ends =
                late.column_by_name("_late_window_end_ms").unwrap().as_primitive::<Int64Type>();
            let values = late.column_by_name("value").unwrap().as_primitive::<Int64Type>();
            ran.late.extend(values.values().iter().copied().zip(ends.values().iter().copied()));
        }
        let out = operator.advance(watermark.current(), Cause::Watermark).unwrap();
        collect(&mut ran, &out.results);
        if way.restarts.contains(&number) {
            let mut writes = Writes::default();
            operator.changes(&mut writes).unwrap();
            commit(&store, &writes);
            ran.late_rows += operator.late_rows();
            operator = Operator::new(spec).unwrap();
            operator.restore(&store).unwrap();
        }
    }
    let out = operator.advance(i64::MAX, Cause::Stop).unwrap();
    collect(&mut ran, &out.results);
    ran.late_rows += operator.late_rows();
    assert_eq!(operator.open_windows(), 0, "everything was closed");
    if spec.persistent {
        let mut writes = Writes::default();
        operator.changes(&mut writes).unwrap();
        commit(&store, &writes);
        let mut no_slot = |key: &[u8], _: &[u8]| -> Result<()> {
            assert_ne!(key[4], 2, "no slot is left in the store");
            Ok(())
        };
        store.scan(Space::WINDOWS, b"", &mut no_slot).unwrap();
    }
    ran
}

fn collect(ran: &mut Ran, batches: &[RecordBatch]) {
    ran.results.extend(batches.iter().flat_map(results));
}

/// Rows that mostly go on in time, with steps back, jumps and rows without time or key.
fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let step = prop_oneof![6 => 0..8_i64, 3 => -30..0_i64, 1 => 20..300_i64];
    let one = (step, prop::option::weighted(0.9, 0..3_u8), -9..9_i64, prop::bool::weighted(0.05));
    (prop::collection::vec(one, 0..most), -150..50_i64).prop_map(|(steps, first)| {
        let mut now = first;
        let row = |(step, key, value, untimed): (i64, Option<u8>, i64, bool)| {
            now += step;
            Row { time: (!untimed).then_some(now), key, value }
        };
        steps.into_iter().map(row).collect()
    })
}

fn ways(most: usize) -> impl Strategy<Value = Way> {
    let cuts = prop::collection::vec(0..most, 0..8);
    let restarts = prop::collection::vec(0..8_usize, 0..4);
    (cuts, restarts, 0..25_i64).prop_map(|(cuts, restarts, bound)| Way { cuts, restarts, bound })
}

/// The watermark before each row, and whether the row has a time.
fn judged(rows: &[Row], bound: i64) -> Vec<(usize, i64, i64, &Row)> {
    let times: Int64Array = rows.iter().map(|row| row.time).collect();
    let before = Watermark::new(bound).before(&times);
    let numbered = rows.iter().enumerate();
    numbered.filter_map(|(at, row)| Some((at, row.time?, before.value(at), row))).collect()
}

/// The same rows in one batch, one by one, and as `way` has it: the same, in the same order.
fn same_any_way(spec: &WindowSpec, rows: &[Row], way: &Way) -> Ran {
    let whole = run(spec, rows, &Way { bound: way.bound, ..Way::default() });
    let single = Way { cuts: (0..rows.len()).collect(), bound: way.bound, ..Way::default() };
    assert_eq!(whole, run(spec, rows, &single), "row by row");
    assert_eq!(whole, run(spec, rows, way), "as it was cut");
    whole
}

fn name(row: &Row) -> Option<String> {
    row.key.map(|key| format!("user {key}"))
}

fn total(rows: &[&Row]) -> (i64, Option<i64>) {
    (rows.len() as i64, Some(rows.iter().map(|row| row.value).sum()))
}
