//! Hopping windows by panes: time is cut into panes as long as a step, a row goes into one of them, and a
//! window is made of `size / step` neighbours.
//!
//! So that a window costs as much whatever its number of panes, panes are put together ahead of time
//! (van Herk 1992, Gil and Werman 1993). They are divided into blocks of one window's length; a window
//! lies in two blocks. Of the older one there is, for each pane, the sum of it and all panes behind it
//! (the *suffix*); of the newer one the sum of all panes so far (the *prefix*). A window is a suffix and
//! a prefix. Each pane of a group is merged at most three times, each result once or twice.
//!
//! A row may be late for some windows of its pane and in time for others. Its pane takes it; if the pane
//! is part of a suffix or prefix already, those of its group are made again.

use super::{
    Cause,
    columns::Feed,
    core::{Core, Entry, Kept, Kind},
    pass::{Mark, Place},
};
use crate::{
    error::Result,
    window::{aggregate::Slot, keys::Group, spec::WindowSpec},
};
use std::collections::BTreeMap;

/// Part of the keys that number groups; no pane has it.
const GROUPS: i64 = i64::MIN;

/// Sums of a group.
#[derive(Clone, Default)]
struct Sums {
    /// Suffixes by their first pane, the newest pane first: the last is that of the oldest.
    suffixes: Vec<(i64, Slot)>,
    prefix: Option<Slot>,
    /// Panes of the group that are still needed.
    panes: usize,
    is_stale: bool,
}

/// Hopping windows.
pub(super) struct Hopping {
    step: i64,
    offset: i64,
    grace: i64,
    /// Panes of a window.
    span: i64,
    /// Slots and groups of each pane, in the order of their first rows.
    panes: BTreeMap<i64, Vec<(Slot, Group)>>,
    sums: Vec<Sums>,
    /// Groups in the order of their first rows; those without panes are gone.
    groups: Vec<Group>,
    stale: Vec<Group>,
    /// Last pane of the window that closes next.
    last: i64,
    /// The block whose suffixes are there, and up to which pane the prefix goes.
    block: i64,
    next: i64,
}

impl Hopping {
    pub(super) fn new(spec: &WindowSpec, size: i64, step: i64, offset: i64) -> Self {
        Self {
            step,
            offset,
            grace: spec.grace_ms,
            span: size / step,
            panes: BTreeMap::new(),
            sums: Vec::new(),
            groups: Vec::new(),
            stale: Vec::new(),
            last: i64::MIN,
            block: i64::MIN,
            next: i64::MAX,
        }
    }

    fn pane(&self, time: i64) -> i64 {
        let behind = i128::from(time) - i128::from(self.offset);
        behind.div_euclid(i128::from(self.step)).clamp(i64::MIN as i128 + 1, i64::MAX as i128)
            as i64
    }

    /// End of a pane, in ms.
    fn end(&self, pane: i64) -> i64 {
        let end = (i128::from(pane) + 1) * i128::from(self.step) + i128::from(self.offset);
        end.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    fn closes_at(&self, pane: i64) -> i64 {
        self.end(pane).saturating_add(self.grace)
    }

    /// Last pane of the first window that is open at a watermark.
    fn first_open(&self, watermark: i64) -> i64 {
        let reached = i128::from(watermark) - i128::from(self.grace) - i128::from(self.offset);
        let last = reached.div_euclid(i128::from(self.step));
        last.clamp(i64::MIN as i128 + 1, i64::MAX as i128) as i64
    }

    /// Takes a row that at least one window takes, and says which rejected it.
    fn accept(&mut self, core: &mut Core, row: usize, pane: i64, watermark: i64) -> bool {
        let open = self.first_open(watermark);
        let newest = pane.saturating_add(self.span - 1);
        let rejecting = pane..open.min(newest.saturating_add(1));
        for last in rejecting {
            let end = self.end(last);
            core.late.reject(&mut core.counters, row, end, watermark);
            if !core.late.is_routed() {
                break;
            }
        }
        newest >= open
    }

    fn open_pane(&mut self, core: &mut Core, feed: &Feed, row: usize, pane: i64, slot: Slot) {
        let (group, is_new) = core.keys.group(&feed.keys, row, GROUPS);
        core.open(slot);
        if is_new {
            core.open(group);
        }
        self.place(slot, group, is_new, pane);
    }

    fn place(&mut self, slot: Slot, group: Group, is_new: bool, pane: i64) {
        if self.sums.len() <= group as usize {
            self.sums.resize(group as usize + 1, Sums::default());
        }
        if is_new {
            self.sums[group as usize] = Sums::default();
            self.groups.push(group);
        }
        self.sums[group as usize].panes += 1;
        self.panes.entry(pane).or_default().push((slot, group));
        // The first window that has the pane and is still open.
        self.next = self.next.min(self.closes_at(pane.max(self.last)));
    }

    /// Closes the window whose last pane is `last`.
    fn close(&mut self, core: &mut Core, last: i64, mark: Mark) -> Result<()> {
        core.flush()?;
        let (first, block) = (last.saturating_sub(self.span - 1), last.div_euclid(self.span));
        self.begin_block(core, block, first)?;
        self.renew(core, last)?;
        self.extend_prefix(core, last)?;
        self.emit(core, first, last, mark)?;
        self.forget(core, first);
        Ok(())
    }

    /// Makes the suffixes of the block before `block`, for windows from pane `first` on.
    fn begin_block(&mut self, core: &mut Core, block: i64, first: i64) -> Result<()> {
        if self.block == block {
            return Ok(());
        }
        self.block = block;
        for group in &self.groups {
            let sums = &mut self.sums[*group as usize];
            sums.prefix.take().into_iter().for_each(|slot| core.release(slot));
            sums.suffixes.drain(..).for_each(|(_, slot)| core.release(slot));
        }
        core.flush()?;
        let begin = block.saturating_mul(self.span);
        let panes: Vec<_> =
            self.panes.range(first..begin.max(first)).map(|(pane, _)| *pane).collect();
        for pane in panes.into_iter().rev() {
            let slots = self.panes[&pane].clone();
            self.add_suffixes(core, pane, &slots)?;
        }
        Ok(())
    }

    fn add_suffixes(&mut self, core: &mut Core, pane: i64, slots: &[(Slot, Group)]) -> Result<()> {
        let (mut own, mut sum) = (Vec::new(), Vec::new());
        let (mut behind, mut ahead) = (Vec::new(), Vec::new());
        for (slot, group) in slots {
            let suffix = core.anonymous();
            let suffixes = &mut self.sums[*group as usize].suffixes;
            if let Some((_, newer)) = suffixes.last() {
                behind.push(*newer);
                ahead.push(suffix);
            }
            suffixes.push((pane, suffix));
            own.push(*slot);
            sum.push(suffix);
        }
        core.merge(&own, &sum)?;
        core.merge(&behind, &ahead)
    }

    /// Makes the sums of groups again whose panes have changed since.
    fn renew(&mut self, core: &mut Core, last: i64) -> Result<()> {
        let stale = std::mem::take(&mut self.stale);
        if stale.is_empty() {
            return Ok(());
        }
        let first = last.saturating_sub(self.span - 1);
        let begin = self.block.saturating_mul(self.span);
        for group in &stale {
            let sums = &mut self.sums[*group as usize];
            sums.is_stale = false;
            sums.prefix.take().into_iter().for_each(|slot| core.release(slot));
            sums.suffixes.drain(..).for_each(|(_, slot)| core.release(slot));
        }
        core.flush()?;
        let panes: Vec<_> = self.panes.range(first..last).map(|(pane, _)| *pane).collect();
        for group in stale {
            let own = |pane: &i64| Some((*pane, core.keys.sibling(group, *pane)?));
            let own: Vec<_> = panes.iter().filter_map(own).collect();
            for (pane, slot) in own.iter().rev().filter(|(pane, _)| *pane < begin) {
                self.add_suffixes(core, *pane, &[(*slot, group)])?;
            }
            for (_, slot) in own.iter().filter(|(pane, _)| *pane >= begin) {
                self.add_prefixes(core, &[(*slot, group)])?;
            }
        }
        Ok(())
    }

    fn extend_prefix(&mut self, core: &mut Core, last: i64) -> Result<()> {
        let Some(slots) = self.panes.get(&last).cloned() else { return Ok(()) };
        self.add_prefixes(core, &slots)
    }

    fn add_prefixes(&mut self, core: &mut Core, slots: &[(Slot, Group)]) -> Result<()> {
        let into = slots.iter().map(|(_, group)| {
            *self.sums[*group as usize].prefix.get_or_insert_with(|| core.anonymous())
        });
        let into: Vec<_> = into.collect();
        let from: Vec<_> = slots.iter().map(|(slot, _)| *slot).collect();
        core.merge(&from, &into)
    }

    /// Results of one window, of the groups that have rows in it.
    fn emit(&mut self, core: &mut Core, first: i64, last: i64, mark: Mark) -> Result<()> {
        let (mut whole, mut into, mut older, mut newer) = (vec![], vec![], vec![], vec![]);
        for group in &self.groups {
            let sums = &self.sums[*group as usize];
            match (sums.suffixes.last(), sums.prefix) {
                (Some((_, suffix)), Some(prefix)) => {
                    let slot = core.anonymous();
                    older.push(*suffix);
                    newer.push(prefix);
                    into.push(slot);
                    whole.push((*group, slot, true));
                }
                (Some((_, slot)), None) => whole.push((*group, *slot, false)),
                (None, Some(slot)) => whole.push((*group, slot, false)),
                (None, None) => {}
            }
        }
        core.merge(&older, &into)?;
        core.merge(&newer, &into)?;
        let (start, end) = (self.end(first.saturating_sub(1)), self.end(last));
        for (key, slot, is_scratch) in whole {
            core.pass.emit(slot, Place { key, start, end }, mark);
            if is_scratch {
                core.release(slot);
            }
        }
        core.flush()
    }

    /// Forgets the panes up to `first`: no later window has them.
    fn forget(&mut self, core: &mut Core, first: i64) {
        let mut is_empty = false;
        while let Some(entry) = self.panes.first_entry().filter(|entry| *entry.key() <= first) {
            let pane = *entry.key();
            for (slot, group) in entry.remove() {
                core.release(slot);
                let sums = &mut self.sums[group as usize];
                if sums.suffixes.last().is_some_and(|(of, _)| *of == pane) {
                    sums.suffixes.pop().into_iter().for_each(|(_, slot)| core.release(slot));
                }
                sums.panes -= 1;
                is_empty |= sums.panes == 0;
            }
        }
        if is_empty {
            let sums = &mut self.sums;
            self.groups.retain(|group| {
                let sums = &mut sums[*group as usize];
                if sums.panes == 0 {
                    sums.prefix.take().into_iter().for_each(|slot| core.release(slot));
                    core.release(*group);
                }
                sums.panes > 0
            });
        }
    }

    fn settle(&mut self) {
        let oldest = self.panes.keys().next();
        self.next = oldest.map_or(i64::MAX, |pane| self.closes_at((*pane).max(self.last)));
    }
}

impl Kind for Hopping {
    fn rows(&mut self, core: &mut Core, feed: &Feed) -> Result<()> {
        // The pane of the row before, its bounds, and when the first window that ends with it closes.
        let mut current = (0, 0, 0, 0);
        for (row, watermark) in feed.watermarks.iter().enumerate() {
            if *watermark >= self.next {
                self.step(core, *watermark, Cause::Watermark)?;
            }
            let Some(time) = feed.time(row) else {
                core.counters.untimed_rows += 1;
                continue;
            };
            if time < current.0 || time >= current.1 {
                let pane = self.pane(time);
                current = (self.end(pane - 1), self.end(pane), pane, self.closes_at(pane));
            }
            let (.., pane, closes_at) = current;
            let is_behind = closes_at <= *watermark;
            if is_behind {
                if !self.accept(core, row, pane, *watermark) {
                    continue;
                }
                self.last = self.last.max(self.first_open(*watermark));
            }
            let (slot, is_new) = core.keys.group(&feed.keys, row, pane);
            if is_new {
                self.open_pane(core, feed, row, pane, slot);
            }
            if is_behind
                && let Some(group) = core.keys.sibling(slot, GROUPS)
                && !std::mem::replace(&mut self.sums[group as usize].is_stale, true)
            {
                self.stale.push(group);
            }
            core.push(row, slot)?;
        }
        Ok(())
    }

    fn step(&mut self, core: &mut Core, watermark: i64, cause: Cause) -> Result<()> {
        let mark = if cause == Cause::Idle { Mark::Idle } else { Mark::Final };
        let open = self.first_open(watermark);
        while let Some(oldest) = self.panes.keys().next() {
            let last = self.last.max(*oldest);
            if self.closes_at(last) > watermark {
                break;
            }
            self.close(core, last, mark)?;
            self.last = last.saturating_add(1);
            if last == i64::MAX {
                break;
            }
        }
        self.last = self.last.max(open);
        self.settle();
        Ok(())
    }

    fn open(&self) -> usize {
        self.groups.len()
    }

    fn held_since(&mut self) -> Option<i64> {
        self.panes.keys().next().map(|pane| self.end(pane.saturating_sub(1)))
    }

    fn entry(&self, core: &Core, slot: Slot) -> Option<(Group, Entry)> {
        let tag = core.keys.part(slot);
        let known = tag != GROUPS && core.keys.is_linked(slot);
        let group = core.keys.sibling(slot, GROUPS).filter(|_| known)?;
        let extra = [core.opened(group) as i64, 0, 0, 0, 0, 0];
        Some((slot, Entry { tag, opened: core.opened(slot), extra }))
    }

    fn restore(&mut self, core: &mut Core, kept: &[Kept], watermark: i64) -> Result<()> {
        self.last = self.first_open(watermark);
        for one in kept {
            let (slot, _) = core.keys.load(&one.key, one.entry.tag)?;
            core.load(slot, one)?;
            let (group, is_new) = core.keys.load(&one.key, GROUPS)?;
            core.set_opened(group, one.entry.extra[0] as u64);
            self.place(slot, group, is_new, one.entry.tag);
        }
        self.groups.sort_by_key(|group| core.opened(*group));
        // The sums follow from the panes: those behind the window that closes next are part of them.
        let last = self.last;
        if self.panes.keys().next().is_some_and(|pane| *pane < last) {
            let first = last.saturating_sub(self.span - 1);
            self.begin_block(core, last.div_euclid(self.span), first)?;
            let begin = self.block.saturating_mul(self.span);
            let panes: Vec<_> =
                self.panes.range(begin.min(last)..last).map(|(_, s)| s.clone()).collect();
            panes.iter().try_for_each(|slots| self.add_prefixes(core, slots))?;
        }
        self.settle();
        Ok(())
    }

    fn memory(&self) -> usize {
        let panes = self.panes.values().map(|slots| slots.capacity() * 8 + 48).sum::<usize>();
        let sums = self.sums.iter().map(|sums| sums.suffixes.capacity() * 16);
        panes + sums.sum::<usize>() + self.sums.capacity() * size_of::<Sums>()
    }
}
