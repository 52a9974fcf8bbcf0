//! JSON codec: rows a second of one core, decoding and encoding, at 1, 1,024 and 8,192 rows a
//! batch.
//!
//! `cargo bench --bench json`. The events are those of `bench/`: about 165 bytes, eight fields, of
//! which the schema takes four; the others are checked and left out. Seeded, so every run sees the
//! same bytes.

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, sync::Arc};
use turbine::{
    codec::{
        Decode, Encode, Encoded, Output,
        json::{DecodeOptions, Decoder, Encoder, SharedSchema},
    },
    types::OwnedRecord,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: [usize; 3] = [1, 1_024, 8_192];

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

fn events(count: usize) -> Vec<OwnedRecord> {
    let mut random = Random(7);
    let kinds = ["view", "click", "cart", "buy"];
    let regions = ["eu-west", "eu-north", "us-east", "us-west", "ap-south"];
    let event = |i: usize| {
        let value = format!(
            r#"{{"id":{i},"user":"u{:06}","ts":{},"amount":{},"kind":"{}","region":"{}","session":"s{:012}","ok":true}}"#,
            random.below(1_000),
            1_700_000_000_000 + i,
            random.below(50_000) as f64 / 100.0,
            kinds[random.below(4) as usize],
            regions[random.below(5) as usize],
            random.below(1_000_000_000_000),
        );
        OwnedRecord { value: Some(value.into_bytes()), ..OwnedRecord::default() }
    };
    (0..count).map(event).collect()
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("user", DataType::Utf8, false),
        Field::new("amount", DataType::Float64, false),
        Field::new("kind", DataType::Utf8, false),
    ]))
}

fn decoder() -> Decoder {
    Decoder::new(schema(), DecodeOptions::default()).expect("plain types")
}

fn batch(rows: usize) -> RecordBatch {
    decoder().decode(&events(rows), 0..rows).batch
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for rows in ROWS {
        let records = events(rows);
        group.throughput(Throughput::Elements(rows as u64));
        let mut four = decoder();
        group.bench_function(BenchmarkId::new("4 of 8 fields", rows), |b| {
            b.iter(|| black_box(four.decode(&records, 0..rows)));
        });
        let shared = Arc::new(SharedSchema::new(
            "bench",
            prometheus::IntCounter::new("widened", "Times that the schema changed.")
                .expect("valid"),
        ));
        let mut inferring = Decoder::inferring(shared, DecodeOptions::default()).expect("empty");
        group.bench_function(BenchmarkId::new("8 fields, inferred", rows), |b| {
            b.iter(|| black_box(inferring.decode(&records, 0..rows)));
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for rows in ROWS {
        let batch = batch(rows);
        group.throughput(Throughput::Elements(rows as u64));
        let mut out = Encoded::default();
        for (name, key) in [("4 fields", None), ("4 fields, key", Some("user"))] {
            let encoder = Output::new(Box::new(Encoder), key);
            group.bench_function(BenchmarkId::new(name, rows), |b| {
                b.iter(|| encoder.encode(black_box(&batch), &mut out).expect("plain types"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
