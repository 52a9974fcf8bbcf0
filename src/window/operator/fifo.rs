//! A queue of accumulators and the sum of all that are in it, by two stacks.
//!
//! New ones go onto the back, which has one sum; old ones leave the front, where each has the sum of
//! itself and all behind it. When the front is empty the back is turned over. So any aggregate that can be
//! merged slides, at three merges for each that comes and goes.

use super::core::Core;
use crate::{error::Result, window::aggregate::Slot};

/// Where an accumulator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Not in the queue yet.
    Ahead,
    /// Among the newer ones.
    Back,
    /// Among the older ones.
    Front,
    /// Released.
    Gone,
}

impl Side {
    /// The side that a number means.
    pub(super) fn from_number(number: i64) -> Self {
        [Self::Ahead, Self::Back, Self::Front]
            .into_iter()
            .find(|side| *side as i64 == number)
            .unwrap_or(Self::Gone)
    }
}

/// Is told where a slot is now.
pub(super) type Note<'a> = dyn FnMut(Slot, Side) + 'a;

/// One accumulator in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Place in the order: a time, or a number.
    pub(super) at: i64,
    pub(super) slot: Slot,
    /// In the front: the sum from here to the end of the front.
    sum: Option<Slot>,
}

/// A queue of accumulators.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    /// The oldest is the last.
    front: Vec<Item>,
    back: Vec<Item>,
    back_sum: Option<Slot>,
}

impl Fifo {
    /// The oldest.
    pub(super) fn oldest(&self) -> Option<&Item> {
        self.front.last().or(self.back.first())
    }

    /// Takes a slot whose content is complete in.
    pub(super) fn push(&mut self, core: &mut Core, at: i64, slot: Slot) -> Result<()> {
        let sum = *self.back_sum.get_or_insert_with(|| core.anonymous());
        self.back.push(Item { at, slot, sum: None });
        core.merge(&[slot], &[sum])
    }

    /// Releases everything that is not behind `at`.
    pub(super) fn evict(&mut self, core: &mut Core, at: i64, note: &mut Note<'_>) -> Result<()> {
        while self.oldest().is_some_and(|item| item.at <= at) {
            if self.front.is_empty() {
                self.turn(core, at, note)?;
            }
            if let Some(item) = self.front.pop() {
                note(item.slot, Side::Gone);
                core.release(item.slot);
                item.sum.into_iter().for_each(|slot| core.release(slot));
            }
        }
        Ok(())
    }

    /// Moves the back to the front; what leaves at once needs no sum.
    fn turn(&mut self, core: &mut Core, leaving: i64, note: &mut Note<'_>) -> Result<()> {
        self.back_sum.take().into_iter().for_each(|slot| core.release(slot));
        for mut item in std::mem::take(&mut self.back).into_iter().rev() {
            if item.at > leaving {
                self.add_front(core, &mut item)?;
            }
            note(item.slot, Side::Front);
            core.touch(item.slot);
            self.front.push(item);
        }
        Ok(())
    }

    fn add_front(&mut self, core: &mut Core, item: &mut Item) -> Result<()> {
        let sum = core.anonymous();
        item.sum = Some(sum);
        core.merge(&[item.slot], &[sum])?;
        match self.front.last().and_then(|newer| newer.sum) {
            Some(newer) => core.merge(&[newer], &[sum]),
            None => Ok(()),
        }
    }

    /// A slot with the sum of all; the caller releases it.
    pub(super) fn total(&self, core: &mut Core) -> Result<Slot> {
        let total = core.anonymous();
        for part in
            [self.front.last().and_then(|item| item.sum), self.back_sum].into_iter().flatten()
        {
            core.merge(&[part], &[total])?;
        }
        Ok(total)
    }

    /// Releases everything.
    pub(super) fn clear(&mut self, core: &mut Core, note: &mut Note<'_>) {
        for item in self.front.drain(..).chain(self.back.drain(..)) {
            note(item.slot, Side::Gone);
            core.release(item.slot);
            item.sum.into_iter().for_each(|slot| core.release(slot));
        }
        self.back_sum.take().into_iter().for_each(|slot| core.release(slot));
    }

    /// Takes slots in as they were: those of the front, then those of the back, the oldest first.
    pub(super) fn restore(
        &mut self,
        core: &mut Core,
        front: &[(i64, Slot)],
        back: &[(i64, Slot)],
    ) -> Result<()> {
        for (at, slot) in front.iter().rev() {
            let mut item = Item { at: *at, slot: *slot, sum: None };
            self.add_front(core, &mut item)?;
            self.front.push(item);
        }
        back.iter().try_for_each(|(at, slot)| self.push(core, *at, *slot))
    }
}
