//! Damage and full disks: an error or the right values, never anything else.
//!
//! `TURBINE_DAMAGES=200` tries as many kinds of damage instead of a quick number.

use super::{StateDb, StateOptions};
use crate::error::Result;
use crate::state::{Delta, Mark, Pending, Space, SpaceName, Store, TaskName, Writes};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

const PARTITIONS: i32 = 4;
const COMMITS: i64 = 30;
const SPACES: [Space; 2] = [Space(0), Space(1)];

type Rows = BTreeMap<(Space, Vec<u8>), Vec<u8>>;
/// What each partition had at each of its marks.
type History = Vec<BTreeMap<i64, Rows>>;

fn open(directory: &Path) -> Result<StateDb> {
    let (app_id, wait) = ("damage".into(), Duration::ZERO);
    StateDb::open(directory, &StateOptions { memory_bytes: 8 << 20, app_id, wait })
}

fn store(db: &StateDb, partition: i32) -> Result<Arc<dyn Store>> {
    let task = TaskName { owner: "o".into(), topic: "t".into(), partition, partitions: PARTITIONS };
    db.store(&task, &[SpaceName::by_key("counts"), SpaceName::plain("state")])
}

fn mark(next: i64) -> Mark {
    Mark { next, token: next as u64, hash: 1, log: next }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most.max(1)
    }
}

fn delta(dice: &mut Dice, next: i64) -> Delta {
    let mut delta = Delta::default();
    for space in SPACES {
        let row = |_| {
            let key = format!("key-{:03}", dice.below(150)).into_bytes();
            let value = format!("{next}-{}-{}", dice.below(1_000_000), "x".repeat(dice.below(80)));
            (key, (dice.below(5) > 0).then(|| value.into_bytes()))
        };
        delta.push(space, Writes((0..25).map(row).collect()));
    }
    delta
}

fn write(rows: &mut Rows, delta: &Delta) {
    for (space, writes) in &delta.0 {
        for (key, value) in &writes.0 {
            match value {
                Some(value) => rows.insert((*space, key.clone()), value.clone()),
                None => rows.remove(&(*space, key.clone())),
            };
        }
    }
}

/// The commit that partition 0 has pending at the end.
fn pending() -> Pending {
    let writes = Writes(vec![(b"key-000".to_vec(), Some(vec![7; 300]))]);
    Pending { from: COMMITS, mark: mark(COMMITS + 1), delta: Delta(vec![(Space(0), writes)]) }
}

/// Files of several ages, a log of writes behind them, and a pending commit.
fn written(directory: &Path) -> History {
    let db = open(directory).unwrap();
    let mut dice = Dice(42);
    let stores: Vec<_> = (0..PARTITIONS).map(|p| store(&db, p).unwrap()).collect();
    let mut history: History = stores.iter().map(|_| BTreeMap::from([(0, Rows::new())])).collect();
    for next in 1..=COMMITS {
        for (store, history) in stores.iter().zip(&mut history) {
            let delta = delta(&mut dice, next);
            store.commit(&delta, mark(next)).unwrap();
            let mut rows = history[&(next - 1)].clone();
            write(&mut rows, &delta);
            history.insert(next, rows);
        }
        if next == 10 || next == 20 {
            db.flush().unwrap();
        }
    }
    stores[0].prepare(&pending()).unwrap();
    history
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The files that RocksDB reads again, without its own log.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("rocksdb")).unwrap().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        !name.starts_with("LOG") && name != "LOCK" && !name.starts_with("OPTIONS")
    });
    files.sort();
    files
}

/// Does something bad to one file; says what.
fn damage(directory: &Path, dice: &mut Dice) -> String {
    let files = files(directory);
    let path = &files[dice.below(files.len())];
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    let at = dice.below(length);
    match dice.below(5) {
        0 | 1 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at as u64).unwrap_or_default();
            byte[0] ^= 1 << dice.below(8);
            file.write_all_at(&byte, at as u64).unwrap();
            format!("a flipped bit at {at} of {name}")
        }
        2 => {
            fs::remove_file(path).unwrap();
            format!("{name} is gone")
        }
        3 => {
            file.set_len(at as u64).unwrap();
            format!("{name} cut to {at} of {length}")
        }
        _ => {
            let zeros = vec![0; (1 + dice.below(64)).min(length - at)];
            file.write_all_at(&zeros, at as u64).unwrap();
            format!("{} zeros at {at} of {name}", zeros.len())
        }
    }
}

/// What came of looking at a damaged directory.
#[derive(Debug, Default)]
struct Seen {
    errors: usize,
    aside: usize,
    whole: usize,
}

/// Reads everything; panics over a value that was never there.
fn look(directory: &Path, history: &History, what: &str, seen: &mut Seen) {
    let Ok(db) = open(directory) else {
        seen.errors += 1;
        return;
    };
    let aside = db.set_aside().is_some();
    seen.aside += usize::from(aside);
    for (partition, history) in (0..PARTITIONS).zip(history) {
        let Ok(store) = store(&db, partition) else {
            seen.errors += 1;
            continue;
        };
        let Ok(mark) = store.mark() else {
            seen.errors += 1;
            continue;
        };
        if let Some(mark) = mark {
            assert_eq!(mark, self::mark(mark.next), "{what}: partition {partition}");
            assert!(!aside, "{what}");
        }
        let rows = &history[&mark.map_or(0, |mark| mark.next)];
        if let Ok(Some(found)) = store.pending() {
            assert_eq!(found, pending(), "{what}");
        }
        match check(&*store, rows) {
            Ok(()) => seen.whole += 1,
            Err(error) if error.is_empty() => seen.errors += 1,
            Err(error) => panic!("{what}: partition {partition}: {error}"),
        }
    }
}

/// Compares scans, reads and reads of many with `rows`; an empty text is an error of the store.
fn check(store: &dyn Store, rows: &Rows) -> Result<(), String> {
    let mut failed = Ok(());
    for space in SPACES {
        let mut found = Rows::new();
        let scanned = store.scan(space, b"", &mut |key, value| {
            found.insert((space, key.to_vec()), value.to_vec());
            Ok(())
        });
        for (key, value) in &found {
            if rows.get(key) != Some(value) {
                return Err(format!("the scan has {key:?} = {value:?}, not {:?}", rows.get(key)));
            }
        }
        let expected = rows.keys().filter(|(at, _)| *at == space).count();
        match scanned {
            Ok(()) if found.len() != expected => {
                return Err(format!("the scan has {} keys instead of {expected}", found.len()));
            }
            Ok(()) => {}
            Err(_) => failed = Err(String::new()),
        }
        for at in 0..150 {
            let key = format!("key-{at:03}").into_bytes();
            let Ok(value) = store.get(space, &key) else {
                failed = Err(String::new());
                continue;
            };
            if value.as_ref() != rows.get(&(space, key.clone())) {
                return Err(format!("key {at} is {value:?}"));
            }
        }
    }
    failed
}

#[test]
fn a_damaged_directory_gives_errors_or_the_right_values() {
    let count = env::var("TURBINE_DAMAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let base = tempfile::tempdir().unwrap();
    let history = written(base.path());
    let mut seen = Seen::default();
    let mut dice = Dice(7);
    for _ in 0..count {
        let copied = tempfile::tempdir().unwrap();
        copy(base.path(), copied.path());
        let what = damage(copied.path(), &mut dice);
        look(copied.path(), &history, &what, &mut seen);
    }
    println!("{count} damages: {seen:?}");
    assert!(seen.whole > 0 && seen.errors + seen.aside > 0, "{seen:?}");
}

/// Each partition has files of its own here, and only one of them is damaged.
#[test]
fn a_damaged_partition_leaves_the_others_alone_and_is_set_aside_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let value = |partition: i32| vec![partition as u8; 2_000];
    let mut sizes = Vec::new();
    {
        let db = open(directory.path()).unwrap();
        for partition in 0..PARTITIONS {
            let row = |n: i32| (format!("{n:03}").into_bytes(), Some(value(partition)));
            let writes = Writes((0..50).map(row).collect());
            store(&db, partition)
                .unwrap()
                .commit(&Delta(vec![(Space(1), writes)]), mark(1))
                .unwrap();
            let before = files(directory.path());
            db.flush().unwrap();
            let new = files(directory.path()).into_iter().filter(|path| !before.contains(path));
            sizes.push(new.max_by_key(|path| path.metadata().unwrap().len()).unwrap());
        }
    }
    let file = OpenOptions::new().write(true).open(&sizes[2]).unwrap();
    file.write_all_at(&[0xFF; 16], 40).unwrap();
    {
        let db = open(directory.path()).unwrap();
        for partition in 0..PARTITIONS {
            let found = store(&db, partition).unwrap().get(Space(1), b"000");
            if partition == 2 {
                let error = found.unwrap_err().to_string();
                assert!(
                    error.contains("damaged") && error.contains("start the worker again"),
                    "{error}"
                );
            } else {
                assert_eq!(found.unwrap(), Some(value(partition)));
                let more = Delta(vec![(Space(1), Writes(vec![(b"more".to_vec(), Some(vec![1]))]))]);
                store(&db, partition).unwrap().commit(&more, mark(2)).unwrap();
            }
        }
    }
    let db = open(directory.path()).unwrap();
    let aside = db.set_aside().expect("the damage was remembered").to_owned();
    assert!(aside.join("CURRENT").exists());
    for partition in 0..PARTITIONS {
        assert_eq!(store(&db, partition).unwrap().mark().unwrap(), None);
    }
}

/// The checksum of the record itself: RocksDB has none of what was in memory when it was handed over.
#[test]
fn a_pending_commit_that_is_not_as_written_is_set_aside_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    {
        let db = open(directory.path()).unwrap();
        let store = store(&db, 0).unwrap();
        store.prepare(&pending()).unwrap();
        let family = db.instance.family(super::db::PENDING).unwrap();
        let entry = db.instance.db.iterator_cf(&family, rocksdb::IteratorMode::Start).next();
        let (key, mut bytes) = entry.unwrap().unwrap();
        bytes[20] ^= 1;
        db.instance.db.put_cf(&family, key, bytes).unwrap();
        let error = store.pending().unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("start the worker again"), "{error}");
    }
    assert!(open(directory.path()).unwrap().set_aside().is_some());
}

/// A small file system of its own, if this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(megabytes: u32) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount(&format!("size={megabytes}m")).then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0.path());
        mount.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_ends_writing_and_leaves_whole_commits() {
    let Some(disk) = SmallDisk::new(24) else {
        println!("not tried: this user may not mount a file system");
        return;
    };
    let directory = disk.0.path();
    let big = |next: i64| {
        let row = |n: u8| {
            (
                vec![n],
                Some(
                    (0..40_000).map(|i| (i * next + i64::from(n)) as u8 ^ (i >> 3) as u8).collect(),
                ),
            )
        };
        Delta(vec![(Space(1), Writes((0..20).map(row).collect()))])
    };
    let (mut last, mut refused) = (0, None);
    {
        let db = open(directory).unwrap();
        let (one, other) = (store(&db, 0).unwrap(), store(&db, 1).unwrap());
        for next in 1..200 {
            match one.commit(&big(next), mark(next)) {
                Ok(()) => last = next,
                Err(error) => {
                    refused = Some(error.to_string());
                    break;
                }
            }
        }
        let refused = refused.expect("24 MB are full after 160 MB");
        assert!(refused.contains("cannot be written") && refused.contains("has room"), "{refused}");
        for again in [one.commit(&big(1), mark(999)), other.discard(), one.prepare(&pending())] {
            assert_eq!(again.unwrap_err().to_string(), refused);
        }
        assert_eq!(one.mark().unwrap(), Some(mark(last)));
    }
    assert!(disk.mount("remount,size=96m"));
    let db = open(directory).unwrap();
    let one = store(&db, 0).unwrap();
    assert_eq!(one.mark().unwrap(), Some(mark(last)));
    for (key, value) in &big(last).0[0].1.0 {
        assert_eq!(one.get(Space(1), key).unwrap(), *value);
    }
    one.commit(&big(last + 1), mark(last + 1)).unwrap();
}

#[test]
fn memory_stays_within_the_budget() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path()).unwrap();
    let store = store(&db, 0).unwrap();
    for next in 0..40_i64 {
        let row = |n: i64| ((next * 2_500 + n).to_be_bytes().to_vec(), Some(vec![next as u8; 200]));
        let writes = Writes((0..2_500).map(row).collect());
        store.commit(&Delta(vec![(Space(0), writes)]), mark(next)).unwrap();
    }
    for n in (0..100_000_i64).step_by(97) {
        assert_eq!(
            store.get(Space(0), &n.to_be_bytes()).unwrap(),
            Some(vec![(n / 2_500) as u8; 200])
        );
    }
    let used = db.used_bytes();
    assert!(used <= (8 << 20) * 5 / 4, "{used} bytes of 8 MiB");
}
