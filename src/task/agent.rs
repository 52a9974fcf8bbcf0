//! The line of one partition for the agents that read it.
//!
//! A task has one input or, where topics share tables, the same partition of several; records of different
//! inputs come in the order in which they arrive. In each input an agent has a lane: a tracker of its own
//! and, for every instance, a mailbox. A record is done when every lane is done with it. Decoding happens when the agent asks for the row, because it makes
//! Python objects; producing is the agent's own doing, through [`crate::kafka::producer`].

use super::{
    cursor::{Chunk, Cursor, Rows},
    cut::Cuts,
    input::Input,
    order::order_broken,
    shelf::Shelf,
    status::{State, Status, retry_later},
    trailing::{QUIET, Trailing},
};
use crate::{
    engine::tracker::{Ticket, Tracker},
    kafka::{messages::Messages, queue::PartitionQueue},
    types::{Records, TopicPartition},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Most records polled together: small, so that the event loop turns often.
const CHUNK_ROWS: usize = 1024;
/// Chunks of one partition in memory.
const PLACES: usize = 2;
/// Looks again at least this often, should a wake-up be lost.
const RECHECK: Duration = Duration::from_millis(500);

/// Where one instance of an agent picks its rows up.
pub type Mailbox = Shelf<Arc<Cursor>>;

/// One agent as a partition sees it.
pub struct Lane {
    /// Agent name.
    pub agent: String,
    /// One for each instance.
    pub mailboxes: Vec<Arc<Mailbox>>,
    pub(super) tracker: Mutex<Tracker>,
    pub(super) live: Mutex<Vec<Arc<Cursor>>>,
    /// Offset behind the last row that an ended cursor has handed out; -1 if none has.
    pub(super) reached: AtomicI64,
}

impl Lane {
    /// A lane that has not begun anything.
    #[must_use]
    pub fn new(agent: String, mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Self {
            agent,
            mailboxes,
            tracker: Mutex::default(),
            live: Mutex::default(),
            reached: AtomicI64::new(-1),
        }
    }
}

/// What the loop of a task and its cursors share, and what the worker holds of it.
pub struct Shared {
    /// State and metrics; its partition is that of the first input.
    pub status: Status,
    /// What is read: one partition, or the same one of several topics.
    pub inputs: Vec<Input>,
    /// What is committed together, if more than an offset is.
    pub cuts: Option<Cuts>,
    settled: Notify,
}

impl Shared {
    /// A task at its beginning.
    #[must_use]
    pub fn new(status: Status, inputs: Vec<Input>, cuts: Option<Cuts>) -> Arc<Self> {
        Arc::new(Self { status, inputs, cuts, settled: Notify::new() })
    }

    /// Every agent in every input.
    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.inputs.iter().flat_map(|input| &input.lanes)
    }

    /// Each input, with the offset that is safe to commit of it.
    pub fn committable_of_each(&self) -> Option<Vec<(TopicPartition, i64)>> {
        let each = match &self.cuts {
            Some(cuts) if cuts.is_exact => None,
            Some(cuts) => cuts.stored_each(),
            None => self.positions(),
        };
        Some(self.inputs.iter().map(|input| input.tp.clone()).zip(each?).collect())
    }

    /// What is safe to commit: what is stored, where there are cuts. Nothing of an exactly-once task.
    pub fn committable(&self) -> Option<i64> {
        match &self.cuts {
            // Its transactions have the offset, and more beside it.
            Some(cuts) if cuts.is_exact => None,
            Some(cuts) => cuts.stored(),
            None => self.position(),
        }
    }

    /// Offsets behind the last row of each input that any agent was given; none if there was no row at all.
    pub(super) fn reached(&self) -> Option<Vec<i64>> {
        let each: Vec<_> = self.inputs.iter().map(Input::reached).collect();
        let is_any = each.iter().any(Option::is_some);
        let begun = |(at, input): (Option<i64>, &Input)| at.or(input.begins).unwrap_or(0);
        is_any.then(|| each.into_iter().zip(&self.inputs).map(begun).collect())
    }

    /// Is every row done that any agent was given?
    pub fn has_done_all(&self) -> bool {
        let Some(reached) = self.reached() else { return false };
        self.positions().is_some_and(|at| is_at_least(&at, &reached))
    }

    /// Offset of the first record that was handed out.
    pub(super) fn began(&self) -> Option<i64> {
        self.inputs.first().and_then(Input::began)
    }

    /// Has the instance of `cursor` rows that are not done?
    pub(super) fn holds_rows(&self, cursor: &Cursor) -> bool {
        let same = |other: &&Arc<Cursor>| Arc::ptr_eq(other.mailbox(), cursor.mailbox());
        self.lanes().any(|lane| lane.live.lock().iter().filter(same).any(|c| c.in_progress() > 0))
    }

    /// Makes every instance look again.
    pub(super) fn wake_instances(&self) {
        self.lanes().flat_map(|lane| &lane.mailboxes).for_each(|mailbox| mailbox.nudge());
    }

    /// Offset that is safe to commit as far as handlers go; what they sent must be acknowledged too. Of several
    /// inputs their number, see [`crate::engine::inputs`].
    pub fn position(&self) -> Option<i64> {
        self.positions().map(|each| each.iter().sum())
    }

    /// The same of each input; none as long as nothing is known of one.
    pub fn positions(&self) -> Option<Vec<i64>> {
        self.inputs.iter().map(Input::position).collect()
    }

    /// Offset up to which input `which` is stored, where there are cuts.
    pub fn stored_of(&self, which: usize) -> Option<i64> {
        let cuts = self.cuts.as_ref()?;
        let each = cuts.stored_each().and_then(|each| each.get(which).copied());
        each.or_else(|| cuts.stored().filter(|_| self.inputs.len() == 1))
    }

    /// Records that agents have and have not finished.
    pub fn in_flight(&self) -> usize {
        self.inputs.iter().map(Input::in_flight).sum()
    }

    pub(super) fn finish(
        &self,
        (input, lane): (usize, usize),
        tickets: impl Iterator<Item = Ticket>,
    ) {
        let mut tracker = self.inputs[input].lanes[lane].tracker.lock();
        tickets.for_each(|ticket| tracker.finish(ticket));
    }

    pub(super) fn ended(&self, (input, lane): (usize, usize), cursor: &Cursor) {
        let lane = &self.inputs[input].lanes[lane];
        lane.reached.fetch_max(cursor.reached().unwrap_or(-1), Ordering::SeqCst);
        lane.live.lock().retain(|c| !std::ptr::eq(&raw const **c, cursor));
        self.settled.notify_waiters();
    }

    /// Stops polling and takes back what no agent has begun.
    pub fn drain(self: &Arc<Self>) {
        // First, so that no instance takes the end of the rows in front of the cut for the end of all.
        self.ask_for_last_cut();
        self.status.become_state(State::Draining);
        self.inputs.iter().for_each(|input| input.stopping.notify_one());
        let until = self.last_cut();
        for lane in self.lanes() {
            for mailbox in &lane.mailboxes {
                let unwanted = |cursor: &Arc<Cursor>| {
                    let is_ours = std::ptr::eq(Arc::as_ptr(cursor.task()), Arc::as_ptr(self));
                    is_ours && until.as_ref().is_none_or(|until| cursor.is_beyond(until))
                };
                mailbox.remove(unwanted).iter().for_each(|cursor| cursor.abandon());
            }
        }
        self.settled.notify_waiters();
    }

    /// Resolves when no agent is in the middle of a row.
    pub async fn settle(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let busy = |lane: &Lane| lane.live.lock().iter().any(|c| c.in_progress() > 0);
            let is_even = self.is_even() || self.status.state() == State::Failed;
            if is_even && !self.lanes().any(busy) {
                return;
            }
            // An agent that waits inside a row marks it done without a call of ours: look again.
            let _ = tokio::time::timeout(Duration::from_millis(20), settled).await;
        }
    }

    /// Polls input `which` until the task drains or fails.
    pub async fn run(self: Arc<Self>, which: usize, queue: PartitionQueue, chunk_bytes: usize) {
        let input = &self.inputs[which];
        let places = Arc::new(Semaphore::new(PLACES));
        // A cut is a commit; without cuts there is one for all partitions anyway.
        let trailing =
            self.cuts.as_ref().map_or_else(Trailing::default, |_| Trailing::after(QUIET));
        self.status.become_state(State::Running);
        while self.status.is_live() {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = input.stopping.notified() => continue,
            };
            let Ok(place) = place else { return };
            let asked = Instant::now();
            match self.collect(input, &queue, chunk_bytes, &trailing).await {
                Ok(Some(records)) => {
                    self.status.metrics.poll.observe(asked.elapsed().as_secs_f64());
                    self.hand_out(which, records, place);
                }
                Ok(None) => {}
                Err(error) => self.status.fail(&error.to_string()),
            }
        }
    }

    async fn collect(
        &self,
        input: &Input,
        queue: &PartitionQueue,
        chunk_bytes: usize,
        trailing: &Trailing,
    ) -> crate::error::Result<Option<Messages>> {
        let mut records = Messages::default();
        loop {
            if !self.status.is_live() {
                return Ok(None);
            }
            retry_later(&self.status, queue.take(&mut records, CHUNK_ROWS, chunk_bytes))?;
            if !records.is_empty() {
                return Ok(Some(records));
            }
            if let Some(to) = trailing.look(queue.reached(), input.begun(), Instant::now()) {
                self.pass_over(input, to);
            }
            tokio::select! {
                () = queue.arrived() => {}
                () = input.stopping.notified() => {}
                () = tokio::time::sleep(trailing.wait(RECHECK, Instant::now())) => {}
            }
        }
    }

    /// Goes on to `to`, in front of which no record is that was not handed out. Where there are cuts, once all of
    /// them are done: a cut that is asked for there waits for nobody.
    fn pass_over(&self, input: &Input, to: i64) {
        if self.cuts.is_some() && input.position() != input.begun() {
            return;
        }
        input.pass_over(to);
        if std::ptr::eq(input, &raw const self.inputs[0]) {
            self.status.note_fetched(to);
        }
    }

    fn hand_out(self: &Arc<Self>, which: usize, records: Messages, place: OwnedSemaphorePermit) {
        let (rows, input) = (records.len(), &self.inputs[which]);
        if let Some(reason) = order_broken(&records, input.begun(), &input.tp) {
            return self.status.fail(&reason);
        }
        self.status.metrics.records_in.inc_by(rows as u64);
        input.note(&records);
        if which == 0 {
            self.status.note_fetched(records.offset(rows - 1) + 1);
        }
        let shares: Vec<Vec<Option<Rows>>> =
            input.lanes.iter().map(|lane| share(&records, lane.mailboxes.len())).collect();
        let cursors = shares.iter().flatten().flatten().count();
        let chunk = Chunk::new(records, (Arc::clone(self), which), cursors, place);
        for (index, (lane, shares)) in input.lanes.iter().zip(shares).enumerate() {
            let base = {
                let mut tracker = lane.tracker.lock();
                let begin = |i| {
                    let offset = chunk.records.offset(i);
                    tracker.begin(offset, offset + 1)
                };
                (0..rows).map(begin).min().expect("a chunk has rows")
            };
            for (mailbox, rows) in lane.mailboxes.iter().zip(shares) {
                let Some(rows) = rows else { continue };
                let cursor = Cursor::new(&chunk, index, mailbox, base, rows);
                lane.live.lock().push(Arc::clone(&cursor));
                self.deliver(cursor);
            }
        }
        if !self.status.is_live() {
            // Drained between the poll and the hand-out: nobody will come for these.
            self.drain();
        }
    }
}

/// Is no input at an offset below the one in `least`?
pub(super) fn is_at_least(positions: &[i64], least: &[i64]) -> bool {
    positions.iter().zip(least).all(|(at, least)| at >= least)
}

/// Which instance gets which rows: the same key always the same instance, in order.
fn share(records: &Messages, instances: usize) -> Vec<Option<Rows>> {
    if instances == 1 {
        return vec![Some(Rows::All(records.len()))];
    }
    let mut shares = vec![Vec::new(); instances];
    for i in 0..records.len() {
        let hash = records
            .key(i)
            .map_or(records.offset(i).unsigned_abs(), |key| u64::from(crate::types::murmur2(key)));
        // All keys of a partition agree in the hash's remainder, so that alone would send all of them to
        // one instance: Fibonacci hashing spreads them again.
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let instance = usize::try_from(spread % instances as u64).expect("less than instances");
        shares[instance].push(u32::try_from(i).expect("a chunk is small"));
    }
    shares.into_iter().map(|rows| (!rows.is_empty()).then_some(Rows::Some(rows))).collect()
}
