//! How far a partition was taken, behind what is no record too.
//!
//! Markers of transactions and what was aborted are never handed out, so whoever only looks at records stays in
//! front of them. The client's own position goes on behind them as they are taken off the queue, in their order
//! with the records. It may also be somebody else's: of a reader before a seek, or of one that ends while its
//! successor begins. So it counts only once it has moved while we took, and nobody else did.
//!
//! # Guarantees
//!
//! * Every record in front of [`Reached::at`] was handed to the one whose it is, or never will be to anybody.
//! * Where that is not known for sure there is no answer, for now.

use super::consumer::ConsumerHandle;
use parking_lot::Mutex;
use rdkafka::{TopicPartitionList, bindings as rd, consumer::Consumer};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// No offset.
const NONE: i64 = -1;

/// See the module.
pub(super) struct Reached {
    list: Mutex<TopicPartitionList>,
    /// The position as it was seen last; [`NONE`] if the client has none.
    seen: AtomicI64,
    /// Was it moved by us?
    is_ours: AtomicBool,
}

impl Reached {
    /// Of a reader that has taken nothing.
    pub(super) fn new(topic: &str, partition: i32) -> Self {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        Self { list: Mutex::new(list), seen: AtomicI64::new(NONE), is_ours: AtomicBool::new(false) }
    }

    /// Offset behind everything that was taken, and behind what is no record in front of the next one.
    pub(super) fn at(&self) -> Option<i64> {
        let seen = self.seen.load(Ordering::Relaxed);
        (self.is_ours.load(Ordering::Relaxed) && seen > NONE).then_some(seen)
    }

    /// Call before something is taken.
    pub(super) fn before(&self, client: &ConsumerHandle) {
        if !self.is_ours.load(Ordering::Relaxed) {
            self.seen.store(self.position(client), Ordering::Relaxed);
        }
    }

    /// Call after something was taken, or after nothing was there; `alone`: nobody else takes from the partition.
    pub(super) fn after(&self, client: &ConsumerHandle, alone: bool) {
        let now = self.position(client);
        let moved = self.seen.swap(now, Ordering::Relaxed) != now;
        if !alone || now == NONE {
            self.forget();
        } else if moved {
            self.is_ours.store(true, Ordering::Relaxed);
        }
    }

    /// The position may be behind something that nobody was given.
    pub(super) fn forget(&self) {
        self.is_ours.store(false, Ordering::Relaxed);
    }

    fn position(&self, client: &ConsumerHandle) -> i64 {
        let list = self.list.lock();
        // SAFETY: a live consumer and a live list of one partition, whose offset is filled in.
        let offset = unsafe {
            rd::rd_kafka_position(client.client().native_ptr(), list.ptr());
            (*(*list.ptr()).elems).offset
        };
        offset.max(NONE)
    }
}
