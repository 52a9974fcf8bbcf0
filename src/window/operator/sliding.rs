//! Sliding windows: for each row, the rows of its key in `(time - size, time]`.
//!
//! A row's result comes when the watermark has passed its time by the grace: then no row can come any
//! more that belongs to it, however they were out of order. Until then rows wait, each in a slot of its
//! own; then they go through a queue of their key in the order of their times. A row is late if its own
//! result is out; it is not added to the windows of later rows either. Bounds are
//! `[time - size + 1, time + 1)`.

use super::{
    Cause,
    columns::Feed,
    core::{Core, Entry, Kept, Kind},
    fifo::{Fifo, Side},
    pass::{Mark, Place},
};
use crate::{
    error::Result,
    window::{aggregate::Slot, keys::Group, spec::WindowSpec},
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// A row, at the place of its slot.
#[derive(Clone, Copy, Debug)]
struct Single {
    group: Group,
    time: i64,
    side: Side,
}

/// What a group has.
#[derive(Default)]
struct Queue {
    rows: Fifo,
    waiting: usize,
    newest: i64,
}

/// Sliding windows.
pub(super) struct Sliding {
    size: i64,
    grace: i64,
    rows: Vec<Single>,
    queues: Vec<Queue>,
    /// Rows whose results are not out, by time and arrival.
    waiting: BinaryHeap<Reverse<(i64, u64, Slot)>>,
    /// Rows whose results are to come out now.
    due: Vec<(i64, Slot, Mark)>,
    /// Groups by the times of their rows: when the last is too old, the group is gone.
    ages: VecDeque<(i64, Group)>,
    open: usize,
    watermark: i64,
    next: i64,
}

impl Sliding {
    pub(super) fn new(spec: &WindowSpec, size: i64) -> Self {
        Self {
            size,
            grace: spec.grace_ms,
            rows: Vec::new(),
            queues: Vec::new(),
            waiting: BinaryHeap::new(),
            due: Vec::new(),
            ages: VecDeque::new(),
            open: 0,
            watermark: i64::MIN,
            next: i64::MAX,
        }
    }

    fn closes_at(&self, time: i64) -> i64 {
        time.saturating_add(1).saturating_add(self.grace)
    }

    fn begin_group(&mut self, group: Group) {
        if self.queues.len() <= group as usize {
            self.queues.resize_with(group as usize + 1, Queue::default);
        }
        self.queues[group as usize] = Queue { newest: i64::MIN, ..Queue::default() };
        self.open += 1;
    }

    fn place(&mut self, slot: Slot, single: Single) {
        if self.rows.len() <= slot as usize {
            self.rows.resize(slot as usize + 1, Single { side: Side::Gone, ..single });
        }
        self.rows[slot as usize] = single;
    }

    fn wait(&mut self, core: &Core, slot: Slot, group: Group, time: i64) {
        self.place(slot, Single { group, time, side: Side::Ahead });
        self.queues[group as usize].waiting += 1;
        self.waiting.push(Reverse((time, core.opened(slot), slot)));
        self.next = self.next.min(self.closes_at(time));
    }

    /// Puts a row into its group's queue.
    fn take(&mut self, core: &mut Core, time: i64, slot: Slot) -> Result<()> {
        let group = self.rows[slot as usize].group;
        let (rows, queue) = (&mut self.rows, &mut self.queues[group as usize]);
        let note = &mut |slot: Slot, side| rows[slot as usize].side = side;
        queue.rows.evict(core, time.saturating_sub(self.size), note)?;
        note(slot, Side::Back);
        core.touch(slot);
        queue.rows.push(core, time, slot)?;
        queue.waiting -= 1;
        queue.newest = time;
        self.ages.push_back((time, group));
        Ok(())
    }

    fn emit(&self, core: &mut Core, time: i64, slot: Slot, mark: Mark) -> Result<()> {
        let key = self.rows[slot as usize].group;
        let total = self.queues[key as usize].rows.total(core)?;
        let end = time.saturating_add(1);
        core.close(total, Place { key, start: end.saturating_sub(self.size), end }, mark);
        Ok(())
    }

    /// Forgets groups whose rows no later row can have in its window.
    fn expire(&mut self, core: &mut Core) {
        let oldest = self.watermark.saturating_sub(self.grace).saturating_sub(self.size);
        while let Some((time, group)) =
            self.ages.front().copied().filter(|(time, _)| *time <= oldest)
        {
            self.ages.pop_front();
            let queue = &mut self.queues[group as usize];
            if queue.newest == time && queue.waiting == 0 && queue.rows.oldest().is_some() {
                let rows = &mut self.rows;
                queue.rows.clear(core, &mut |slot, side| rows[slot as usize].side = side);
                core.release(group);
                self.open -= 1;
            }
        }
    }
}

impl Kind for Sliding {
    fn rows(&mut self, core: &mut Core, feed: &Feed) -> Result<()> {
        for (row, watermark) in feed.watermarks.iter().enumerate() {
            if *watermark >= self.next {
                self.step(core, *watermark, Cause::Watermark)?;
            }
            let Some(time) = feed.time(row) else {
                core.counters.untimed_rows += 1;
                continue;
            };
            if self.closes_at(time) <= *watermark {
                let end = time.saturating_add(1);
                core.late.reject(&mut core.counters, row, end, *watermark);
                continue;
            }
            let (group, is_new) = core.keys.group(&feed.keys, row, 0);
            if is_new {
                core.open(group);
                self.begin_group(group);
            }
            let slot = core.anonymous();
            self.wait(core, slot, group, time);
            core.push(row, slot)?;
        }
        Ok(())
    }

    fn step(&mut self, _: &mut Core, watermark: i64, cause: Cause) -> Result<()> {
        let mark = if cause == Cause::Idle { Mark::Idle } else { Mark::Final };
        self.watermark = watermark;
        while let Some(Reverse((time, _, slot))) = self.waiting.peek().copied() {
            if self.closes_at(time) > watermark {
                break;
            }
            self.waiting.pop();
            self.due.push((time, slot, mark));
        }
        let next = self.waiting.peek().map(|Reverse((time, ..))| self.closes_at(*time));
        self.next = next.unwrap_or(i64::MAX);
        Ok(())
    }

    fn finish(&mut self, core: &mut Core) -> Result<()> {
        let due = std::mem::take(&mut self.due);
        if !due.is_empty() {
            core.flush()?;
        }
        // Rows of one time are in the windows of each other.
        for same in due.chunk_by(|a, b| a.0 == b.0) {
            same.iter().try_for_each(|(time, slot, _)| self.take(core, *time, *slot))?;
            same.iter().try_for_each(|(time, slot, mark)| self.emit(core, *time, *slot, *mark))?;
        }
        self.expire(core);
        Ok(())
    }

    fn open(&self) -> usize {
        self.open
    }

    fn held_since(&mut self) -> Option<i64> {
        let oldest = self.watermark.saturating_sub(self.grace).saturating_sub(self.size);
        (self.open > 0).then_some(oldest)
    }

    fn entry(&self, core: &Core, slot: Slot) -> Option<(Group, Entry)> {
        let single = self.rows.get(slot as usize).filter(|single| single.side != Side::Gone)?;
        let opened = core.opened(slot);
        let extra = [single.time, single.side as i64, 0, 0, 0, 0];
        Some((single.group, Entry { tag: opened as i64, opened, extra }))
    }

    fn restore(&mut self, core: &mut Core, kept: &[Kept], watermark: i64) -> Result<()> {
        self.watermark = watermark;
        let (mut through, mut groups) = (Vec::new(), Vec::new());
        for one in kept {
            let (group, is_new) = core.keys.load(&one.key, 0)?;
            if is_new {
                self.begin_group(group);
                groups.push(group);
            }
            let slot = core.keys.anonymous();
            core.load(slot, one)?;
            let [time, side, ..] = one.entry.extra;
            match Side::from_number(side) {
                Side::Ahead => self.wait(core, slot, group, time),
                side => {
                    self.place(slot, Single { group, time, side });
                    through.push((time, one.entry.opened, slot));
                }
            }
        }
        through.sort_unstable();
        let mut sides = vec![[Vec::new(), Vec::new()]; self.queues.len()];
        for (time, _, slot) in through {
            let single = self.rows[slot as usize];
            sides[single.group as usize][usize::from(single.side == Side::Back)].push((time, slot));
            self.queues[single.group as usize].newest = time;
            self.ages.push_back((time, single.group));
        }
        for group in groups {
            let [front, back] = &sides[group as usize];
            self.queues[group as usize].rows.restore(core, front, back)?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<Single>()
            + self.waiting.capacity() * 24
            + self.queues.capacity() * size_of::<Queue>()
            + self.ages.capacity() * 16
    }
}
