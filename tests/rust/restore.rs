//! State comes back from its changelog, into a store in memory and one on a disk.

use crate::log_reader::World;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use turbine::{
    config::OnGap,
    engine::{
        halt::Reason,
        inputs::{KEY, Positions},
        receipt::Receipt,
    },
    error::Result,
    metrics::Metrics,
    state::{
        Delta, Mark, MemoryStore, Space, SpaceName, StateDb, StateOptions, Store, TaskName, Writes,
    },
    task::{
        changelog::{Changelog, LogRecord, Origin, Source},
        commit::CatchUp as _,
        restore::{
            GapPolicy, Goal, Log, Progress, Recover, Replay, Restore, Snapshots, Sources, Table,
            Tables, bring_back,
        },
    },
    types::TopicPartition,
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn names() -> Arc<[Arc<str>]> {
    ["state", "windows", "timers"].map(Arc::from).into()
}

/// A store of each kind, with what keeps it alive.
fn stores() -> Vec<(Arc<dyn Store>, Option<tempfile::TempDir>)> {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let directory = tempfile::tempdir().unwrap();
    let options =
        StateOptions { memory_bytes: 32 << 20, app_id: "app".into(), wait: Duration::from_secs(1) };
    let task =
        TaskName { owner: "totals".into(), topic: "orders".into(), partition: 0, partitions: 1 };
    let spaces = ["state", "windows", "timers"].map(SpaceName::plain);
    let disk = StateDb::open(directory.path(), &options).unwrap().store(&task, &spaces).unwrap();
    vec![(memory, None), (disk, Some(directory))]
}

pub fn content(store: &dyn Store, space: Space) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut keep = |key: &[u8], value: &[u8]| {
        found.insert(text(key), text(value));
        Ok(())
    };
    store.scan(space, b"", &mut keep).unwrap();
    found
}

pub fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn delta(writes: &[(&str, Option<&str>)]) -> Delta {
    let write = |(key, value): &(&str, Option<&str>)| {
        (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()))
    };
    Delta(vec![(Space::STATE, Writes(writes.iter().map(write).collect()))])
}

pub fn mark(next: i64, token: u64) -> Mark {
    Mark { next, token, hash: token, log: -1 }
}

pub fn send(producer: &BaseProducer, records: &[LogRecord]) {
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        let mut out = BaseRecord::to(&record.topic).partition(record.partition).headers(headers);
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        producer.send(out).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

/// A changelog of commits, and what restores from it.
struct Deltas {
    world: World,
    changelog: Changelog,
}

impl Deltas {
    fn new() -> Self {
        let world = World::new(&[]);
        let topic = Arc::clone(&world.topic.topic);
        Self { changelog: Changelog::deltas(topic, "orders".into(), 0, names()), world }
    }

    fn write(&self, producer: &BaseProducer, from: i64, to: Mark, writes: &[(&str, Option<&str>)]) {
        send(producer, &self.changelog.records(&delta(writes), from, &to).unwrap());
        self.changelog.settled();
    }

    fn sources(&self) -> Sources {
        Sources {
            tp: TopicPartition::new("orders", 0),
            snapshots: None,
            log: Log::Deltas(Arc::clone(&self.world.topic.topic), names()),
            topic_id: None,
        }
    }
}

fn run(world: &World, store: &dyn Store, sources: &Sources, goal: Option<Goal>) -> Option<Mark> {
    try_run(world, store, sources, goal).unwrap()
}

fn try_run(
    world: &World,
    store: &dyn Store,
    sources: &Sources,
    goal: Option<Goal>,
) -> Result<Option<Mark>> {
    let (logs, progress) = (world.logs(), progress());
    let restore = Restore { logs: &logs, store, progress: &progress, is_wanted: &|| true };
    bring_back(&restore, sources, goal)
}

pub fn progress() -> Progress {
    Progress::new("totals-p0".into(), Metrics::new().restore("totals-p0"))
}

fn exactly(to: i64, token: u64) -> Option<Goal> {
    Some(Goal { to, token, hash: token, is_exact: true })
}

#[test]
fn commits_are_applied_from_where_the_state_is() {
    let deltas = Deltas::new();
    let producer = deltas.world.plain();
    deltas.changelog.begins_with(Origin::Nothing);
    deltas.write(&producer, 0, mark(10, 1), &[("a", Some("1")), ("b", Some("1"))]);
    deltas.write(&producer, 10, mark(20, 2), &[("a", Some("2")), ("b", None)]);
    deltas.write(&producer, 20, mark(20, 3), &[("timer", Some("1"))]);
    for (store, _directory) in stores() {
        let found = run(&deltas.world, &*store, &deltas.sources(), exactly(20, 3));
        assert_eq!(found, Some(Mark { log: 3, ..mark(20, 3) }));
        assert_eq!(content(&*store, Space::STATE), map(&[("a", "2"), ("timer", "1")]));
    }
    // A store that is somewhere in between only gets what follows.
    for (store, _directory) in stores() {
        store.commit(&delta(&[("a", Some("mine"))]), mark(10, 1)).unwrap();
        run(&deltas.world, &*store, &deltas.sources(), None);
        assert_eq!(content(&*store, Space::STATE), map(&[("a", "2"), ("timer", "1")]));
        // What is at offset 15 is of another history than the log.
        store.commit(&delta(&[("a", Some("other")), ("z", Some("1"))]), mark(15, 9)).unwrap();
        assert_eq!(run(&deltas.world, &*store, &deltas.sources(), None).unwrap().next, 20);
        assert_eq!(content(&*store, Space::STATE), map(&[("a", "2"), ("timer", "1")]));
    }
    // Without its beginning the log leads there from nowhere: nothing is made up.
    deltas.world.delete_before(1);
    for (store, _directory) in stores() {
        store.commit(&delta(&[("a", Some("other"))]), mark(15, 9)).unwrap();
        assert_eq!(run(&deltas.world, &*store, &deltas.sources(), None).unwrap().next, 15);
        assert_eq!(content(&*store, Space::STATE)["a"], "other");
    }
}

#[test]
fn aborted_commits_foreign_tasks_and_garbage_change_nothing() {
    let deltas = Deltas::new();
    let producer = deltas.world.transactional("t");
    let commit = |abort: bool, from, to, writes: &[(&str, Option<&str>)]| {
        producer.begin_transaction().unwrap();
        if abort {
            send(&producer, &deltas.changelog.records(&delta(writes), from, &to).unwrap());
            producer.abort_transaction(TIMEOUT).unwrap();
        } else {
            deltas.write(&producer, from, to, writes);
            producer.commit_transaction(TIMEOUT).unwrap();
        }
    };
    deltas.changelog.begins_with(Origin::Nothing);
    commit(true, 0, mark(10, 1), &[("a", Some("aborted"))]);
    commit(false, 0, mark(10, 2), &[("a", Some("1"))]);
    let topic = Arc::clone(&deltas.world.topic.topic);
    let other = Changelog::deltas(Arc::clone(&topic), "payments".into(), 0, names());
    let plain = deltas.world.plain();
    send(&plain, &other.records(&delta(&[("a", Some("theirs"))]), 10, &mark(20, 3)).unwrap());
    let garbage = LogRecord {
        topic,
        partition: 0,
        key: Some(b"orders".to_vec()),
        value: Some(b"garbage".to_vec()),
        headers: Vec::new(),
    };
    send(&plain, &[garbage]);
    commit(false, 10, mark(20, 4), &[("b", Some("1"))]);
    commit(true, 20, mark(30, 5), &[("b", Some("aborted"))]);
    for (store, _directory) in stores() {
        let found = run(&deltas.world, &*store, &deltas.sources(), exactly(20, 4)).unwrap();
        assert_eq!((found.next, found.token), (20, 4));
        assert_eq!(content(&*store, Space::STATE), map(&[("a", "1"), ("b", "1")]));
    }
}

/// Where a store says that it is in the log need not be there any more, nor ever have been.
#[test]
fn a_place_that_the_log_does_not_have_costs_reading_and_nothing_else() {
    let deltas = Deltas::new();
    let producer = deltas.world.plain();
    for (from, next) in [(0, 10), (10, 20), (20, 30)] {
        deltas.write(&producer, from, mark(next, 0), &[("a", Some(&next.to_string()))]);
    }
    let restored = |log| {
        let found = stores().into_iter().map(|(store, _directory)| {
            store.commit(&delta(&[("a", Some("10"))]), Mark { log, ..mark(10, 0) }).unwrap();
            let found = run(&deltas.world, &*store, &deltas.sources(), None).unwrap();
            assert_eq!(content(&*store, Space::STATE)["a"], found.next.to_string());
            found.next
        });
        let mut found: Vec<i64> = found.collect();
        found.dedup();
        found
    };
    for log in [-1, 0, 1, 2, 3_000] {
        assert_eq!(restored(log), [30], "said to be at {log}");
    }
    deltas.world.delete_before(1);
    assert_eq!(restored(0), [30], "what is gone is not needed");
    deltas.world.delete_before(2);
    for log in [0, 1, 2] {
        assert_eq!(restored(log), [10], "a commit is missing");
    }
}

/// Commits about a topic that was deleted since are none of the topic that has its name now.
#[test]
fn commits_about_another_topic_of_the_name_are_left_out() {
    let deltas = Deltas::new();
    let producer = deltas.world.plain();
    let of = |id: &str| {
        let source = Source { topic: "orders".into(), id: Some(id.into()) };
        Changelog::deltas(Arc::clone(&deltas.world.topic.topic), source, 0, names())
    };
    for (id, next) in [("first", 10), ("first", 80), ("second", 10)] {
        let changelog = of(id);
        let from = if next == 80 { 10 } else { 0 };
        if from == 0 {
            changelog.begins_with(Origin::Nothing);
        }
        send(
            &producer,
            &changelog.records(&delta(&[(id, Some("1"))]), from, &mark(next, 0)).unwrap(),
        );
    }
    for (id, next) in [("first", 80), ("second", 10)] {
        let sources = Sources { topic_id: Some(id.into()), ..deltas.sources() };
        for (store, _directory) in stores() {
            assert_eq!(run(&deltas.world, &*store, &sources, None).unwrap().next, next);
            assert_eq!(content(&*store, Space::STATE), map(&[(id, "1")]));
        }
    }
}

/// State that began anew replaces what there was; records that were left out on purpose are no gap.
#[test]
fn a_changelog_says_what_its_commits_begin_with() {
    let deltas = Deltas::new();
    let producer = deltas.world.plain();
    deltas.changelog.begins_with(Origin::Nothing);
    deltas.write(&producer, 0, mark(10, 0), &[("a", Some("1"))]);
    deltas.changelog.begins_with(Origin::Nothing);
    deltas.write(&producer, 40, mark(50, 0), &[("b", Some("1"))]);
    deltas.changelog.begins_with(Origin::At(50));
    deltas.write(&producer, 80, mark(90, 0), &[("c", Some("1"))]);
    for (store, _directory) in stores() {
        assert_eq!(run(&deltas.world, &*store, &deltas.sources(), None).unwrap().next, 90);
        assert_eq!(content(&*store, Space::STATE), map(&[("b", "1"), ("c", "1")]));
    }
}

/// A commit without an acknowledgement is written again, with what came since.
#[test]
fn a_commit_that_was_written_again_replaces_the_first_try() {
    let deltas = Deltas::new();
    let producer = deltas.world.plain();
    deltas.write(&producer, -1, mark(10, 0), &[("a", Some("1"))]);
    deltas.write(&producer, 10, mark(20, 0), &[("a", Some("2")), ("b", Some("1"))]);
    deltas.write(&producer, 10, mark(30, 0), &[("a", Some("3")), ("b", Some("1"))]);
    deltas.write(&producer, 30, mark(40, 0), &[("c", Some("1"))]);
    for (store, _directory) in stores() {
        assert_eq!(run(&deltas.world, &*store, &deltas.sources(), None).unwrap().next, 40);
        let expected = map(&[("a", "3"), ("b", "1"), ("c", "1")]);
        assert_eq!(content(&*store, Space::STATE), expected);
    }
}

/// The changelogs of `tables`, whose task reads one topic.
pub fn log_of(tables: Vec<Table>) -> Log {
    log_of_topics(tables, &["orders"])
}

fn log_of_topics(tables: Vec<Table>, topics: &[&str]) -> Log {
    let inputs = Space(tables.len() as u16);
    let topics = topics.iter().map(|&topic| topic.into()).collect();
    Log::Tables(Tables { tables, topics, inputs })
}

#[test]
fn tables_get_their_newest_values_and_no_part_of_a_commit() {
    let world = World::new(&[]);
    let topics: Vec<Arc<str>> = vec![Arc::clone(&world.topic.topic), world.another().into()];
    let spaces = || (0..).map(Space).zip(topics.iter().cloned());
    let changelog = Changelog::keys(spaces().collect(), "orders".into(), 0);
    let records = |next, a: &[(&str, Option<&str>)], b: &[(&str, Option<&str>)]| {
        let mut both = delta(a);
        both.push(Space(1), delta(b).0.remove(0).1);
        changelog.records(&both, 0, &mark(next, 0)).unwrap()
    };
    let producer = world.plain();
    send(&producer, &records(10, &[("a", Some("1")), ("b", Some("1"))], &[("x", Some("1"))]));
    send(&producer, &records(20, &[("a", Some("2")), ("b", None)], &[("y", Some("1"))]));
    let torn = records(30, &[("a", Some("torn"))], &[("x", Some("torn")), ("z", Some("torn"))]);
    send(&producer, &torn[..2]);
    let tables = spaces().map(|(space, topic)| Table { space, topic }).collect();
    let log = log_of(tables);
    let sources =
        Sources { tp: TopicPartition::new("orders", 0), snapshots: None, log, topic_id: None };
    for (store, _directory) in stores() {
        let goal = Goal { to: 5, token: 0, hash: 0, is_exact: false };
        assert_eq!(run(&world, &*store, &sources, Some(goal)).unwrap().next, 20);
        assert_eq!(content(&*store, Space(0)), map(&[("a", "2")]));
        assert_eq!(content(&*store, Space(1)), map(&[("x", "1"), ("y", "1")]));
    }
}

#[test]
fn tables_of_several_topics_say_where_each_of_them_is() {
    let world = World::new(&[]);
    let topic = Arc::clone(&world.topic.topic);
    let inputs = Space(1);
    let positions =
        |a: i64, b: i64| Positions([("orders".into(), a), ("returns".into(), b)].into());
    let changelog = Changelog::keys(vec![(Space(0), Arc::clone(&topic))], "orders".into(), 0)
        .with_inputs(inputs);
    let write = |at: &Positions, writes: &[(&str, Option<&str>)]| {
        let mut delta = delta(writes);
        delta.push(inputs, Writes(vec![(KEY.to_vec(), Some(at.to_bytes()))]));
        changelog.records(&delta, 0, &mark(at.number().unwrap(), 0)).unwrap()
    };
    let producer = world.plain();
    send(&producer, &write(&positions(4, 6), &[("a", Some("1")), ("b", Some("1"))]));
    send(&producer, &write(&positions(4, 9), &[("a", Some("2"))]));
    send(&producer, &write(&positions(5, 9), &[("a", Some("torn")), ("c", Some("torn"))])[..1]);
    let sources = |topics: &[&str]| Sources {
        tp: TopicPartition::new("orders", 0),
        snapshots: None,
        log: log_of_topics(vec![Table { space: Space(0), topic: Arc::clone(&topic) }], topics),
        topic_id: None,
    };
    let goal = |to| Some(Goal { to, token: 0, hash: 0, is_exact: false });
    for (store, _directory) in stores() {
        let both = sources(&["orders", "returns"]);
        assert_eq!(run(&world, &*store, &both, goal(10)).unwrap().next, 13);
        assert_eq!(content(&*store, Space(0)), map(&[("a", "2"), ("b", "1")]));
        let stored = store.get(inputs, KEY).unwrap().and_then(|bytes| Positions::of_bytes(&bytes));
        assert_eq!(stored, Some(positions(4, 9)), "the torn commit does not count");
        // What the group has committed since changed nothing in the table: then the group says where.
        assert_eq!(run(&world, &*store, &both, goal(15)).unwrap().next, 15);
        assert_eq!(store.get(inputs, KEY).unwrap(), None);
    }
}

#[test]
fn a_table_of_several_topics_is_not_gone_on_with_by_one_of_them() {
    let world = World::new(&[]);
    let topic = Arc::clone(&world.topic.topic);
    let at = Positions([("orders".into(), 4), ("returns".into(), 6)].into());
    let changelog = Changelog::keys(vec![(Space(0), Arc::clone(&topic))], "orders".into(), 0)
        .with_inputs(Space(1));
    let mut delta = delta(&[("a", Some("1"))]);
    delta.push(Space(1), Writes(vec![(KEY.to_vec(), Some(at.to_bytes()))]));
    send(&world.plain(), &changelog.records(&delta, 0, &mark(10, 0)).unwrap());
    for (left, missing) in [("orders", "returns"), ("returns", "orders")] {
        let log =
            log_of_topics(vec![Table { space: Space(0), topic: Arc::clone(&topic) }], &[left]);
        let tp = TopicPartition::new(left, 0);
        let sources = Sources { tp, snapshots: None, log, topic_id: None };
        for (store, _directory) in stores() {
            let said = try_run(&world, &*store, &sources, None).unwrap_err().to_string();
            assert!(said.contains(&format!("agents of {missing} too")), "{said}");
        }
    }
}

#[test]
fn a_table_is_restored_whole_and_only_where_that_is_needed() {
    let world = World::new(&[]);
    let topic = Arc::clone(&world.topic.topic);
    let changelog = Changelog::keys(vec![(Space(0), Arc::clone(&topic))], "orders".into(), 0);
    let producer = world.plain();
    let write = |next, writes: &[(&str, Option<&str>)]| {
        changelog.records(&delta(writes), 0, &mark(next, 0)).unwrap()
    };
    send(&producer, &write(10, &[("a", Some("1")), ("b", Some("1"))]));
    send(&producer, &write(20, &[("a", Some("2")), ("b", None)]));
    send(&producer, &write(30, &[("a", Some("torn")), ("c", Some("torn"))])[..1]);
    let log = log_of(vec![Table { space: Space(0), topic }]);
    let sources =
        Sources { tp: TopicPartition::new("orders", 0), snapshots: None, log, topic_id: None };
    let at_least = |to| Some(Goal { to, token: 0, hash: 0, is_exact: false });
    for (store, _directory) in stores() {
        assert_eq!(run(&world, &*store, &sources, at_least(5)).unwrap().next, 20);
        assert_eq!(content(&*store, Space(0)), map(&[("a", "2")]));
        store.commit(&delta(&[("a", Some("mine"))]), mark(25, 0)).unwrap();
        assert_eq!(run(&world, &*store, &sources, at_least(25)).unwrap().next, 25);
        assert_eq!(content(&*store, Space(0)), map(&[("a", "mine")]), "it is as new as can be");
        assert_eq!(run(&world, &*store, &sources, at_least(26)).unwrap().next, 26);
        assert_eq!(content(&*store, Space(0)), map(&[("a", "2")]), "another worker had it since");
        let found = run(&world, &*store, &sources, exactly(30, 7)).unwrap();
        assert_eq!((found.next, found.token), (30, 7));
    }
}

/// What a gap leads to, from the state at offset `at` to the committed offset 20.
fn gap(
    deltas: &Deltas,
    at: Option<i64>,
    policy: GapPolicy,
) -> (Arc<dyn Store>, Result<Option<Replay>, Reason>) {
    let (store, _) = stores().remove(0);
    if let Some(at) = at {
        store.commit(&delta(&[("a", Some("old"))]), mark(at, 0)).unwrap();
    }
    let metrics = Metrics::new();
    let mut recover = recover(deltas, &store, policy, &metrics);
    let done = recover.catch_up(at, (20, 7, 9), None);
    let text = metrics.text(0);
    assert!(text.contains("turbine_eos_state_gap_events{worker=\"totals-p0\"} 1"), "{text}");
    let planned = *recover.replay.lock();
    (store, done.map(|()| planned).map_err(|halt| halt.reason))
}

fn recover(
    deltas: &Deltas,
    store: &Arc<dyn Store>,
    policy: GapPolicy,
    metrics: &Metrics,
) -> Recover {
    Recover {
        logs: Arc::new(deltas.world.logs()),
        store: Arc::clone(store),
        sources: Sources {
            tp: deltas.world.topic.clone(),
            snapshots: None,
            log: Log::None,
            topic_id: None,
        },
        progress: Arc::new(progress()),
        is_wanted: Arc::new(|| true),
        generation: Arc::default(),
        policy,
        metrics: metrics.gaps("totals-p0"),
        changelog: Some(deltas.changelog.clone()),
        replay: Arc::default(),
    }
}

/// There is nothing to look for, and nothing is missing.
#[test]
fn behind_a_reset_there_is_no_gap() {
    let deltas = Deltas::new();
    let policy = GapPolicy { on_gap: OnGap::Replay, halt_if_exceeds: Some(1), can_replay: true };
    let (store, _) = stores().remove(0);
    store.commit(&delta(&[("a", Some("old"))]), mark(50, 0)).unwrap();
    let metrics = Metrics::new();
    let reset = Receipt { generation: 5, time_ms: 1, ..Receipt::plain(20, 0) };
    let done = recover(&deltas, &store, policy, &metrics).catch_up(None, (20, 0, 0), Some(&reset));
    assert_eq!(done.map_err(|halt| halt.reason), Ok(()));
    assert_eq!(store.mark().unwrap().map(|mark| mark.next), Some(20));
    assert_eq!(content(&*store, Space(0)), map(&[]));
}

#[test]
fn a_gap_is_replayed_accepted_or_halts() {
    let deltas = Deltas::new();
    let world = &deltas.world;
    world.write(&world.plain(), 0..30);
    let policy = GapPolicy { on_gap: OnGap::Replay, halt_if_exceeds: None, can_replay: true };
    let to = Mark { next: 20, token: 7, hash: 9, log: -1 };
    let replay = |from, hash| Ok(Some(Replay { from, hash, to }));
    assert_eq!(gap(&deltas, Some(12), policy).1, replay(Some(12), 0));
    assert_eq!(gap(&deltas, None, policy).1, replay(None, 0));
    let limit = |most| GapPolicy { halt_if_exceeds: Some(most), ..policy };
    assert_eq!(gap(&deltas, Some(12), limit(8)).1, replay(Some(12), 0));
    assert_eq!(gap(&deltas, Some(12), limit(7)).1, Err(Reason::GapTooLarge));
    let accept = GapPolicy { on_gap: OnGap::Accept, ..policy };
    assert_eq!(
        gap(&deltas, Some(12), GapPolicy { halt_if_exceeds: Some(7), ..accept }).1,
        Err(Reason::GapTooLarge)
    );
    let (store, done) = gap(&deltas, Some(12), accept);
    assert_eq!((done, store.mark().unwrap()), (Ok(None), Some(to)));
    assert_eq!(content(&*store, Space::STATE), map(&[("a", "old")]));
    let agents = GapPolicy { can_replay: false, ..policy };
    assert_eq!(gap(&deltas, Some(12), agents).1, Err(Reason::GapOpen));
    world.delete_before(15);
    assert_eq!(gap(&deltas, Some(12), policy).1, Err(Reason::InputTruncated));
    assert_eq!(gap(&deltas, Some(16), policy).1, replay(Some(16), 0));
}

/// A snapshot is a rung below the changelog, and above what is here where that is older.
#[test]
fn the_changelog_goes_on_from_a_snapshot() {
    struct At(i64);
    impl Snapshots for At {
        fn restore(
            &self,
            store: &dyn Store,
            than: Option<i64>,
            upto: Option<i64>,
        ) -> turbine::error::Result<Option<Mark>> {
            if than.is_some_and(|than| than >= self.0) || upto.is_some_and(|upto| upto < self.0) {
                return Ok(None);
            }
            store.clear()?;
            store.commit(&delta(&[("from", Some("snapshot"))]), mark(self.0, 1))?;
            store.mark()
        }
    }
    let deltas = Deltas::new();
    let producer = deltas.world.plain();
    // What leads to offset 10 is gone from the log.
    deltas.write(&producer, 10, mark(20, 2), &[("a", Some("2"))]);
    let sources = |at| Sources { snapshots: Some(Arc::new(At(at))), ..deltas.sources() };
    let (store, _) = stores().remove(0);
    assert_eq!(run(&deltas.world, &*store, &sources(30), exactly(20, 2)), None, "it is ahead");
    assert_eq!(run(&deltas.world, &*store, &sources(10), exactly(20, 2)).unwrap().next, 20);
    assert_eq!(content(&*store, Space::STATE), map(&[("a", "2"), ("from", "snapshot")]));
    store.commit(&delta(&[("b", Some("1"))]), mark(25, 3)).unwrap();
    assert_eq!(run(&deltas.world, &*store, &sources(10), exactly(25, 3)).unwrap().next, 25);
    assert_eq!(content(&*store, Space::STATE).len(), 3, "what is here is newer");
}

#[test]
#[ignore = "a measurement: 1.5 million keys"]
fn a_table_of_many_keys_is_restored_quickly() {
    const KEYS: usize = 1_500_000;
    let world = World::new(&[]);
    let producer: BaseProducer = world
        .client()
        .set("queue.buffering.max.messages", "2000000")
        .set("linger.ms", "50")
        .create()
        .unwrap();
    let topic = &*world.topic.topic;
    for i in 0..KEYS {
        let key = format!("key-{i:08}");
        while let Err((error, _)) =
            producer.send(BaseRecord::to(topic).partition(0).key(&key).payload("{\"count\":1}"))
        {
            assert!(error.to_string().contains("QueueFull"), "{error}");
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(6 * TIMEOUT).unwrap();
    let log = log_of(vec![Table { space: Space(0), topic: topic.into() }]);
    let sources =
        Sources { tp: TopicPartition::new("orders", 0), snapshots: None, log, topic_id: None };
    for (store, _directory) in stores() {
        let began = Instant::now();
        run(&world, &*store, &sources, exactly(1, 1));
        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = KEYS as f64 / seconds;
        println!("{KEYS} keys in {seconds:.2} s: {rate:.0} keys/s");
        assert_eq!(store.get(Space(0), b"key-00000007").unwrap().unwrap(), b"{\"count\":1}");
    }
}
