//! Snapshots on an object store in memory.

mod corruption;
mod retention;

use super::{
    Archive, Cut, Restored, Shelf, Taken, Unit, Wanted, Writer, archive::Listed,
    write::latest_owner,
};
use crate::{
    error::Result,
    state::{Delta, Mark, MemoryStore, Space, SpaceName, Store, Writes},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::runtime::Runtime;

pub(super) const SMALL: Cut = Cut { least_bytes: 100, further_bytes: 300, most_bytes: 1_000 };

pub(super) type Content = BTreeMap<(u16, Vec<u8>), Vec<u8>>;

/// A place that no other test has.
pub(super) fn archive() -> Archive {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Archive::open(&format!("memory://test-{number}/some/folder")).unwrap()
}

pub(super) fn unit() -> Unit {
    Unit { app: "app".into(), name: "count".into(), topic: "orders".into(), partition: 3 }
}

pub(super) fn shelf() -> Shelf {
    archive().of(&unit()).unwrap()
}

pub(super) fn spaces() -> Vec<SpaceName> {
    ["state", "windows", "timers"].map(SpaceName::plain).to_vec()
}

pub(super) async fn writer(shelf: &Shelf) -> Writer {
    Writer::claim(shelf.clone(), 8, spaces(), "a test").await.unwrap().with_cut(SMALL)
}

pub(super) fn runtime() -> &'static Runtime {
    static SHARED: LazyLock<Runtime> = LazyLock::new(|| {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        threads.worker_threads(2).enable_all().build().unwrap()
    });
    &SHARED
}

pub(super) fn mark(next: i64) -> Mark {
    Mark { next, token: next.unsigned_abs() << 40, hash: u64::MAX - 3, log: next * 2 }
}

pub(super) fn store_of(content: &Content, next: i64) -> Arc<dyn Store> {
    let store = MemoryStore::default();
    let mut delta = Delta::default();
    for ((space, key), value) in content {
        delta.push(Space(*space), Writes(vec![(key.clone(), Some(value.clone()))]));
    }
    store.commit(&delta, mark(next)).unwrap();
    Arc::new(store)
}

pub(super) fn content_of(store: &dyn Store) -> Content {
    let mut content = Content::new();
    for space in 0..4 {
        let mut keep = |key: &[u8], value: &[u8]| {
            content.insert((space, key.to_vec()), value.to_vec());
            Ok(())
        };
        store.scan(Space(space), b"", &mut keep).unwrap();
    }
    content
}

/// So many rows in two spaces.
pub(super) fn numbered(rows: u32) -> Content {
    let row = |n: u32| {
        ((u16::from(n.is_multiple_of(5)), n.to_be_bytes().to_vec()), vec![n.to_le_bytes()[0]; 20])
    };
    (0..rows).map(row).collect()
}

/// What a new store has after a restore, and where it came from.
pub(super) async fn restored(
    shelf: &Shelf,
    wanted: &Wanted,
) -> Result<Option<(Content, Option<Mark>, Restored)>> {
    let directory = tempfile::tempdir().unwrap();
    let Some(staged) = shelf.fetch(wanted, directory.path()).await? else { return Ok(None) };
    let store = store_of(&numbered(3), 1);
    let restored = staged.load(&*store, &spaces())?;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "staging is cleaned up");
    Ok(Some((content_of(&*store), store.mark().unwrap(), restored)))
}

pub(super) async fn newest(shelf: &Shelf) -> (Content, Option<Mark>, Restored) {
    restored(shelf, &Wanted::default()).await.unwrap().expect("there is a snapshot")
}

pub(super) fn done(taken: Taken) -> super::Summary {
    match taken {
        Taken::Done(summary) => *summary,
        other => panic!("not a snapshot: {other:?}"),
    }
}

fn content() -> impl Strategy<Value = Content> {
    let key = prop::collection::vec(any::<u8>(), 0..12);
    let value = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::btree_map((0_u16..3, key), value, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_restored_store_has_what_was_taken(contents in prop::collection::vec(content(), 1..4)) {
        runtime().block_on(async {
            let shelf = shelf();
            let mut writer = writer(&shelf).await;
            for (next, content) in (10_i64..).zip(&contents) {
                let taken = done(writer.take(&store_of(content, next)).await.unwrap());
                assert_eq!(taken.rows, content.len() as u64);
                let (found, at, restored) = newest(&shelf).await;
                assert_eq!((&found, at), (content, Some(mark(next))));
                assert_eq!((restored.mark, restored.passed_over.len()), (mark(next), 0));
            }
        });
    }
}

#[tokio::test]
async fn content_that_has_not_changed_is_not_uploaded_again() {
    let shelf = shelf();
    let mut content = numbered(400);
    let mut first = writer(&shelf).await;
    let taken = done(first.take(&store_of(&content, 10)).await.unwrap());
    assert!(taken.uploaded_parts > 20 && taken.skipped_parts == 0, "{taken:?}");
    let all = taken.uploaded_parts;

    assert_eq!(first.take(&store_of(&content, 10)).await.unwrap(), Taken::Unchanged);
    let taken = done(first.take(&store_of(&content, 11)).await.unwrap());
    assert_eq!((taken.uploaded_parts, taken.skipped_parts), (0, all));

    // Another worker knows it from the manifest.
    let mut second = writer(&shelf).await;
    let taken = done(second.take(&store_of(&content, 12)).await.unwrap());
    assert_eq!((taken.uploaded_parts, taken.skipped_parts), (0, all));

    content.insert((0, 77_u32.to_be_bytes().to_vec()), b"new".to_vec());
    let taken = done(second.take(&store_of(&content, 13)).await.unwrap());
    assert!((1..=3).contains(&taken.uploaded_parts), "{taken:?}");
    assert_eq!(newest(&shelf).await.0, content);
}

#[tokio::test]
async fn a_part_that_has_vanished_or_shrunk_is_uploaded_again_by_the_next_owner() {
    let shelf = shelf();
    let content = numbered(400);
    done(writer(&shelf).await.take(&store_of(&content, 10)).await.unwrap());
    let files = shelf.files("parts").await.unwrap();
    shelf.remove("parts", &files[0].0).await.unwrap();
    shelf.put("parts", &files[1].0, bytes::Bytes::from_static(b"short")).await.unwrap();
    let taken = done(writer(&shelf).await.take(&store_of(&content, 11)).await.unwrap());
    assert_eq!(taken.uploaded_parts, 2);
    assert_eq!(newest(&shelf).await.0, content);
}

#[tokio::test]
async fn a_zombie_completes_no_snapshot() {
    let shelf = shelf();
    let mut zombie = writer(&shelf).await;
    done(zombie.take(&store_of(&numbered(50), 10)).await.unwrap());
    let mut owner = writer(&shelf).await;
    let said = zombie.take(&store_of(&numbered(90), 99)).await.unwrap();
    assert_eq!(said, Taken::Fenced { by: 2 });
    assert_eq!(newest(&shelf).await.1, Some(mark(10)));
    done(owner.take(&store_of(&numbered(60), 20)).await.unwrap());
    let (found, at, _) = newest(&shelf).await;
    assert_eq!((found, at), (numbered(60), Some(mark(20))));
}

/// The check is over, the manifest is not written yet: it is written, and is not preferred.
#[tokio::test]
async fn what_a_zombie_still_writes_is_not_preferred() {
    let shelf = shelf();
    let mut owner = writer(&shelf).await;
    let mut zombie = Writer::claim(shelf.clone(), 8, spaces(), "zombie").await.unwrap();
    let mut later = writer(&shelf).await;
    drop(owner.take(&store_of(&numbered(5), 1)).await.unwrap());
    done(later.take(&store_of(&numbered(60), 20)).await.unwrap());
    // As if it had asked before the later claim was there.
    for file in shelf.files("owners").await.unwrap() {
        shelf.remove("owners", &file.0).await.unwrap();
    }
    done(zombie.take(&store_of(&numbered(90), 99)).await.unwrap());
    assert_eq!(newest(&shelf).await.1, Some(mark(20)));
}

#[tokio::test]
async fn two_that_claim_at_once_get_different_epochs() {
    let shelf = shelf();
    let claims: Vec<_> = (0..8)
        .map(|_| {
            let shelf = shelf.clone();
            tokio::spawn(async move { writer(&shelf).await.epoch() })
        })
        .collect();
    let mut epochs = Vec::new();
    for claim in claims {
        epochs.push(claim.await.unwrap());
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=8).collect::<Vec<_>>());
    assert_eq!(latest_owner(&shelf).await.unwrap(), 8);
}

#[tokio::test]
async fn a_store_without_a_commit_has_no_snapshot() {
    let shelf = shelf();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    assert_eq!(writer(&shelf).await.take(&store).await.unwrap(), Taken::Unchanged);
    assert_eq!(shelf.list().await.unwrap(), Vec::<Listed>::new());
    assert!(restored(&shelf, &Wanted::default()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_restore_takes_none_beyond_the_offset_it_is_given() {
    let shelf = shelf();
    let mut writer = writer(&shelf).await;
    for next in [10, 20, 30] {
        done(writer.take(&store_of(&numbered(next), i64::from(next))).await.unwrap());
    }
    let upto = |upto| Wanted { upto: Some(upto), ..Wanted::default() };
    let (found, at, _) = restored(&shelf, &upto(29)).await.unwrap().unwrap();
    assert_eq!((found, at), (numbered(20), Some(mark(20))));
    assert!(restored(&shelf, &upto(9)).await.unwrap().is_none());
    let other = Wanted { partitions: Some(9), ..Wanted::default() };
    let said = restored(&shelf, &other).await.unwrap_err().to_string();
    assert!(said.contains("had 8 partitions then and has 9 now"), "{said}");
}

#[tokio::test]
async fn a_space_goes_by_its_name() {
    let (shelf, directory) = (shelf(), tempfile::tempdir().unwrap());
    done(writer(&shelf).await.take(&store_of(&numbered(50), 10)).await.unwrap());
    let staged = shelf.fetch(&Wanted::default(), directory.path()).await.unwrap().unwrap();
    let store = MemoryStore::default();
    let restored = staged.load(&store, &["new", "state"].map(SpaceName::plain)).unwrap();
    assert_eq!(restored.left_out, ["windows"]);
    let moved: Content = numbered(50)
        .into_iter()
        .filter(|((space, _), _)| *space == 0)
        .map(|((_, key), value)| ((1, key), value))
        .collect();
    assert_eq!(content_of(&store), moved);
}

#[tokio::test]
async fn an_archive_lists_whose_snapshots_it_has() {
    let archive = archive();
    assert_eq!(archive.units(None).await.unwrap(), Vec::<Unit>::new());
    let units = [unit(), Unit { partition: 11, ..unit() }, Unit { app: "b".into(), ..unit() }];
    for unit in &units {
        let shelf = archive.of(unit).unwrap();
        done(writer(&shelf).await.take(&store_of(&numbered(5), 1)).await.unwrap());
    }
    assert_eq!(archive.units(None).await.unwrap(), units);
    assert_eq!(archive.units(Some("b")).await.unwrap(), units[2..]);
}

#[tokio::test]
async fn a_folder_on_disk_is_an_archive() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}/not/there/yet", directory.path().display());
    let archive = Archive::open(&url).unwrap();
    assert_eq!(archive.units(None).await.unwrap(), Vec::<Unit>::new());
    let shelf = archive.of(&unit()).unwrap();
    let mut first = writer(&shelf).await;
    done(first.take(&store_of(&numbered(400), 10)).await.unwrap());
    assert_eq!(newest(&shelf).await.0, numbered(400));
    writer(&shelf).await;
    assert_eq!(first.take(&store_of(&numbered(5), 11)).await.unwrap(), Taken::Fenced { by: 2 });
    assert_eq!(archive.units(None).await.unwrap(), [unit()]);
}
