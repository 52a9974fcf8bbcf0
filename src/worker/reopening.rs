//! A partition whose commits somebody else has overtaken begins anew, as if it had just been assigned.
//!
//! # Guarantees
//!
//! * Nothing that was done behind the foreign commit takes effect; reading goes on where that commit ended.
//! * Handlers of the old task have come to their end before the new one gets a record.
//! * Who is overtaken again and again waits longer each time: two apps under one id do not shut each other
//!   out without pause.

use super::{group::Group, task::Task};
use crate::types::TopicPartition;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// First wait before a partition is taken up again, doubled each time.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// Who was left alone for so long begins with the first wait again.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// How long the reader of the old task is waited for at a time.
const LOOK: Duration = Duration::from_millis(500);

/// How often partitions have begun anew.
#[derive(Default)]
pub(super) struct Again(BTreeMap<TopicPartition, (u32, Instant)>);

impl Again {
    /// How long to wait before `tp` begins anew.
    fn pause(&mut self, tp: &TopicPartition, now: Instant) -> Duration {
        let (times, last) = self.0.entry(tp.clone()).or_insert((0, now));
        if now.duration_since(*last) > FORGOTTEN {
            *times = 0;
        }
        let pause = FIRST.saturating_mul(1 << (*times).min(16)).min(LONGEST);
        (*times, *last) = (times.saturating_add(1), now);
        pause
    }
}

impl Group {
    /// Begins what is void anew; what takes time for it, elsewhere.
    pub(super) fn begin_void_anew(&self) {
        for task in self.tasks().into_iter().filter(|task| task.status().take_void()) {
            let Some(me) = self.me.upgrade() else { return };
            let turns = self.openings.clone();
            let run = async move { turns.blocking(move || me.begin_anew(&task)).await };
            drop(self.runtime.spawn(run));
        }
    }

    /// Blocks until the old task has let go of everything, and the new one is there.
    fn begin_anew(self: &Arc<Self>, old: &Task) {
        let tp = &old.status().tp;
        old.drain();
        let pause = self.again.lock().pause(tp, Instant::now());
        let due = Instant::now() + pause;
        while self.has(old) && Instant::now() < due {
            self.pause_until(due);
        }
        while self.has(old) {
            let settled = async { tokio::time::timeout(LOOK, old.settle()).await.is_ok() };
            if self.runtime.block_on(settled) && self.replace(old) {
                return;
            }
        }
    }

    /// Puts a new task in the place of `old`, which is settled; false if that is still read.
    fn replace(self: &Arc<Self>, old: &Task) -> bool {
        let tp = &old.status().tp;
        old.close_state(false);
        let Some(member) = self.member.get() else { return true };
        let hold = |tp: TopicPartition| {
            let queue = member.hold_again(&tp, LOOK, &|| self.has(old))?;
            Some((tp, queue))
        };
        let Some(queued) = hold(tp.clone()) else { return false };
        let sides = self.attached.of(tp).into_iter().map(hold);
        let Some(sides) = sides.collect::<Option<Vec<_>>>() else { return false };
        let mut tasks = self.tasks.lock();
        if let Some(place) = tasks.get_mut(tp).filter(|place| place.is(old)) {
            tracing::info!(target: "turbine.worker", "{} {tp}: begins anew", old.status().name);
            *place = (self.spawn)(self, queued, sides, None);
            if let Task::Opening(opening) = place.clone() {
                self.begin_opening(opening);
            }
        }
        true
    }

    /// Is `task` still what its partition is worked on with?
    pub(super) fn has(&self, task: &Task) -> bool {
        let ends = *self.ending.lock();
        !ends && self.tasks.lock().get(&task.status().tp).is_some_and(|one| one.is(task))
    }

    fn pause_until(&self, due: Instant) {
        let mut ending = self.ending.lock();
        if !*ending {
            self.ended.wait_until(&mut ending, due.min(Instant::now() + LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_overtaken_again_and_again_waits_longer_until_he_is_left_alone() {
        let (mut again, start, tp) =
            (Again::default(), Instant::now(), TopicPartition::new("t", 0));
        let pauses: Vec<_> = (0..12).map(|_| again.pause(&tp, start).as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[11], LONGEST.as_millis());
        assert_eq!(again.pause(&TopicPartition::new("t", 1), start), FIRST);
        assert_eq!(again.pause(&tp, start + FORGOTTEN + LOOK), FIRST);
    }
}
