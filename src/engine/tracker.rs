//! Which offset of a partition is safe to commit.

use std::collections::VecDeque;

/// Names a record (or a batch) between [`Tracker::begin`] and [`Tracker::finish`].
pub type Ticket = u64;

/// The records of one partition that were handed out and are not done, in offset order.
///
/// # Guarantees
///
/// * [`Tracker::position`] is the offset of the lowest record that is not done or, if all are done,
///   the offset behind the last one that was begun.
/// * It never moves back.
/// * Offsets that carry no record for the application (compaction holes, control records, rows of an
///   aborted transaction) are never begun, so they never hold it up.
#[derive(Debug, Default)]
pub struct Tracker {
    /// Front: the lowest record that is not done. A done record behind it waits here.
    open: VecDeque<Entry>,
    /// Ticket of the front.
    first: Ticket,
    /// Offset behind the last record begun.
    end: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    done: bool,
}

impl Tracker {
    /// Hands out what lies in `offset..next`: one record, or a batch that is done as a whole.
    ///
    /// # Panics
    ///
    /// If `offset` is not behind everything begun before.
    pub fn begin(&mut self, offset: i64, next: i64) -> Ticket {
        assert!(self.end.is_none_or(|end| offset >= end), "records are begun in offset order");
        self.end = Some(next);
        self.open.push_back(Entry { offset, done: false });
        self.first + self.open.len() as u64 - 1
    }

    /// Marks `ticket` as done; doing it twice changes nothing.
    pub fn finish(&mut self, ticket: Ticket) {
        let Some(index) = ticket.checked_sub(self.first) else { return };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(entry) = self.open.get_mut(index) {
            entry.done = true;
        }
        while self.open.front().is_some_and(|e| e.done) {
            self.open.pop_front();
            self.first += 1;
        }
    }

    /// Goes on behind `next` as if everything in front of it had been handed out and done, if it is not there yet.
    pub fn skip_to(&mut self, next: i64) {
        self.end = Some(self.end.map_or(next, |end| end.max(next)));
    }

    /// The offset to commit; `None` until something was begun.
    #[must_use]
    pub fn position(&self) -> Option<i64> {
        self.open.front().map(|e| e.offset).or(self.end)
    }

    /// A tracker of which everything below `next` is done.
    #[must_use]
    pub fn starting_at(next: i64) -> Self {
        Self { end: Some(next), ..Self::default() }
    }

    /// True if `ticket` and all before it are done.
    #[must_use]
    pub fn is_done_through(&self, ticket: Ticket) -> bool {
        ticket < self.first
    }

    /// Offset behind the last record begun.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.end
    }

    /// Records begun and not done.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.open.iter().filter(|e| !e.done).count()
    }

    /// True if nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What the tracker must say, in the plainest form: the set of all records not done.
    #[derive(Default)]
    struct Model {
        open: BTreeMap<Ticket, i64>,
        end: Option<i64>,
    }

    impl Model {
        fn position(&self) -> Option<i64> {
            self.open.values().min().copied().or(self.end)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Begin a record so far behind the last one, of such a width.
        Begin { hole: i64, width: i64 },
        /// Go on so far behind the last one, without a record.
        Skip(i64),
        /// Finish the n-th of all records ever begun.
        Finish(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5_i64, 1..4_i64).prop_map(|(hole, width)| Step::Begin { hole, width }),
            (0..5_i64).prop_map(Step::Skip),
            any::<prop::sample::Index>().prop_map(Step::Finish),
        ]
    }

    proptest! {
        /// After any history, position and in-flight count are those of the model, and the position
        /// never moves back.
        #[test]
        fn agrees_with_the_model(start in 0..1_000_i64, steps in prop::collection::vec(step(), 0..200)) {
            let (mut tracker, mut model) = (Tracker::default(), Model::default());
            let (mut tickets, mut next, mut last) = (Vec::new(), start, None);
            for step in steps {
                match step {
                    Step::Begin { hole, width } => {
                        let offset = next + hole;
                        next = offset + width;
                        let ticket = tracker.begin(offset, next);
                        model.open.insert(ticket, offset);
                        model.end = Some(next);
                        tickets.push(ticket);
                    }
                    Step::Skip(hole) => {
                        next += hole;
                        tracker.skip_to(next);
                        tracker.skip_to(next - 1);
                        model.end = Some(next);
                    }
                    Step::Finish(which) if !tickets.is_empty() => {
                        let ticket = *which.get(&tickets);
                        tracker.finish(ticket);
                        model.open.remove(&ticket);
                    }
                    Step::Finish(_) => {}
                }
                for &ticket in &tickets {
                    let below = model.open.range(..=ticket).next().is_none();
                    prop_assert_eq!(tracker.is_done_through(ticket), below);
                }
                prop_assert_eq!(tracker.position(), model.position());
                prop_assert_eq!(tracker.in_flight(), model.open.len());
                prop_assert_eq!(tracker.is_idle(), model.open.is_empty());
                prop_assert!(last <= tracker.position());
                last = tracker.position();
            }
        }
    }

    /// A hole that compaction left is neither in flight nor committed twice.
    #[test]
    fn holes_do_not_hold_the_position_up() {
        let mut tracker = Tracker::default();
        let first = tracker.begin(3, 4);
        let second = tracker.begin(90, 91);
        tracker.finish(second);
        assert_eq!(tracker.position(), Some(3));
        tracker.finish(first);
        assert_eq!(tracker.position(), Some(91));
    }
}
