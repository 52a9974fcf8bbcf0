//! The coordinator with real logs and notes, each step of which may be the last before a crash.

use super::*;
use crate::broker::{
    group::Committed,
    log::{
        BatchHeader, Log, LogPolicy, Marker, MemoryStore, Outcome, ProducedBatch, Store,
        testing::BatchBuilder,
    },
    storage::{Held, Note},
};
use bytes::Bytes;
use kafka_protocol::ResponseError as Error;
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
};

const POLICY: LogPolicy = LogPolicy::KEEP;
const INIT: Init = Init { timeout_ms: 1_000, expected: None };

/// Logs `t-0` to `t-2`, what groups have committed, and notes.
struct World {
    logs: RefCell<Vec<Log>>,
    notes: RefCell<Vec<Note>>,
    next_id: Cell<i64>,
    /// Steps until a crash: from then on nothing has an effect.
    steps_left: Cell<usize>,
}

impl World {
    fn new() -> Self {
        let logs = (0..3).map(|_| Log::new(Box::new(MemoryStore::default()))).collect();
        Self {
            logs: RefCell::new(logs),
            notes: RefCell::default(),
            next_id: Cell::new(0),
            steps_left: Cell::new(usize::MAX),
        }
    }

    fn step(&self) -> io::Result<()> {
        match self.steps_left.get() {
            0 => Err(io::Error::other("crashed")),
            left => {
                self.steps_left.set(left - 1);
                Ok(())
            }
        }
    }

    fn held(&self) -> Held {
        let mut held = Held::default();
        self.notes.borrow().iter().cloned().for_each(|note| held.apply(note));
        held
    }

    /// What a new process makes of logs and notes.
    fn restart(&self, now_ms: i64) -> Coordinator {
        self.steps_left.set(usize::MAX);
        for log in self.logs.borrow_mut().iter_mut() {
            *log = recovered(log);
        }
        let mut coordinator = Coordinator::new(self.held().transactions);
        coordinator.resume(self, now_ms);
        coordinator
    }

    fn committed(&self, partition: i32) -> Option<i64> {
        let held = self.held();
        held.commits.get("g")?.get(&("in".to_owned(), partition)).map(|c| c.offset)
    }

    fn markers(&self) -> Vec<(usize, Outcome)> {
        let logs = self.logs.borrow();
        let of = |(n, log): (usize, &Log)| {
            headers(log).into_iter().filter_map(move |h| h.outcome.map(|o| (n, o)))
        };
        logs.iter().enumerate().flat_map(of).collect()
    }
}

impl Effects for World {
    fn note(&self, id: &str, transaction: Option<&Transaction>) -> io::Result<()> {
        self.step()?;
        let transaction = transaction.cloned().map(Box::new);
        self.notes.borrow_mut().push(Note::Transaction { id: id.to_owned(), transaction });
        Ok(())
    }

    fn new_producer_id(&self) -> io::Result<i64> {
        self.step()?;
        self.next_id.set(self.next_id.get() + 1);
        Ok(self.next_id.get())
    }

    fn end_offset(&self, _: &str, partition: i32) -> i64 {
        self.logs.borrow()[partition as usize].end_offset()
    }

    fn is_marked(&self, _: &str, partition: i32, producer_id: i64, offset: i64) -> bool {
        self.logs.borrow()[partition as usize].is_marked_since(producer_id, offset)
    }

    fn mark(&self, _: &str, partition: i32, marker: Marker) -> io::Result<()> {
        self.step()?;
        self.logs.borrow_mut()[partition as usize].mark(marker, POLICY, 0).map(drop)
    }

    /// A crash may let only the first notes through.
    fn complete(&self, id: &str, offsets: &Offsets, transaction: &Transaction) -> io::Result<()> {
        for (group, topics) in offsets {
            for (topic, partitions) in topics {
                for (&partition, committed) in partitions {
                    self.step()?;
                    self.notes.borrow_mut().push(Note::Commit {
                        group: group.clone(),
                        topic: topic.clone(),
                        partition,
                        committed: Some(committed.clone()),
                    });
                }
            }
        }
        self.note(id, Some(transaction))
    }
}

fn headers(log: &Log) -> Vec<BatchHeader> {
    let mut bytes = log.read(0, usize::MAX >> 1, true).unwrap();
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::check(&bytes).unwrap();
        bytes = bytes.slice(header.bytes..);
        found.push(header);
    }
    found
}

fn recovered(log: &Log) -> Log {
    let bytes: Bytes = log.read(0, usize::MAX >> 1, true).unwrap();
    let mut store = MemoryStore::default();
    if !bytes.is_empty() {
        store.append(0, bytes).unwrap();
    }
    Log::recover(Box::new(store), 0, headers(log))
}

fn at(offset: i64) -> Committed {
    Committed { offset, leader_epoch: -1, metadata: "m".into() }
}

fn t(partition: i32) -> (String, i32) {
    ("t".to_owned(), partition)
}

/// One record of a transaction, as a produce request brings it.
fn write(
    world: &World,
    coordinator: &Coordinator,
    (id, by): (&str, Owner),
    sequence: i32,
    partition: i32,
) -> Result<i64, Error> {
    let batch = BatchBuilder::new(1).producer(by.producer_id, by.epoch, sequence).transactional();
    let batch = ProducedBatch::new(batch.build()).unwrap();
    let log = &mut world.logs.borrow_mut()[partition as usize];
    let appended = match log.append(&batch, POLICY, 0) {
        Err(crate::broker::log::AppendError::NotInTransaction) => {
            coordinator.check_partition(id, by, "t", partition)?;
            log.begin(&batch, POLICY, 0)
        }
        other => other,
    };
    appended.map(|a| a.base_offset).map_err(|e| Error::from(&e))
}

fn begun(world: &World, partitions: &[i32]) -> (Coordinator, Owner) {
    let mut coordinator = Coordinator::default();
    let owner = coordinator.init("x", INIT, world, 0).unwrap();
    let partitions: Vec<_> = partitions.iter().map(|p| t(*p)).collect();
    coordinator.add_partitions("x", owner, &partitions, world, 0).unwrap();
    (coordinator, owner)
}

fn state(coordinator: &Coordinator) -> State {
    coordinator.get("x").unwrap().state
}

#[test]
fn a_transaction_goes_its_way() {
    let world = World::new();
    let (mut c, owner) = begun(&world, &[0, 1]);
    assert_eq!(owner.epoch, 0);
    assert_eq!(state(&c), State::Ongoing);
    write(&world, &c, ("x", owner), 0, 0).unwrap();
    assert_eq!(write(&world, &c, ("x", owner), 0, 2), Err(Error::InvalidTxnState), "not added");
    c.end("x", owner, Outcome::Commit, &world, 5).unwrap();
    assert_eq!(state(&c), State::CompleteCommit);
    assert_eq!(world.markers(), [(0, Outcome::Commit), (1, Outcome::Commit)]);
    c.end("x", owner, Outcome::Commit, &world, 5).expect("the same again is fine");
    assert_eq!(c.end("x", owner, Outcome::Abort, &world, 5), Err(Error::InvalidTxnState));
    assert_eq!(write(&world, &c, ("x", owner), 1, 0), Err(Error::InvalidTxnState));
    c.add_partitions("x", owner, &[t(0)], &world, 5).unwrap();
    c.end("x", owner, Outcome::Abort, &world, 5).unwrap();
    assert_eq!(state(&c), State::CompleteAbort);
}

#[test]
fn a_new_owner_fences_the_old_one_and_aborts_its_transaction() {
    let world = World::new();
    let (mut c, old) = begun(&world, &[0]);
    write(&world, &c, ("x", old), 0, 0).unwrap();
    assert_eq!(c.init("x", INIT, &world, 1), Err(Error::ConcurrentTransactions));
    assert_eq!(world.markers(), [(0, Outcome::Abort)]);
    let new = c.init("x", INIT, &world, 1).unwrap();
    assert_eq!((new.producer_id, new.epoch), (old.producer_id, 2), "one epoch was for fencing");
    assert_eq!(c.add_partitions("x", old, &[t(1)], &world, 1), Err(Error::ProducerFenced));
    assert_eq!(c.add_group("x", old, "g", &world, 1), Err(Error::ProducerFenced));
    assert_eq!(c.end("x", old, Outcome::Commit, &world, 1), Err(Error::ProducerFenced));
    assert_eq!(write(&world, &c, ("x", old), 1, 0), Err(Error::ProducerFenced));
    let stranger = Owner { producer_id: 99, epoch: 0 };
    assert_eq!(
        c.end("x", stranger, Outcome::Commit, &world, 1),
        Err(Error::InvalidProducerIdMapping)
    );
    assert_eq!(
        c.end("y", stranger, Outcome::Commit, &world, 1),
        Err(Error::InvalidProducerIdMapping)
    );
}

#[test]
fn an_owner_that_says_who_it_is_keeps_its_id_and_a_zombie_cannot() {
    let world = World::new();
    let mut c = Coordinator::default();
    let first = c.init("x", INIT, &world, 0).unwrap();
    let again = Init { expected: Some(first), ..INIT };
    let second = c.init("x", again, &world, 0).unwrap();
    assert_eq!(second.epoch, 1);
    assert_eq!(c.init("x", again, &world, 0), Ok(second), "its answer was lost");
    let new = c.init("x", INIT, &world, 0).unwrap();
    assert_eq!(new.epoch, 2);
    let zombie = Init { expected: Some(second), ..INIT };
    assert_eq!(c.init("x", zombie, &world, 0), Err(Error::ProducerFenced));
    c.add_partitions("x", new, &[t(0)], &world, 0).unwrap();
    assert_eq!(c.init("x", zombie, &world, 0), Err(Error::ConcurrentTransactions));
    assert_eq!(state(&c), State::CompleteAbort, "as on Kafka, it takes the transaction with it");
    assert_eq!(c.init("x", zombie, &world, 0), Err(Error::ProducerFenced));
    let back = c.init("x", Init { expected: Some(new), ..INIT }, &world, 0).unwrap();
    assert_eq!((back.producer_id, back.epoch), (new.producer_id, 3), "its owner comes back");
}

#[test]
fn a_producer_whose_epochs_are_used_up_gets_another_id() {
    let world = World::new();
    let mut c = Coordinator::default();
    let mut owner = c.init("x", INIT, &world, 0).unwrap();
    let id = owner.producer_id;
    while owner.epoch < i16::MAX - 1 {
        owner = c.init("x", INIT, &world, 0).unwrap();
        assert_eq!(owner.producer_id, id);
    }
    let again = Init { expected: Some(owner), ..INIT };
    let renamed = c.init("x", again, &world, 0).unwrap();
    assert!(renamed.producer_id > id && renamed.epoch == 0);
    assert_eq!(c.init("x", again, &world, 0), Ok(renamed), "its answer was lost");
}

#[test]
fn timeouts_are_checked_and_kept() {
    let world = World::new();
    let mut c = Coordinator::default();
    for timeout_ms in [0, -1, 900_001] {
        let refused = c.init("x", Init { timeout_ms, expected: None }, &world, 0);
        assert_eq!(refused, Err(Error::InvalidTransactionTimeout));
    }
    assert_eq!(c.init("", INIT, &world, 0), Err(Error::InvalidRequest));
    let (mut c, owner) = begun(&world, &[0]);
    write(&world, &c, ("x", owner), 0, 0).unwrap();
    assert_eq!(c.expire(&world, 999), Some(1_000));
    assert_eq!(state(&c), State::Ongoing);
    c.expire(&world, 1_000);
    assert_eq!(state(&c), State::CompleteAbort);
    assert_eq!(world.markers(), [(0, Outcome::Abort)]);
    assert_eq!(c.end("x", owner, Outcome::Commit, &world, 1_000), Err(Error::ProducerFenced));
    assert_eq!(write(&world, &c, ("x", owner), 1, 0), Err(Error::ProducerFenced));
    let back = c.init("x", Init { expected: Some(owner), ..INIT }, &world, 1_000).unwrap();
    assert_eq!(back.epoch, 1, "nobody took its place");
    let week = 7 * 24 * 3_600_000;
    assert_eq!(c.expire(&world, week), Some(week + 1_000));
    c.expire(&world, week + 1_000);
    assert!(c.get("x").is_none() && world.held().transactions.is_empty());
}

#[test]
fn offsets_count_with_the_commit_and_never_with_an_abort() {
    let world = World::new();
    let (mut c, owner) = begun(&world, &[0]);
    let offsets = |offset| ("g", vec![("in".to_owned(), 0, at(offset))]);
    let early = c.add_offsets("x", owner, offsets(1), &world, 0);
    assert_eq!(early, Err(Error::InvalidTxnState), "the group was not added");
    for (outcome, expected) in [(Outcome::Abort, None), (Outcome::Commit, Some(7))] {
        c.add_group("x", owner, "g", &world, 0).unwrap();
        c.add_offsets("x", owner, offsets(7), &world, 0).unwrap();
        assert!(c.open_offsets("g")["in"].contains(&0) && c.open_offsets("h").is_empty());
        assert_eq!(world.committed(0), None);
        c.end("x", owner, outcome, &world, 0).unwrap();
        assert!(c.open_offsets("g").is_empty());
        assert_eq!(world.committed(0), expected);
    }
}

#[test]
fn a_group_or_topic_that_is_deleted_takes_its_offsets_out() {
    for is_topic in [false, true] {
        let world = World::new();
        let (mut c, owner) = begun(&world, &[0]);
        c.add_group("x", owner, "g", &world, 0).unwrap();
        c.add_offsets("x", owner, ("g", vec![("in".into(), 0, at(7))]), &world, 0).unwrap();
        if is_topic {
            c.forget_topic("in")
        } else {
            c.forget_group("g")
        }
        assert!(c.open_offsets("g").get("in").is_none_or(|p| p.is_empty()));
        c.end("x", owner, Outcome::Commit, &world, 0).unwrap();
        assert_eq!(world.committed(0), None);
    }
}

/// Killed in front of every step of a commit: in front of the decision the transaction is open after
/// the restart, behind it it is committed, with one marker in each partition.
#[test]
fn a_decision_takes_effect_whenever_the_broker_is_killed() {
    for steps in 0..8 {
        let world = World::new();
        let (mut c, owner) = begun(&world, &[0, 1, 2]);
        write(&world, &c, ("x", owner), 0, 0).unwrap();
        write(&world, &c, ("x", owner), 0, 1).unwrap();
        c.add_group("x", owner, "g", &world, 0).unwrap();
        let offsets = vec![("in".to_owned(), 0, at(1)), ("in".to_owned(), 1, at(2))];
        c.add_offsets("x", owner, ("g", offsets), &world, 0).unwrap();
        world.steps_left.set(steps);
        let told = c.end("x", owner, Outcome::Commit, &world, 0);
        let mut c = world.restart(0);
        if steps == 0 {
            assert_eq!(told, Err(Error::KafkaStorageError));
            assert_eq!(state(&c), State::Ongoing);
            assert!(world.markers().is_empty() && world.committed(0).is_none());
            c.end("x", owner, Outcome::Commit, &world, 0).expect("the owner goes on");
        }
        assert_eq!(state(&c), State::CompleteCommit, "{steps} steps");
        assert_eq!(world.markers(), (0..3).map(|p| (p, Outcome::Commit)).collect::<Vec<_>>());
        assert_eq!((world.committed(0), world.committed(1)), (Some(1), Some(2)));
        c.end("x", owner, Outcome::Commit, &world, 0).expect("a client that heard nothing asks");
    }
}

/// What fails without a crash is done later, and until then the owner is told to wait.
#[test]
fn a_decision_that_the_storage_delays_takes_effect_in_the_end() {
    let world = World::new();
    let (mut c, owner) = begun(&world, &[0, 1]);
    write(&world, &c, ("x", owner), 0, 0).unwrap();
    world.steps_left.set(2);
    c.end("x", owner, Outcome::Abort, &world, 0).expect("it is decided");
    assert_eq!(state(&c), State::PrepareAbort);
    assert_eq!(c.end("x", owner, Outcome::Abort, &world, 0), Err(Error::ConcurrentTransactions));
    assert_eq!(c.end("x", owner, Outcome::Commit, &world, 0), Err(Error::InvalidTxnState));
    assert_eq!(
        c.add_partitions("x", owner, &[t(2)], &world, 0),
        Err(Error::ConcurrentTransactions)
    );
    assert_eq!(c.init("x", INIT, &world, 0), Err(Error::ConcurrentTransactions));
    assert_eq!(c.expire(&world, 10), Some(1_010), "and again in a second");
    world.steps_left.set(usize::MAX);
    c.expire(&world, 1_010);
    assert_eq!(state(&c), State::CompleteAbort);
    assert_eq!(world.markers(), [(0, Outcome::Abort), (1, Outcome::Abort)]);
}

mod model;
