//! What every store promises, as tests that each of them runs.

use super::{
    Delta, Mark, MemoryStore, Pending, Space, SpaceName, StateDb, StateOptions, Store, TaskName,
    Writes,
};
use crate::error::Error;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// Opens a store in a directory, and whether it is there again the next time.
type Open = fn(&Path) -> Arc<dyn Store>;

fn memory(_: &Path) -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

/// One space is laid out by key: its scans merge many ranges.
fn rocks(directory: &Path) -> Arc<dyn Store> {
    let options =
        StateOptions { memory_bytes: 8 << 20, app_id: "suite".into(), wait: Duration::ZERO };
    let task = TaskName { owner: "o".into(), topic: "t".into(), partition: 3, partitions: 8 };
    let spaces = [SpaceName::plain("a"), SpaceName::by_key("b"), SpaceName::scoped("c")];
    StateDb::open(directory, &options).unwrap().store(&task, &spaces).unwrap()
}

const STORES: [(Open, bool); 2] = [(memory, false), (rocks, true)];
const SPACES: [Space; 3] = [Space(0), Space(1), Space(2)];

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, Default)]
struct Model {
    spaces: HashMap<Space, Rows>,
    mark: Option<Mark>,
    pending: Option<Pending>,
    note: Option<Vec<u8>>,
}

impl Model {
    fn write(&mut self, delta: &Delta) {
        for (space, writes) in &delta.0 {
            let rows = self.spaces.entry(*space).or_default();
            for (key, value) in &writes.0 {
                match value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
    }

    fn found(&self, space: Space, prefix: &[u8], after: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.spaces.get(&space).into_iter().flatten();
        rows.filter(|(key, _)| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after)
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Delta),
    /// At the mark, or so far behind it.
    Prepare(i64, Delta),
    Apply,
    Discard,
    Note(Vec<u8>),
    Load(Delta),
    Clear,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'a', 255]), 0..4)
}

fn delta() -> impl Strategy<Value = Delta> {
    let writes = prop::collection::vec((key(), prop::option::of(key())), 0..6);
    let one = (prop::sample::select(SPACES.to_vec()), writes.prop_map(Writes));
    prop::collection::vec(one, 0..3).prop_map(Delta)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => delta().prop_map(Step::Commit),
        4 => (prop::sample::select(vec![0, 0, 0, -1]), delta()).prop_map(|(by, d)| Step::Prepare(by, d)),
        3 => Just(Step::Apply),
        1 => Just(Step::Discard),
        1 => key().prop_map(Step::Note),
        1 => delta().prop_map(Step::Load),
        1 => Just(Step::Clear),
        1 => Just(Step::Reopen),
    ]
}

fn mark(next: i64) -> Mark {
    Mark { next, token: next as u64 ^ 0xABCD, hash: u64::MAX - next as u64, log: next - 1 }
}

/// Does `step` to both.
fn take(step: &Step, next: i64, store: &dyn Store, model: &mut Model) {
    match step {
        Step::Commit(delta) => {
            let before = store.written_bytes();
            store.commit(delta, mark(next)).unwrap();
            assert_eq!(store.written_bytes() - before, delta.content_bytes());
            model.write(delta);
            model.mark = Some(mark(next));
        }
        Step::Prepare(by, delta) => {
            let from = model.mark.map_or(0, |mark| mark.next) + by;
            let pending = Pending { from, mark: mark(next), delta: delta.clone() };
            store.prepare(&pending).unwrap();
            model.pending = Some(pending);
        }
        Step::Apply => {
            let Some(pending) = model.pending.take() else { return };
            store.apply(&pending).unwrap();
            if pending.follows(model.mark) {
                model.write(&pending.delta);
                model.mark = Some(pending.mark);
            }
        }
        Step::Discard => {
            store.discard().unwrap();
            model.pending = None;
        }
        Step::Note(note) => {
            store.set_note(note).unwrap();
            model.note = Some(note.clone());
        }
        Step::Load(delta) => {
            let before = store.written_bytes();
            store.load(delta).unwrap();
            assert_eq!(store.written_bytes(), before);
            model.write(delta);
        }
        Step::Clear => {
            store.clear().unwrap();
            *model = Model::default();
        }
        Step::Reopen => {}
    }
}

fn scanned(
    store: &dyn Store,
    space: Space,
    prefix: &[u8],
    after: Option<&[u8]>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut keep = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    store.scan_after(space, prefix, after, &mut keep).unwrap();
    found
}

fn agree(store: &dyn Store, model: &Model, prefix: &[u8], after: &[u8]) {
    assert_eq!(store.mark().unwrap(), model.mark);
    assert_eq!(store.pending().unwrap(), model.pending);
    assert_eq!(store.note().unwrap(), model.note);
    for space in SPACES {
        for (prefix, after) in [(prefix, None), (prefix, Some(after)), (b"", Some(after))] {
            assert_eq!(
                scanned(store, space, prefix, after),
                model.found(space, prefix, after),
                "{space:?} prefix {prefix:?} after {after:?}"
            );
        }
        let keys = [prefix, b"a", b"", after, prefix];
        let rows = model.spaces.get(&space).cloned().unwrap_or_default();
        let expected: Vec<_> = keys.iter().map(|key| rows.get(*key).cloned()).collect();
        let each: Vec<_> = keys.iter().map(|key| store.get(space, key).unwrap()).collect();
        assert_eq!(each, expected);
        assert_eq!(store.get_many(space, &keys).unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever is done to it, and opened again in between, it has what a map of ordered maps has.
    #[test]
    fn a_store_is_an_ordered_map_with_a_mark_and_a_pending_commit(
        steps in prop::collection::vec(step(), 1..12),
        prefix in key(),
        after in key(),
    ) {
        for (open, durable) in STORES {
            let directory = tempfile::tempdir().unwrap();
            let mut store = open(directory.path());
            let mut model = Model::default();
            for (next, step) in (1..).zip(&steps) {
                take(step, next, &*store, &mut model);
                if durable && matches!(step, Step::Reopen) {
                    drop(store);
                    store = open(directory.path());
                }
                agree(&*store, &model, &prefix, &after);
            }
        }
    }

    /// A frozen view has what there was, whatever is done to the store while it is looked at.
    #[test]
    fn a_frozen_view_stays_as_it_was(
        before in prop::collection::vec(delta(), 1..4),
        later in prop::collection::vec(step(), 1..6),
    ) {
        for (open, _) in STORES {
            let directory = tempfile::tempdir().unwrap();
            let store = open(directory.path());
            let mut model = Model::default();
            for (next, delta) in (1..).zip(before.clone()) {
                take(&Step::Commit(delta), next, &*store, &mut model);
            }
            let was = model.clone();
            store.freeze(&mut |view| {
                for (next, step) in (10..).zip(&later) {
                    take(step, next, &*store, &mut model);
                }
                assert_eq!(view.mark()?, was.mark);
                for space in SPACES {
                    let mut found = Vec::new();
                    view.scan(space, b"", &mut |key, value| {
                        found.push((key.to_vec(), value.to_vec()));
                        Ok(())
                    })?;
                    assert_eq!(found, was.found(space, b"", None));
                }
                Ok(())
            }).unwrap();
            agree(&*store, &model, b"a", b"a");
        }
    }
}

fn two_keys() -> Delta {
    let writes = [b"a", b"b"].map(|key| (key.to_vec(), Some(Vec::new())));
    Delta(vec![(Space::STATE, Writes(writes.to_vec()))])
}

#[test]
fn an_error_ends_a_scan() {
    for (open, _) in STORES {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        store.commit(&two_keys(), mark(1)).unwrap();
        let mut seen = 0;
        let mut refuse = |_: &[u8], _: &[u8]| {
            seen += 1;
            Err(Error::Stopped)
        };
        assert!(store.scan(Space::STATE, b"", &mut refuse).is_err());
        assert_eq!(seen, 1);
    }
}

/// The order of two ways to the same end does not count: a commit that is applied twice counts once.
#[test]
fn a_pending_commit_counts_once() {
    for (open, _) in STORES {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        store.commit(&Delta::default(), mark(3)).unwrap();
        let pending = Pending { from: 3, mark: mark(5), delta: two_keys() };
        store.prepare(&pending).unwrap();
        store.apply(&pending).unwrap();
        let removed = Writes(vec![(b"a".to_vec(), None)]);
        store.commit(&Delta(vec![(Space::STATE, removed)]), mark(6)).unwrap();
        store.prepare(&pending).unwrap();
        store.apply(&pending).unwrap();
        assert_eq!(store.mark().unwrap(), Some(mark(6)));
        assert_eq!(store.pending().unwrap(), None);
        assert_eq!(store.get(Space::STATE, b"a").unwrap(), None);
    }
}
