//! What stays and what goes.

use super::{done, newest, numbered, shelf, store_of, writer};
use crate::state::{
    Delta, Mark, Store,
    snapshot::{Kept, Removed, Retention, Shelf},
};
use std::{sync::Arc, time::Duration};

const NOW: Retention = Retention { keep: 2, least_age: Duration::ZERO, orphan_age: Duration::ZERO };

async fn count(shelf: &Shelf, folder: &str) -> usize {
    shelf.files(folder).await.unwrap().len()
}

#[tokio::test]
async fn the_newest_stay_with_every_part_they_name() {
    let shelf = shelf();
    let (mut writer, mut kept) = (writer(&shelf).await, Kept::default());
    for next in 1..6 {
        let rows = numbered(100 + 100 * next);
        done(writer.take(&store_of(&rows, i64::from(next))).await.unwrap());
    }
    let before = count(&shelf, "parts").await;
    let removed = writer.retain(&NOW, &mut kept).await.unwrap();
    assert_eq!(removed.manifests, 3);
    assert_eq!(count(&shelf, "parts").await, before - removed.parts);
    assert!(removed.parts > 0);
    assert_eq!(newest(&shelf).await.0, numbered(600));
    let newest_id = shelf.list().await.unwrap()[0].id;
    shelf.remove("manifests", &newest_id.file()).await.unwrap();
    assert_eq!(newest(&shelf).await.0, numbered(500));
    assert_eq!(writer.retain(&NOW, &mut kept).await.unwrap().manifests, 0);
    assert_eq!(newest(&shelf).await.0, numbered(500));
}

#[tokio::test]
async fn what_is_young_stays() {
    let shelf = shelf();
    let (mut writer, mut kept) = (writer(&shelf).await, Kept::default());
    for next in 1..6 {
        done(writer.take(&store_of(&numbered(100 * next), i64::from(next))).await.unwrap());
    }
    let hour = Duration::from_secs(3_600);
    let all = Retention { least_age: hour, ..NOW };
    assert_eq!(writer.retain(&all, &mut kept).await.unwrap(), Removed::default());
    let manifests = Retention { orphan_age: hour, ..NOW };
    let removed = writer.retain(&manifests, &mut kept).await.unwrap();
    assert_eq!(removed, Removed { manifests: 3, parts: 0 });
}

#[tokio::test]
async fn a_zombie_removes_nothing() {
    let shelf = shelf();
    let mut zombie = writer(&shelf).await;
    for next in 1..6 {
        done(zombie.take(&store_of(&numbered(100 * next), i64::from(next))).await.unwrap());
    }
    writer(&shelf).await;
    let removed = zombie.retain(&NOW, &mut Kept::default()).await.unwrap();
    assert_eq!(removed, Removed::default());
    assert_eq!(count(&shelf, "manifests").await, 5);
}

#[tokio::test]
async fn a_snapshot_that_has_lost_a_part_does_not_count() {
    let shelf = shelf();
    let mut writer = writer(&shelf).await;
    done(writer.take(&store_of(&numbered(100), 1)).await.unwrap());
    let old: Vec<_> = shelf.files("parts").await.unwrap();
    for next in 2..5 {
        done(writer.take(&store_of(&numbered(100 * next), i64::from(next))).await.unwrap());
    }
    for (file, ..) in shelf.files("parts").await.unwrap() {
        if !old.iter().any(|(known, ..)| *known == file) {
            shelf.remove("parts", &file).await.unwrap();
        }
    }
    let keep_one = Retention { keep: 1, ..NOW };
    writer.retain(&keep_one, &mut Kept::default()).await.unwrap();
    let (content, _, restored) = newest(&shelf).await;
    assert_eq!((content, restored.passed_over.len()), (numbered(100), 3));
}

#[tokio::test]
async fn no_part_goes_while_a_manifest_that_stays_cannot_be_read() {
    let shelf = shelf();
    let mut writer = writer(&shelf).await;
    for next in 1..4 {
        done(writer.take(&store_of(&numbered(100 * next), i64::from(next))).await.unwrap());
    }
    let newest = shelf.list().await.unwrap()[0].id;
    shelf.put("manifests", &newest.file(), bytes::Bytes::from_static(b"{")).await.unwrap();
    let keep_one = Retention { keep: 1, ..NOW };
    let removed = writer.retain(&keep_one, &mut Kept::default()).await.unwrap();
    assert_eq!(removed, Removed { manifests: 1, parts: 0 });
}

/// A store whose changelog has offset `log`, and no row that another one has.
fn logged(next: u32, log: i64) -> Arc<dyn Store> {
    let rows = numbered(100).into_keys().map(|key| (key, next.to_be_bytes().to_vec()));
    let store = store_of(&rows.collect(), i64::from(next));
    let mark = Mark { log, ..store.mark().unwrap().unwrap() };
    store.commit(&Delta::default(), mark).unwrap();
    store
}

#[tokio::test]
async fn the_floor_is_that_of_the_oldest_snapshot_that_is_whole() {
    let shelf = shelf();
    let (mut writer, mut kept) = (writer(&shelf).await, Kept::default());
    assert_eq!(kept.floor(&shelf, 1).await.unwrap(), None);
    let mut parts = Vec::new();
    for next in 1..4 {
        done(writer.take(&logged(next, i64::from(10 * next))).await.unwrap());
        parts.push(shelf.files("parts").await.unwrap());
    }
    assert_eq!(kept.floor(&shelf, 4).await.unwrap(), None, "too few");
    assert_eq!(kept.floor(&shelf, 3).await.unwrap(), Some(10));
    for (file, ..) in &parts[0] {
        shelf.remove("parts", file).await.unwrap();
    }
    assert_eq!(kept.floor(&shelf, 2).await.unwrap(), Some(20), "it is of no use any more");
    done(writer.take(&logged(7, -1)).await.unwrap());
    assert_eq!(kept.floor(&shelf, 1).await.unwrap(), None, "it needs who knows how much");
}
