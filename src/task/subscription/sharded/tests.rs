//! What comes out of a window does not depend on the number of its shards.

use super::*;
use crate::window::time::WATERMARK;
use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    util::display::array_value_to_string,
};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

fn spec() -> WindowSpec {
    let spec = json!({
        "name": "totals",
        "kind": {"type": "tumbling", "size_ms": 10},
        "key": ["user"],
        "aggregates": [{"function": "count", "output": "n"}],
    });
    serde_json::from_value(spec).expect("a specification")
}

/// Rows with the watermark before each, 5 behind the highest time.
fn rows(events: &[(u8, i64)]) -> RecordBatch {
    let mut highest = i64::MIN;
    let mut before = Vec::new();
    for (_, time) in events {
        before.push(highest);
        highest = highest.max(time - 5);
    }
    let users = events.iter().map(|(user, _)| format!("u{user}"));
    let columns: [(&str, ArrayRef); 3] = [
        ("user", Arc::new(StringArray::from_iter_values(users))),
        (
            "_event_time",
            Arc::new(events.iter().map(|(_, time)| Some(*time)).collect::<Int64Array>()),
        ),
        (WATERMARK, Arc::new(Int64Array::from(before))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn results(outs: Vec<Out>) -> Vec<String> {
    let line = |batch: &RecordBatch, row| {
        let cell = |column: &ArrayRef| array_value_to_string(column, row).expect("printable");
        batch.columns().iter().map(cell).collect::<Vec<_>>().join(" ")
    };
    let batches = outs.into_iter().flat_map(|out| out.results);
    batches
        .flat_map(|batch| (0..batch.num_rows()).map(|row| line(&batch, row)).collect::<Vec<_>>())
        .collect()
}

fn run(events: &[(u8, i64)], count: usize, cut: usize) -> Vec<String> {
    let shards = Shards { column: "user".into(), count };
    let mut operators = Operators::new(&spec(), Some(&shards)).expect("a window");
    let all = rows(events);
    let cut = cut.min(all.num_rows());
    let mut found = Vec::new();
    for part in [all.slice(0, cut), all.slice(cut, all.num_rows() - cut)] {
        found.extend(results(operators.update(&[&part]).expect("rows")));
    }
    found.extend(results(operators.advance(i64::MAX, Cause::Stop).expect("an end")));
    found.sort();
    found
}

fn events() -> impl Strategy<Value = Vec<(u8, i64)>> {
    prop::collection::vec((0_u8..12, 0_i64..100), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_results_are_those_of_one_shard(events in events(), cut in 0_usize..80) {
        let alone = run(&events, 1, cut);
        prop_assert_eq!(&run(&events, 2, cut), &alone);
        prop_assert_eq!(&run(&events, 4, cut), &alone);
    }
}

#[test]
fn shards_with_many_rows_run_in_threads_and_give_the_same() {
    let events: Vec<(u8, i64)> = (0..20_000).map(|n| ((n % 200) as u8, n / 10)).collect();
    assert_eq!(run(&events, 4, 10_000), run(&events, 1, 10_000));
}
