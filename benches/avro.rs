//! Formats other than JSON, stage by stage: a decoded and an encoded row of four fields.

use arrow::array::RecordBatch;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prometheus::IntCounter;
use std::{hint::black_box, sync::Arc};
use turbine::{
    codec::{
        Decode, DecodeOptions, Encode, Encoded,
        avro::{Decoder, Encoder},
        json::SharedSchema,
    },
    config::{AvroFormat, Framing},
    types::OwnedRecord,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: [usize; 3] = [1, 1_024, 8_192];

/// The bids of the benchmark in `benches/json.rs`, as a reader wants them and as they are written.
const READER: &str = r#"{"type": "record", "name": "Bid", "fields": [
    {"name": "auction", "type": "long"}, {"name": "bidder", "type": "long"},
    {"name": "price", "type": "double"}, {"name": "user", "type": "string"}]}"#;
const WRITER: &str = r#"{"type": "record", "name": "Bid", "fields": [
    {"name": "auction", "type": "long"}, {"name": "bidder", "type": "long"},
    {"name": "channel", "type": "string"}, {"name": "price", "type": "double"},
    {"name": "user", "type": "string"}, {"name": "url", "type": ["null", "string"]},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "ok", "type": "boolean"}]}"#;

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(value: &str, out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend_from_slice(value.as_bytes());
}

fn records(rows: usize) -> Vec<OwnedRecord> {
    let record = |i: usize| {
        let mut out = Vec::new();
        long(1_000 + i as i64, &mut out);
        long(i as i64 * 7, &mut out);
        text("web", &mut out);
        out.extend((i as f64 / 3.0).to_le_bytes());
        text(&format!("user-{}", i % 1_000), &mut out);
        long(1, &mut out);
        text("https://www.example.com/items/12345", &mut out);
        long(1_700_000_000_000 + i as i64, &mut out);
        out.push(1);
        OwnedRecord { value: Some(out), ..OwnedRecord::default() }
    };
    (0..rows).map(record).collect()
}

fn format(schema: &str, writers: &[&str]) -> AvroFormat {
    AvroFormat {
        schema: Some(schema.into()),
        writers: writers.iter().map(|&w| w.into()).collect(),
        framing: Framing::Raw,
        ..AvroFormat::default()
    }
}

fn decoder(format: &AvroFormat) -> Decoder {
    let widened = IntCounter::new("widened", "Times that the schema changed.").expect("valid");
    let learned = Arc::new(SharedSchema::new("bench", widened));
    Decoder::new(format, None, &learned, None, DecodeOptions::default()).expect("plain types")
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode_avro");
    for rows in ROWS {
        let records = records(rows);
        group.throughput(Throughput::Elements(rows as u64));
        for (name, reader) in [("4 of 8 fields", READER), ("8 fields", WRITER)] {
            let mut decoder = decoder(&format(reader, &[WRITER]));
            assert!(decoder.decode(&records, 0..rows).bad.is_empty(), "the bench measures rows");
            group.bench_function(BenchmarkId::new(name, rows), |b| {
                b.iter(|| black_box(decoder.decode(&records, 0..rows)));
            });
        }
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode_avro");
    for rows in ROWS {
        let batch: RecordBatch =
            decoder(&format(READER, &[WRITER])).decode(&records(rows), 0..rows).batch;
        let encoder = Encoder::new(&format(READER, &[]), None, "bids", false).expect("plain types");
        group.throughput(Throughput::Elements(rows as u64));
        let mut out = Encoded::default();
        group.bench_function(BenchmarkId::new("4 fields", rows), |b| {
            b.iter(|| encoder.encode(black_box(&batch), &mut out).expect("plain types"));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
