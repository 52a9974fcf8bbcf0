//! Results before the last one: for each row, after so many rows, every so often.

use super::{
    core::Core,
    pass::{Mark, Place},
};
use crate::{
    error::Result,
    window::{aggregate::Slot, spec::Emit},
};

/// When the slots of a window give results while it is open.
pub(super) struct Trigger {
    emit: Emit,
    /// Rows since the last result of each slot.
    rows: Vec<u64>,
    changed: Vec<bool>,
    list: Vec<Slot>,
    /// The watermark at which the changed slots give a result.
    due: i64,
}

impl Trigger {
    pub(super) fn new(emit: Emit) -> Self {
        Self { emit, rows: Vec::new(), changed: Vec::new(), list: Vec::new(), due: i64::MAX }
    }

    /// A slot is empty.
    pub(super) fn reset(&mut self, slot: Slot) {
        let at = slot as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, 0);
            self.changed.resize(at + 1, false);
        }
        (self.rows[at], self.changed[at]) = (0, false);
    }

    /// A row for a slot, at a watermark.
    #[inline]
    pub(super) fn row(
        &mut self,
        core: &mut Core,
        row: usize,
        slot: Slot,
        place: Place,
        watermark: i64,
    ) -> Result<()> {
        core.push(row, slot)?;
        match self.emit {
            Emit::Final => {}
            Emit::Changes => core.pass.emit_row(place, Mark::Change),
            Emit::Early { interval_ms } => self.change(slot, watermark, interval_ms),
            Emit::EveryRows { rows } => {
                let count = &mut self.rows[slot as usize];
                *count += 1;
                if *count >= rows {
                    *count = 0;
                    core.pass.emit(slot, place, Mark::Change);
                }
            }
        }
        Ok(())
    }

    fn change(&mut self, slot: Slot, watermark: i64, interval: i64) {
        if self.list.is_empty() {
            let next = i128::from(watermark.div_euclid(interval)) + 1;
            self.due = i64::try_from(next * i128::from(interval)).unwrap_or(i64::MAX);
        }
        if !std::mem::replace(&mut self.changed[slot as usize], true) {
            self.list.push(slot);
        }
    }

    /// One slot takes over the rows of another, which is empty then.
    pub(super) fn merge(&mut self, from: Slot, into: Slot) {
        self.rows[into as usize] += self.rows[from as usize];
        if self.changed[from as usize] && !std::mem::replace(&mut self.changed[into as usize], true)
        {
            self.list.push(into);
        }
        self.reset(from);
    }

    /// The watermark at which results are due.
    pub(super) fn due(&self) -> i64 {
        self.due
    }

    /// The slots that give a result at a watermark, in any order.
    pub(super) fn take(&mut self, core: &mut Core, watermark: i64) -> Vec<Slot> {
        if watermark < self.due || self.list.is_empty() {
            return Vec::new();
        }
        self.due = i64::MAX;
        let mut slots = std::mem::take(&mut self.list);
        slots.retain(|slot| std::mem::replace(&mut self.changed[*slot as usize], false));
        slots.iter().for_each(|slot| core.touch(*slot));
        slots
    }

    /// What is to be kept of a slot.
    pub(super) fn save(&self, slot: Slot) -> [i64; 2] {
        let changed = self.changed[slot as usize];
        [self.rows[slot as usize] as i64, if changed { self.due } else { i64::MIN }]
    }

    pub(super) fn load(&mut self, slot: Slot, [rows, due]: [i64; 2]) {
        self.reset(slot);
        self.rows[slot as usize] = rows as u64;
        if due != i64::MIN && matches!(self.emit, Emit::Early { .. }) {
            self.due = due;
            self.changed[slot as usize] = true;
            self.list.push(slot);
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.rows.capacity() * 9 + self.list.capacity() * 4
    }
}
