//! Which transactions are open in a partition, and which were aborted: what a reader of committed
//! records needs to know.

use std::collections::{BTreeMap, HashSet};

/// A transaction whose records in a partition never count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    /// Whose transaction it was.
    pub(crate) producer_id: i64,
    /// Offset of its first record.
    pub(crate) first_offset: i64,
    /// Offset of its marker.
    pub(crate) last_offset: i64,
}

/// The transactions of one partition.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// First offset of each open transaction, and its producer.
    open: BTreeMap<i64, i64>,
    /// By the offset of their markers.
    aborted: Vec<Aborted>,
}

impl Transactions {
    /// A transaction of `producer_id` begins with the record at `first_offset`.
    pub(super) fn begin(&mut self, producer_id: i64, first_offset: i64) {
        self.open.insert(first_offset, producer_id);
    }

    /// The transaction that began at `first_offset` is committed.
    pub(super) fn commit(&mut self, first_offset: i64) {
        self.open.remove(&first_offset);
    }

    /// The transaction that began at `first_offset` is aborted by the marker at `last_offset`.
    pub(super) fn abort(&mut self, first_offset: i64, last_offset: i64) {
        if let Some(producer_id) = self.open.remove(&first_offset) {
            self.aborted.push(Aborted { producer_id, first_offset, last_offset });
        }
    }

    /// First offset of the oldest open transaction.
    pub(super) fn first_open(&self) -> Option<i64> {
        self.open.keys().next().copied()
    }

    /// The aborted transactions with a record or marker in `from..to`.
    pub(super) fn aborted(&self, from: i64, to: i64) -> Vec<Aborted> {
        let first = self.aborted.partition_point(|a| a.last_offset < from);
        self.aborted[first..].iter().filter(|a| a.first_offset < to).copied().collect()
    }

    /// Forgets aborted transactions whose markers are gone: a reader that is told of them would wait
    /// for the marker, and take what comes before the next one for aborted, too.
    pub(super) fn forget_markers(&mut self, gone: &HashSet<i64>) {
        self.aborted.retain(|a| !gone.contains(&a.last_offset));
    }

    /// Forgets aborted transactions that end in front of `offset`.
    pub(super) fn forget_before(&mut self, offset: i64) {
        let gone = self.aborted.partition_point(|a| a.last_offset < offset);
        self.aborted.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_transaction_is_known_whatever_ends_first() {
        let mut transactions = Transactions::default();
        transactions.begin(1, 10);
        transactions.begin(2, 14);
        transactions.begin(3, 20);
        transactions.commit(14);
        assert_eq!(transactions.first_open(), Some(10));
        transactions.abort(10, 31);
        assert_eq!(transactions.first_open(), Some(20));
        transactions.commit(20);
        assert_eq!(transactions.first_open(), None);
    }

    #[test]
    fn a_reader_gets_the_aborted_transactions_that_overlap_its_range() {
        let mut transactions = Transactions::default();
        for (producer, first, last) in [(1, 0, 5), (2, 3, 9), (3, 12, 15)] {
            transactions.begin(producer, first);
            transactions.abort(first, last);
        }
        let ids = |from, to| -> Vec<i64> {
            transactions.aborted(from, to).iter().map(|a| a.producer_id).collect()
        };
        assert_eq!(ids(0, 100), [1, 2, 3]);
        assert_eq!(ids(5, 12), [1, 2]);
        assert_eq!(ids(6, 13), [2, 3]);
        assert_eq!(ids(0, 3), [1]);
        assert!(ids(16, 100).is_empty());
        transactions.forget_before(9);
        assert_eq!(transactions.aborted(0, 100).len(), 2);
    }
}
