//! What the instance promises beyond [`Store`]: who may have it, and what it says.

use super::{StateDb, StateOptions};
use crate::state::{Delta, Mark, Pending, Space, SpaceName, Store, TaskName, Writes};
use std::{path::Path, sync::Arc, time::Duration};

fn options() -> StateOptions {
    StateOptions { memory_bytes: 8 << 20, app_id: "shop".into(), wait: Duration::ZERO }
}

fn open(directory: &Path) -> StateDb {
    StateDb::open(directory, &options()).unwrap()
}

fn task(partition: i32, partitions: i32) -> TaskName {
    TaskName { owner: "o".into(), topic: "t".into(), partition, partitions }
}

fn counts() -> [SpaceName; 1] {
    [SpaceName::by_key("counts")]
}

fn mark(next: i64) -> Mark {
    Mark { next, token: 0, hash: 0, log: -1 }
}

fn one(key: &[u8], value: &[u8]) -> Delta {
    Delta(vec![(Space(0), Writes(vec![(key.to_vec(), Some(value.to_vec()))]))])
}

fn keys(store: &dyn Store) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut keep = |key: &[u8], _: &[u8]| {
        found.push(key.to_vec());
        Ok(())
    };
    store.scan(Space(0), b"", &mut keep).unwrap();
    found
}

#[test]
fn partitions_do_not_see_each_other_and_are_cleared_alone() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    for partitions in [8, 7] {
        let task =
            |partition| TaskName { topic: format!("t{partitions}"), ..task(partition, partitions) };
        let stores: Vec<Arc<dyn Store>> =
            (0..partitions).map(|p| db.store(&task(p), &counts()).unwrap()).collect();
        for (at, store) in (0_i64..).zip(&stores) {
            store.commit(&one(b"same", &[at as u8]), mark(at)).unwrap();
            store.commit(&one(&[at as u8], b"own"), mark(at)).unwrap();
        }
        stores[3].clear().unwrap();
        for (at, store) in (0_i64..).zip(&stores) {
            let (value, next) =
                if at == 3 { (None, None) } else { (Some(vec![at as u8]), Some(mark(at))) };
            assert_eq!(store.get(Space(0), b"same").unwrap(), value);
            assert_eq!(store.mark().unwrap(), next);
            assert_eq!(keys(&**store).len(), if at == 3 { 0 } else { 2 });
        }
    }
}

/// More rows than the merge takes of a slot at a time, and rows larger than that.
#[test]
fn a_scan_over_slots_is_in_the_order_of_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    for (partitions, rows, bytes) in [(1, 5_000, 1_000), (960, 2_000, 5_000), (480, 4_000, 2_000)] {
        let task = TaskName { topic: format!("t{partitions}"), ..task(0, partitions) };
        let store = db.store(&task, &counts()).unwrap();
        let row = |n: u32| {
            (format!("{:05}", n.wrapping_mul(7_919) % 99_991).into_bytes(), Some(vec![1; bytes]))
        };
        let writes = Writes((0..rows).map(row).collect());
        let mut expected: Vec<_> = writes.0.iter().map(|(key, _)| key.clone()).collect();
        expected.sort();
        expected.dedup();
        store.commit(&Delta(vec![(Space(0), writes)]), mark(1)).unwrap();
        assert_eq!(keys(&*store), expected);
        let mut page = Vec::new();
        let mut keep = |key: &[u8], _: &[u8]| {
            page.push(key.to_vec());
            Ok(())
        };
        store.scan_after(Space(0), b"0", Some(&expected[7]), &mut keep).unwrap();
        let behind = expected[8..].iter().filter(|key| key.starts_with(b"0"));
        assert_eq!(page, behind.cloned().collect::<Vec<_>>());
    }
}

#[test]
fn another_number_of_partitions_is_refused_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    db.store(&task(0, 8), &counts()).unwrap();
    let refused = db.store(&task(0, 4), &counts()).err().unwrap().to_string();
    for part in ["8 partitions", "now it has 4", "turbine reset"] {
        assert!(refused.contains(part), "{refused}");
    }
    db.store(&TaskName { owner: "another".into(), ..task(0, 4) }, &counts()).unwrap();
}

#[test]
fn names_cannot_leave_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    for name in ["", "a/b", "../x", "ä"] {
        assert!(db.store(&task(0, 8), &[SpaceName::plain(name)]).is_err(), "{name:?}");
        let task = TaskName { topic: name.into(), ..task(0, 8) };
        assert!(db.store(&task, &counts()).is_err(), "{name:?}");
    }
}

#[test]
fn who_had_a_partition_before_writes_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let first = db.store(&task(0, 8), &counts()).unwrap();
    first.commit(&one(b"k", b"1"), mark(1)).unwrap();
    let second = db.store(&task(0, 8), &counts()).unwrap();
    let refused = first.commit(&one(b"k", b"2"), mark(2)).unwrap_err().to_string();
    assert!(refused.contains("next owner"), "{refused}");
    assert!(first.discard().is_err());
    assert_eq!(second.mark().unwrap(), Some(mark(1)));
    second.commit(&one(b"k", b"3"), mark(3)).unwrap();
    assert_eq!(first.get(Space(0), b"k").unwrap(), Some(b"3".to_vec()));
}

#[test]
fn a_second_instance_is_refused_as_long_as_a_store_lives() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).store(&task(0, 8), &counts()).unwrap();
    let refused = StateDb::open(directory.path(), &options()).err().unwrap().to_string();
    assert!(refused.contains("another worker of this process (app shop"), "{refused}");
    drop(store);
    open(directory.path());
}

/// The order of declaration may change between two starts.
#[test]
fn a_pending_commit_finds_its_tables_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let spaces = ["a", "b"].map(SpaceName::by_key);
    let pending = Pending { from: 0, mark: mark(1), delta: one(b"k", b"v") };
    {
        let store = open(directory.path()).store(&task(0, 8), &spaces).unwrap();
        store.prepare(&pending).unwrap();
    }
    let db = open(directory.path());
    let [a, b] = spaces;
    let store = db.store(&task(0, 8), &[b.clone(), a]).unwrap();
    let found = store.pending().unwrap().unwrap();
    assert_eq!(found.delta.0[0].0, Space(1));
    store.apply(&found).unwrap();
    assert_eq!(store.get(Space(1), b"k").unwrap(), Some(b"v".to_vec()));
    assert_eq!(store.get(Space(0), b"k").unwrap(), None);
    store.prepare(&Pending { delta: Delta(vec![found.delta.0[0].clone()]), ..pending }).unwrap();
    drop(store);
    let store = db.store(&task(0, 8), &[b]).unwrap();
    let refused = store.pending().unwrap_err().to_string();
    assert!(refused.contains("not declared"), "{refused}");
}
