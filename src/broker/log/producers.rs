//! What a partition remembers of idempotent producers: enough to recognise a repeated batch and to
//! refuse a gap.

use super::batch::{BatchHeader, add_sequence};
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

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// Oldest first, at most [`REMEMBERED`].
    recent: VecDeque<Written>,
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
            known.recent.back().map_or(got, |w| add_sequence(w.last, 1))
        };
        if got == expected {
            Ok(None)
        } else {
            Err(SequenceError::OutOfOrder { producer_id, got, expected })
        }
    }

    /// Notes that `batch` is in the log from `base_offset` on.
    pub(crate) fn note(&mut self, batch: &BatchHeader, base_offset: i64) {
        if batch.producer_id < 0 || batch.is_control() {
            return;
        }
        let epoch = batch.producer_epoch;
        let producer = self
            .by_id
            .entry(batch.producer_id)
            .or_insert_with(|| Producer { epoch, recent: VecDeque::new() });
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.recent.clear();
        }
        if producer.recent.len() == REMEMBERED {
            producer.recent.pop_front();
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        producer.recent.push_back(Written { first, last, base_offset });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::testing::BatchBuilder;
    use proptest::prelude::*;

    fn header(epoch: i16, sequence: i32, records: usize) -> BatchHeader {
        let bytes = BatchBuilder::new(records).producer(9, epoch, sequence).build();
        BatchHeader::check(&bytes).unwrap()
    }

    #[test]
    fn a_repeated_batch_gets_its_first_offset() {
        let mut producers = Producers::default();
        for i in 0..5 {
            let batch = header(0, i * 2, 2);
            assert_eq!(producers.check(&batch), Ok(None));
            producers.note(&batch, i64::from(i) * 2);
        }
        for i in 0..5 {
            assert_eq!(producers.check(&header(0, i * 2, 2)), Ok(Some(i64::from(i) * 2)));
        }
        producers.note(&header(0, 10, 1), 10);
        assert!(producers.check(&header(0, 0, 2)).is_err(), "forgotten: no longer recognised");
    }

    #[test]
    fn a_gap_is_refused_and_names_what_is_missing() {
        let mut producers = Producers::default();
        producers.note(&header(0, 0, 3), 0);
        let refused = producers.check(&header(0, 4, 1));
        assert_eq!(refused, Err(SequenceError::OutOfOrder { producer_id: 9, got: 4, expected: 3 }));
    }

    #[test]
    fn sequences_go_on_behind_the_largest_number() {
        let mut producers = Producers::default();
        producers.note(&header(0, i32::MAX - 1, 3), 0);
        assert_eq!(producers.check(&header(0, 1, 1)), Ok(None));
        assert_eq!(producers.check(&header(0, i32::MAX - 1, 3)), Ok(Some(0)));
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut producers = Producers::default();
        producers.note(&header(1, 0, 4), 0);
        assert!(matches!(
            producers.check(&header(2, 4, 1)),
            Err(SequenceError::OutOfOrder { expected: 0, .. })
        ));
        producers.note(&header(2, 0, 1), 4);
        assert!(matches!(
            producers.check(&header(1, 4, 1)),
            Err(SequenceError::StaleEpoch { known: 2, .. })
        ));
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
                producers.note(&batch, end);
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
