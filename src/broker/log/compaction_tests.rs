//! Compaction against a model that is a list of records with their fate. Logs in files run through the
//! same steps: see the tests of the storage.

use super::{
    compression::pack,
    record::{open, records},
    testing::BatchBuilder,
    *,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Small segments, and every one is worth a compaction.
pub(crate) const POLICY: LogPolicy = LogPolicy {
    compacts: true,
    deletes: false,
    segment_bytes: 400,
    min_dirty_ratio: 0.0,
    delete_retention_ms: 100,
    ..LogPolicy::KEEP
};

/// A record as a reader gets it; no value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    key: Vec<u8>,
    is_tombstone: bool,
    timestamp_ms: i64,
}

/// One thing that happens to a log.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Records, a key and whether there is a value each, compressed or not.
    Append { records: Vec<(u8, bool)>, codec: i16 },
    /// The same as a part of a transaction of a producer, which begins with it if none is open.
    InTransaction { producer: u8, records: Vec<(u8, bool)> },
    /// The producer's transaction ends, if one is open.
    End { producer: u8, commits: bool },
    /// Time passes.
    Wait { ms: i64 },
    /// The log is compacted, if that is due.
    Clean,
    /// Records at the front are deleted.
    DeleteBefore { share: f64 },
    /// The broker is killed, and starts again.
    Restart,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || proptest::collection::vec((0u8..6, proptest::bool::weighted(0.75)), 1..5);
    let step = prop_oneof![
        6 => (some(), 0i16..5).prop_map(|(records, codec)| Step::Append { records, codec }),
        4 => (0u8..2, some())
            .prop_map(|(producer, records)| Step::InTransaction { producer, records }),
        3 => (0u8..2, any::<bool>())
            .prop_map(|(producer, commits)| Step::End { producer, commits }),
        2 => (1i64..120).prop_map(|ms| Step::Wait { ms }),
        5 => Just(Step::Clean),
        1 => (0.0..1.0f64).prop_map(|share| Step::DeleteBefore { share }),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

#[derive(Default)]
struct Model {
    /// Everything that was ever written, by offset, and the producer of its transaction.
    written: BTreeMap<i64, (Read, Option<u8>)>,
    /// Offsets of the records of open transactions.
    open: HashMap<u8, Vec<i64>>,
    aborted: Vec<i64>,
    /// When a compaction first saw a record that has no younger one.
    seen_ms: HashMap<i64, i64>,
    sequences: HashMap<u8, i32>,
    now_ms: i64,
    /// Everything in front of it was compacted.
    cleaned: i64,
}

/// Runs the steps; `restart` gives the log as a new broker would find it.
pub(crate) fn check(
    steps: Vec<Step>,
    mut log: Log,
    mut restart: impl FnMut(Log) -> Log,
) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append { records, codec } => {
                let batch = BatchBuilder::keyed(&records).codec(codec);
                model.append(&mut log, batch, &records, None);
            }
            Step::InTransaction { producer, records } => {
                let sequence = model.sequences.entry(producer).or_default();
                let batch = BatchBuilder::keyed(&records)
                    .producer(i64::from(producer), 0, *sequence)
                    .transactional();
                *sequence += records.len() as i32;
                model.append(&mut log, batch, &records, Some(producer));
            }
            Step::End { producer, commits } => {
                if let Some(offsets) = model.open.remove(&producer) {
                    let outcome = if commits { Outcome::Commit } else { Outcome::Abort };
                    let (producer_id, producer_epoch) = (i64::from(producer), 0);
                    let marker = Marker { producer_id, producer_epoch, outcome };
                    log.mark(marker, TIGHT, model.now_ms).unwrap();
                    if !commits {
                        model.aborted.extend(offsets);
                    }
                }
            }
            Step::Wait { ms } => model.now_ms += ms,
            Step::Clean => model.clean(&mut log)?,
            Step::DeleteBefore { share } => {
                let stable = log.last_stable_offset();
                log.delete_before((stable as f64 * share) as i64).unwrap();
            }
            Step::Restart => {
                let (start, end, stable) =
                    (log.start_offset(), log.end_offset(), log.last_stable_offset());
                log = restart(log);
                log.delete_before(start).unwrap();
                prop_assert_eq!(
                    (log.start_offset(), log.end_offset(), log.last_stable_offset()),
                    (start, end, stable)
                );
            }
        }
        model.agrees_with(&log)?;
    }
    Ok(())
}

impl Model {
    fn append(
        &mut self,
        log: &mut Log,
        batch: BatchBuilder,
        records: &[(u8, bool)],
        producer: Option<u8>,
    ) {
        let first_ms = self.now_ms;
        let batch = ProducedBatch::new(batch.first_timestamp(first_ms).build()).unwrap();
        let appended = log.begin(&batch, POLICY, self.now_ms).unwrap();
        assert!(!appended.is_duplicate);
        for (number, (key, has_value)) in (0..).zip(records) {
            let timestamp_ms = first_ms + number;
            let read = Read { key: vec![*key], is_tombstone: !has_value, timestamp_ms };
            self.written.insert(appended.base_offset + number, (read, producer));
            if let Some(producer) = producer {
                self.open.entry(producer).or_default().push(appended.base_offset + number);
            }
        }
    }

    fn clean(&mut self, log: &mut Log) -> Result<(), TestCaseError> {
        let Some(cleaning) = log.start_cleaning(&POLICY, self.now_ms) else { return Ok(()) };
        let end = cleaning.end;
        let behind = read(log, end);
        let cleaned = cleaning.run().unwrap();
        log.finish_cleaning(cleaned).unwrap();
        prop_assert!(end >= self.cleaned && end <= log.last_stable_offset());
        prop_assert_eq!(read(log, end), behind, "nothing behind the end changes");
        prop_assert!(
            log.next_cleaning_ms(&POLICY, self.now_ms).is_none_or(|due| due > self.now_ms),
            "one compaction is enough"
        );
        self.cleaned = end;
        for (offset, (record, _)) in self.written.range(..end) {
            if record.is_tombstone {
                self.seen_ms.entry(*offset).or_insert(self.now_ms);
            }
        }
        let left: BTreeMap<i64, Read> = read(log, log.start_offset()).into_iter().collect();
        let mut keys = std::collections::HashSet::new();
        for (offset, record) in left.range(..end) {
            prop_assert!(!self.aborted.contains(offset), "{} was aborted", offset);
            prop_assert!(keys.insert(record.key.clone()), "{} is not the last of its key", offset);
        }
        let is_due =
            |offset: &i64| self.seen_ms.get(offset).is_some_and(|seen| seen + 100 <= self.now_ms);
        for (offset, record) in left.range(..end).filter(|(_, r)| r.is_tombstone) {
            // The pass that first sees it gives it its time.
            let first = self.seen_ms[offset] == self.now_ms;
            prop_assert!(first || !is_due(offset), "tombstone {} of {:?}", offset, record.key);
        }
        Ok(())
    }

    /// What is left was written like that; what counts is left; every offset can be read from.
    fn agrees_with(&self, log: &Log) -> Result<(), TestCaseError> {
        let start = log.start_offset();
        let left: BTreeMap<i64, Read> = read(log, start).into_iter().collect();
        for (offset, record) in &left {
            prop_assert_eq!(Some(record), self.written.get(offset).map(|(r, _)| r));
        }
        let mut newest: HashMap<&[u8], i64> = HashMap::new();
        for (offset, (record, _)) in &self.written {
            if !self.aborted.contains(offset) {
                newest.insert(&record.key, *offset);
            }
        }
        for (offset, (record, _)) in self.written.range(start..) {
            let is_newest = newest.get(&record.key[..]) == Some(offset);
            let may_go = record.is_tombstone && self.seen_ms.contains_key(offset);
            if (is_newest && !may_go) || *offset >= self.cleaned {
                prop_assert!(left.contains_key(offset), "{} is missing", offset);
            }
        }
        for offset in start..log.end_offset() {
            let bytes = log.read(offset, 1, true).unwrap();
            let header = BatchHeader::check(&bytes).unwrap();
            prop_assert!(header.last_offset() >= offset, "offset {} is skipped", offset);
        }
        let committed = self.read_committed(log);
        let expected: Vec<i64> = left
            .range(..log.last_stable_offset())
            .map(|(offset, _)| *offset)
            .filter(|offset| !self.aborted.contains(offset))
            .collect();
        prop_assert_eq!(committed, expected);
        Ok(())
    }

    /// Offsets of the records that a reader of committed records keeps, as clients do it.
    fn read_committed(&self, log: &Log) -> Vec<i64> {
        let start = log.start_offset();
        let (mut bytes, mut aborted) = log.read_committed(start, usize::MAX >> 1, true).unwrap();
        aborted.sort_by_key(|a| a.first_offset);
        let mut aborted = VecDeque::from(aborted);
        let mut skipped = std::collections::HashSet::new();
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let header = BatchHeader::check(&bytes).unwrap();
            while aborted.front().is_some_and(|a| a.first_offset <= header.last_offset()) {
                skipped.extend(aborted.pop_front().map(|a| a.producer_id));
            }
            let is_skipped = header.is_transactional() && skipped.contains(&header.producer_id);
            if header.outcome == Some(Outcome::Abort) {
                skipped.remove(&header.producer_id);
            } else if !header.is_control() && !is_skipped {
                let opened = open(&header, &bytes).unwrap();
                let offsets = records(&header, &opened).map(|r| r.unwrap().time.offset);
                found.extend(offsets.filter(|offset| *offset >= start));
            }
            bytes = bytes.slice(header.bytes..);
        }
        found
    }
}

/// The records from `offset` on, of open and aborted transactions, too.
fn read(log: &Log, offset: i64) -> Vec<(i64, Read)> {
    let mut bytes = log.read(offset, usize::MAX >> 1, true).unwrap();
    let mut found = Vec::new();
    let mut next = 0;
    while !bytes.is_empty() {
        let header = BatchHeader::check(&bytes).unwrap();
        assert!(header.base_offset >= next, "batches overlap");
        next = header.last_offset() + 1;
        if !header.is_control() {
            let opened = open(&header, &bytes).unwrap();
            for record in records(&header, &opened) {
                let record = record.unwrap();
                let (key, is_tombstone) = (record.key.unwrap().to_vec(), record.is_tombstone);
                let read = Read { key, is_tombstone, timestamp_ms: record.time.timestamp_ms };
                if record.time.offset >= offset {
                    found.push((record.time.offset, read));
                }
            }
        }
        bytes = bytes.slice(header.bytes..);
    }
    found
}

fn log() -> Log {
    Log::new(Box::new(MemoryStore::default()))
}

fn append(log: &mut Log, batch: &BatchBuilder, policy: LogPolicy, now_ms: i64) {
    log.append(&ProducedBatch::new(batch.build()).unwrap(), policy, now_ms).unwrap();
}

fn offsets(log: &Log) -> Vec<i64> {
    read(log, log.start_offset()).into_iter().map(|(offset, _)| offset).collect()
}

fn clean(log: &mut Log, policy: &LogPolicy, now_ms: i64) -> bool {
    let Some(cleaning) = log.start_cleaning(policy, now_ms) else { return false };
    log.finish_cleaning(cleaning.run().unwrap()).unwrap();
    true
}

/// One batch a segment.
const TIGHT: LogPolicy = LogPolicy { segment_bytes: 1, ..POLICY };

#[test]
fn the_last_record_of_each_key_stays_where_it_was_in_every_codec() {
    for codec in 0..=4 {
        let mut log = log();
        for keys in [[1, 2], [2, 3], [1, 9]] {
            let batch = BatchBuilder::keyed(&keys.map(|key| (key, true))).codec(codec);
            append(&mut log, &batch, TIGHT, 0);
        }
        assert!(clean(&mut log, &TIGHT, 0));
        assert_eq!(offsets(&log), [0, 2, 3, 4, 5], "codec {codec}; the newest segment is not seen");
        let first = BatchHeader::check(&log.read(0, 1, true).unwrap()).unwrap();
        assert_eq!((first.base_offset, first.last_offset(), first.records), (0, 1, 1));
        assert_eq!(first.codec(), codec);
    }
}

#[test]
fn a_compaction_waits_until_it_is_worth_it_or_records_are_old() {
    let policy = LogPolicy { min_dirty_ratio: 0.5, max_lag_ms: 1_000, ..TIGHT };
    let mut log = log();
    let batch = |ms| BatchBuilder::keyed(&[(1, true)]).first_timestamp(ms);
    append(&mut log, &batch(0), policy, 0);
    assert_eq!(log.next_cleaning_ms(&policy, 0), None, "there is one segment");
    (0..4).for_each(|_| append(&mut log, &batch(0), policy, 0));
    assert!(clean(&mut log, &policy, 0), "all is dirty");
    append(&mut log, &batch(500), policy, 500);
    append(&mut log, &batch(500), policy, 500);
    assert_eq!(log.next_cleaning_ms(&policy, 500), Some(500), "two of three");
    assert!(clean(&mut log, &policy, 500));
    (0..9).for_each(|key| append(&mut log, &BatchBuilder::keyed(&[(key, true)]), policy, 500));
    assert!(clean(&mut log, &policy, 500));
    append(&mut log, &batch(600), policy, 600);
    assert_eq!(log.next_cleaning_ms(&policy, 600), Some(1_001), "one of nine, of time 0");
    let patient = LogPolicy { min_lag_ms: 50, ..TIGHT };
    let mut log = Log::new(Box::new(MemoryStore::default()));
    (0..3).for_each(|_| append(&mut log, &batch(100), patient, 100));
    assert_eq!(log.next_cleaning_ms(&patient, 100), Some(151));
    assert!(!clean(&mut log, &patient, 150) && clean(&mut log, &patient, 151));
}

#[test]
fn a_tombstone_goes_when_its_time_is_over() {
    let mut log = log();
    append(&mut log, &BatchBuilder::keyed(&[(1, true), (2, true)]), TIGHT, 0);
    append(&mut log, &BatchBuilder::keyed(&[(1, false)]), TIGHT, 0);
    append(&mut log, &BatchBuilder::keyed(&[(9, true)]), TIGHT, 0);
    assert!(clean(&mut log, &TIGHT, 10));
    assert_eq!(offsets(&log), [1, 2, 3]);
    assert_eq!(log.next_cleaning_ms(&TIGHT, 10), Some(110));
    assert!(!clean(&mut log, &TIGHT, 109) && clean(&mut log, &TIGHT, 110));
    assert_eq!(offsets(&log), [1, 3]);
    let found = log.first_since(0).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp_ms), (1, 1), "its time is still its own");
}

#[test]
fn the_last_batch_of_a_producer_stays_without_records() {
    let mut log = log();
    let sent = BatchBuilder::keyed(&[(1, true), (1, true)]).producer(5, 0, 0).codec(4);
    append(&mut log, &sent, TIGHT, 0);
    (0..2).for_each(|_| append(&mut log, &BatchBuilder::keyed(&[(1, true)]), TIGHT, 0));
    assert!(clean(&mut log, &TIGHT, 0));
    assert_eq!(offsets(&log), [2, 3]);
    let bytes = log.read(0, usize::MAX >> 1, true).unwrap();
    let header = BatchHeader::check(&bytes).unwrap();
    assert_eq!((header.records, header.last_offset(), header.last_sequence()), (0, 1, 1));
    assert_eq!(log.latest_in_time().unwrap().unwrap().offset, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to a log, of each key the last committed record is there, all else is in
    /// order, and nothing that counts is lost.
    #[test]
    fn of_each_key_the_last_record_stays(steps in steps()) {
        let restart = |log: Log| {
            // In memory nothing is restarted.
            log
        };
        check(steps, log(), restart)?;
    }

    #[test]
    fn packed_records_are_opened_again(codec in 0i16..5, key in 0u8..9) {
        let plain = vec![key; 5_000];
        let packed = pack(codec, plain.clone()).unwrap();
        prop_assert_eq!(super::compression::open(codec, &packed).unwrap(), plain);
    }
}
