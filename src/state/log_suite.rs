//! What every store promises, as tests that each of them runs.

use super::{LogStore, WindowStore, Writes};
use proptest::prelude::*;
use std::{collections::BTreeMap, path::Path};

type Open = fn(&Path) -> Box<dyn WindowStore>;

fn log(directory: &Path) -> Box<dyn WindowStore> {
    Box::new(LogStore::open(&directory.join("0.log")).unwrap())
}

const STORES: [(Open, bool); 1] = [(log, true)];

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn scanned(store: &dyn WindowStore, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut keep = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    store.scan(prefix, &mut keep).unwrap();
    found
}

fn agree(store: &dyn WindowStore, model: &Model, prefix: &[u8]) {
    let expected: Vec<_> = model
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(scanned(store, prefix), expected);
    for key in [prefix, b"a", b""] {
        assert_eq!(store.get(key).unwrap(), model.get(key).cloned());
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, b'a', b'b', 255]), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After any commits, and after opening a durable store again, it is an ordered map.
    #[test]
    fn a_store_is_an_ordered_map(
        commits in prop::collection::vec(
            prop::collection::vec((key(), prop::option::of(key())), 0..6), 1..6,
        ),
        prefix in key(),
    ) {
        for (open, durable) in STORES {
            let directory = tempfile::tempdir().unwrap();
            let mut store = open(directory.path());
            let mut model = Model::new();
            prop_assert_eq!(store.next(), None);
            for (next, writes) in (0..).zip(&commits) {
                store.commit(&Writes(writes.clone()), next).unwrap();
                for (key, value) in writes {
                    match value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(key),
                    };
                }
                prop_assert_eq!(store.next(), Some(next));
                agree(&*store, &model, &prefix);
            }
            if durable {
                let next = store.next();
                drop(store);
                let store = open(directory.path());
                prop_assert_eq!(store.next(), next);
                agree(&*store, &model, &prefix);
            }
        }
    }
}

/// What `each` returns ends a scan.
#[test]
fn an_error_ends_a_scan() {
    for (open, _) in STORES {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let writes = [b"a", b"b"].map(|key| (key.to_vec(), Some(Vec::new())));
        store.commit(&Writes(writes.to_vec()), 1).unwrap();
        let mut seen = 0;
        let mut refuse = |_: &[u8], _: &[u8]| {
            seen += 1;
            Err(crate::error::Error::Stopped)
        };
        assert!(store.scan(b"", &mut refuse).is_err());
        assert_eq!(seen, 1);
    }
}
