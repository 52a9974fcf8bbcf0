//! Which leader epoch wrote which offsets.

/// Epochs of leaders with the first offset of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    /// Rising in both.
    starts: Vec<(i32, i64)>,
}

impl Epochs {
    /// From `offset` on, records are of `epoch`. An epoch that got no record is forgotten.
    pub(super) fn start(&mut self, epoch: i32, offset: i64) {
        if self.starts.last().is_some_and(|(last, _)| *last == epoch) {
            return;
        }
        while self.starts.last().is_some_and(|&(e, start)| e > epoch || start >= offset) {
            self.starts.pop();
        }
        self.starts.push((epoch, offset));
    }

    /// Records in front of `offset` are gone.
    pub(super) fn delete_before(&mut self, offset: i64) {
        let gone = self.starts.iter().filter(|(_, start)| *start <= offset).count();
        if let Some(last) = gone.checked_sub(1) {
            self.starts.drain(..last);
            self.starts[0].1 = offset;
        }
    }

    /// The newest epoch up to `epoch` that has records, and the offset behind them; the log ends at
    /// `end`. `None` if the epoch is newer than all, or none.
    pub(super) fn end_of(&self, epoch: i32, end: i64) -> Option<(i32, i64)> {
        if epoch < 0 {
            return None;
        }
        let behind = self.starts.partition_point(|(e, _)| *e <= epoch);
        let up_to = behind.checked_sub(1).map(|at| self.starts[at].0);
        match self.starts.get(behind) {
            Some((_, start)) => Some((up_to.unwrap_or(epoch), *start)),
            None if up_to == Some(epoch) => Some((epoch, end)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(starts: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        starts.iter().for_each(|(epoch, offset)| epochs.start(*epoch, *offset));
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let epochs = epochs(&[(0, 0), (2, 10), (5, 30)]);
        let end = |epoch| epochs.end_of(epoch, 40);
        assert_eq!(
            [0, 1, 2, 3, 4].map(end),
            [10, 10, 30, 30, 30].map(|end| {
                let epoch = match end {
                    10 => 0,
                    _ => 2,
                };
                Some((epoch, end))
            })
        );
        assert_eq!(end(5), Some((5, 40)));
        assert_eq!(end(6), None, "nobody has heard of it");
        assert_eq!(end(-1), None, "it stands for no epoch");
    }

    #[test]
    fn an_epoch_without_records_leaves_no_trace() {
        let epochs = epochs(&[(0, 0), (1, 0), (3, 8), (4, 8), (4, 9)]);
        assert_eq!(epochs.starts, [(1, 0), (4, 8)]);
        assert_eq!(epochs.end_of(3, 9), Some((1, 8)));
    }

    #[test]
    fn epochs_in_front_of_the_log_are_forgotten() {
        let mut epochs = epochs(&[(1, 0), (2, 10), (5, 30)]);
        epochs.delete_before(12);
        assert_eq!(epochs.starts, [(2, 12), (5, 30)]);
        assert_eq!(epochs.end_of(1, 40), Some((1, 12)), "it has nothing in front of the start");
        epochs.delete_before(30);
        assert_eq!(epochs.starts, [(5, 30)]);
        Epochs::default().delete_before(3);
    }
}
