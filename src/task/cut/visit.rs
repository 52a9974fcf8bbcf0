//! Turns of a partition without a record: what time alone makes happen, such as the end of a window.
//!
//! # Guarantees
//!
//! * What is written and sent in one visit is in one cut, with nothing of it in another: no cut is sealed while
//!   somebody visits.
//! * A visit that has written makes a cut due, also where no record was read since the last one. Its offset is
//!   then the same.
//! * A visit that has written nothing costs no commit.

use super::{Shared, is_asked_for};
use crate::task::status::State;
use std::sync::Arc;

/// Holds the next cut of a task back until it is dropped.
pub struct Visit {
    task: Arc<Shared>,
    cut: u64,
}

impl Shared {
    /// Begins a visit. None while a cut waits for its records, in a task that does not run, and where there is
    /// no offset yet that a commit could have.
    #[must_use]
    pub fn visit(self: &Arc<Self>) -> Option<Visit> {
        let cuts = self.cuts.as_ref()?;
        let mut inner = cuts.inner.lock();
        let is_placed = inner.from.is_some() || self.reached().is_some();
        if !is_placed || is_asked_for(cuts.word()) || self.status.state() != State::Running {
            return None;
        }
        inner.visits += 1;
        Some(Visit { task: Arc::clone(self), cut: cuts.number() })
    }
}

impl Visit {
    /// The task.
    #[must_use]
    pub fn task(&self) -> &Arc<Shared> {
        &self.task
    }

    /// The cut that what is written belongs to.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some(cuts) = &self.task.cuts else { return };
        let mut inner = cuts.inner.lock();
        inner.visits -= 1;
        self.task.seal_if_even(cuts, &mut inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::Metrics,
        state::{MemoryStore, Space},
        task::{
            cut::{Cuts, Sealed},
            input::Input,
            status::Status,
            tables::Tables,
        },
        types::TopicPartition,
    };
    use proptest::prelude::*;

    const TABLE: Space = Space(0);
    const AT: i64 = 5;

    /// A task that runs, and has read nothing since its commit at [`AT`].
    fn task() -> Arc<Shared> {
        let metrics = Metrics::new().task("task");
        let tp = TopicPartition::new("topic", 0);
        let status = Status::new(tp, "task".into(), metrics, Box::new(|_, _, _| {}));
        status.become_state(State::Running);
        let tables = Tables::new(Arc::new(MemoryStore::default()), 1, 1 << 20).unwrap();
        let input = Input::new(status.tp.clone(), Vec::new(), None);
        let cuts = Cuts::new(tables, (Some(AT), Some(vec![AT])), true);
        Shared::new(status, vec![input], Some(cuts))
    }

    fn write(visit: &Visit, key: u8) {
        let cuts = visit.task().cuts.as_ref().unwrap();
        cuts.tables.put(visit.cut(), TABLE, &[key], Some(vec![1])).unwrap();
    }

    fn sealed(task: &Shared) -> Option<Sealed> {
        task.cuts.as_ref().unwrap().sealed()
    }

    fn keys(cut: &Sealed) -> Vec<u8> {
        let delta = cut.writes.delta();
        delta.0.iter().flat_map(|(_, writes)| &writes.0).map(|(key, _)| key[0]).collect()
    }

    #[test]
    fn a_visit_that_writes_nothing_costs_no_commit() {
        let task = task();
        drop(task.visit().unwrap());
        assert!(!task.ask_for_cut(false) && sealed(&task).is_none());
    }

    #[test]
    fn what_a_visit_writes_is_sealed_at_the_same_offset_once_it_is_over() {
        let task = task();
        let visit = task.visit().unwrap();
        write(&visit, 1);
        assert!(task.ask_for_cut(false) && sealed(&task).is_none());
        assert!(task.visit().is_none(), "the cut would never come");
        write(&visit, 2);
        drop(visit);
        let cut = sealed(&task).unwrap();
        assert_eq!((cut.from, cut.next, keys(&cut)), (AT, AT, vec![1, 2]));
        task.cut_committed(&cut);
        assert!(!task.ask_for_cut(false) && task.visit().is_some());
    }

    #[test]
    fn the_last_cut_has_what_a_visit_has_written() {
        let task = task();
        let visit = task.visit().unwrap();
        write(&visit, 1);
        task.drain();
        assert!(!task.is_even() && task.visit().is_none());
        drop(visit);
        assert!(task.is_even());
        let cut = sealed(&task).unwrap();
        assert_eq!((cut.next, keys(&cut)), (AT, vec![1]));
        task.cut_committed(&cut);
        assert!(sealed(&task).is_none(), "once");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin,
        Write(prop::sample::Index),
        End(prop::sample::Index),
        Ask,
        Commit,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Begin),
            any::<prop::sample::Index>().prop_map(Step::Write),
            any::<prop::sample::Index>().prop_map(Step::End),
            Just(Step::Ask),
            Just(Step::Commit),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn however_visits_overlap_each_write_is_committed_once_with_all_of_its_visit(steps in steps()) {
            let task = task();
            let mut open: Vec<(Visit, Vec<u8>)> = Vec::new();
            let (mut done, mut commits, mut next) = (Vec::new(), Vec::new(), 0_u8);
            let commit = |commits: &mut Vec<Vec<u8>>| {
                if let Some(cut) = sealed(&task) {
                    task.cut_committed(&cut);
                    commits.push(keys(&cut));
                }
            };
            for step in steps {
                match step {
                    Step::Begin => open.extend(task.visit().map(|visit| (visit, Vec::new()))),
                    Step::Write(at) if !open.is_empty() => {
                        let (visit, written) = at.get_mut(&mut open);
                        next += 1;
                        write(visit, next);
                        written.push(next);
                    }
                    Step::End(at) if !open.is_empty() => {
                        let at = at.index(open.len());
                        done.push(open.swap_remove(at).1);
                    }
                    Step::Ask => drop(task.ask_for_cut(false)),
                    Step::Commit => commit(&mut commits),
                    Step::Write(_) | Step::End(_) => {}
                }
            }
            done.extend(open.drain(..).map(|(_, written)| written));
            for _ in 0..2 {
                task.ask_for_cut(false);
                commit(&mut commits);
            }
            let mut all: Vec<u8> = commits.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (1..=next).collect::<Vec<_>>());
            for written in done.iter().filter(|written| !written.is_empty()) {
                let homes = commits.iter().filter(|keys| keys.contains(&written[0]));
                prop_assert!(homes.clone().count() == 1);
                prop_assert!(homes.clone().all(|keys| written.iter().all(|key| keys.contains(key))));
            }
        }
    }
}
