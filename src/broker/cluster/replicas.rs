//! The replicas of one partition, and which of them leads.
//!
//! # Guarantees
//!
//! * The leader is live, and was in sync when the leader before it went, unless the topic allows
//!   unclean elections.
//! * The epoch grows by one with every change of the leader, and never otherwise.
//! * At least one replica is in sync, be it down.

use std::collections::BTreeSet;

/// Nodes by their ids.
pub(crate) type NodeIds = BTreeSet<i32>;

/// Who holds a partition, and who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replicas {
    assigned: Vec<i32>,
    in_sync: Vec<i32>,
    leader: Option<i32>,
    epoch: i32,
}

/// Why there was no election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotElected {
    /// The leader is the one that is wanted.
    NotNeeded,
    /// The wanted leader is down, or not in sync.
    NotAvailable,
}

impl Replicas {
    /// The first live one of `assigned` leads, in epoch `epoch`; nobody does if all are down.
    pub(crate) fn new(assigned: Vec<i32>, live: &NodeIds, epoch: i32) -> Self {
        let first = assigned.iter().copied().find(|id| live.contains(id));
        let in_sync = match first {
            Some(_) => assigned.iter().copied().filter(|id| live.contains(id)).collect(),
            None => assigned.clone(),
        };
        Self { assigned, in_sync, leader: first, epoch }
    }

    /// Nodes that hold the partition, the preferred leader first.
    pub(crate) fn assigned(&self) -> &[i32] {
        &self.assigned
    }

    /// Those of them that have every record.
    pub(crate) fn in_sync(&self) -> &[i32] {
        &self.in_sync
    }

    /// Who leads, if anybody can.
    pub(crate) fn leader(&self) -> Option<i32> {
        self.leader
    }

    /// How often the leader has changed.
    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// True if `node` holds every record and serves.
    pub(crate) fn is_follower(&self, node: i32) -> bool {
        self.leader.is_some() && self.in_sync.contains(&node)
    }

    /// Follows the nodes that have come or gone; true if the leader is another one. With `unclean`,
    /// one that is not in sync may lead rather than nobody.
    pub(crate) fn settle(&mut self, live: &NodeIds, unclean: bool) -> bool {
        let before = self.leader;
        let in_sync: Vec<i32> =
            self.in_sync.iter().copied().filter(|id| live.contains(id)).collect();
        if in_sync.is_empty() {
            let any = self.assigned.iter().copied().find(|id| unclean && live.contains(id));
            self.leader = any;
            self.in_sync = any.map_or_else(|| std::mem::take(&mut self.in_sync), |id| vec![id]);
        } else {
            self.in_sync = in_sync;
            if self.leader.is_none_or(|leader| !self.in_sync.contains(&leader)) {
                self.leader = self.assigned.iter().copied().find(|id| self.in_sync.contains(id));
            }
        }
        if self.leader.is_some() {
            // Who is back has read what it missed before anybody can look.
            let in_sync = &self.in_sync;
            let back = |id: &i32| live.contains(id) && !in_sync.contains(id);
            let back: Vec<i32> = self.assigned.iter().copied().filter(back).collect();
            self.in_sync.extend(back);
        }
        self.changed(before)
    }

    /// Makes the preferred replica the leader.
    pub(crate) fn elect_preferred(&mut self) -> Result<(), NotElected> {
        let before = self.leader;
        let preferred = self.assigned.first().copied();
        if before.is_some() && before == preferred {
            return Err(NotElected::NotNeeded);
        }
        match preferred {
            Some(id) if self.is_follower(id) => {
                self.leader = preferred;
                self.changed(before);
                Ok(())
            }
            _ => Err(NotElected::NotAvailable),
        }
    }

    /// Lets any live replica lead where nobody does.
    pub(crate) fn elect_unclean(&mut self, live: &NodeIds) -> Result<(), NotElected> {
        if self.leader.is_some() {
            return Err(NotElected::NotNeeded);
        }
        if self.settle(live, true) { Ok(()) } else { Err(NotElected::NotAvailable) }
    }

    fn changed(&mut self, before: Option<i32>) -> bool {
        let changed = self.leader != before;
        self.epoch += i32::from(changed);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nodes(ids: impl IntoIterator<Item = i32>) -> NodeIds {
        ids.into_iter().collect()
    }

    #[test]
    fn the_leader_moves_to_a_replica_in_sync_and_stays_there() {
        let mut replicas = Replicas::new(vec![2, 3, 1], &nodes(1..=3), 0);
        assert_eq!((replicas.leader(), replicas.epoch()), (Some(2), 0));
        assert!(replicas.settle(&nodes([1, 3]), false));
        assert_eq!((replicas.leader(), replicas.epoch()), (Some(3), 1));
        assert_eq!(replicas.in_sync(), [3, 1]);
        assert!(!replicas.settle(&nodes(1..=3), false), "who is back does not take over");
        assert_eq!(replicas.in_sync(), [3, 1, 2]);
        assert_eq!(replicas.elect_preferred(), Ok(()));
        assert_eq!((replicas.leader(), replicas.epoch()), (Some(2), 2));
        assert_eq!(replicas.elect_preferred(), Err(NotElected::NotNeeded));
    }

    #[test]
    fn only_the_last_one_in_sync_may_lead_again_unless_elections_may_be_unclean() {
        let mut replicas = Replicas::new(vec![1, 2], &nodes(1..=2), 0);
        replicas.settle(&nodes([2]), false);
        replicas.settle(&nodes([]), false);
        assert_eq!((replicas.leader(), replicas.in_sync()), (None, &[2][..]));
        assert!(!replicas.settle(&nodes([1]), false));
        assert_eq!(replicas.elect_preferred(), Err(NotElected::NotAvailable));
        let mut unclean = replicas.clone();
        assert_eq!(unclean.elect_unclean(&nodes([1])), Ok(()));
        assert_eq!((unclean.leader(), unclean.in_sync()), (Some(1), &[1][..]));
        assert!(replicas.settle(&nodes(1..=2), false));
        assert_eq!((replicas.leader(), replicas.in_sync()), (Some(2), &[2, 1][..]));
        assert_eq!(replicas.epoch(), 3, "2 leads, nobody leads, 2 leads");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Toggle(i32),
        Append,
        Prefer,
    }

    proptest! {
        /// Whatever nodes come and go, a leader has every record that was taken.
        #[test]
        fn a_leader_has_every_record(
            assigned in proptest::sample::subsequence(vec![1, 2, 3, 4], 1..=4).prop_shuffle(),
            steps in proptest::collection::vec(
                prop_oneof![
                    (1..=4).prop_map(Step::Toggle),
                    Just(Step::Append),
                    Just(Step::Prefer),
                ],
                0..60,
            ),
        ) {
            let mut live = nodes(1..=4);
            let mut replicas = Replicas::new(assigned.clone(), &live, 0);
            let mut records = [0; 5];
            let mut taken = 0;
            for step in steps {
                let before = replicas.clone();
                match step {
                    Step::Toggle(id) => {
                        if !live.remove(&id) {
                            live.insert(id);
                        }
                        let changed = replicas.settle(&live, false);
                        prop_assert_eq!(changed, before.leader() != replicas.leader());
                        if let Some(leader) = before.leader() {
                            prop_assert!(!changed || !live.contains(&leader), "a leader is deposed");
                        }
                    }
                    Step::Append if replicas.leader().is_some() => {
                        taken += 1;
                    }
                    Step::Append => {}
                    Step::Prefer => {
                        let elected = replicas.elect_preferred();
                        prop_assert!(elected.is_err() || replicas.leader() == Some(assigned[0]));
                    }
                }
                if replicas.leader().is_some() {
                    let leader_has = replicas.leader().map(|id| records[id as usize]);
                    let before_step = taken - i32::from(matches!(step, Step::Append));
                    prop_assert_eq!(leader_has, Some(before_step), "the leader lacks records");
                    replicas.in_sync().iter().for_each(|id| records[*id as usize] = taken);
                }
                let moved = i32::from(before.leader() != replicas.leader());
                prop_assert_eq!(replicas.epoch(), before.epoch() + moved);
                prop_assert!(replicas.leader().is_none_or(|id| live.contains(&id)));
                prop_assert!(!replicas.in_sync().is_empty());
                prop_assert!(replicas.in_sync().iter().all(|id| assigned.contains(id)));
                let someone = replicas.in_sync().iter().any(|id| live.contains(id));
                prop_assert_eq!(replicas.leader().is_some(), someone);
            }
        }
    }
}
