//! The line of one partition for the agents that read it.
//!
//! Each agent has a lane: a tracker of its own and, for every instance, a mailbox. A record is done
//! when every lane is done with it. Decoding happens when the agent asks for the row, because it makes
//! Python objects; producing is the agent's own doing, through [`crate::kafka::producer`].

use super::{
    cursor::{Chunk, Cursor, Rows},
    cut::Cuts,
    order::order_broken,
    shelf::Shelf,
    status::{State, Status, retry_later},
    trailing::{QUIET, Trailing},
};
use crate::{
    engine::tracker::{Ticket, Tracker},
    kafka::{messages::Messages, queue::PartitionQueue},
    types::Records,
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
    tracker: Mutex<Tracker>,
    live: Mutex<Vec<Arc<Cursor>>>,
    /// Offset behind the last row that an ended cursor has handed out; -1 if none has.
    reached: AtomicI64,
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
    /// State and metrics.
    pub status: Status,
    /// The agents.
    pub lanes: Vec<Lane>,
    /// What is committed together, if more than an offset is.
    pub cuts: Option<Cuts>,
    /// Offset of the first record; -1 before it.
    first: AtomicI64,
    stopping: Notify,
    settled: Notify,
}

impl Shared {
    /// A task at its beginning.
    #[must_use]
    pub fn new(status: Status, lanes: Vec<Lane>, cuts: Option<Cuts>) -> Arc<Self> {
        let (stopping, settled, first) = (Notify::new(), Notify::new(), AtomicI64::new(-1));
        Arc::new(Self { status, lanes, cuts, first, stopping, settled })
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

    /// Offset behind the last row that any agent was given.
    pub(super) fn reached(&self) -> Option<i64> {
        let of_lane = |lane: &Lane| {
            let live = lane.live.lock().iter().filter_map(|cursor| cursor.reached()).max();
            // Behind the live ones: what ends in between is in one of the two.
            live.max(Some(lane.reached.load(Ordering::SeqCst)).filter(|&at| at >= 0))
        };
        self.lanes.iter().filter_map(of_lane).max()
    }

    /// Is every row done that any agent was given?
    pub fn has_done_all(&self) -> bool {
        let reached = self.reached();
        reached.is_some() && self.position() >= reached
    }

    /// Offset of the first record that was handed out.
    pub(super) fn began(&self) -> Option<i64> {
        Some(self.first.load(Ordering::Relaxed)).filter(|&at| at >= 0)
    }

    /// Has the instance of `cursor` rows that are not done?
    pub(super) fn holds_rows(&self, cursor: &Cursor) -> bool {
        let same = |other: &&Arc<Cursor>| Arc::ptr_eq(other.mailbox(), cursor.mailbox());
        self.lanes
            .iter()
            .any(|lane| lane.live.lock().iter().filter(same).any(|c| c.in_progress() > 0))
    }

    /// Makes every instance look again.
    pub(super) fn wake_instances(&self) {
        self.lanes.iter().flat_map(|lane| &lane.mailboxes).for_each(|mailbox| mailbox.nudge());
    }

    /// Offset that is safe to commit as far as handlers go; what they sent must be acknowledged too.
    pub fn position(&self) -> Option<i64> {
        let of_lane = |lane: &Lane| {
            let live: Vec<_> = lane.live.lock().clone();
            live.iter().for_each(|cursor| cursor.apply());
            lane.tracker.lock().position()
        };
        // A lane without a position has begun nothing, and then no lane has.
        self.lanes.iter().map(of_lane).collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Records that agents have and have not finished.
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.tracker.lock().in_flight()).max().unwrap_or(0)
    }

    pub(super) fn finish(&self, lane: usize, tickets: impl Iterator<Item = Ticket>) {
        let mut tracker = self.lanes[lane].tracker.lock();
        tickets.for_each(|ticket| tracker.finish(ticket));
    }

    pub(super) fn ended(&self, lane: usize, cursor: &Cursor) {
        let lane = &self.lanes[lane];
        lane.reached.fetch_max(cursor.reached().unwrap_or(-1), Ordering::SeqCst);
        lane.live.lock().retain(|c| !std::ptr::eq(&raw const **c, cursor));
        self.settled.notify_waiters();
    }

    /// Stops polling and takes back what no agent has begun.
    pub fn drain(self: &Arc<Self>) {
        // First, so that no instance takes the end of the rows in front of the cut for the end of all.
        self.ask_for_last_cut();
        self.status.become_state(State::Draining);
        self.stopping.notify_one();
        let until = self.last_cut();
        let is_beyond = |next: i64| until.is_none_or(|until| next >= until);
        for lane in &self.lanes {
            for mailbox in &lane.mailboxes {
                let unwanted = |cursor: &Arc<Cursor>| {
                    cursor.tp() == &self.status.tp && cursor.next_offset().is_none_or(is_beyond)
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
            if is_even && !self.lanes.iter().any(busy) {
                return;
            }
            // An agent that waits inside a row marks it done without a call of ours: look again.
            let _ = tokio::time::timeout(Duration::from_millis(20), settled).await;
        }
    }

    /// Polls until the task drains or fails.
    pub async fn run(self: Arc<Self>, queue: PartitionQueue, chunk_bytes: usize) {
        let places = Arc::new(Semaphore::new(PLACES));
        // A cut is a commit; without cuts there is one for all partitions anyway.
        let trailing =
            self.cuts.as_ref().map_or_else(Trailing::default, |_| Trailing::after(QUIET));
        self.status.become_state(State::Running);
        while self.status.is_live() {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = self.stopping.notified() => continue,
            };
            let Ok(place) = place else { return };
            let asked = Instant::now();
            match self.collect(&queue, chunk_bytes, &trailing).await {
                Ok(Some(records)) => {
                    self.status.metrics.poll.observe(asked.elapsed().as_secs_f64());
                    self.hand_out(records, place);
                }
                Ok(None) => {}
                Err(error) => self.status.fail(&error.to_string()),
            }
        }
    }

    async fn collect(
        &self,
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
            if let Some(to) = trailing.look(queue.reached(), self.begun(), Instant::now()) {
                self.pass_over(to);
            }
            tokio::select! {
                () = queue.arrived() => {}
                () = self.stopping.notified() => {}
                () = tokio::time::sleep(trailing.wait(RECHECK, Instant::now())) => {}
            }
        }
    }

    /// Offset behind everything that was handed out.
    fn begun(&self) -> Option<i64> {
        self.lanes.first().and_then(|lane| lane.tracker.lock().end())
    }

    /// Goes on to `to`, in front of which no record is that was not handed out. Where there are cuts, once all of
    /// them are done: a cut that is asked for there waits for nobody.
    fn pass_over(&self, to: i64) {
        if self.cuts.is_some() && self.position() != self.begun() {
            return;
        }
        for lane in &self.lanes {
            let mut tracker = lane.tracker.lock();
            let from = tracker.end().unwrap_or(to);
            let ticket = tracker.begin(from, to);
            tracker.finish(ticket);
            lane.reached.fetch_max(to, Ordering::SeqCst);
        }
        self.status.note_fetched(to);
    }

    fn hand_out(self: &Arc<Self>, records: Messages, place: OwnedSemaphorePermit) {
        let rows = records.len();
        if let Some(reason) = order_broken(&records, self.begun(), &self.status.tp) {
            return self.status.fail(&reason);
        }
        self.status.metrics.records_in.inc_by(rows as u64);
        if self.began().is_none() {
            self.first.store(records.offset(0), Ordering::Relaxed);
        }
        self.status.note_fetched(records.offset(rows - 1) + 1);
        let shares: Vec<Vec<Option<Rows>>> =
            self.lanes.iter().map(|lane| share(&records, lane.mailboxes.len())).collect();
        let cursors = shares.iter().flatten().flatten().count();
        let chunk = Chunk::new(records, Arc::clone(self), cursors, place);
        for (index, (lane, shares)) in self.lanes.iter().zip(shares).enumerate() {
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
