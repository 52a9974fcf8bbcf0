//! Damage to what is in the object store is found before it is used.

use super::{done, mark, numbered, restored, runtime, shelf, store_of, writer};
use crate::state::snapshot::{Shelf, Wanted};
use bytes::Bytes;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Damage {
    Removed,
    Truncated(prop::sample::Index),
    Flipped(prop::sample::Index),
    Swapped(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let how = prop_oneof![
        Just(Damage::Removed),
        any::<prop::sample::Index>().prop_map(Damage::Truncated),
        any::<prop::sample::Index>().prop_map(Damage::Flipped),
        any::<prop::sample::Index>().prop_map(Damage::Swapped),
    ];
    (any::<prop::sample::Index>(), how)
}

async fn files(shelf: &Shelf) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for folder in ["manifests", "parts"] {
        found.extend(
            shelf.files(folder).await.unwrap().into_iter().map(|(file, ..)| (folder, file)),
        );
    }
    found
}

async fn read(shelf: &Shelf, (folder, file): &(&str, String)) -> Bytes {
    shelf.get(folder, file, u64::MAX).await.unwrap().unwrap_or_default()
}

async fn apply(shelf: &Shelf, at: &(&str, String), other: &(&str, String), damage: &Damage) {
    let mut bytes = read(shelf, at).await.to_vec();
    match damage {
        Damage::Removed => return shelf.remove(at.0, &at.1).await.unwrap(),
        Damage::Truncated(cut) => bytes.truncate(cut.index(bytes.len().max(1))),
        Damage::Flipped(bit) if !bytes.is_empty() => {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Damage::Flipped(_) => {}
        Damage::Swapped(_) => bytes = read(shelf, other).await.to_vec(),
    }
    shelf.put(at.0, &at.1, bytes.into()).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is missing, cut, flipped or exchanged: one of the three contents, or an error in words.
    #[test]
    fn a_damaged_snapshot_is_passed_over_and_never_believed(
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        runtime().block_on(async {
            let shelf = shelf();
            let mut writer = writer(&shelf).await;
            for rows in [40, 80, 120] {
                done(writer.take(&store_of(&numbered(rows), i64::from(rows))).await.unwrap());
            }
            let all = files(&shelf).await;
            for (at, damage) in &damages {
                let other = match damage {
                    Damage::Swapped(other) => &all[other.index(all.len())],
                    _ => &all[0],
                };
                apply(&shelf, &all[at.index(all.len())], other, damage).await;
            }
            match restored(&shelf, &Wanted::default()).await {
                Ok(Some((content, at, restored))) => {
                    let rows = u32::try_from(restored.mark.next).unwrap();
                    assert!([40, 80, 120].contains(&rows));
                    assert_eq!((content, at), (numbered(rows), Some(mark(rows.into()))));
                }
                Ok(None) => {
                    let left = shelf.list().await.unwrap();
                    assert!(left.is_empty(), "{left:?} was there and nobody said why not");
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.contains("not one of"), "{said}");
                }
            }
        });
    }
}

#[tokio::test]
async fn a_damaged_part_leads_to_the_older_snapshot_and_is_named() {
    let shelf = shelf();
    let mut writer = writer(&shelf).await;
    done(writer.take(&store_of(&numbered(30), 30)).await.unwrap());
    let before = files(&shelf).await;
    done(writer.take(&store_of(&numbered(300), 300)).await.unwrap());
    let new =
        files(&shelf).await.into_iter().find(|file| file.0 == "parts" && !before.contains(file));
    let (folder, file) = new.unwrap();
    let mut bytes = read(&shelf, &(folder, file.clone())).await.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    shelf.put(folder, &file, bytes.into()).await.unwrap();
    let (content, _, found) = restored(&shelf, &Wanted::default()).await.unwrap().unwrap();
    assert_eq!(content, numbered(30));
    assert_eq!(found.passed_over.len(), 1);
    assert!(found.passed_over[0].contains(&file), "{:?}", found.passed_over);
}
