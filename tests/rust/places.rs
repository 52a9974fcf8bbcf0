//! Tables go on from the places that their store has in the changelogs, and are read whole where those mean nothing.

use crate::{
    log_reader::World,
    restore::{content, delta, log_of, map, mark, progress, send},
};
use std::{collections::BTreeMap, sync::Arc};
use turbine::{
    state::{Delta, MemoryStore, Space, Store, Writes},
    task::{
        changelog::{Changelog, LogRecord, Noting, PLACES_KEY, Places, Written},
        restore::{Goal, Log, Restore, Sources, Table, Tables, bring_back, known_places},
    },
    types::TopicPartition,
};

/// A table's log in which a store is noted to be at some place, and what reads it from there.
struct Noted {
    world: World,
    changelog: Changelog,
    sources: Sources,
    store: Arc<dyn Store>,
}

impl Noted {
    /// `first` is committed at offset 10 by a task that notes its places.
    fn new(is_fenced: bool, first: &[(&str, Option<&str>)]) -> Self {
        let world = World::new(&[]);
        let topic = Arc::clone(&world.topic.topic);
        let noting = Arc::new(Noting::new(Space(1), is_fenced));
        let changelog = Changelog::keys(vec![(Space(0), Arc::clone(&topic))], "orders".into(), 0)
            .noting(Arc::clone(&noting));
        let tables = vec![Table { space: Space(0), topic: Arc::clone(&topic) }];
        let tp = TopicPartition::new("orders", 0);
        let sources = Sources { tp, snapshots: None, log: log_of(tables), topic_id: None };
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let noted = Self { world, changelog, sources, store };
        noting.begin(noted.with(known_places));
        let records = noted.write(10, first);
        let count = records.len() as i64;
        let written = Written { topic, first: 0, next: count, count };
        let mut both = delta(first);
        if let Some((space, writes)) = noted.changelog.note(&[written]) {
            both.push(space, writes);
        }
        noted.store.commit(&both, mark(10, 0)).unwrap();
        noted
    }

    fn with<T>(&self, look: impl FnOnce(&Restore<'_>, &Tables) -> T) -> T {
        let Log::Tables(tables) = &self.sources.log else { panic!("a table") };
        let (logs, progress) = (self.world.logs(), progress());
        let store = &*self.store;
        look(&Restore { logs: &logs, store, progress: &progress, is_wanted: &|| true }, tables)
    }

    /// Writes a commit up to offset `next`, as another owner would.
    fn write(&self, next: i64, writes: &[(&str, Option<&str>)]) -> Vec<LogRecord> {
        let records = self.changelog.records(&delta(writes), 0, &mark(next, 0)).unwrap();
        send(&self.world.plain(), &records);
        records
    }

    /// Brings the store to offset `to`; the keys that were read for it, and what it has then.
    fn restored(&self, to: i64) -> (u64, BTreeMap<String, String>) {
        let (logs, progress) = (self.world.logs(), progress());
        let store = &*self.store;
        let restore = Restore { logs: &logs, store, progress: &progress, is_wanted: &|| true };
        let goal = Goal { to, token: 0, hash: 0, is_exact: false };
        assert_eq!(bring_back(&restore, &self.sources, Some(goal)).unwrap().unwrap().next, to);
        (progress.seen().keys, content(store, Space(0)))
    }
}

#[test]
fn a_table_whose_worker_was_away_reads_only_what_came_since() {
    let many: Vec<String> = (0..500).map(|n| format!("k{n:03}")).collect();
    let first: Vec<_> = many.iter().map(|key| (key.as_str(), Some("1"))).collect();
    let noted = Noted::new(true, &first);
    noted.write(20, &[("k000", None), ("k001", Some("2"))]);
    noted.write(30, &[("k001", Some("3")), ("new", Some("1"))]);
    let (read, content) = noted.restored(30);
    assert_eq!(read, 4);
    assert_eq!((content.len(), content.get("k000")), (500, None));
    assert_eq!((&*content["k001"], &*content["new"], &*content["k499"]), ("3", "1", "1"));
    // Where it is now is noted as well.
    noted.write(40, &[("k002", Some("4"))]);
    let (read, content) = noted.restored(40);
    assert_eq!((read, &*content["k002"]), (1, "4"));
    // Commits that changed no table are in no log.
    assert_eq!(noted.restored(50).0, 0);
}

#[test]
fn a_table_is_read_whole_where_its_place_means_nothing() {
    let writes = [("a", Some("1")), ("b", Some("1"))];
    // A commit of which only a part is there, behind the place.
    let noted = Noted::new(true, &writes);
    let torn =
        noted.changelog.records(&delta(&[("a", Some("x")), ("c", Some("x"))]), 0, &mark(20, 0));
    send(&noted.world.plain(), &torn.unwrap()[..1]);
    assert_eq!(noted.restored(15), (2, map(&writes.map(|(key, value)| (key, value.unwrap())))));
    // The place, and what stands behind it, is gone from the log.
    let noted = Noted::new(true, &writes);
    noted.write(20, &[("a", Some("2")), ("b", Some("2"))]);
    noted.write(30, &[("c", Some("3"))]);
    noted.world.delete_before(3);
    assert_eq!(noted.restored(30), (2, map(&[("b", "2"), ("c", "3")])));
    // It is of a topic that had the name before, too old, of a time to come; or a crash has left half of what came.
    let spoils: [fn(&mut Places); 3] = [
        |places| places.logs.values_mut().for_each(|place| place.id = "another".into()),
        |places| places.at_ms -= 86_400_000 / 2,
        |places| places.at_ms = i64::MAX,
    ];
    let spoils = spoils.into_iter().map(Some).chain([None]);
    for spoil in spoils {
        let noted = Noted::new(true, &writes);
        noted.write(20, &[("c", Some("1"))]);
        let bytes = noted.store.get(Space(1), PLACES_KEY).unwrap().unwrap();
        let mut places = Places::of_bytes(&bytes).unwrap();
        let bytes = spoil.map_or_else(Vec::new, |spoil| {
            spoil(&mut places);
            places.to_bytes()
        });
        let delta = Delta(vec![(Space(1), Writes(vec![(PLACES_KEY.to_vec(), Some(bytes))]))]);
        noted.store.commit(&delta, mark(10, 0)).unwrap();
        assert_eq!(noted.restored(20).0, 3);
    }
}

#[test]
fn what_a_zombie_may_have_written_in_front_is_read_again() {
    let noted = Noted::new(false, &[("a", Some("1"))]);
    // The successor's commit, and behind it one of a worker that does not know of it.
    noted.write(20, &[("b", Some("successor"))]);
    let topic = Arc::clone(&noted.world.topic.topic);
    noted.write(15, &[("a", Some("zombie"))]);
    let written = Written { topic, first: 2, next: 3, count: 1 };
    assert_eq!(noted.changelog.note(&[written]), None);
    noted.store.commit(&delta(&[("a", Some("zombie"))]), mark(15, 0)).unwrap();
    assert_eq!(noted.restored(20), (2, map(&[("a", "zombie"), ("b", "successor")])));
}
