//! A member's next step towards the target.

use super::{ConsumerGroup, Member, Partitions, Progress};
use std::time::Instant;

impl ConsumerGroup {
    /// Takes a member, which says what it owns, a step towards the target of the assignment epoch.
    pub(super) fn reconcile(&mut self, id: &str, owned: Option<&Partitions>, now: Instant) {
        let member = &self.members[id];
        let epoch = match member.progress {
            Progress::Stable if member.epoch == self.assignment_epoch => return,
            Progress::Unrevoked if owns_any(owned, &member.revoking) => return,
            Progress::Unrevoked => member.epoch + 1,
            Progress::Stable | Progress::Unreleased => member.epoch,
        };
        let is_held = |p: &&(uuid::Uuid, i32)| self.members.values().any(|m| m.holds(p));
        let mut assigned: Partitions = &member.assigned & &member.target;
        let revoking: Partitions = &member.assigned - &member.target;
        let wanted: Partitions = &member.target - &assigned;
        let free: Partitions = wanted.iter().filter(|p| !is_held(p)).copied().collect();
        let waits = free.len() < wanted.len();
        let target_epoch = self.assignment_epoch;

        let mut next = member.clone();
        next.previous_epoch = member.epoch;
        if !revoking.is_empty() && owns_any(owned, &revoking) {
            (next.progress, next.epoch, next.revoking) = (Progress::Unrevoked, epoch, revoking);
        } else {
            assigned.extend(free);
            next.progress = if waits { Progress::Unreleased } else { Progress::Stable };
            (next.epoch, next.revoking) = (target_epoch, Partitions::new());
        }
        next.assigned = assigned;
        self.put(next, now);
    }

    fn put(&mut self, mut next: Member, now: Instant) {
        let before = &self.members[&next.id];
        let has_changed = before.epoch != next.epoch
            || before.progress != next.progress
            || before.assigned != next.assigned
            || before.revoking != next.revoking;
        if !has_changed {
            return;
        }
        next.must_revoke_by =
            (next.progress == Progress::Unrevoked).then(|| now + next.rebalance_timeout);
        self.members.insert(next.id.clone(), next);
        self.revision += 1;
    }
}

/// True if a member that says that it owns `owned` has some of `partitions`; one that does not say
/// may have all of them.
fn owns_any(owned: Option<&Partitions>, partitions: &Partitions) -> bool {
    owned.is_none_or(|owned| !owned.is_disjoint(partitions))
}
