//! Joins: rows a second of one core through an operator, at 1, 1,024 and 8,192 rows a batch.
//!
//! `cargo bench --bench join`. Batches of the left and of the right come in turns, their times go on by one
//! ms a row, and each row has one match on the other side, on average, of those of the last seconds. Each
//! operator runs on without an end, so rows come and go as they do in a partition; what has changed is
//! taken after each batch, as a commit does. Seeded, so every run sees the same rows.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, sync::Arc};
use turbine::{
    join::{How, JoinKind, JoinSpec, Operator, Side},
    state::Writes,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: [usize; 3] = [1, 1_024, 8_192];
/// Keys that there are, and for how long rows are kept: one match a row.
const KEYS: u64 = 10_000;
const WITHIN_MS: i64 = 10_000;
/// Batches that are made before the measurement; they come again with later times.
const MADE: usize = 64;

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

/// Batches without their times, and the time.
struct Source {
    batches: Vec<RecordBatch>,
    next: usize,
    time: i64,
}

impl Source {
    fn new(rows: usize) -> Self {
        let mut random = Random(7);
        let batch = |_| {
            let keys: Vec<_> = (0..rows).map(|_| format!("u{:06}", random.below(KEYS))).collect();
            let amounts: Vec<_> = (0..rows).map(|_| random.below(50_000) as f64 / 100.0).collect();
            let columns: [(&str, ArrayRef); 2] = [
                ("user", Arc::new(StringArray::from(keys))),
                ("amount", Arc::new(Float64Array::from(amounts))),
            ];
            RecordBatch::try_from_iter(columns).expect("equal lengths")
        };
        let made = if rows == 1 { MADE * 1_024 } else { MADE };
        Self { batches: (0..made).map(batch).collect(), next: 0, time: 0 }
    }

    fn batch(&mut self) -> (Side, RecordBatch) {
        let rows = &self.batches[self.next % self.batches.len()];
        let side = Side::BOTH[self.next % 2];
        self.next += 1;
        let times = Int64Array::from_iter_values(self.time..self.time + rows.num_rows() as i64);
        self.time += rows.num_rows() as i64;
        let columns = rows.columns().iter().cloned().chain([Arc::new(times) as ArrayRef]);
        let names = ["user", "amount", "_event_time"];
        (side, RecordBatch::try_from_iter(names.into_iter().zip(columns)).expect("equal lengths"))
    }
}

fn operator(kind: JoinKind, how: How) -> Operator {
    let on = vec!["user".to_owned()];
    let spec = JoinSpec {
        name: "bench".into(),
        kind,
        left_on: on.clone(),
        right_on: on,
        how,
        suffix: "_right".into(),
    };
    let schema = Source::new(1).batch().1.schema();
    Operator::new(&spec, &schema, &schema).expect("a declaration that works")
}

fn join(c: &mut Criterion) {
    let interval = || JoinKind::Interval {
        before_ms: Some(WITHIN_MS),
        after_ms: Some(WITHIN_MS),
        grace_ms: 0,
    };
    let as_of = || JoinKind::AsOf { tolerance_ms: None, grace_ms: 1_000 };
    let mut group = c.benchmark_group("join");
    for (name, kind, how) in [
        ("interval inner", interval(), How::Inner),
        ("interval full", interval(), How::Full),
        ("as-of left", as_of(), How::Left),
    ] {
        for rows in ROWS {
            let (mut source, mut operator) = (Source::new(rows), operator(kind.clone(), how));
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::new(name, rows), |b| {
                b.iter(|| {
                    let (side, batch) = source.batch();
                    black_box(operator.update(side, &batch).expect("rows of the declaration"));
                    let mut writes = Writes::default();
                    operator.changes(&mut writes).expect("changes");
                    black_box(writes);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, join);
criterion_main!(benches);
