//! Sessions: rows of a key with pauses below a gap.
//!
//! A row at `t` touches a session whose first and last rows are at `a` and `b` if `a - gap < t < b + gap`.
//! With a longest duration `d` it fits only if the session with it is shorter than `d` from its first to
//! its last row. A row joins all sessions that it touches into one if that one fits; else it joins the
//! earliest that it fits; else it begins one. A session ends at `b + gap`, at the latest at `a + d`, and
//! is closed when the watermark has passed its end by the grace. It does not come back: a row is late if
//! it joins no open session and one of its own would be closed already.
//!
//! When sessions are joined, the rows of the earlier one come first.

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
use std::{cmp::Reverse, collections::BinaryHeap};

/// No session follows.
const NONE: Slot = Slot::MAX;

/// Sessions that can be looked at after every batch; more are so once in [`SELDOM`] batches.
const FEW: usize = 10_000;
const SELDOM: u64 = 64;

/// A session, at the place of its slot.
#[derive(Clone, Copy, Debug)]
struct Session {
    first: i64,
    last: i64,
    group: Group,
    /// Order in which it was opened, of joined ones the lowest.
    opened: u64,
    /// The next session of the group, by their first rows.
    next: Slot,
    is_open: bool,
}

/// Session windows.
pub(super) struct Sessions {
    gap: i64,
    longest: i64,
    grace: i64,
    max_open: usize,
    trigger: Trigger,
    sessions: Vec<Session>,
    /// The first session of each group.
    heads: Vec<Slot>,
    /// When sessions close at the earliest, with when they were opened. A session that grows leaves its
    /// entry as it is; it is put back when it comes up too early.
    closing: BinaryHeap<Reverse<(i64, u64, Slot)>>,
    /// Sessions in the order in which they were opened, where the oldest may have to go.
    oldest: BinaryHeap<Reverse<(u64, Slot)>>,
    open: usize,
    next: i64,
    /// No open session has its first row before it.
    earliest: i64,
    asked: u64,
}

impl Sessions {
    pub(super) fn new(spec: &WindowSpec, gap: i64, longest: Option<i64>) -> Self {
        Self {
            gap,
            longest: longest.unwrap_or(i64::MAX),
            grace: spec.grace_ms,
            max_open: spec.max_open.unwrap_or(usize::MAX),
            trigger: Trigger::new(spec.emit.clone()),
            sessions: Vec::new(),
            heads: Vec::new(),
            closing: BinaryHeap::new(),
            oldest: BinaryHeap::new(),
            open: 0,
            next: i64::MAX,
            earliest: i64::MAX,
            asked: 0,
        }
    }

    fn end(&self, first: i64, last: i64) -> i64 {
        last.saturating_add(self.gap).min(first.saturating_add(self.longest))
    }

    fn closes_at(&self, slot: Slot) -> i64 {
        let session = &self.sessions[slot as usize];
        self.end(session.first, session.last).saturating_add(self.grace)
    }

    fn bounds(&self, slot: Slot) -> Place {
        let session = &self.sessions[slot as usize];
        let (start, end) = (session.first, self.end(session.first, session.last));
        Place { key: session.group, start, end }
    }

    fn touches(&self, session: &Session, time: i64) -> bool {
        session.first.saturating_sub(self.gap) < time
            && time < session.last.saturating_add(self.gap)
    }

    fn fits(&self, first: i64, last: i64) -> bool {
        last.saturating_sub(first) < self.longest
    }

    /// Sessions of a group, by their first rows.
    fn of_group(&self, group: Group) -> impl Iterator<Item = Slot> {
        let mut slot = self.heads.get(group as usize).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let found = (slot != NONE).then_some(slot)?;
            slot = self.sessions[found as usize].next;
            Some(found)
        })
    }

    /// The session that a row at `time` goes into, joined from several where it has to be.
    fn find(&mut self, core: &mut Core, group: Group, time: i64) -> Result<Option<Slot>> {
        let head = self.heads[group as usize];
        if head == NONE {
            return Ok(None);
        }
        // Nearly always there is one.
        let only = self.sessions[head as usize];
        if only.next == NONE {
            let is_in =
                self.touches(&only, time) && self.fits(only.first.min(time), only.last.max(time));
            return Ok(is_in.then_some(head));
        }
        let touched = |slot: &Slot| self.touches(&self.sessions[*slot as usize], time);
        let touched: Vec<_> = self.of_group(group).filter(touched).collect();
        let span = touched.iter().fold((time, time), |(first, last), slot| {
            let session = &self.sessions[*slot as usize];
            (first.min(session.first), last.max(session.last))
        });
        if self.fits(span.0, span.1) {
            return self.join(core, &touched);
        }
        Ok(touched.into_iter().find(|slot| {
            let session = &self.sessions[*slot as usize];
            self.fits(session.first.min(time), session.last.max(time))
        }))
    }

    /// Joins sessions of a group into the first of them.
    fn join(&mut self, core: &mut Core, slots: &[Slot]) -> Result<Option<Slot>> {
        let Some((into, others)) = slots.split_first() else { return Ok(None) };
        if !others.is_empty() {
            core.flush()?;
        }
        for from in others {
            core.merge(&[*from], &[*into])?;
            self.trigger.merge(*from, *into);
            let gone = self.sessions[*from as usize];
            let session = &mut self.sessions[*into as usize];
            session.last = session.last.max(gone.last);
            session.opened = session.opened.min(gone.opened);
            let (opened, closes_at) = (session.opened, self.closes_at(*into));
            self.closing.push(Reverse((closes_at, opened, *into)));
            self.note_oldest(*into);
            core.touch(*into);
            self.unlink(*from);
            core.release(*from);
        }
        Ok(Some(*into))
    }

    fn note_oldest(&mut self, slot: Slot) {
        if self.max_open < usize::MAX {
            self.oldest.push(Reverse((self.sessions[slot as usize].opened, slot)));
        }
    }

    fn begin(&mut self, core: &mut Core, group: Group, time: i64) -> Slot {
        while self.open >= self.max_open && self.evict(core, group) {}
        let slot = core.anonymous();
        self.trigger.reset(slot);
        self.place(slot, group, time, time, core.opened(slot));
        slot
    }

    fn place(&mut self, slot: Slot, group: Group, first: i64, last: i64, opened: u64) {
        let at = slot as usize;
        let session = Session { first, last, group, opened, next: NONE, is_open: true };
        if self.sessions.len() <= at {
            self.sessions.resize(at + 1, Session { is_open: false, ..session });
        }
        self.sessions[at] = session;
        self.earliest = self.earliest.min(first);
        self.link(slot);
        let closes_at = self.closes_at(slot);
        self.closing.push(Reverse((closes_at, opened, slot)));
        self.note_oldest(slot);
        self.next = self.next.min(closes_at);
        self.open += 1;
    }

    fn head(&mut self, group: Group) -> &mut Slot {
        if self.heads.len() <= group as usize {
            self.heads.resize(group as usize + 1, NONE);
        }
        &mut self.heads[group as usize]
    }

    fn link(&mut self, slot: Slot) {
        let Session { group, first, opened, .. } = self.sessions[slot as usize];
        let is_before = |other: &Slot| {
            let other = &self.sessions[*other as usize];
            (other.first, other.opened) < (first, opened)
        };
        let before = self.of_group(group).take_while(is_before).last();
        let place = match before {
            Some(before) => &mut self.sessions[before as usize].next,
            None => self.head(group),
        };
        let next = std::mem::replace(place, slot);
        self.sessions[slot as usize].next = next;
    }

    fn unlink(&mut self, slot: Slot) {
        let Session { group, next, .. } = self.sessions[slot as usize];
        let before = self.of_group(group).take_while(|other| *other != slot).last();
        match before {
            Some(before) => self.sessions[before as usize].next = next,
            None => self.heads[group as usize] = next,
        }
        self.sessions[slot as usize].is_open = false;
        self.open -= 1;
    }

    /// Gives a session up with a last result, and its group with it if it was the only one, unless it
    /// is `keep`.
    fn close(&mut self, core: &mut Core, slot: Slot, mark: Mark, keep: Option<Group>) {
        let place = self.bounds(slot);
        self.unlink(slot);
        self.trigger.reset(slot);
        core.close(slot, place, mark);
        if self.heads[place.key as usize] == NONE && keep != Some(place.key) {
            core.release(place.key);
        }
    }

    /// Gives the session up that was opened first; a row of the group `keep` is under way.
    fn evict(&mut self, core: &mut Core, keep: Group) -> bool {
        while let Some(Reverse((opened, slot))) = self.oldest.pop() {
            let session = &self.sessions[slot as usize];
            if session.is_open && session.opened == opened {
                self.close(core, slot, Mark::Evicted, Some(keep));
                core.counters.evicted_windows += 1;
                return true;
            }
        }
        false
    }

    /// Sessions that are closed at a watermark, in the order of their ends.
    fn closed(&mut self, watermark: i64) -> Vec<Slot> {
        let mut found = Vec::new();
        while let Some(Reverse((at, opened, slot))) = self.closing.peek().copied() {
            if at > watermark {
                break;
            }
            self.closing.pop();
            let session = &self.sessions[slot as usize];
            if !session.is_open || session.opened != opened {
                continue;
            }
            let closes_at = self.closes_at(slot);
            if closes_at > watermark {
                self.closing.push(Reverse((closes_at, opened, slot)));
            } else {
                found.push(slot);
            }
        }
        // A joined session may be there twice.
        found.sort_unstable_by_key(|slot| {
            (self.bounds(*slot).end, self.sessions[*slot as usize].opened)
        });
        found.dedup();
        found
    }

    /// Room for a row in a session, or in none if it is late.
    fn slot(
        &mut self,
        core: &mut Core,
        feed: &Feed,
        row: usize,
        time: i64,
    ) -> Result<Option<Slot>> {
        let watermark = feed.watermarks[row];
        let end = self.end(time, time);
        let is_late = end.saturating_add(self.grace) <= watermark;
        // A late row may still belong to an open session, but it begins no group.
        let group = match core.keys.find(&feed.keys, row, 0) {
            None if is_late => None,
            None => Some(core.keys.group(&feed.keys, row, 0).0),
            found => found,
        };
        let Some(group) = group else {
            core.late.reject(&mut core.counters, row, end, watermark);
            return Ok(None);
        };
        self.head(group);
        if let Some(slot) = self.find(core, group, time)? {
            self.grow(slot, time);
            return Ok(Some(slot));
        }
        if is_late {
            core.late.reject(&mut core.counters, row, end, watermark);
            return Ok(None);
        }
        Ok(Some(self.begin(core, group, time)))
    }

    fn grow(&mut self, slot: Slot, time: i64) {
        let session = &mut self.sessions[slot as usize];
        session.last = session.last.max(time);
        if time < session.first {
            session.first = time;
            self.earliest = self.earliest.min(time);
            // Its place among those of its group, and with a longest duration its end, may be earlier.
            let (opened, group) = (session.opened, session.group);
            let closes_at = self.closes_at(slot);
            self.closing.push(Reverse((closes_at, opened, slot)));
            self.next = self.next.min(closes_at);
            if self.heads[group as usize] != slot {
                self.open += 1;
                self.unlink(slot);
                self.sessions[slot as usize].is_open = true;
                self.link(slot);
            }
        }
    }
}

impl Kind for Sessions {
    fn rows(&mut self, core: &mut Core, feed: &Feed) -> Result<()> {
        for (row, watermark) in feed.watermarks.iter().enumerate() {
            if *watermark >= self.next {
                self.step(core, *watermark, Cause::Watermark)?;
            }
            let Some(time) = feed.time(row) else {
                core.counters.untimed_rows += 1;
                continue;
            };
            if let Some(slot) = self.slot(core, feed, row, time)? {
                let place = self.bounds(slot);
                self.trigger.row(core, row, slot, place, *watermark)?;
                self.next = self.next.min(self.trigger.due());
            }
        }
        Ok(())
    }

    fn step(&mut self, core: &mut Core, watermark: i64, cause: Cause) -> Result<()> {
        let mark = if cause == Cause::Idle { Mark::Idle } else { Mark::Final };
        for slot in self.closed(watermark) {
            self.close(core, slot, mark, None);
        }
        let mut early = self.trigger.take(core, watermark);
        early.sort_unstable_by_key(|slot| {
            (self.bounds(*slot).end, self.sessions[*slot as usize].opened)
        });
        for slot in early {
            core.pass.emit(slot, self.bounds(slot), Mark::Early);
        }
        let next = self.closing.peek().map_or(i64::MAX, |Reverse((at, ..))| *at);
        self.next = next.min(self.trigger.due());
        Ok(())
    }

    fn open(&self) -> usize {
        self.open
    }

    fn held_since(&mut self) -> Option<i64> {
        self.asked += 1;
        if self.open <= FEW || self.asked.is_multiple_of(SELDOM) {
            let open = self.sessions.iter().filter(|session| session.is_open);
            self.earliest = open.map(|session| session.first).min().unwrap_or(i64::MAX);
        }
        (self.open > 0).then_some(self.earliest)
    }

    fn entry(&self, core: &Core, slot: Slot) -> Option<(Group, Entry)> {
        let session = self.sessions.get(slot as usize).filter(|session| session.is_open)?;
        let [rows, due] = self.trigger.save(slot);
        // The number under which its slot was opened never changes, and is its own.
        let tag = core.opened(slot) as i64;
        let extra = [session.first, session.last, session.opened as i64, rows, due, 0];
        Some((session.group, Entry { tag, opened: session.opened, extra }))
    }

    fn restore(&mut self, core: &mut Core, kept: &[Kept], _: i64) -> Result<()> {
        for one in kept {
            let (group, _) = core.keys.load(&one.key, 0)?;
            let slot = core.keys.anonymous();
            core.load(slot, one)?;
            core.set_opened(slot, one.entry.tag as u64);
            let [first, last, opened, rows, due, _] = one.entry.extra;
            self.trigger.load(slot, [rows, due]);
            self.place(slot, group, first, last, opened as u64);
        }
        self.next = self.next.min(self.trigger.due());
        Ok(())
    }

    fn memory(&self) -> usize {
        self.sessions.capacity() * size_of::<Session>()
            + (self.closing.capacity() + self.oldest.capacity()) * 24
            + self.heads.capacity() * 4
            + self.trigger.memory()
    }
}
