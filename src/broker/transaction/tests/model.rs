//! Random operations of several producers, crashes and restarts, against what clients may believe.

use super::*;
use std::collections::BTreeSet;

const IDS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    /// A producer takes an id over.
    Init(usize),
    /// The newest or an older owner of an id writes to a partition.
    Write { id: usize, zombie: bool, partition: i32 },
    /// ... adds an offset.
    Offset { id: usize, zombie: bool },
    /// ... ends its transaction; the client asks again until it is told.
    End { id: usize, zombie: bool, outcome: Outcome },
    /// Time passes.
    Wait(i64),
    /// The broker is killed so many steps from now, or at the end of the request.
    KillAfter(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || 0..IDS.len();
    let zombie = || prop_oneof![9 => Just(false), 1 => Just(true)];
    let outcome = prop_oneof![1 => Just(Outcome::Abort), 2 => Just(Outcome::Commit)];
    let step = prop_oneof![
        2 => id().prop_map(Step::Init),
        10 => (id(), zombie(), 0..3i32)
            .prop_map(|(id, zombie, partition)| Step::Write { id, zombie, partition }),
        3 => (id(), zombie()).prop_map(|(id, zombie)| Step::Offset { id, zombie }),
        6 => (id(), zombie(), outcome)
            .prop_map(|(id, zombie, outcome)| Step::End { id, zombie, outcome }),
        1 => (1..700i64).prop_map(Step::Wait),
        4 => (0..9usize).prop_map(Step::KillAfter),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What a client of an id knows.
#[derive(Default)]
struct Client {
    /// Its owners, oldest first.
    owners: Vec<Owner>,
    sequences: BTreeMap<(i64, i16, i32), i32>,
    /// Records of the open transaction that were acknowledged: partition and offset.
    written: Vec<(i32, i64)>,
    /// Offset in the open transaction that was acknowledged.
    offset: Option<i64>,
}

#[derive(Default)]
struct Believed {
    /// Records of transactions whose commit was acknowledged.
    committed: BTreeSet<(i32, i64)>,
    /// Records of transactions whose abort was acknowledged, or whose owner was fenced.
    aborted: BTreeSet<(i32, i64)>,
    /// Offsets, by the number of the id, whose commit was acknowledged.
    offsets: BTreeMap<i32, i64>,
    /// Last stable offsets that somebody may have seen.
    stable: [i64; 3],
}

struct Run {
    world: World,
    coordinator: Coordinator,
    clients: Vec<Client>,
    believed: Believed,
    now_ms: i64,
}

impl Run {
    fn new() -> Self {
        Self {
            world: World::new(),
            coordinator: Coordinator::default(),
            clients: IDS.iter().map(|_| Client::default()).collect(),
            believed: Believed::default(),
            now_ms: 0,
        }
    }

    /// After a crash, the broker is started again.
    fn survive(&mut self) -> bool {
        let crashed = self.world.steps_left.get() == 0;
        if crashed {
            self.coordinator = self.world.restart(self.now_ms);
        }
        crashed
    }

    fn owner(&self, id: usize, zombie: bool) -> Option<Owner> {
        let back = usize::from(zombie);
        self.clients[id].owners.iter().rev().nth(back).copied()
    }

    /// The client lost its transaction: its owner is another one, or it was told of an abort.
    fn lose(&mut self, id: usize) {
        self.believed.aborted.extend(self.clients[id].written.drain(..));
        self.clients[id].offset = None;
    }

    fn init(&mut self, id: usize) {
        loop {
            match self.coordinator.init(IDS[id], INIT, &self.world, self.now_ms) {
                Ok(owner) => {
                    let newest = self.clients[id].owners.last();
                    let is_newer = newest.is_none_or(|o| {
                        (o.producer_id, o.epoch) < (owner.producer_id, owner.epoch)
                    });
                    assert!(is_newer, "an owner is never given out twice, or a lower one");
                    self.clients[id].owners.push(owner);
                    self.lose(id);
                    return;
                }
                Err(Error::ConcurrentTransactions | Error::KafkaStorageError) => {}
                Err(other) => panic!("{other}"),
            }
            self.survive();
        }
    }

    fn write(&mut self, id: usize, zombie: bool, partition: i32) {
        let Some(by) = self.owner(id, zombie) else { return };
        let (name, now) = (IDS[id], self.now_ms);
        let added = self.coordinator.add_partitions(name, by, &[t(partition)], &self.world, now);
        if self.survive() || added.is_err() {
            return;
        }
        let key = (by.producer_id, by.epoch, partition);
        let sequence = self.clients[id].sequences.get(&key).copied().unwrap_or(0);
        let offset =
            super::write(&self.world, &self.coordinator, (name, by), sequence, partition).unwrap();
        assert!(!zombie, "a zombie has written");
        self.clients[id].sequences.insert(key, sequence + 1);
        self.clients[id].written.push((partition, offset));
    }

    fn offset(&mut self, id: usize, zombie: bool) {
        let Some(by) = self.owner(id, zombie) else { return };
        let offset = self.clients[id].offset.unwrap_or(0) + self.now_ms + 1;
        let offsets = vec![("in".to_owned(), id as i32, at(offset))];
        let (name, now) = (IDS[id], self.now_ms);
        let added = self.coordinator.add_group(name, by, "g", &self.world, now).and_then(|()| {
            self.coordinator.add_offsets(name, by, ("g", offsets), &self.world, now)
        });
        self.survive();
        if added.is_ok() {
            assert!(!zombie, "a zombie has added an offset");
            self.clients[id].offset = Some(offset);
        }
    }

    fn end(&mut self, id: usize, zombie: bool, outcome: Outcome) {
        let Some(by) = self.owner(id, zombie) else { return };
        // A client that has done nothing does not end anything.
        let has_none = self.clients[id].written.is_empty() && self.clients[id].offset.is_none();
        if !zombie && has_none {
            return;
        }
        loop {
            let told = self.coordinator.end(IDS[id], by, outcome, &self.world, self.now_ms);
            self.survive();
            match told {
                Ok(()) => break,
                Err(Error::KafkaStorageError) => {}
                Err(Error::ProducerFenced) => return self.fenced(id, zombie),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(!zombie, "a zombie has ended a transaction");
        let client = &mut self.clients[id];
        match outcome {
            Outcome::Commit => {
                self.believed.committed.extend(client.written.drain(..));
                if let Some(offset) = client.offset.take() {
                    self.believed.offsets.insert(id as i32, offset);
                }
            }
            Outcome::Abort => self.lose(id),
        }
    }

    fn fenced(&mut self, id: usize, zombie: bool) {
        if !zombie {
            self.lose(id);
            self.init(id);
        }
    }

    fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
        self.coordinator.expire(&self.world, self.now_ms);
        self.survive();
    }

    fn check(&mut self) {
        for (partition, log) in (0..).zip(self.world.logs.borrow().iter()) {
            let stable = log.last_stable_offset();
            let seen = &mut self.believed.stable[partition as usize];
            assert!(stable >= *seen, "the last stable offset moved back");
            *seen = stable;
            let visible = visible(log);
            for (p, offset) in &self.believed.aborted {
                assert!(*p != partition || !visible.contains(offset), "aborted, but visible");
            }
            for (p, offset) in &self.believed.committed {
                let held_back = *offset >= stable;
                assert!(*p != partition || held_back || visible.contains(offset), "lost");
            }
        }
        for (&id, &offset) in &self.believed.offsets {
            assert_eq!(self.world.committed(id), Some(offset));
        }
    }

    /// All transactions time out: nothing is held back, and every record is either visible or not.
    fn finish(&mut self) {
        self.world.steps_left.set(usize::MAX);
        self.wait(10_000);
        (0..IDS.len()).for_each(|id| self.lose(id));
        self.check();
        for log in self.world.logs.borrow().iter() {
            assert_eq!(log.last_stable_offset(), log.end_offset());
            assert!(log.producers().iter().all(|p| p.open_from.is_none()));
        }
    }
}

/// Offsets of the records that a reader of committed records is shown.
fn visible(log: &Log) -> BTreeSet<i64> {
    let (bytes, aborted) = log.read_committed(0, usize::MAX >> 1, true).unwrap();
    let end = bytes.len();
    let mut seen = BTreeSet::new();
    let mut pos = 0;
    for header in headers(log) {
        if pos == end {
            break;
        }
        pos += header.bytes;
        let is_aborted = aborted.iter().any(|a| {
            a.producer_id == header.producer_id
                && (a.first_offset..=a.last_offset).contains(&header.base_offset)
        });
        if !header.is_control() && !is_aborted {
            seen.insert(header.base_offset);
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Killed at any step, the broker loses no record and no offset whose commit was acknowledged,
    /// shows none that was aborted, and the last stable offset never moves back.
    #[test]
    fn what_clients_were_told_stays_true(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            match step {
                Step::Init(id) => run.init(id),
                Step::Write { id, zombie, partition } => run.write(id, zombie, partition),
                Step::Offset { id, zombie } => run.offset(id, zombie),
                Step::End { id, zombie, outcome } => run.end(id, zombie, outcome),
                Step::Wait(ms) => run.wait(ms),
                Step::KillAfter(steps) => run.world.steps_left.set(steps),
            }
            run.check();
        }
        run.finish();
    }
}
