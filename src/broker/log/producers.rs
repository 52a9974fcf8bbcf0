//! What a partition remembers of idempotent producers: enough to recognise a repeated batch, to
//! refuse a gap, and to know whether a transaction is open.

use super::{
    batch::{BatchHeader, add_sequence},
    marker::COORDINATOR_EPOCH,
};
use std::collections::{HashMap, VecDeque};

/// Batches that are remembered for each producer; clients have at most this many in flight.
const REMEMBERED: usize = 5;

/// Why a batch does not follow the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SequenceError {
    /// A newer instance of the producer has written already.
    #[error("epoch {got} of producer {producer_id} is older than {known}")]
    StaleEpoch {
        /// Producer id of the batch.
        producer_id: i64,
        /// Epoch of the batch.
        got: i16,
        /// Epoch that the partition knows.
        known: i16,
    },
    /// Batches are missing in front of this one.
    #[error("producer {producer_id} sent sequence {got}, expected {expected}")]
    OutOfOrder {
        /// Producer id of the batch.
        producer_id: i64,
        /// First sequence number of the batch.
        got: i32,
        /// First sequence number that would follow.
        expected: i32,
    },
}

/// A batch of a producer that is in the log.
#[derive(Clone, Copy, Debug)]
struct Written {
    first: i32,
    last: i32,
    base_offset: i64,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: i16,
    /// Oldest first, at most [`REMEMBERED`]; none if a marker is all that this epoch has written.
    recent: VecDeque<Written>,
    /// Largest timestamp of its newest batch or marker.
    last_timestamp_ms: i64,
    /// First offset of its open transaction.
    open_from: Option<i64>,
    /// Offset of its newest marker.
    last_marker: Option<i64>,
}

/// A producer, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerState {
    /// Its id.
    pub(crate) producer_id: i64,
    /// Newest epoch that the partition knows.
    pub(crate) epoch: i16,
    /// Sequence number of its last record; -1 if there is none of this epoch.
    pub(crate) last_sequence: i32,
    /// Largest timestamp of its newest batch or marker.
    pub(crate) last_timestamp_ms: i64,
    /// Epoch of the coordinator that wrote its newest marker; -1 if there is none.
    pub(crate) coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub(crate) open_from: Option<i64>,
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// The base offset under which this batch is in the log already; `None` if it comes next.
    pub(crate) fn check(&self, batch: &BatchHeader) -> Result<Option<i64>, SequenceError> {
        let producer_id = batch.producer_id;
        let Some(known) = self.by_id.get(&producer_id).filter(|_| producer_id >= 0) else {
            return Ok(None);
        };
        if batch.producer_epoch < known.epoch {
            let (got, known) = (batch.producer_epoch, known.epoch);
            return Err(SequenceError::StaleEpoch { producer_id, got, known });
        }
        let got = batch.base_sequence;
        let expected = if batch.producer_epoch > known.epoch {
            0
        } else {
            let same = |w: &&Written| w.first == got && w.last == batch.last_sequence();
            if let Some(written) = known.recent.iter().find(same) {
                return Ok(Some(written.base_offset));
            }
            known.recent.back().map_or(0, |w| add_sequence(w.last, 1))
        };
        if got == expected {
            Ok(None)
        } else {
            Err(SequenceError::OutOfOrder { producer_id, got, expected })
        }
    }

    /// Notes that `batch` is in the log; true if it begins a transaction.
    pub(super) fn note(&mut self, batch: &BatchHeader) -> bool {
        if batch.producer_id < 0 || batch.is_control() {
            return false;
        }
        let producer = self.in_epoch(batch);
        if producer.recent.len() == REMEMBERED {
            producer.recent.pop_front();
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        producer.recent.push_back(Written { first, last, base_offset: batch.base_offset });
        let begins = batch.is_transactional() && producer.open_from.is_none();
        if begins {
            producer.open_from = Some(batch.base_offset);
        }
        begins
    }

    /// Notes that the marker `batch` is in the log; the first offset of the transaction that it
    /// ends, if one was open.
    pub(super) fn note_marker(&mut self, batch: &BatchHeader) -> Option<i64> {
        let producer = self.in_epoch(batch);
        producer.last_marker = Some(batch.base_offset);
        producer.open_from.take()
    }

    /// The producer of `batch`, which fences older epochs: what they have sent is forgotten.
    fn in_epoch(&mut self, batch: &BatchHeader) -> &mut Producer {
        let epoch = batch.producer_epoch;
        let producer = self.by_id.entry(batch.producer_id).or_default();
        if producer.epoch < epoch {
            producer.epoch = epoch;
            producer.recent.clear();
        }
        producer.last_timestamp_ms = batch.max_timestamp_ms;
        producer
    }

    /// Base offset of the last batch of each producer, or of its marker if that is all there is.
    pub(super) fn last_batches(&self) -> HashMap<i64, i64> {
        let last = |p: &Producer| p.recent.back().map(|w| w.base_offset).or(p.last_marker);
        self.by_id.iter().filter_map(|(id, p)| Some((*id, last(p)?))).collect()
    }

    /// True if anything is known of a producer.
    pub(super) fn contains(&self, producer_id: i64) -> bool {
        self.by_id.contains_key(&producer_id)
    }

    /// True if a transaction of the producer is open.
    pub(super) fn is_open(&self, producer_id: i64) -> bool {
        self.by_id.get(&producer_id).is_some_and(|p| p.open_from.is_some())
    }

    /// The same, for this epoch of the producer.
    pub(super) fn is_open_for(&self, producer_id: i64, epoch: i16) -> bool {
        let found = self.by_id.get(&producer_id);
        found.is_some_and(|p| p.open_from.is_some() && p.epoch == epoch)
    }

    /// True if the newest marker of the producer is not in front of `offset`.
    pub(super) fn is_marked_since(&self, producer_id: i64, offset: i64) -> bool {
        self.by_id.get(&producer_id).and_then(|p| p.last_marker).is_some_and(|at| at >= offset)
    }

    /// All producers, by their ids.
    pub(super) fn all(&self) -> Vec<ProducerState> {
        let state = |(&producer_id, p): (&i64, &Producer)| ProducerState {
            producer_id,
            epoch: p.epoch,
            last_sequence: p.recent.back().map_or(-1, |w| w.last),
            last_timestamp_ms: p.last_timestamp_ms,
            coordinator_epoch: p.last_marker.map_or(-1, |_| COORDINATOR_EPOCH),
            open_from: p.open_from,
        };
        let mut all: Vec<_> = self.by_id.iter().map(state).collect();
        all.sort_by_key(|p| p.producer_id);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::{
        marker::{self, Marker, Outcome},
        testing::BatchBuilder,
    };
    use proptest::prelude::*;

    fn header(epoch: i16, sequence: i32, records: usize) -> BatchHeader {
        let bytes = BatchBuilder::new(records).producer(9, epoch, sequence).build();
        BatchHeader::check(&bytes).unwrap()
    }

    fn at(base_offset: i64, batch: BatchHeader) -> BatchHeader {
        BatchHeader { base_offset, ..batch }
    }

    fn marker(epoch: i16, outcome: Outcome) -> BatchHeader {
        let marker = Marker { producer_id: 9, producer_epoch: epoch, outcome };
        BatchHeader::check(&marker::build(marker, 0)).unwrap()
    }

    #[test]
    fn a_repeated_batch_gets_its_first_offset() {
        let mut producers = Producers::default();
        for i in 0..5 {
            let batch = header(0, i * 2, 2);
            assert_eq!(producers.check(&batch), Ok(None));
            producers.note(&at(i64::from(i) * 2, batch));
        }
        for i in 0..5 {
            assert_eq!(producers.check(&header(0, i * 2, 2)), Ok(Some(i64::from(i) * 2)));
        }
        producers.note(&at(10, header(0, 10, 1)));
        assert!(producers.check(&header(0, 0, 2)).is_err(), "forgotten: no longer recognised");
    }

    #[test]
    fn a_gap_is_refused_and_names_what_is_missing() {
        let mut producers = Producers::default();
        producers.note(&header(0, 0, 3));
        let refused = producers.check(&header(0, 4, 1));
        assert_eq!(refused, Err(SequenceError::OutOfOrder { producer_id: 9, got: 4, expected: 3 }));
    }

    #[test]
    fn sequences_go_on_behind_the_largest_number() {
        let mut producers = Producers::default();
        producers.note(&header(0, i32::MAX - 1, 3));
        assert_eq!(producers.check(&header(0, 1, 1)), Ok(None));
        assert_eq!(producers.check(&header(0, i32::MAX - 1, 3)), Ok(Some(0)));
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut producers = Producers::default();
        producers.note(&header(1, 0, 4));
        assert!(matches!(
            producers.check(&header(2, 4, 1)),
            Err(SequenceError::OutOfOrder { expected: 0, .. })
        ));
        producers.note(&at(4, header(2, 0, 1)));
        assert!(matches!(
            producers.check(&header(1, 4, 1)),
            Err(SequenceError::StaleEpoch { known: 2, .. })
        ));
    }

    #[test]
    fn a_marker_of_a_newer_epoch_fences_older_ones_and_starts_at_zero() {
        let mut producers = Producers::default();
        producers.note(&header(1, 0, 4));
        producers.note_marker(&at(4, marker(2, Outcome::Abort)));
        assert!(matches!(
            producers.check(&header(1, 4, 1)),
            Err(SequenceError::StaleEpoch { known: 2, .. })
        ));
        assert!(producers.check(&header(2, 4, 1)).is_err(), "the epoch is new");
        assert_eq!(producers.check(&header(2, 0, 1)), Ok(None));
        assert_eq!(producers.all()[0].last_sequence, -1);
        assert!(producers.is_marked_since(9, 4) && !producers.is_marked_since(9, 5));
    }

    #[test]
    fn sequences_go_on_behind_a_marker_of_the_same_epoch() {
        let mut producers = Producers::default();
        producers.note(&header(1, 0, 4));
        producers.note_marker(&at(4, marker(1, Outcome::Commit)));
        assert_eq!(producers.check(&header(1, 4, 1)), Ok(None));
        assert_eq!(producers.check(&header(1, 0, 4)), Ok(Some(0)));
    }

    proptest! {
        /// Whatever order a client repeats its batches in, each one is written once.
        #[test]
        fn batches_are_written_exactly_once(
            sizes in proptest::collection::vec(1usize..4, 1..12),
            repeats in proptest::collection::vec(0usize..5, 1..40),
            start in prop_oneof![Just(0), Just(i32::MAX - 5)],
        ) {
            let mut producers = Producers::default();
            let mut end = 0i64;
            let mut sequence = start;
            let mut written: Vec<(BatchHeader, i64)> = Vec::new();
            for (i, &size) in sizes.iter().enumerate() {
                let batch = header(0, sequence, size);
                sequence = add_sequence(sequence, size as i32);
                prop_assert_eq!(producers.check(&batch), Ok(None));
                producers.note(&at(end, batch));
                written.push((batch, end));
                end += size as i64;
                let back = repeats[i % repeats.len()];
                if let Some((again, offset)) = written.iter().rev().nth(back) {
                    prop_assert_eq!(producers.check(again), Ok(Some(*offset)));
                }
            }
        }
    }
}
