//! Windows of so many rows of a key that overlap: one begins every so many rows.
//!
//! Rows are put together in panes of the greatest number that divides both; a window is a queue of panes.
//! Bounds are as in [`super::counted`]. At the end of the input the oldest window that is not full gives
//! what it has.

use super::{
    Cause,
    columns::Feed,
    core::{Core, Entry, Kept, Kind},
    fifo::{Fifo, Side},
    pass::{Mark, Place},
};
use crate::{
    error::Result,
    window::{aggregate::Slot, keys::Group},
};

/// A pane, at the place of its slot.
#[derive(Clone, Copy, Debug)]
struct Pane {
    group: Group,
    number: i64,
    rows: u64,
    first: i64,
    last: i64,
    side: Side,
}

/// What a group has.
#[derive(Default)]
struct Queue {
    /// Number of the next pane.
    next: i64,
    /// The pane that is not full.
    current: Option<Slot>,
    panes: Fifo,
}

/// Count windows that overlap.
pub(super) struct Stepping {
    /// Rows of a pane.
    rows: u64,
    /// Panes of a window.
    span: i64,
    /// Panes from one window to the next.
    step: i64,
    panes: Vec<Pane>,
    queues: Vec<Queue>,
    /// Groups, in the order of their first rows.
    groups: Vec<Group>,
    full: Vec<Slot>,
    is_over: bool,
}

impl Stepping {
    pub(super) fn new(rows: u64, step: u64) -> Self {
        let (mut pane, mut rest) = (rows, step);
        while rest > 0 {
            (pane, rest) = (rest, pane % rest);
        }
        Self {
            rows: pane,
            span: (rows / pane) as i64,
            step: (step / pane) as i64,
            panes: Vec::new(),
            queues: Vec::new(),
            groups: Vec::new(),
            full: Vec::new(),
            is_over: false,
        }
    }

    fn place(&mut self, slot: Slot, pane: Pane) {
        if self.panes.len() <= slot as usize {
            self.panes.resize(slot as usize + 1, Pane { side: Side::Gone, ..pane });
        }
        self.panes[slot as usize] = pane;
    }

    fn begin_group(&mut self, group: Group) {
        if self.queues.len() <= group as usize {
            self.queues.resize_with(group as usize + 1, Queue::default);
        }
        self.queues[group as usize] = Queue::default();
        self.groups.push(group);
    }

    fn current(&mut self, core: &mut Core, group: Group, time: i64) -> Slot {
        if let Some(slot) = self.queues[group as usize].current {
            return slot;
        }
        let slot = core.anonymous();
        let queue = &mut self.queues[group as usize];
        queue.current = Some(slot);
        let number = queue.next;
        queue.next += 1;
        let pane = Pane { group, number, rows: 0, first: time, last: time, side: Side::Ahead };
        self.place(slot, pane);
        slot
    }

    /// Takes a pane into its group's queue, from which panes before `first` go.
    fn take(&mut self, core: &mut Core, slot: Slot, first: i64) -> Result<()> {
        let Pane { group, number, .. } = self.panes[slot as usize];
        let (panes, queue) = (&mut self.panes, &mut self.queues[group as usize].panes);
        let note = &mut |slot: Slot, side| panes[slot as usize].side = side;
        queue.evict(core, first - 1, note)?;
        note(slot, Side::Back);
        core.touch(slot);
        queue.push(core, number, slot)
    }

    fn emit(&self, core: &mut Core, group: Group, last: i64) -> Result<()> {
        let queue = &self.queues[group as usize].panes;
        let oldest = queue.oldest().map_or(last, |item| self.panes[item.slot as usize].first);
        let total = queue.total(core)?;
        core.close(total, Place { key: group, start: oldest, end: last }, Mark::Final);
        Ok(())
    }

    /// The oldest window that is not full gives its rows.
    fn end(&mut self, core: &mut Core, group: Group) -> Result<()> {
        let queue = &mut self.queues[group as usize];
        let reached = queue.next - i64::from(queue.current.is_some());
        let first = ((reached - self.span).div_euclid(self.step) + 1).max(0) * self.step;
        if let Some(slot) = queue.current.take() {
            self.take(core, slot, first)?;
            self.emit(core, group, self.panes[slot as usize].last)?;
        } else if first < reached {
            let panes = &mut self.panes;
            let note = &mut |slot: Slot, side| panes[slot as usize].side = side;
            queue.panes.evict(core, first - 1, note)?;
            let last =
                self.panes.iter().filter(|pane| pane.group == group && pane.side != Side::Gone);
            let last = last.max_by_key(|pane| pane.number).map_or(i64::MIN, |pane| pane.last);
            self.emit(core, group, last)?;
        }
        let (panes, queue) = (&mut self.panes, &mut self.queues[group as usize].panes);
        queue.clear(core, &mut |slot, side| panes[slot as usize].side = side);
        core.release(group);
        Ok(())
    }
}

impl Kind for Stepping {
    fn rows(&mut self, core: &mut Core, feed: &Feed) -> Result<()> {
        for row in 0..feed.watermarks.len() {
            let Some(time) = feed.time(row) else {
                core.counters.untimed_rows += 1;
                continue;
            };
            let (group, is_new) = core.keys.group(&feed.keys, row, 0);
            if is_new {
                core.open(group);
                self.begin_group(group);
            }
            let slot = self.current(core, group, time);
            core.push(row, slot)?;
            let pane = &mut self.panes[slot as usize];
            (pane.rows, pane.last) = (pane.rows + 1, time);
            if pane.rows == self.rows {
                self.queues[group as usize].current = None;
                self.full.push(slot);
            }
        }
        Ok(())
    }

    fn step(&mut self, _: &mut Core, _: i64, cause: Cause) -> Result<()> {
        self.is_over |= cause == Cause::Stop;
        Ok(())
    }

    fn finish(&mut self, core: &mut Core) -> Result<()> {
        core.flush()?;
        for slot in std::mem::take(&mut self.full) {
            let Pane { group, number, last, .. } = self.panes[slot as usize];
            let first = number + 1 - self.span;
            self.take(core, slot, first)?;
            if first >= 0 && first % self.step == 0 {
                self.emit(core, group, last)?;
            }
        }
        if std::mem::take(&mut self.is_over) {
            for group in std::mem::take(&mut self.groups) {
                self.end(core, group)?;
            }
        }
        Ok(())
    }

    fn open(&self) -> usize {
        self.groups.len()
    }

    fn held_since(&mut self) -> Option<i64> {
        None
    }

    fn entry(&self, core: &Core, slot: Slot) -> Option<(Group, Entry)> {
        let pane = self.panes.get(slot as usize).filter(|pane| pane.side != Side::Gone)?;
        let Pane { group, number, rows, first, last, side } = *pane;
        let extra = [number, rows as i64, first, last, side as i64, core.opened(group) as i64];
        let opened = core.opened(slot);
        Some((group, Entry { tag: opened as i64, opened, extra }))
    }

    fn restore(&mut self, core: &mut Core, kept: &[Kept], _: i64) -> Result<()> {
        let mut sides = Vec::<[Vec<(i64, Slot)>; 2]>::new();
        for one in kept {
            let (group, is_new) = core.keys.load(&one.key, 0)?;
            if is_new {
                core.set_opened(group, one.entry.extra[5] as u64);
                self.begin_group(group);
            }
            let slot = core.keys.anonymous();
            core.load(slot, one)?;
            let [number, rows, first, last, side, _] = one.entry.extra;
            let side = Side::from_number(side);
            self.place(slot, Pane { group, number, rows: rows as u64, first, last, side });
            let queue = &mut self.queues[group as usize];
            queue.next = queue.next.max(number + 1);
            sides.resize_with(sides.len().max(group as usize + 1), Default::default);
            match side {
                Side::Front => sides[group as usize][0].push((number, slot)),
                Side::Back => sides[group as usize][1].push((number, slot)),
                _ => queue.current = Some(slot),
            }
        }
        self.groups.sort_by_key(|group| core.opened(*group));
        for group in &self.groups {
            let [front, back] = &mut sides[*group as usize];
            front.sort_unstable();
            back.sort_unstable();
            self.queues[*group as usize].panes.restore(core, front, back)?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.panes.capacity() * size_of::<Pane>()
            + self.queues.capacity() * size_of::<Queue>()
            + self.groups.capacity() * 4
    }
}
