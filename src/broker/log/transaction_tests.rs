//! Transactions in a log against a model that is a list of records.

use super::{testing::BatchBuilder, *};
use proptest::prelude::*;
use std::collections::BTreeMap;

const POLICY: LogPolicy = LogPolicy::KEEP;

fn log() -> Log {
    Log::new(Box::new(MemoryStore::default()))
}

fn produced(batch: &BatchBuilder) -> ProducedBatch {
    ProducedBatch::new(batch.build()).unwrap()
}

fn transactional(producer_id: i64, epoch: i16, sequence: i32, records: usize) -> ProducedBatch {
    produced(&BatchBuilder::new(records).producer(producer_id, epoch, sequence).transactional())
}

fn marker(producer_id: i64, producer_epoch: i16, outcome: Outcome) -> Marker {
    Marker { producer_id, producer_epoch, outcome }
}

fn headers(mut bytes: Bytes) -> Vec<BatchHeader> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::check(&bytes).unwrap();
        bytes = bytes.slice(header.bytes..);
        found.push(header);
    }
    found
}

/// The same log as a restart would find it.
fn recovered(log: &Log) -> Log {
    let bytes = log.read(log.start_offset(), usize::MAX >> 1, true).unwrap();
    let mut store = MemoryStore::default();
    if !bytes.is_empty() {
        store.append(0, bytes.clone()).unwrap();
    }
    Log::recover(Box::new(store), log.start_offset(), headers(bytes))
}

#[test]
fn a_transaction_begins_only_where_the_caller_answers_for_it() {
    let mut log = log();
    let first = transactional(1, 0, 0, 2);
    assert!(matches!(log.append(&first, POLICY, 0), Err(AppendError::NotInTransaction)));
    assert_eq!(log.end_offset(), 0);
    log.begin(&first, POLICY, 0).unwrap();
    log.append(&transactional(1, 0, 2, 1), POLICY, 0).unwrap();
    let plain = produced(&BatchBuilder::new(1).producer(1, 0, 3));
    assert!(matches!(log.append(&plain, POLICY, 0), Err(AppendError::OutsideTransaction)));
    log.mark(marker(1, 0, Outcome::Commit), POLICY, 0).unwrap();
    assert!(matches!(
        log.append(&transactional(1, 0, 3, 1), POLICY, 0),
        Err(AppendError::NotInTransaction)
    ));
    log.append(&plain, POLICY, 0).unwrap();
    let again = log.begin(&first, POLICY, 0).unwrap();
    assert!(again.is_duplicate, "a batch that is sent again is known as before");
}

#[test]
fn committed_readers_stop_at_the_oldest_open_transaction() {
    let mut log = log();
    log.append(&produced(&BatchBuilder::new(3)), POLICY, 0).unwrap();
    log.begin(&transactional(1, 0, 0, 2), POLICY, 0).unwrap();
    log.begin(&transactional(2, 0, 0, 2), POLICY, 0).unwrap();
    assert_eq!((log.last_stable_offset(), log.end_offset()), (3, 7));
    assert_eq!(headers(log.read_committed(0, 1 << 20, true).unwrap().0).len(), 1);
    assert!(log.read_committed(3, 1 << 20, true).unwrap().0.is_empty(), "not even one batch");
    assert!(log.read_committed(6, 1 << 20, true).unwrap().0.is_empty(), "not an error either");

    log.mark(marker(2, 0, Outcome::Commit), POLICY, 0).unwrap();
    assert_eq!(log.last_stable_offset(), 3, "the older one is open");
    log.mark(marker(1, 0, Outcome::Abort), POLICY, 0).unwrap();
    assert_eq!(log.last_stable_offset(), 9);
    let (records, aborted) = log.read_committed(0, 1 << 20, true).unwrap();
    assert_eq!(headers(records).len(), 5);
    assert_eq!(aborted, [Aborted { producer_id: 1, first_offset: 3, last_offset: 8 }]);
    let small = headers(log.read_committed(0, 10, true).unwrap().0);
    assert_eq!(small.len(), 1);
    assert!(log.read_committed(0, 10, true).unwrap().1.is_empty(), "it is behind these records");
    assert_eq!(log.end_for(Isolation::ReadCommitted), log.end_for(Isolation::ReadUncommitted));
}

#[test]
fn what_is_deleted_holds_nobody_back() {
    let mut log = log();
    log.begin(&transactional(1, 0, 0, 4), POLICY, 0).unwrap();
    assert_eq!(log.last_stable_offset(), 0);
    log.delete_before(2).unwrap();
    assert_eq!(log.last_stable_offset(), 2);
    log.mark(marker(1, 0, Outcome::Abort), POLICY, 0).unwrap();
    assert_eq!(log.read_committed(2, 1 << 20, true).unwrap().1.len(), 1);
    log.delete_before(5).unwrap();
    assert!(log.read_committed(5, 1 << 20, true).unwrap().1.is_empty());
}

#[test]
fn a_marker_without_the_records_in_front_does_not_reset_a_producer() {
    let mut log = log();
    log.begin(&transactional(1, 0, 0, 4), POLICY, 0).unwrap();
    log.mark(marker(1, 0, Outcome::Commit), POLICY, 0).unwrap();
    log.delete_before(4).unwrap();
    let mut again = recovered(&log);
    assert_eq!(again.start_offset(), 4);
    again.begin(&transactional(1, 0, 4, 1), POLICY, 0).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Plain(usize),
    Write { producer: i64, records: usize },
    End { producer: i64, outcome: Outcome },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![Just(Outcome::Abort), Just(Outcome::Commit)];
    let step = prop_oneof![
        2 => (1usize..4).prop_map(Step::Plain),
        5 => (1i64..5, 1usize..4).prop_map(|(producer, records)| Step::Write { producer, records }),
        3 => (1i64..5, outcome).prop_map(|(producer, outcome)| Step::End { producer, outcome }),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A record: whose it is, and how its transaction ended; `None` while it is open.
type Model = Vec<(i64, Option<Outcome>)>;

/// What a client shows that drops markers and the records of aborted transactions.
fn shown(log: &Log, from: i64, max_bytes: usize) -> Vec<i64> {
    let (bytes, aborted) = log.read_committed(from, max_bytes, true).unwrap();
    let mut hidden: BTreeMap<i64, i64> = BTreeMap::new();
    let mut upcoming = aborted;
    upcoming.sort_by_key(|a| a.first_offset);
    let mut offsets = Vec::new();
    for header in headers(bytes) {
        while upcoming.first().is_some_and(|a| a.first_offset <= header.last_offset()) {
            let one = upcoming.remove(0);
            hidden.insert(one.producer_id, one.last_offset);
        }
        if header.is_control() {
            if header.outcome == Some(Outcome::Abort) {
                hidden.remove(&header.producer_id);
            }
        } else if !(header.is_transactional() && hidden.contains_key(&header.producer_id)) {
            offsets.extend((header.base_offset..=header.last_offset()).filter(|o| *o >= from));
        }
    }
    offsets
}

proptest! {
    /// A reader of committed records sees those, all of those up to the oldest open transaction,
    /// and nothing else; the last stable offset never moves back, restarts or not.
    #[test]
    fn committed_records_are_seen_and_no_others(steps in steps(), max_bytes in 1usize..2_000) {
        let mut log = log();
        let mut model: Model = Vec::new();
        let mut sequences: BTreeMap<i64, i32> = BTreeMap::new();
        let mut stable = 0;
        for step in steps {
            match step {
                Step::Plain(records) => {
                    log.append(&produced(&BatchBuilder::new(records)), POLICY, 0).unwrap();
                    model.extend(vec![(0, Some(Outcome::Commit)); records]);
                }
                Step::Write { producer, records } => {
                    let sequence = sequences.entry(producer).or_default();
                    log.begin(&transactional(producer, 0, *sequence, records), POLICY, 0).unwrap();
                    *sequence += records as i32;
                    model.extend(vec![(producer, None); records]);
                }
                Step::End { producer, outcome } => {
                    log.mark(marker(producer, 0, outcome), POLICY, 0).unwrap();
                    for (whose, end) in &mut model {
                        if *whose == producer {
                            end.get_or_insert(outcome);
                        }
                    }
                    model.push((-1, Some(outcome)));
                }
                Step::Restart => log = recovered(&log),
            }
            let open = model.iter().position(|(_, end)| end.is_none());
            prop_assert_eq!(log.last_stable_offset(), open.unwrap_or(model.len()) as i64);
            prop_assert!(log.last_stable_offset() >= stable);
            stable = log.last_stable_offset();
        }
        let expected: Vec<i64> = (0..stable)
            .filter(|o| {
                let (whose, end) = model[*o as usize];
                whose >= 0 && end == Some(Outcome::Commit)
            })
            .collect();
        let mut next = 0;
        let mut seen = Vec::new();
        while next < stable {
            seen.extend(shown(&log, next, max_bytes));
            let read = headers(log.read_committed(next, max_bytes, true).unwrap().0);
            next = read.last().unwrap().last_offset() + 1;
        }
        prop_assert_eq!(seen, expected);
    }
}
