//! What every kind of window works with: groups, accumulators, rows and results on their way, late rows,
//! counters, and what has to be kept.

use super::{
    bank::Bank,
    columns::Feed,
    late::Late,
    pass::{Mark, Pass, Place},
    tracking::Tracking,
    {Cause, Counters},
};
use crate::{
    error::Result,
    window::{
        aggregate::Slot,
        keys::{Group, Keys},
    },
};

/// What is kept of a slot beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// With the key it names the slot: the start of a window, the number of a session.
    pub(super) tag: i64,
    /// Order in which slots were opened.
    pub(super) opened: u64,
    /// Whatever the kind needs.
    pub(super) extra: [i64; 6],
}

/// A kind of window: which slots a row belongs to, and when these give results.
pub(super) trait Kind: Send {
    /// Rows of a batch, in order.
    fn rows(&mut self, core: &mut Core, feed: &Feed) -> Result<()>;

    /// The watermark has moved, for the reason given.
    fn step(&mut self, core: &mut Core, watermark: i64, cause: Cause) -> Result<()>;

    /// The rows at hand have all been seen, and their watermarks: does what can wait until then.
    fn finish(&mut self, _: &mut Core) -> Result<()> {
        Ok(())
    }

    /// Windows that are open.
    fn open(&self) -> usize;

    /// A time, in ms, before which no open window holds a row; none if nothing is held, or no time says
    /// what is.
    fn held_since(&mut self) -> Option<i64>;

    /// What is to be kept of a slot, with the group of its key; none if it follows from other slots.
    fn entry(&self, core: &Core, slot: Slot) -> Option<(Group, Entry)>;

    /// Slots that were kept, in the order in which they were opened; the watermark was `watermark`.
    fn restore(&mut self, core: &mut Core, kept: &[Kept], watermark: i64) -> Result<()>;

    /// Bytes held, roughly, beside those of the core.
    fn memory(&self) -> usize;
}

/// A slot as it was kept.
pub(super) struct Kept {
    pub(super) key: Vec<u8>,
    pub(super) entry: Entry,
    pub(super) content: Vec<u8>,
}

/// What every kind works with.
pub(super) struct Core {
    pub(super) keys: Keys,
    pub(super) bank: Bank,
    pub(super) pass: Pass,
    pub(super) late: Late,
    pub(super) counters: Counters,
    /// Slots opened so far; the order of results within a window.
    pub(super) opened: u64,
    /// When each slot was opened.
    pub(super) order: Vec<u64>,
    /// What has changed since it was last asked for; none in memory only.
    pub(super) tracking: Option<Tracking>,
}

impl Core {
    /// Numbers a slot that is used for the first time.
    pub(super) fn open(&mut self, slot: Slot) {
        self.set_opened(slot, self.opened);
        self.opened += 1;
        self.touch(slot);
    }

    /// Gives a slot the number that it had before.
    pub(super) fn set_opened(&mut self, slot: Slot, opened: u64) {
        let at = slot as usize;
        if self.order.len() <= at {
            self.order.resize(at + 1, 0);
        }
        self.order[at] = opened;
    }

    /// Something of a slot has changed that is to be kept.
    #[inline]
    pub(super) fn touch(&mut self, slot: Slot) {
        if let Some(tracking) = &mut self.tracking {
            tracking.touch(slot);
        }
    }

    pub(super) fn opened(&self, slot: Slot) -> u64 {
        self.order[slot as usize]
    }

    /// A slot that no key finds.
    pub(super) fn anonymous(&mut self) -> Slot {
        let slot = self.keys.anonymous();
        self.open(slot);
        slot
    }

    /// A row for a slot.
    #[inline]
    pub(super) fn push(&mut self, row: usize, slot: Slot) -> Result<()> {
        if self.pass.is_pinned(slot) {
            self.flush()?;
        }
        self.touch(slot);
        self.pass.push(row, slot);
        Ok(())
    }

    /// A last result of a slot that is given up.
    pub(super) fn close(&mut self, slot: Slot, place: Place, mark: Mark) {
        self.pass.emit(slot, place, mark);
        self.release(slot);
    }

    /// Gives a slot up: no key finds it, and it is used again once what waits has gone through.
    pub(super) fn release(&mut self, slot: Slot) {
        self.keys.remove(slot);
        self.pass.release(slot);
        if let Some(tracking) = &mut self.tracking {
            tracking.remove(slot);
        }
    }

    /// Lets everything that waits go through.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.pass.flush(&mut self.bank, &mut self.keys)
    }

    /// Adds `from[i]` behind `into[i]`. Only when nothing waits for any of them.
    pub(super) fn merge(&mut self, from: &[Slot], into: &[Slot]) -> Result<()> {
        if from.is_empty() {
            return Ok(());
        }
        self.bank.grow(self.keys.bound());
        self.bank.merge(from, into)
    }

    pub(super) fn load(&mut self, slot: Slot, kept: &Kept) -> Result<()> {
        self.bank.grow(self.keys.bound());
        self.bank.load(slot, &kept.content)?;
        self.set_opened(slot, kept.entry.opened);
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        self.keys.memory() + self.bank.memory() + self.pass.memory() + self.order.capacity() * 8
    }
}
