//! Formats other than JSON: rows a second of one core, decoding and encoding, at 1, 1,024 and 8,192
//! rows a batch.
//!
//! `cargo bench --bench formats`. The rows are four columns of the events of `bench/` (an integer,
//! a user, an amount, a kind), written by each format's own encoder and read back with a declared
//! schema. Seeded, so every run sees the same bytes.

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{collections::BTreeMap, hint::black_box, sync::Arc};
use turbine::{
    codec::{
        DecodeOptions, Encoded,
        format::{Decoders, encoder},
        json::SharedSchema,
    },
    config::{CsvFormat, Format, ProtobufFormat},
    types::OwnedRecord,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: [usize; 3] = [1, 1_024, 8_192];

const PROTO: &str = r#"
syntax = "proto3";
message Event { int64 id = 1; string user = 2; double amount = 3; string kind = 4; }
"#;

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

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("user", DataType::Utf8, false),
        Field::new("amount", DataType::Float64, false),
        Field::new("kind", DataType::Utf8, false),
    ]))
}

fn rows(count: usize) -> RecordBatch {
    let mut random = Random(7);
    let kinds = ["view", "click", "cart", "buy"];
    let ids: ArrayRef = Arc::new((0..i64::try_from(count).unwrap_or(0)).collect::<Int64Array>());
    let users: StringArray =
        (0..count).map(|_| Some(format!("u{:06}", random.below(1_000)))).collect();
    let amounts: Float64Array =
        (0..count).map(|_| Some(random.below(50_000) as f64 / 100.0)).collect();
    let kinds: StringArray = (0..count).map(|_| Some(kinds[random.below(4) as usize])).collect();
    let columns = vec![ids, Arc::new(users), Arc::new(amounts), Arc::new(kinds)];
    RecordBatch::try_new(schema(), columns).expect("columns of the schema")
}

fn formats() -> Vec<(&'static str, Format)> {
    let proto = ProtobufFormat {
        files: BTreeMap::from([("event.proto".to_owned(), PROTO.to_owned())]),
        ..ProtobufFormat::default()
    };
    vec![
        ("json", Format::Json),
        ("msgpack", Format::Msgpack),
        ("protobuf", Format::Protobuf(proto)),
        ("csv", Format::Csv(CsvFormat::default())),
        ("arrow", Format::Arrow),
    ]
}

fn encode(c: &mut Criterion) {
    for (name, format) in formats() {
        let encoder = encoder(&format, false, "bench", None).expect("a format that can be written");
        let mut group = c.benchmark_group(format!("encode_{name}"));
        for count in ROWS {
            let batch = rows(count);
            let mut out = Encoded::default();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_with_input(BenchmarkId::from_parameter(count), &batch, |b, batch| {
                b.iter(|| encoder.encode(black_box(batch), &mut out).expect("it can be written"));
            });
        }
        group.finish();
    }
}

fn decode(c: &mut Criterion) {
    for (name, format) in formats() {
        let encoder = encoder(&format, false, "bench", None).expect("a format that can be written");
        let widened = prometheus::IntCounter::new("widened", "widened").expect("a good name");
        let learned = Arc::new(SharedSchema::new("bench", widened));
        let decoders =
            Decoders::new(format, Some(schema()), learned, DecodeOptions::default(), None)
                .expect("good");
        let mut group = c.benchmark_group(format!("decode_{name}"));
        for count in ROWS {
            let mut out = Encoded::default();
            encoder.encode(&rows(count), &mut out).expect("it can be written");
            let record =
                |i| OwnedRecord { value: Some(out.value(i).to_vec()), ..OwnedRecord::default() };
            let records: Vec<OwnedRecord> = (0..out.len()).map(record).collect();
            let mut decoder = decoders.decoder().expect("a format that can be read");
            group.throughput(Throughput::Elements(count as u64));
            group.bench_with_input(BenchmarkId::from_parameter(count), &records, |b, records| {
                b.iter(|| {
                    let decoded = decoder.decode(black_box(records), 0..records.len());
                    assert_eq!(decoded.batch.num_rows(), count);
                    decoded
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
