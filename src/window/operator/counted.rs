//! Windows of so many rows of a key, one after the other.
//!
//! A window's bounds are the times of its first and its last row, as they came; null where rows have no
//! times. At the end of the input windows that are not full give what they have.

use super::{
    Cause,
    columns::Feed,
    core::{Core, Entry, Kept, Kind},
    pass::{Mark, Place},
    trigger::Trigger,
};
use crate::{
    error::Result,
    window::{aggregate::Slot, keys::Group, spec::WindowSpec},
};
use std::collections::VecDeque;

/// A window that is not full.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    rows: u64,
    first: i64,
    last: i64,
}

/// Count windows side by side; a group's number is the slot of its window.
pub(super) struct Counted {
    rows: u64,
    max_open: usize,
    trigger: Trigger,
    windows: Vec<Window>,
    /// Windows as they were opened, where the oldest may have to go.
    oldest: VecDeque<(u64, Slot)>,
    open: usize,
}

impl Counted {
    pub(super) fn new(spec: &WindowSpec, rows: u64) -> Self {
        Self {
            rows,
            max_open: spec.max_open.unwrap_or(usize::MAX),
            trigger: Trigger::new(spec.emit.clone()),
            windows: Vec::new(),
            oldest: VecDeque::new(),
            open: 0,
        }
    }

    fn begin(&mut self, core: &mut Core, slot: Slot, first: i64) {
        core.open(slot);
        while self.open >= self.max_open && self.evict(core) {}
        self.trigger.reset(slot);
        self.place(core, slot, Window { rows: 0, first, last: first });
    }

    fn place(&mut self, core: &Core, slot: Slot, window: Window) {
        if self.windows.len() <= slot as usize {
            self.windows.resize(slot as usize + 1, Window::default());
        }
        self.windows[slot as usize] = window;
        if self.max_open < usize::MAX {
            self.oldest.push_back((core.opened(slot), slot));
        }
        self.open += 1;
    }

    fn is_open(&self, core: &Core, slot: Slot) -> bool {
        (slot as usize) < self.windows.len() && core.keys.is_linked(slot)
    }

    fn evict(&mut self, core: &mut Core) -> bool {
        while let Some((opened, slot)) = self.oldest.pop_front() {
            if self.is_open(core, slot) && core.opened(slot) == opened {
                self.close(core, slot, Mark::Evicted);
                core.counters.evicted_windows += 1;
                return true;
            }
        }
        false
    }

    fn bounds(&self, slot: Slot) -> Place {
        let window = &self.windows[slot as usize];
        Place { key: slot, start: window.first, end: window.last }
    }

    fn close(&mut self, core: &mut Core, slot: Slot, mark: Mark) {
        core.close(slot, self.bounds(slot), mark);
        self.open -= 1;
    }
}

impl Kind for Counted {
    fn rows(&mut self, core: &mut Core, feed: &Feed) -> Result<()> {
        for (row, watermark) in feed.watermarks.iter().enumerate() {
            let Some(time) = feed.time(row) else {
                core.counters.untimed_rows += 1;
                continue;
            };
            let (slot, is_new) = core.keys.group(&feed.keys, row, 0);
            if is_new {
                self.begin(core, slot, time);
            }
            let window = &mut self.windows[slot as usize];
            (window.rows, window.last) = (window.rows + 1, time);
            let is_full = window.rows >= self.rows;
            self.trigger.row(core, row, slot, self.bounds(slot), *watermark)?;
            if is_full {
                self.close(core, slot, Mark::Final);
            }
        }
        Ok(())
    }

    fn step(&mut self, core: &mut Core, _: i64, cause: Cause) -> Result<()> {
        if cause == Cause::Stop {
            let open = (0..self.windows.len() as Slot).filter(|slot| self.is_open(core, *slot));
            let mut open: Vec<_> = open.collect();
            open.sort_unstable_by_key(|slot| core.opened(*slot));
            open.into_iter().for_each(|slot| self.close(core, slot, Mark::Final));
        }
        Ok(())
    }

    fn open(&self) -> usize {
        self.open
    }

    fn held_since(&mut self) -> Option<i64> {
        None
    }

    fn entry(&self, core: &Core, slot: Slot) -> Option<(Group, Entry)> {
        if !self.is_open(core, slot) {
            return None;
        }
        let window = self.windows[slot as usize];
        let extra = [window.rows as i64, window.first, window.last, 0, 0, 0];
        Some((slot, Entry { tag: 0, opened: core.opened(slot), extra }))
    }

    fn restore(&mut self, core: &mut Core, kept: &[Kept], _: i64) -> Result<()> {
        for one in kept {
            let (slot, _) = core.keys.load(&one.key, 0)?;
            core.load(slot, one)?;
            let [rows, first, last, ..] = one.entry.extra;
            self.trigger.reset(slot);
            self.place(core, slot, Window { rows: rows as u64, first, last });
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.windows.capacity() * size_of::<Window>() + self.oldest.capacity() * 16
    }
}
