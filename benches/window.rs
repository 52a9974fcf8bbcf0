//! Windows: rows a second of one core through an operator, at 1, 1,024 and 8,192 rows a batch.
//!
//! `cargo bench --bench window`. The rows are those of `bench/`, decoded: a key of 1,000 or 1,000,000
//! users, an amount, and an event time that goes on by one ms a row. Each operator runs on without an end,
//! so windows open and close as they do in a partition. Seeded, so every run sees the same rows.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, sync::Arc};
use turbine::window::{
    operator::{Cause, Operator},
    spec::WindowSpec,
    watermark::Watermark,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: [usize; 3] = [1, 1_024, 8_192];
const USERS: [u64; 2] = [1_000, 1_000_000];
/// Rows that are made before the measurement; they come again with later times.
const MADE: usize = 1 << 20;

/// A small generator with a fixed seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }
}

/// Rows in the order of a partition, cut into batches.
struct Source {
    batches: Vec<RecordBatch>,
    next: usize,
    rows: usize,
    watermark: Watermark,
    time: i64,
}

impl Source {
    fn new(users: u64, rows: usize) -> Self {
        let mut random = Random(7);
        let made = MADE.min(rows * 4_096);
        let batch = |_| {
            let mut keys = Vec::with_capacity(rows);
            let mut amounts = Vec::with_capacity(rows);
            for _ in 0..rows {
                keys.push(format!("u{:06}", random.below(users)));
                amounts.push(random.below(50_000) as f64 / 100.0);
            }
            let columns: [(&str, ArrayRef); 2] = [
                ("user", Arc::new(StringArray::from(keys))),
                ("amount", Arc::new(Float64Array::from(amounts))),
            ];
            RecordBatch::try_from_iter(columns).expect("equal lengths")
        };
        let batches = (0..made / rows).map(batch).collect();
        Self { batches, next: 0, rows, watermark: Watermark::new(0), time: 1_700_000_000_000 }
    }

    fn batch(&mut self) -> RecordBatch {
        let kept = &self.batches[self.next];
        self.next = (self.next + 1) % self.batches.len();
        let times = Int64Array::from_iter_values(self.time..self.time + self.rows as i64);
        self.time += self.rows as i64;
        let before = self.watermark.before(&times);
        let columns: [(&str, ArrayRef); 4] = [
            ("user", kept.column(0).clone()),
            ("amount", kept.column(1).clone()),
            ("_event_time", Arc::new(times)),
            ("_watermark", Arc::new(before)),
        ];
        RecordBatch::try_from_iter(columns).expect("equal lengths")
    }
}

fn spec(kind: &str, more: &str) -> WindowSpec {
    let text = format!(
        r#"{{"name": "w", "kind": {kind}, "key": ["user"], "aggregates": [
            {{"output": "n", "function": "count"}},
            {{"output": "total", "function": "sum", "inputs": [{{"column": "amount"}}]}}
        ]{more}}}"#
    );
    serde_json::from_str(&text).expect("a valid declaration")
}

const KINDS: [(&str, &str, &str); 7] = [
    ("tumbling 10 s", r#"{"type": "tumbling", "size_ms": 10000}"#, ""),
    ("hopping 10 s, 1 s", r#"{"type": "hopping", "size_ms": 10000, "step_ms": 1000}"#, ""),
    ("hopping 10 s, 100 ms", r#"{"type": "hopping", "size_ms": 10000, "step_ms": 100}"#, ""),
    ("global, changes", r#"{"type": "global"}"#, r#", "emit": {"type": "changes"}"#),
    ("count 100", r#"{"type": "count", "rows": 100}"#, ""),
    ("session 1 s", r#"{"type": "session", "gap_ms": 1000}"#, ""),
    ("sliding 1 s", r#"{"type": "sliding", "size_ms": 1000}"#, ""),
];

fn windows(c: &mut Criterion) {
    for (name, kind, more) in KINDS {
        let mut group = c.benchmark_group(format!("window {name}"));
        for users in USERS {
            for rows in ROWS {
                let mut source = Source::new(users, rows);
                let mut operator = Operator::new(&spec(kind, more)).expect("a valid declaration");
                group.throughput(Throughput::Elements(rows as u64));
                group.bench_function(BenchmarkId::new(format!("{users} keys"), rows), |b| {
                    b.iter(|| {
                        let out = operator.update(&source.batch()).expect("no overflow");
                        let reached = source.watermark.current();
                        let closed =
                            operator.advance(reached, Cause::Watermark).expect("no overflow");
                        black_box((out, closed))
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = windows
}
criterion_main!(benches);
