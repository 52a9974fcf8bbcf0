//! The state of a task against a plain map.

use super::*;
use crate::state::{Mark, MemoryStore};
use proptest::prelude::*;

const SPACES: [Space; 2] = [Space::STATE, Space::TIMERS];
type Map = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Vec<u8>, Option<Vec<u8>>),
    Savepoint,
    /// Take back to the n-th savepoint of the batch.
    Rollback(prop::sample::Index),
    Discard,
    Seal,
    /// The oldest sealed batches are in the store, so many.
    Apply(usize),
    Look(usize, Vec<u8>),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, b'a', b'b', 255]), 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, key(), prop::option::of(key())).prop_map(|(s, k, v)| Step::Put(s, k, v)),
        2 => Just(Step::Savepoint),
        1 => any::<prop::sample::Index>().prop_map(Step::Rollback),
        1 => Just(Step::Discard),
        3 => Just(Step::Seal),
        2 => (1..3_usize).prop_map(Step::Apply),
        3 => (0..2_usize, key()).prop_map(|(space, prefix)| Step::Look(space, prefix)),
    ]
}

fn scanned(state: &TaskState, space: Space, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut keep = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    state.scan(space, prefix, &mut keep).unwrap();
    found
}

fn agree(state: &TaskState, model: &Map, space: Space, prefix: &[u8]) {
    let expected: Vec<_> = model
        .iter()
        .filter(|((at, key), _)| *at == space && key.starts_with(prefix))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(scanned(state, space, prefix), expected);
    for most in 0..=expected.len() {
        let mut found = Vec::new();
        let mut keep = |key: &[u8], _: &[u8]| {
            found.push(key.to_vec());
            Ok(if found.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        state.visit(space, prefix, &mut keep).unwrap();
        assert_eq!(found.len(), expected.len().min(most + 1));
    }
    let keys: [&[u8]; 4] = [prefix, b"a", b"", b"ab"];
    let values: Vec<_> =
        keys.iter().map(|key| model.get(&(space, key.to_vec())).cloned()).collect();
    assert_eq!(state.get_many(space, &keys).unwrap(), values);
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(state.get(space, key).unwrap(), value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is written, taken back, sealed and stored in whatever order: reads and scans are those
    /// of a plain map, and the store has what the sealed batches wrote.
    #[test]
    fn state_is_a_map_with_savepoints(steps in prop::collection::vec(step(), 0..60)) {
        let store = Arc::new(MemoryStore::default());
        let state = TaskState::new(Arc::clone(&store) as _);
        let (mut model, mut sealed_model) = (Map::new(), Map::new());
        let mut savepoints: Vec<(Savepoint, Map)> = Vec::new();
        let (mut ticket, mut sealed) = (0, VecDeque::new());
        for step in steps {
            match step {
                Step::Put(space, key, value) => {
                    let at = (SPACES[space], key.clone());
                    match &value {
                        Some(value) => model.insert(at, value.clone()),
                        None => model.remove(&at),
                    };
                    state.put(SPACES[space], key, value);
                }
                Step::Savepoint => savepoints.push((state.savepoint(), model.clone())),
                Step::Rollback(which) if !savepoints.is_empty() => {
                    savepoints.truncate(which.index(savepoints.len()) + 1);
                    let (savepoint, before) = savepoints.last().unwrap();
                    state.rollback(*savepoint);
                    model.clone_from(before);
                }
                Step::Rollback(_) => {}
                Step::Discard => {
                    state.discard();
                    savepoints.clear();
                    model.clone_from(&sealed_model);
                }
                Step::Seal => {
                    sealed.push_back((ticket, state.seal(ticket)));
                    ticket += 1;
                    savepoints.clear();
                    sealed_model.clone_from(&model);
                }
                Step::Apply(count) => {
                    for (ticket, delta) in sealed.drain(..count.min(sealed.len())) {
                        let mark = Mark { next: 0, token: 0, hash: 0, log: -1 };
                        store.commit(&delta, mark).unwrap();
                        state.applied(ticket);
                    }
                }
                Step::Look(space, prefix) => agree(&state, &model, SPACES[space], &prefix),
            }
        }
        SPACES.iter().for_each(|space| agree(&state, &model, *space, b""));
        state.discard();
        for (ticket, delta) in sealed {
            store.commit(&delta, Mark { next: 0, token: 0, hash: 0, log: -1 }).unwrap();
            state.applied(ticket);
        }
        SPACES.iter().for_each(|space| agree(&TaskState::new(Arc::clone(&store) as _), &sealed_model, *space, b""));
        let inner = state.inner.lock();
        prop_assert!(inner.sealed.values().all(BTreeMap::is_empty) && inner.waiting.is_empty());
    }
}
