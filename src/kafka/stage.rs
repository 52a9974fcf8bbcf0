//! Records that were sent one by one, gathered for a moment and handed to the client library together.
//!
//! The library can wait for more records by itself (`linger.ms`), but its thread polls without a pause while
//! less than a millisecond of that is left, and while records wait for the one request that an idempotent
//! producer has on its way to a partition. That takes a core. So records wait here: those of a topic for the
//! answer to what was handed over before, and none for long.
//!
//! # Guarantees
//!
//! * Records of one topic are handed over in the order of the calls; [`Stage::drain`] is there for whoever
//!   sends to a topic in another way.
//! * Every record is answered: by the library, or here where it is refused.
//! * Nobody waits here for room in the library's queue; records stay, and come first the next time.

use super::{
    delivery::{Shared, Ticket},
    failed_code,
    outgoing::Outgoing,
    raw::{Raw, Topic, produce_copied},
};
use parking_lot::{Condvar, Mutex};
use rdkafka::types::RDKafkaErrorCode;
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// From one handing-over to the next, at least; what comes after a longer silence goes at once.
const PACE: Duration = Duration::from_millis(1);
/// With as many records on their way to a partition the library sends no more there. Fewer are not waited for, so
/// that records that come one by one go one by one.
const FEW: usize = 5;
/// Longest wait for the answer to what was handed over before: a broker of several may be away.
const MOST_HELD: Duration = Duration::from_millis(20);
/// Most records of one call.
const PORTION: usize = 4_096;
/// Most bytes of a buffer that is kept for the next records, and most records that it has room for.
const MOST_KEPT: usize = 2 << 20;
const MOST_KEPT_RECORDS: usize = 32 << 10;
/// Before a full queue is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// Looks at least this often whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Stage {
    me: Weak<Self>,
    lanes: Mutex<Lanes>,
    came: Condvar,
    /// Held while records are handed over, so that nobody overtakes them.
    handing: Mutex<()>,
}

#[derive(Default)]
struct Lanes {
    lanes: Vec<Lane>,
    records: usize,
}

/// The records of a topic.
struct Lane {
    topic: Topic,
    name: String,
    /// Keys and values.
    bytes: Vec<u8>,
    records: VecDeque<Staged>,
    flying: Arc<Flying>,
    /// When some were handed over last.
    handed: Option<Instant>,
    spare: Buffers,
}

/// Where records of a lane are: what is handed over, and what comes meanwhile, take turns in two of them.
#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    records: VecDeque<Staged>,
}

/// Records of a lane that were handed over and have no answer.
pub(super) struct Flying {
    records: AtomicUsize,
    stage: Weak<Stage>,
}

impl Flying {
    /// One has its answer.
    pub(super) fn landed(&self) {
        if self.records.fetch_sub(1, Ordering::AcqRel) == FEW
            && let Some(stage) = self.stage.upgrade()
        {
            // Under the lock: who has looked and does not wait yet would miss it.
            let _lanes = stage.lanes.lock();
            stage.came.notify_one();
        }
    }
}

struct Staged {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    ticket: Box<Ticket>,
}

/// A record that the client library does not take, and why.
type Refused = (Box<Ticket>, String, RDKafkaErrorCode);

impl Lane {
    fn empty(topic: Topic, name: String, flying: Arc<Flying>, buffers: Buffers) -> Self {
        let (Buffers { bytes, records }, spare) = (buffers, Buffers::default());
        Self { topic, name, bytes, records, flying, handed: None, spare }
    }

    /// How long its records are still held; none: it has none.
    fn held(&self) -> Option<Duration> {
        if self.records.is_empty() {
            return None;
        }
        let is_free = self.flying.records.load(Ordering::Acquire) < FEW;
        let held = self.handed.filter(|_| !is_free).map(|handed| handed.elapsed());
        Some(held.map_or(Duration::ZERO, |held| MOST_HELD.saturating_sub(held)))
    }

    fn append(&mut self, part: Option<&[u8]>) -> Option<Range<usize>> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part?);
        Some(start..self.bytes.len())
    }

    /// Hands over what there is; the records that are refused, and whether the rest has to wait for room.
    fn hand_over(&mut self) -> (Vec<Refused>, bool) {
        let (mut refused, mut is_full) = (Vec::new(), false);
        while !self.records.is_empty() && !is_full {
            is_full = self.hand_over_some(&mut refused);
        }
        self.forget_what_is_gone();
        (refused, is_full)
    }

    /// Hands a portion over; true if some of it found no room, which come first the next time.
    fn hand_over_some(&mut self, refused: &mut Vec<Refused>) -> bool {
        let count = self.records.len().min(PORTION);
        let (mut raw, mut places) = (Vec::with_capacity(count), Vec::with_capacity(count));
        self.flying.records.fetch_add(count, Ordering::AcqRel);
        for Staged { key, value, ticket } in self.records.drain(..count) {
            let part = |range: &Option<Range<usize>>| Some(&self.bytes[range.clone()?]);
            raw.push(Raw::new(part(&key), part(&value), ticket));
            places.push((key, value));
        }
        produce_copied(self.topic, &mut raw);
        let mut waiting = Vec::new();
        for (raw, (key, value)) in raw.into_iter().zip(places) {
            match raw.refused() {
                None => {}
                Some((ticket, RDKafkaErrorCode::QueueFull)) => {
                    self.flying.landed();
                    waiting.push(Staged { key, value, ticket });
                }
                Some((ticket, code)) => refused.push((ticket, self.name.clone(), code)),
            }
        }
        let is_full = !waiting.is_empty();
        waiting.into_iter().rev().for_each(|one| self.records.push_front(one));
        is_full
    }

    /// Frees the bytes in front of the first record, if they are many.
    fn forget_what_is_gone(&mut self) {
        let first = self.records.front().and_then(|one| one.key.as_ref().or(one.value.as_ref()));
        let gone = first.map_or(0, |range| range.start);
        if gone > self.bytes.len() / 2 {
            self.bytes.drain(..gone);
            self.move_ranges(|at| at - gone);
        }
    }

    fn move_ranges(&mut self, to: impl Fn(usize) -> usize) {
        let parts = self.records.iter_mut().flat_map(|one| [&mut one.key, &mut one.value]);
        parts.flatten().for_each(|range| *range = to(range.start)..to(range.end));
    }
}

impl Lanes {
    fn lane(&mut self, topic: Topic, name: &str, stage: &Weak<Stage>) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.topic == topic).unwrap_or_else(|| {
            let flying = Flying { records: AtomicUsize::new(0), stage: Weak::clone(stage) };
            let buffers = Buffers::default();
            self.lanes.push(Lane::empty(topic, name.to_owned(), Arc::new(flying), buffers));
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// Takes the records of the first lane that has some and is one of `which`.
    fn take(&mut self, which: Which) -> Option<Lane> {
        let is_it = |lane: &&mut Lane| match which {
            Which::Of(topic) => lane.topic == topic && !lane.records.is_empty(),
            Which::Free => lane.held() == Some(Duration::ZERO),
            Which::All => !lane.records.is_empty(),
        };
        let lane = self.lanes.iter_mut().find(is_it)?;
        self.records -= lane.records.len();
        let (name, flying) = (lane.name.clone(), Arc::clone(&lane.flying));
        let mut empty = Lane::empty(lane.topic, name, flying, std::mem::take(&mut lane.spare));
        empty.handed = Some(Instant::now());
        Some(std::mem::replace(lane, empty))
    }

    /// How long until some may be handed over; none: there are none.
    fn held(&self) -> Option<Duration> {
        self.lanes.iter().filter_map(Lane::held).min()
    }

    /// Keeps the buffers of a lane that was handed over.
    fn keep_buffers(&mut self, done: Lane) {
        let Lane { topic, mut bytes, records, .. } = done;
        let is_large = bytes.capacity() > MOST_KEPT || records.capacity() > MOST_KEPT_RECORDS;
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.topic == topic && !is_large) {
            bytes.clear();
            lane.spare = Buffers { bytes, records };
        }
    }

    /// Puts back what found no room, in front of what has come meanwhile.
    fn put_back(&mut self, mut early: Lane) {
        self.records += early.records.len();
        let Some(late) = self.lanes.iter_mut().find(|lane| lane.topic == early.topic) else {
            return;
        };
        let shift = early.bytes.len();
        early.bytes.append(&mut late.bytes);
        late.move_ranges(|at| at + shift);
        early.records.append(&mut late.records);
        early.handed = late.handed;
        *late = early;
    }
}

/// Lanes to hand over.
#[derive(Clone, Copy)]
pub(super) enum Which {
    /// The one of a topic.
    Of(Topic),
    /// Those that wait for nothing.
    Free,
    /// Every one.
    All,
}

impl Stage {
    pub(super) fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let (lanes, came, handing) = (Mutex::default(), Condvar::new(), Mutex::new(()));
            Self { me: Weak::clone(me), lanes, came, handing }
        })
    }

    /// Takes a record with nothing but key and value.
    pub(super) fn push(
        &self,
        topic: Topic,
        name: &str,
        record: &Outgoing<'_>,
        mut ticket: Box<Ticket>,
    ) {
        let mut lanes = self.lanes.lock();
        let lane = lanes.lane(topic, name, &self.me);
        ticket.flying = Some(Arc::clone(&lane.flying));
        let (key, value) = (lane.append(record.key), lane.append(record.value));
        lane.records.push_back(Staged { key, value, ticket });
        lanes.records += 1;
        let is_first = lanes.records == 1;
        drop(lanes);
        if is_first {
            self.came.notify_one();
        }
    }

    /// Hands over the records of `which` and then calls `then`, before anybody else sends. False, and `then` is
    /// not called, if some found no room.
    pub(super) fn drain(&self, which: Which, then: impl FnOnce()) -> bool {
        let mut refused = Vec::new();
        let is_empty = {
            let _handing = self.handing.lock();
            let is_empty = self.hand_over(which, &mut refused);
            if is_empty {
                then();
            }
            is_empty
        };
        // Who is told may call Python, which another thread may hold that waits for us.
        refused.into_iter().for_each(refuse);
        is_empty
    }

    fn hand_over(&self, which: Which, refused: &mut Vec<Refused>) -> bool {
        loop {
            let Some(mut lane) = self.lanes.lock().take(which) else { return true };
            let (mut some, is_full) = lane.hand_over();
            refused.append(&mut some);
            let mut lanes = self.lanes.lock();
            if is_full {
                lanes.put_back(lane);
                return false;
            }
            lanes.keep_buffers(lane);
        }
    }

    /// Records that are here.
    pub(super) fn len(&self) -> usize {
        self.lanes.lock().records
    }

    /// Drops the records that are here; each is answered with a failure.
    pub(super) fn purge(&self) {
        let handing = self.handing.lock();
        let mut dropped = Vec::new();
        while let Some(lane) = self.lanes.lock().take(Which::All) {
            let Lane { name, records, .. } = lane;
            let each =
                records.into_iter().map(|one| Box::new(Ticket { flying: None, ..*one.ticket }));
            dropped.extend(each.map(|t| (t, name.clone(), RDKafkaErrorCode::PurgeQueue)));
        }
        drop(handing);
        dropped.into_iter().for_each(refuse);
    }

    /// Hands over what comes, until `shared` says to stop.
    pub(super) fn run(&self, shared: &Shared) {
        let mut last: Option<Instant> = None;
        while self.wait(shared) {
            let since = last.map_or(PACE, |last| last.elapsed());
            thread::sleep(PACE.saturating_sub(since));
            if !self.drain(Which::Free, || ()) {
                thread::sleep(FULL_PAUSE);
            }
            last = Some(Instant::now());
        }
    }

    fn wait(&self, shared: &Shared) -> bool {
        let mut lanes = self.lanes.lock();
        while !shared.stopping.load(Ordering::Acquire) {
            match lanes.held() {
                Some(Duration::ZERO) => return true,
                held => self.came.wait_for(&mut lanes, held.unwrap_or(LOOK)),
            };
        }
        false
    }

    /// Makes [`Stage::run`] look whether it is to stop.
    pub(super) fn wake(&self) {
        self.came.notify_one();
    }
}

fn refuse((ticket, topic, code): Refused) {
    ticket.refused(failed_code(format!("sending to topic {topic}"), code));
}
