//! Windows side by side: tumbling, calendar, global. A row belongs to one of them.
//!
//! With late rows as updates a window gives its final result when the watermark passes its end, and its
//! content is kept for the grace; each row in that time gives the result again. Otherwise the final
//! result comes when the grace is over.

use super::{
    Cause,
    assign::Assign,
    columns::Feed,
    core::{Core, Entry, Kept, Kind},
    pass::{Mark, Place},
    trigger::Trigger,
};
use crate::{
    error::Result,
    window::{
        aggregate::Slot,
        keys::Group,
        spec::{OnLate, WindowSpec},
    },
};
use std::collections::BTreeMap;

/// A window over all groups.
struct Window {
    end: i64,
    /// In the order of their first rows; the groups' numbers too.
    slots: Vec<Slot>,
    /// How many of them, from the first, were given up before their time.
    evicted: usize,
    /// Has it given its final result?
    fired: bool,
}

/// Windows side by side.
pub(super) struct Fixed {
    assign: Assign,
    grace: i64,
    updates: bool,
    max_open: usize,
    trigger: Trigger,
    windows: BTreeMap<i64, Window>,
    open: usize,
    /// The watermark at which there is something to do.
    next: i64,
}

impl Fixed {
    pub(super) fn new(spec: &WindowSpec, assign: Assign) -> Self {
        Self {
            assign,
            grace: spec.grace_ms,
            updates: spec.on_late == OnLate::Update,
            max_open: spec.max_open.unwrap_or(usize::MAX),
            trigger: Trigger::new(spec.emit.clone()),
            windows: BTreeMap::new(),
            open: 0,
            next: i64::MAX,
        }
    }

    /// The watermark at which a window gives its final result.
    fn fires_at(&self, end: i64) -> i64 {
        if self.updates { end } else { self.gone_at(end) }
    }

    /// The watermark at which a window is closed to rows.
    fn gone_at(&self, end: i64) -> i64 {
        end.saturating_add(self.grace)
    }

    fn open_slot(&mut self, core: &mut Core, slot: Slot, (start, end): (i64, i64), fired: bool) {
        while self.open >= self.max_open {
            self.evict(core);
        }
        core.open(slot);
        self.trigger.reset(slot);
        self.place(slot, start, end, fired);
    }

    fn place(&mut self, slot: Slot, start: i64, end: i64, fired: bool) {
        let fires_at = if fired { self.gone_at(end) } else { self.fires_at(end) };
        let empty = || Window { end, slots: Vec::new(), evicted: 0, fired };
        self.windows.entry(start).or_insert_with(empty).slots.push(slot);
        if !self.assign.is_always() {
            self.next = self.next.min(fires_at);
        }
        self.open += 1;
    }

    /// Gives the oldest window up: of those with the first start the one with the first row.
    fn evict(&mut self, core: &mut Core) {
        let Some(mut first) = self.windows.first_entry() else { return };
        let (start, window) = (*first.key(), first.get_mut());
        let slot = window.slots[window.evicted];
        window.evicted += 1;
        let (end, is_empty) = (window.end, window.evicted == window.slots.len());
        if is_empty {
            first.remove();
        }
        self.trigger.reset(slot);
        core.close(slot, Place { key: slot, start, end }, Mark::Evicted);
        core.counters.evicted_windows += 1;
        self.open -= 1;
    }

    fn fire(&mut self, core: &mut Core, watermark: i64, cause: Cause) {
        let mark = if cause == Cause::Idle { Mark::Idle } else { Mark::Final };
        let all = cause == Cause::Stop && self.assign.is_always();
        let mut gone = Vec::new();
        let (grace, updates) = (self.grace, self.updates);
        for (start, window) in &mut self.windows {
            let gone_at = window.end.saturating_add(grace);
            let fires_at = if updates { window.end } else { gone_at };
            if !all && (fires_at > watermark || self.assign.is_always()) {
                break;
            }
            let is_gone = all || gone_at <= watermark;
            for slot in &window.slots[window.evicted..] {
                if !window.fired {
                    let place = Place { key: *slot, start: *start, end: window.end };
                    core.pass.emit(*slot, place, mark);
                    self.trigger.reset(*slot);
                }
                if is_gone {
                    core.release(*slot);
                }
            }
            window.fired = true;
            if is_gone {
                self.open -= window.slots.len() - window.evicted;
                gone.push(*start);
            }
        }
        gone.iter().for_each(|start| drop(self.windows.remove(start)));
    }

    fn early(&mut self, core: &mut Core, watermark: i64) {
        let mut slots = self.trigger.take(core, watermark);
        slots.sort_unstable_by_key(|slot| (core.keys.part(*slot), core.opened(*slot)));
        for slot in slots {
            let start = core.keys.part(slot);
            let end = self.windows.get(&start).map_or(start, |window| window.end);
            core.pass.emit(slot, Place { key: slot, start, end }, Mark::Early);
        }
    }

    fn settle(&mut self) {
        let waiting =
            self.windows.values().find(|window| !window.fired).map(|w| self.fires_at(w.end));
        let kept = self.windows.values().next().filter(|window| window.fired);
        let kept = kept.map(|window| self.gone_at(window.end));
        let next =
            if self.assign.is_always() { None } else { waiting.into_iter().chain(kept).min() };
        self.next = next.unwrap_or(i64::MAX).min(self.trigger.due());
    }

    #[inline]
    fn row(
        &mut self,
        core: &mut Core,
        feed: &Feed,
        row: usize,
        (start, end): (i64, i64),
    ) -> Result<()> {
        let watermark = feed.watermarks[row];
        let fired = self.updates && end <= watermark;
        let (slot, is_new) = core.keys.group(&feed.keys, row, start);
        if is_new {
            self.open_slot(core, slot, (start, end), fired);
        }
        let place = Place { key: slot, start, end };
        if fired {
            core.push(row, slot)?;
            core.pass.emit(slot, place, Mark::Update);
            return Ok(());
        }
        self.trigger.row(core, row, slot, place, watermark)?;
        self.next = self.next.min(self.trigger.due());
        Ok(())
    }
}

impl Kind for Fixed {
    fn rows(&mut self, core: &mut Core, feed: &Feed) -> Result<()> {
        // The window of the row before: most rows are in the same.
        let mut current = (0, 0);
        for (row, watermark) in feed.watermarks.iter().enumerate() {
            if *watermark >= self.next {
                self.step(core, *watermark, Cause::Watermark)?;
                current = (0, 0);
            }
            let Some(time) = feed.time(row) else {
                core.counters.untimed_rows += 1;
                continue;
            };
            if time < current.0 || time >= current.1 {
                let (start, end) = self.assign.bounds(time);
                if self.gone_at(end) <= *watermark && !self.assign.is_always() {
                    core.late.reject(&mut core.counters, row, end, *watermark);
                    continue;
                }
                current = (start, end);
            }
            self.row(core, feed, row, current)?;
        }
        Ok(())
    }

    fn step(&mut self, core: &mut Core, watermark: i64, cause: Cause) -> Result<()> {
        self.fire(core, watermark, cause);
        self.early(core, watermark);
        self.settle();
        Ok(())
    }

    fn open(&self) -> usize {
        self.open
    }

    fn held_since(&mut self) -> Option<i64> {
        self.windows.keys().next().copied()
    }

    fn entry(&self, core: &Core, slot: Slot) -> Option<(Group, Entry)> {
        let tag = core.keys.part(slot);
        let window = self.windows.get(&tag)?;
        let [rows, due] = self.trigger.save(slot);
        Some((
            slot,
            Entry { tag, opened: core.opened(slot), extra: [window.end, rows, due, 0, 0, 0] },
        ))
    }

    fn restore(&mut self, core: &mut Core, kept: &[Kept], watermark: i64) -> Result<()> {
        for one in kept {
            let (slot, _) = core.keys.load(&one.key, one.entry.tag)?;
            core.load(slot, one)?;
            let [end, rows, due, ..] = one.entry.extra;
            self.trigger.load(slot, [rows, due]);
            self.place(slot, one.entry.tag, end, self.updates && end <= watermark);
        }
        self.settle();
        Ok(())
    }

    fn memory(&self) -> usize {
        let windows = self.windows.values().map(|window| 64 + window.slots.capacity() * 4);
        windows.sum::<usize>() + self.trigger.memory()
    }
}
