//! Cuts: moments at which all agents of a partition have done the same records, and no others.
//!
//! A cut is asked for at the offset behind the last row that anybody has, in each input. Rows in front of it are still
//! handed out, rows behind it wait. Whoever does the last row in front of it seals the cut at once, and
//! rows are handed out again while it is committed; an agent alone on its partition never waits.
//!
//! An instance that collects (`take`) may go on collecting while a cut is asked for, and moves it
//! along; when the cut is made to hurry, it hands over what it has.
//!
//! # Guarantees
//!
//! * A sealed cut has the effects of exactly the records in front of its offset.
//! * Rows of one instance stay in their order, whoever waits for what; those of several inputs, each in its own.
//! * One cut at most is on its way; the next one is sealed after it.

mod visit;

pub use visit::Visit;

use super::{
    agent::{Mailbox, Shared, is_at_least},
    commit::{Outbound, Output},
    cursor::Cursor,
    status::State,
    tables::{Layer, Tables, TooLate},
};
use parking_lot::{Mutex, MutexGuard};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use tokio::sync::Notify;

/// What is committed together.
#[derive(Clone)]
pub struct Sealed {
    /// Offset behind its last record; of several inputs their number, see [`crate::engine::inputs`].
    pub next: i64,
    /// The same in front of its first record.
    pub from: i64,
    /// Offsets behind the last records of each input.
    pub each: Vec<i64>,
    /// What was written to tables.
    pub writes: Arc<Layer>,
    /// Records that go out with it; whoever commits it takes them.
    pub sent: Arc<Mutex<Vec<Output>>>,
}

/// The cuts of one task.
pub struct Cuts {
    /// What is written.
    pub tables: Tables,
    /// Do records that agents send go out with the cut, in its transaction?
    pub is_exact: bool,
    /// Twice the number of the cut that rows belong to; odd while it is asked for.
    word: AtomicU64,
    inner: Mutex<Inner>,
    stored: AtomicI64,
    stored_each: Mutex<Option<Vec<i64>>>,
    /// Something for whoever commits: a cut is sealed or wanted, or the end has come.
    pub(super) news: Notify,
}

#[derive(Default)]
struct Inner {
    /// Rows from this offset on wait, by input; none: nothing is asked for.
    until: Option<Vec<i64>>,
    in_a_hurry: bool,
    /// No row beyond the cut will ever be handed out here.
    is_last: bool,
    sealed: Option<Sealed>,
    paused: Vec<(Arc<Mailbox>, Vec<Arc<Cursor>>)>,
    from: Option<i64>,
    /// Where the last cut ended in each input.
    done: Option<Vec<i64>>,
    is_wanted: bool,
    /// Visits that go on: see [`Visit`].
    visits: usize,
    end: Option<End>,
}

/// How the cuts of a task come to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What is sealed is still committed.
    InOrder,
    /// The partition is somebody else's: nothing more is committed.
    AtOnce,
}

impl Cuts {
    /// Cuts of a task of which everything in front of `stored` is committed, and in front of `each` of
    /// each input.
    #[must_use]
    pub fn new(
        tables: Tables,
        (stored, each): (Option<i64>, Option<Vec<i64>>),
        is_exact: bool,
    ) -> Self {
        Self {
            tables,
            is_exact,
            word: AtomicU64::new(0),
            inner: Mutex::new(Inner { from: stored, done: each.clone(), ..Inner::default() }),
            stored: AtomicI64::new(stored.unwrap_or(-1)),
            stored_each: Mutex::new(each),
            news: Notify::new(),
        }
    }

    /// As [`Cuts::stored`], of each input.
    #[must_use]
    pub fn stored_each(&self) -> Option<Vec<i64>> {
        self.stored_each.lock().clone()
    }

    /// Offset behind the last record that is committed.
    #[must_use]
    pub fn stored(&self) -> Option<i64> {
        Some(self.stored.load(Ordering::Acquire)).filter(|&next| next >= 0)
    }

    pub(super) fn word(&self) -> u64 {
        self.word.load(Ordering::SeqCst)
    }

    /// The number of the cut that a row handed out now belongs to.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.word() >> 1
    }

    /// Is a cut waiting for instances that collect?
    #[must_use]
    pub fn is_in_a_hurry(&self) -> bool {
        is_asked_for(self.word()) && self.inner.lock().in_a_hurry
    }

    /// So much is written that a cut is due before its time.
    pub fn want(&self) {
        self.inner.lock().is_wanted = true;
        self.news.notify_one();
    }

    /// Was [`Cuts::want`] called since the last cut?
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.inner.lock().is_wanted
    }

    /// Is anything written, or sealed, that is not committed?
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.inner.lock().sealed.is_some() || self.tables.is_touched()
    }

    /// The cut to commit, if one is sealed.
    #[must_use]
    pub fn sealed(&self) -> Option<Sealed> {
        self.inner.lock().sealed.clone()
    }

    /// No cut is asked for any more, and whoever commits is to end.
    pub fn end(&self, how: End) {
        self.inner.lock().end = Some(how);
        self.news.notify_one();
    }

    /// How the cuts are to end, if they are.
    #[must_use]
    pub fn ending(&self) -> Option<End> {
        self.inner.lock().end
    }

    /// Resolves when there may be something to do.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn close(&self) {
        self.word.fetch_or(1, Ordering::SeqCst);
    }

    fn open(&self) {
        self.word.fetch_and(!1, Ordering::SeqCst);
    }
}

/// The larger offset of each input.
fn later(one: Option<Vec<i64>>, other: Option<Vec<i64>>) -> Option<Vec<i64>> {
    match (one, other) {
        (Some(one), Some(other)) => {
            Some(one.into_iter().zip(other).map(|(one, other)| one.max(other)).collect())
        }
        (one, other) => one.or(other),
    }
}

/// Is a cut asked for?
pub(super) fn is_asked_for(word: u64) -> bool {
    word & 1 == 1
}

impl Inner {
    /// Lets every row go that waits, in its order.
    fn resume(&mut self) {
        for (mailbox, cursors) in self.paused.drain(..) {
            mailbox.put_back(cursors);
        }
    }

    /// The cut has moved on: lets those rows go that are in front of it now.
    fn resume_before(&mut self, until: &[i64]) {
        let (waiting, going) = self
            .paused
            .drain(..)
            .partition(|(_, cursors)| cursors.iter().all(|cursor| cursor.is_beyond(until)));
        self.paused = going;
        self.resume();
        self.paused = waiting;
    }

    fn pause(&mut self, cursor: &Arc<Cursor>) {
        let mailbox = cursor.mailbox();
        // Those behind it must not overtake it; what is of another input may be in front of the cut.
        let mine = |other: &Arc<Cursor>| is_of_same_input(other, cursor);
        let behind = mailbox.remove(mine);
        let waiting = std::iter::once(Arc::clone(cursor)).chain(behind);
        self.paused.push((Arc::clone(mailbox), waiting.collect()));
    }
}

fn is_of_same_input(one: &Cursor, other: &Cursor) -> bool {
    Arc::ptr_eq(one.task(), other.task()) && one.input() == other.input()
}

/// What to do with the row that an instance asks for.
pub(super) enum Gate {
    /// Hand it out.
    Pass,
    /// It comes again later.
    Wait,
    /// Nobody will ask for it here.
    End,
}

impl Shared {
    /// Asks for a cut, or makes one that is asked for hurry. False if nothing was done since the last.
    /// Without a record in between the offset stays, and only what is written counts.
    pub fn ask_for_cut(self: &Arc<Self>, in_a_hurry: bool) -> bool {
        let Some(cuts) = &self.cuts else { return false };
        let mut inner = cuts.inner.lock();
        inner.in_a_hurry |= in_a_hurry;
        if inner.until.is_none() {
            // Closed first: a row that is handed out meanwhile is seen here, or sees this.
            cuts.close();
            let reached = later(self.reached(), inner.done.clone());
            if reached.is_none() || (reached == inner.done && !cuts.tables.is_touched()) {
                inner.is_wanted = false;
                inner.in_a_hurry = false;
                cuts.open();
                return false;
            }
            inner.until = reached;
        }
        self.seal_if_even(cuts, &mut inner);
        if inner.in_a_hurry {
            self.wake_instances();
        }
        true
    }

    /// Gives the cut up that is asked for; rows go on.
    pub fn give_cut_up(&self) {
        let Some(cuts) = &self.cuts else { return };
        let mut inner = cuts.inner.lock();
        if !inner.is_last && inner.until.take().is_some() {
            inner.in_a_hurry = false;
            cuts.open();
            inner.resume();
        }
    }

    /// Keeps a record that goes out with cut `cut`.
    ///
    /// # Errors
    ///
    /// [`TooLate`]: the cut is over, or there are none.
    pub fn send(&self, cut: u64, topic: Arc<str>, record: Outbound) -> Result<(), TooLate> {
        let cuts = self.cuts.as_ref().ok_or(TooLate)?;
        if cuts.tables.send(cut, Output::Record { topic, record, told: None })? {
            cuts.want();
        }
        Ok(())
    }

    /// The sealed cut is committed.
    pub fn cut_committed(self: &Arc<Self>, sealed: &Sealed) {
        let Some(cuts) = &self.cuts else { return };
        cuts.tables.applied();
        cuts.stored.store(sealed.next, Ordering::Release);
        *cuts.stored_each.lock() = Some(sealed.each.clone());
        let mut inner = cuts.inner.lock();
        inner.sealed = None;
        self.seal_if_even(cuts, &mut inner);
    }

    /// Asks for the last cut: rows in front of it are still handed out, then no more.
    pub(super) fn ask_for_last_cut(self: &Arc<Self>) {
        let Some(cuts) = &self.cuts else { return };
        let mut inner = cuts.inner.lock();
        cuts.close();
        inner.is_last = true;
        inner.in_a_hurry = true;
        let is_touched = inner.visits > 0 || cuts.tables.is_touched();
        let touched = inner.done.clone().filter(|_| is_touched);
        inner.until = later(later(inner.until.take(), self.reached()), touched);
        inner.resume();
        self.seal_if_even(cuts, &mut inner);
        self.wake_instances();
    }

    /// Offset of the last cut that will be asked for here, if it is known.
    pub(super) fn last_cut(&self) -> Option<Vec<i64>> {
        let inner = self.cuts.as_ref()?.inner.lock();
        inner.until.clone().filter(|_| inner.is_last)
    }

    /// Has every agent done exactly the records that the last cut is to have?
    pub(super) fn is_even(&self) -> bool {
        let is_visited = self.cuts.as_ref().is_some_and(|cuts| cuts.inner.lock().visits > 0);
        let Some(until) = self.last_cut().filter(|_| !is_visited) else { return !is_visited };
        self.positions().is_none_or(|at| is_at_least(&at, &until))
    }

    /// A row was done while a cut is asked for.
    pub(super) fn look_for_cut(self: &Arc<Self>) {
        if let Some(cuts) = &self.cuts {
            self.seal_if_even(cuts, &mut cuts.inner.lock());
        }
    }

    /// Instance `cursor` asks for its next row, with the word it saw before.
    pub(super) fn pass(self: &Arc<Self>, cursor: &Arc<Cursor>, before: u64) -> Gate {
        let Some(cuts) = &self.cuts else { return Gate::Pass };
        let mut inner = cuts.inner.lock();
        self.seal_if_even(cuts, &mut inner);
        let Some(offset) = cursor.next_offset() else { return Gate::End };
        // What a failed task does is never committed.
        let is_of_use = inner.is_last && self.status.state() != State::Failed;
        if !self.status.is_live() && !is_of_use {
            return Gate::End;
        }
        if cuts.number() != before >> 1 {
            // The row belongs to another cut than the one before it: the instance must learn that.
            return self.again(cursor, &mut inner);
        }
        if inner.until.is_none() {
            return self.again(cursor, &mut inner);
        }
        self.pass_closed(cursor, offset, &mut inner)
    }

    /// A cut is asked for: may the row at `offset` go?
    fn pass_closed(&self, cursor: &Arc<Cursor>, offset: i64, inner: &mut Inner) -> Gate {
        let at = cursor.input();
        match &mut inner.until {
            Some(until) if offset < until[at] => Gate::Pass,
            Some(_) if inner.is_last => Gate::End,
            Some(until) if !inner.in_a_hurry && self.holds_rows(cursor) => {
                until[at] = offset + 1;
                let until = until.clone();
                inner.resume_before(&until);
                Gate::Pass
            }
            _ => {
                inner.pause(cursor);
                Gate::Wait
            }
        }
    }

    fn again(&self, cursor: &Arc<Cursor>, inner: &mut Inner) -> Gate {
        inner.pause(cursor);
        let Some((mailbox, cursors)) = inner.paused.pop() else { return Gate::Wait };
        mailbox.put_back(cursors);
        Gate::Wait
    }

    /// Puts new rows where their instance finds them, behind what waits there.
    pub(super) fn deliver(&self, cursor: Arc<Cursor>) {
        let mailbox = Arc::clone(cursor.mailbox());
        if let Some(cuts) = &self.cuts {
            let mut inner = cuts.inner.lock();
            let waits = inner.paused.iter_mut().find(|(of, cursors)| {
                let is_same = |other: &Arc<Cursor>| is_of_same_input(other, &cursor);
                Arc::ptr_eq(of, &mailbox) && cursors.first().is_some_and(is_same)
            });
            if let Some((_, cursors)) = waits {
                return cursors.push(cursor);
            }
            // Under the lock: nobody begins to wait in between.
            return mailbox.put(cursor);
        }
        mailbox.put(cursor);
    }

    fn seal_if_even(&self, cuts: &Cuts, inner: &mut MutexGuard<'_, Inner>) {
        let Some(until) = &inner.until else { return };
        let each = later(self.positions(), inner.done.clone());
        let Some(each) = each.filter(|at| is_at_least(at, until)) else { return };
        let next = each.iter().sum();
        if inner.sealed.is_some() || inner.visits > 0 || !self.status.may_commit() {
            return;
        }
        let from = inner.from.unwrap_or_else(|| self.began().unwrap_or(next));
        let is_done = inner.done.as_ref() == Some(&each);
        if inner.is_last && is_done && !cuts.tables.is_touched() {
            return;
        }
        let (writes, sent) = cuts.tables.seal();
        let sent = Arc::new(Mutex::new(sent));
        inner.sealed = Some(Sealed { next, from, each: each.clone(), writes, sent });
        (inner.from, inner.done) = (Some(next), Some(each));
        inner.is_wanted = false;
        let number = cuts.number() + 1;
        cuts.word.store(number << 1 | u64::from(inner.is_last), Ordering::SeqCst);
        if !inner.is_last {
            inner.until = None;
            inner.in_a_hurry = false;
            inner.resume();
        }
        cuts.news.notify_one();
    }
}
