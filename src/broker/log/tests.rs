//! The log against a model that is a plain list of records.

use super::{testing::BatchBuilder, *};
use proptest::prelude::*;

const POLICY: LogPolicy = LogPolicy { max_ahead_ms: 1_000, ..LogPolicy::KEEP };

fn log() -> Log {
    Log::new(Box::new(MemoryStore::default()))
}

fn append(log: &mut Log, batch: &BatchBuilder) -> Appended {
    log.append(&ProducedBatch::new(batch.build()).unwrap(), POLICY, 0).unwrap()
}

fn batches(mut bytes: Bytes) -> Vec<BatchHeader> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::check(&bytes).unwrap();
        bytes = bytes.slice(header.bytes..);
        found.push(header);
    }
    found
}

#[test]
fn a_batch_is_given_back_byte_for_byte_behind_its_position() {
    let mut log = log();
    append(&mut log, &BatchBuilder::new(4));
    let sent = BatchBuilder::new(2).codec(4).build();
    log.append(&ProducedBatch::new(sent.clone()).unwrap(), POLICY, 0).unwrap();
    let got = log.read(4, usize::MAX >> 1, true).unwrap();
    assert_eq!(got[16..], sent[16..]);
    assert_eq!(BatchHeader::parse(&got).unwrap().base_offset, 4);
}

#[test]
fn reads_outside_the_log_are_told_apart_from_reads_at_its_end() {
    let mut log = log();
    append(&mut log, &BatchBuilder::new(3));
    assert!(log.read(3, 1_000, true).unwrap().is_empty());
    assert!(matches!(log.read(4, 1_000, true), Err(ReadError::OutOfRange { end: 3, .. })));
    assert!(matches!(log.read(-1, 1_000, true), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn a_batch_beyond_the_limit_comes_only_if_one_must() {
    let mut log = log();
    append(&mut log, &BatchBuilder::new(3));
    assert!(log.read(0, 10, false).unwrap().is_empty());
    assert_eq!(batches(log.read(0, 10, true).unwrap()).len(), 1);
}

#[test]
fn a_large_batch_is_refused() {
    let batch = ProducedBatch::new(BatchBuilder::new(1).value_bytes(2_000).build()).unwrap();
    let refused = log().append(&batch, LogPolicy { max_message_bytes: 1_000, ..POLICY }, 0);
    assert!(matches!(refused, Err(AppendError::TooLarge { limit: 1_000, .. })));
}

#[test]
fn a_compacted_topic_takes_only_records_with_keys() {
    let policy = LogPolicy { compacts: true, ..POLICY };
    let keyless = ProducedBatch::new(BatchBuilder::new(2).build()).unwrap();
    let refused = log().append(&keyless, policy, 0);
    assert!(matches!(refused, Err(AppendError::NoKey(numbers)) if numbers == [0, 1]));
    let keyed = ProducedBatch::new(BatchBuilder::new(2).key(b"k").codec(4).build()).unwrap();
    assert!(log().append(&keyed, policy, 0).is_ok());
}

#[test]
fn a_clock_far_ahead_is_refused() {
    let batch = ProducedBatch::new(BatchBuilder::new(1).first_timestamp(6_001).build()).unwrap();
    let refused = log().append(&batch, POLICY, 5_000);
    assert!(matches!(refused, Err(AppendError::Ahead { timestamp_ms: 6_001, .. })));
    assert!(log().append(&batch, POLICY, 5_001).is_ok());
}

#[test]
fn the_brokers_time_replaces_the_producers_where_the_topic_says_so() {
    let mut log = log();
    let policy = LogPolicy { timestamp_type: TimestampType::LogAppend, ..POLICY };
    let batch = ProducedBatch::new(BatchBuilder::new(2).build()).unwrap();
    let appended = log.append(&batch, policy, 777).unwrap();
    assert_eq!(appended.log_append_time_ms, Some(777));
    let header = BatchHeader::check(&log.read(0, 1_000, true).unwrap()).unwrap();
    assert_eq!(header.max_timestamp_ms, 777);
    let first = RecordTime { offset: 0, timestamp_ms: 777 };
    assert_eq!(log.latest_in_time().unwrap(), Some(first));
}

#[test]
fn retention_gives_up_the_oldest_batches_but_never_the_newest() {
    let mut log = log();
    let policy = LogPolicy { retention_bytes: Some(300), ..POLICY };
    for _ in 0..10 {
        let batch = ProducedBatch::new(BatchBuilder::new(1).value_bytes(100).build()).unwrap();
        log.append(&batch, policy, 0).unwrap();
        assert!(log.bytes() <= 300 + batch.bytes.len() as u64);
    }
    assert_eq!(log.end_offset(), 10);
    assert_eq!(log.start_offset(), 8);
    assert!(matches!(log.read(0, 1, true), Err(ReadError::OutOfRange { .. })));
    assert_eq!(batches(log.read(8, 1, true).unwrap())[0].base_offset, 8);
}

#[test]
fn records_in_front_of_the_start_are_not_found_by_time() {
    let mut log = log();
    append(&mut log, &BatchBuilder::new(10));
    assert_eq!(log.delete_before(4).unwrap(), 4);
    assert_eq!(log.first_since(0).unwrap().unwrap().offset, 4);
    assert_eq!(log.first_since(6).unwrap().unwrap().offset, 6);
    assert_eq!(log.delete_before(2).unwrap(), 4, "the start never goes back");
    assert_eq!(log.delete_before(99).unwrap(), 10);
    assert_eq!(log.bytes(), 0);
}

#[test]
fn a_recovered_log_still_knows_offsets_and_producers() {
    let mut log = log();
    for sequence in [0, 3, 6] {
        append(&mut log, &BatchBuilder::new(3).producer(5, 0, sequence));
    }
    let bytes = log.read(0, usize::MAX >> 1, true).unwrap();
    let mut store = MemoryStore::default();
    store.append(0, bytes.clone()).unwrap();
    let mut again = Log::recover(Box::new(store), 0, batches(bytes));
    assert_eq!(again.end_offset(), 9);
    let repeated = append(&mut again, &BatchBuilder::new(3).producer(5, 0, 6));
    assert!(repeated.is_duplicate && repeated.base_offset == 6);
    let gap = ProducedBatch::new(BatchBuilder::new(1).producer(5, 0, 10).build()).unwrap();
    assert!(matches!(again.append(&gap, POLICY, 0), Err(AppendError::Sequence(_))));
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<i64>),
    DeleteBefore(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = proptest::collection::vec(0i64..50, 1..6).prop_map(Step::Append);
    let delete = (0i64..60).prop_map(Step::DeleteBefore);
    proptest::collection::vec(prop_oneof![5 => append, 1 => delete], 1..25)
}

proptest! {
    /// Bounds, reads and searches by time agree with a list of timestamps.
    #[test]
    fn the_log_agrees_with_a_list(steps in steps(), max_bytes in 0usize..600) {
        let mut log = log();
        let mut model: Vec<i64> = Vec::new();
        let mut start = 0i64;
        for step in steps {
            match step {
                Step::Append(timestamps) => {
                    let appended = append(&mut log, &BatchBuilder::with_timestamps(&timestamps));
                    prop_assert_eq!(appended.base_offset, model.len() as i64);
                    model.extend(timestamps);
                }
                Step::DeleteBefore(offset) => {
                    start = offset.clamp(start, model.len() as i64);
                    prop_assert_eq!(log.delete_before(offset).unwrap(), start);
                }
            }
        }
        let end = model.len() as i64;
        prop_assert_eq!((log.start_offset(), log.end_offset()), (start, end));
        for offset in start..=end {
            let bytes = log.read(offset, max_bytes, true).unwrap();
            let got = batches(bytes.clone());
            prop_assert!(got.len() <= 1 || bytes.len() <= max_bytes);
            prop_assert_eq!(got.is_empty(), offset == end);
            if let Some(first) = got.first() {
                prop_assert!(first.base_offset <= offset && offset <= first.last_offset());
            }
            for pair in got.windows(2) {
                prop_assert_eq!(pair[0].last_offset() + 1, pair[1].base_offset);
            }
        }
        let live = || model.iter().enumerate().filter(|(i, _)| *i as i64 >= start);
        for timestamp in 0..50 {
            let expected = live().find(|(_, t)| **t >= timestamp).map(|(i, _)| i as i64);
            let found = log.first_since(timestamp).unwrap().map(|r| r.offset);
            prop_assert_eq!(found, expected);
        }
    }
}
