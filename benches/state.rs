//! The store on disk: commits, reads and scans of a table with a million and a half keys.
//!
//! `TURBINE_KEYS` is another number of keys. What the store holds in memory is printed beside its budget.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::{
    env, fs,
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use turbine::state::{
    Delta, Mark, Pending, Space, SpaceName, StateDb, StateOptions, Store, TaskName, Writes,
};

const BATCH: u64 = 5_000;
const BUDGET: usize = 64 << 20;
const TABLE: Space = Space(0);
const PLAIN: Space = Space(1);

fn key(n: u64) -> Vec<u8> {
    format!("user-{:012}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 1_000_000_000_000).into_bytes()
}

fn rows(space: Space, from: u64, count: u64) -> Delta {
    let row = |n| (key(n), Some(format!("{{\"count\": {n}, \"total\": {}}}", n * 7).into_bytes()));
    Delta(vec![(space, Writes((from..from + count).map(row).collect()))])
}

fn mark(next: i64) -> Mark {
    Mark { next, token: 0, hash: 0, log: -1 }
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kb.unwrap_or(0) << 10
}

fn filled(db: &StateDb, partitions: i32, keys: u64) -> Arc<dyn Store> {
    let (owner, topic) = ("bench".into(), format!("in{partitions}"));
    let task = TaskName { owner, topic, partition: 0, partitions };
    let spaces = [SpaceName::by_key("table"), SpaceName::plain("plain")];
    let store = db.store(&task, &spaces).expect("a new directory");
    let started = Instant::now();
    for from in (0..keys).step_by(BATCH as usize) {
        store.commit(&rows(TABLE, from, BATCH), mark(from as i64)).expect("room on the disk");
    }
    store.commit(&rows(PLAIN, 0, 10 * BATCH), mark(keys as i64)).expect("room on the disk");
    let rate = keys as f64 / started.elapsed().as_secs_f64();
    println!(
        "{partitions} partitions: {keys} keys at {rate:.0}/s, {} MiB of {} in the store, {} MiB resident",
        db.used_bytes() >> 20,
        BUDGET >> 20,
        resident_bytes() >> 20,
    );
    store
}

fn writes(c: &mut Criterion, store: &Arc<dyn Store>) {
    let mut group = c.benchmark_group("state_write");
    group.throughput(Throughput::Elements(BATCH));
    let mut from = 0;
    let mut next = || {
        from = (from + BATCH) % 1_000_000;
        rows(TABLE, from, BATCH)
    };
    group.bench_function("commit_5000", |b| {
        b.iter_batched(&mut next, |delta| store.commit(&delta, mark(1)), BatchSize::LargeInput);
    });
    group.bench_function("prepare_and_apply_5000", |b| {
        b.iter_batched(
            || Pending { from: 1, mark: mark(1), delta: next() },
            |pending| store.prepare(&pending).and_then(|()| store.apply(&pending)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn reads(c: &mut Criterion, name: &str, store: &Arc<dyn Store>, keys: u64) {
    let mut group = c.benchmark_group(format!("state_read_{name}"));
    let mut n = 0;
    let mut some = || {
        n = (n + 7_919) % keys;
        key(n)
    };
    group.bench_function("get", |b| b.iter(|| black_box(store.get(TABLE, &some()))));
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("get_many_1000", |b| {
        b.iter_batched(
            || (0..1_000).map(|_| some()).collect::<Vec<_>>(),
            |keys| {
                let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
                black_box(store.get_many(TABLE, &keys))
            },
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(1));
    for (space, layout) in [(TABLE, "by_key"), (PLAIN, "plain")] {
        group.bench_function(format!("scan_of_few_{layout}"), |b| {
            b.iter(|| {
                let mut seen = 0;
                let scanned = store.scan(space, b"user-000000", &mut |_, _| {
                    seen += 1;
                    Ok(())
                });
                black_box((seen, scanned.is_ok()))
            });
        });
    }
    group.sample_size(10);
    group.throughput(Throughput::Elements(keys));
    group.bench_function("scan_of_all_by_key", |b| {
        b.iter(|| {
            let mut seen = 0_u64;
            let scanned = store.scan(TABLE, b"", &mut |_, _| {
                seen += 1;
                Ok(())
            });
            black_box((seen, scanned.is_ok()))
        });
    });
    group.finish();
}

fn state(c: &mut Criterion) {
    let keys = env::var("TURBINE_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_500_000);
    let directory = tempfile::tempdir().expect("a directory");
    let options =
        StateOptions { memory_bytes: BUDGET, app_id: "bench".into(), wait: Duration::ZERO };
    let db = StateDb::open(directory.path(), &options).expect("a new directory");
    for partitions in [1, 8] {
        let store = filled(&db, partitions, keys);
        reopened(directory.path(), &options);
        reads(c, &format!("{partitions}_partitions"), &store, keys);
        if partitions == 8 {
            writes(c, &store);
        }
    }
    println!(
        "at the end: {} MiB in the store, {} MiB resident",
        db.used_bytes() >> 20,
        resident_bytes() >> 20
    );
}

/// What a start after a crash costs: the log of writes is read again, here and in nothing else.
fn reopened(directory: &Path, options: &StateOptions) {
    let copied = tempfile::tempdir().expect("a directory");
    let data = copied.path().join("rocksdb");
    fs::create_dir_all(&data).expect("room on the disk");
    for entry in fs::read_dir(directory.join("rocksdb")).expect("it is open").flatten() {
        // A file that a compaction has removed meanwhile is not missed.
        let _ = fs::copy(entry.path(), data.join(entry.file_name()));
    }
    let started = Instant::now();
    let db = StateDb::open(copied.path(), options).expect("a copy of an open directory");
    let aside = if db.set_aside().is_some() { ", but the copy was torn" } else { "" };
    println!("opened as after a kill -9 in {} ms{aside}", started.elapsed().as_millis());
}

criterion_group!(benches, state);
criterion_main!(benches);
