//! Snapshots of a table on disk to a folder, and back: MB/s of keys and values.
//!
//! `TURBINE_MB` is how many of them (64). Plain text, no criterion: one run is long enough.

use std::{env, fs, path::Path, sync::Arc, time::Duration, time::Instant};
use turbine::state::{
    Delta, Mark, Space, SpaceName, StateDb, StateOptions, Store, TaskName, Writes,
    snapshot::{Archive, Taken, Unit, Wanted, Writer},
};

const BATCH: u64 = 10_000;
/// Bytes of a value; with its key, about a row of an aggregate.
const VALUE_BYTES: usize = 100;

fn row(n: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let spread = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // Half of a value is as good as random, half is not.
    let value = spread.to_le_bytes().into_iter().cycle().take(VALUE_BYTES / 2);
    (
        format!("user-{spread:020}").into_bytes(),
        Some(value.chain([b'0'; VALUE_BYTES / 2]).collect()),
    )
}

fn mark(next: u64) -> Mark {
    Mark { next: next.cast_signed(), token: 0, hash: 0, log: -1 }
}

fn store(directory: &Path) -> Arc<dyn Store> {
    let options =
        StateOptions { memory_bytes: 256 << 20, app_id: "bench".into(), wait: Duration::ZERO };
    let task = TaskName { owner: "o".into(), topic: "t".into(), partition: 0, partitions: 8 };
    let db = StateDb::open(directory, &options).expect("a new directory");
    db.store(&task, &spaces()).expect("a new directory")
}

fn spaces() -> [SpaceName; 1] {
    [SpaceName::by_key("table")]
}

fn told<T>(what: &str, bytes: u64, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {seconds:.2} s, {:.0} MB/s", bytes as f64 / 1e6 / seconds);
    done
}

fn summary(taken: Taken) -> String {
    match taken {
        Taken::Done(done) => format!(
            "{} parts and {} MB uploaded, {} parts were there",
            done.uploaded_parts,
            done.uploaded_bytes / 1_000_000,
            done.skipped_parts
        ),
        other => format!("{other:?}"),
    }
}

fn main() {
    let megabytes: u64 = env::var("TURBINE_MB").map_or(64, |text| text.parse().expect("a number"));
    let directory = tempfile::tempdir().expect("room on the disk");
    let rows = megabytes * 1_000_000 / (25 + VALUE_BYTES as u64);
    let bytes = rows * (25 + VALUE_BYTES as u64);
    let full = store(&directory.path().join("full"));
    let commit = |from: u64, count: u64, next: u64| {
        let delta = Delta(vec![(Space(0), Writes((from..from + count).map(row).collect()))]);
        full.commit(&delta, mark(next)).expect("room on the disk");
    };
    told("filled", bytes, || (0..rows).step_by(BATCH as usize).for_each(|n| commit(n, BATCH, n)));

    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let archive = Archive::open(&format!("file://{}/archive", directory.path().display()));
    let (app, name, topic) = ("bench".into(), "o".into(), "t".into());
    let shelf = archive.and_then(|archive| archive.of(&Unit { app, name, topic, partition: 0 }));
    let shelf = shelf.expect("a folder");
    let claim = Writer::claim(shelf.clone(), 8, spaces().to_vec(), "bench");
    let mut writer = runtime.block_on(claim).expect("room on the disk");
    let mut take = || runtime.block_on(writer.take(&full)).expect("room on the disk");
    println!("  {}", summary(told("first snapshot", bytes, &mut take)));
    commit(0, 1, rows + 1);
    println!("  {}", summary(told("one row written again", bytes, &mut take)));
    commit(rows, 100, rows + 2);
    println!("  {}", summary(told("100 rows added all over", bytes, &mut take)));

    let staging = directory.path().join("staging");
    let fetch = || runtime.block_on(shelf.fetch(&Wanted::default(), &staging));
    let staged = told("fetched and verified", bytes, fetch).expect("whole").expect("there");
    let empty = store(&directory.path().join("empty"));
    told("loaded", bytes, || staged.load(&*empty, &spaces()).expect("room on the disk"));
    fs::remove_dir_all(&staging).expect("ours");
}
