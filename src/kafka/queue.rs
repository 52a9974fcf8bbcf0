//! The queue of one assigned partition, apart from the group's own queue.

use super::{consumer::ConsumerHandle, failed_code, messages::Messages, reached::Reached};
use crate::{error::Error, types::TopicPartition};
use parking_lot::{Condvar, Mutex};
use rdkafka::{bindings as rd, consumer::Consumer, types::RDKafkaErrorCode};
use std::{
    collections::BTreeMap,
    ffi::{CString, c_void},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Most records taken from librdkafka in one call.
const TAKE: usize = 1024;

/// Records of one partition as librdkafka fetches them ahead. Polling it never serves the group:
/// that is the consumer's own thread, so a slow handler cannot get the worker evicted.
pub struct PartitionQueue {
    queue: ptr::NonNull<rd::rd_kafka_queue_t>,
    arrived: Arc<Notify>,
    at_end: AtomicBool,
    reached: Reached,
    client: Arc<ConsumerHandle>,
    tp: TopicPartition,
}

/// The queues that somebody polls. The client has one a partition, whoever asks for it.
#[derive(Default)]
pub(super) struct Polled {
    queues: Mutex<BTreeMap<TopicPartition, Split>>,
    gone: Condvar,
}

/// The queues of one partition that were split off and are still there, oldest first. The wake-up of the newest
/// is called.
type Split = Vec<Arc<Notify>>;

impl Polled {
    /// Blocks until nobody polls `tp`, at most `timeout`; says whether that is so.
    pub(super) fn wait_for_none(&self, tp: &TopicPartition, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut queues = self.queues.lock();
        while queues.contains_key(tp) {
            if self.gone.wait_until(&mut queues, deadline).timed_out() {
                return !queues.contains_key(tp);
            }
        }
        true
    }

    /// Does only one poll `tp`?
    fn is_single(&self, tp: &TopicPartition) -> bool {
        self.queues.lock().get(tp).is_some_and(|split| split.len() == 1)
    }
}

// SAFETY: librdkafka queues are locked inside; any thread may poll.
unsafe impl Send for PartitionQueue {}
// SAFETY: as above.
unsafe impl Sync for PartitionQueue {}

unsafe extern "C" fn wake(_rk: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the Notify that PartitionQueue keeps alive until it has switched this off.
    unsafe { &*opaque.cast::<Notify>() }.notify_one();
}

/// Calls the wake-up of `arrived` when something comes into an empty queue; of nobody without one. It must be kept
/// alive until this is called again.
fn set_wake(queue: ptr::NonNull<rd::rd_kafka_queue_t>, arrived: Option<&Arc<Notify>>) {
    let opaque = arrived.map_or(ptr::null_mut(), |one| Arc::as_ptr(one).cast_mut().cast());
    let call = arrived.map(|_| wake as unsafe extern "C" fn(*mut rd::rd_kafka_t, *mut c_void));
    // SAFETY: a live queue; see above for the opaque.
    unsafe { rd::rd_kafka_queue_cb_event_enable(queue.as_ptr(), call, opaque) };
}

impl PartitionQueue {
    /// Splits the partition's queue off. Call before the partition is assigned.
    pub(super) fn split(client: &Arc<ConsumerHandle>, topic: &str, partition: i32) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        let rk = client.client().native_ptr();
        // SAFETY: `rk` is a live consumer handle; the name is a C string.
        let queue = unsafe { rd::rd_kafka_queue_get_partition(rk, name.as_ptr(), partition) };
        let queue = ptr::NonNull::new(queue)?;
        let arrived = Arc::new(Notify::new());
        let tp = TopicPartition::new(topic, partition);
        let mut queues = client.context().polled.queues.lock();
        // SAFETY: the queue is ours until destroyed.
        unsafe { rd::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
        set_wake(queue, Some(&arrived));
        queues.entry(tp.clone()).or_default().push(Arc::clone(&arrived));
        drop(queues);
        let (at_end, reached) = (AtomicBool::new(false), Reached::new(topic, partition));
        Some(Self { queue, arrived, at_end, reached, client: Arc::clone(client), tp })
    }

    /// Resolves when something has arrived in an empty queue since the last call.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Has everything been taken, up to the end of the partition? Known only to members that asked to be
    /// told of ends.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at_end.load(Ordering::Relaxed)
    }

    /// Offset behind everything that was taken, and behind what is no record in front of the next one: markers of
    /// transactions, what was aborted. None while that is not known.
    #[must_use]
    pub fn reached(&self) -> Option<i64> {
        self.reached.at()
    }

    /// Moves what is there behind `into`, at most `rows` records or about `bytes` bytes; never waits.
    /// Says how many came.
    ///
    /// # Errors
    ///
    /// The error that the broker reported for this partition, with what came before it in `into`.
    pub fn take(&self, into: &mut Messages, rows: usize, bytes: usize) -> Result<usize, Error> {
        into.keep_alive(&self.client);
        let is_single = self.client.context().polled.is_single(&self.tp);
        self.reached.before(&self.client);
        let taken = self.take_some(into, rows, bytes);
        // One that is sure, and gets records, is asked when they end.
        if self.reached.at().is_none() || !matches!(taken, Ok(1..)) {
            self.reached.after(&self.client, is_single);
        }
        if taken.is_err() {
            self.reached.forget();
        }
        taken
    }

    fn take_some(&self, into: &mut Messages, rows: usize, bytes: usize) -> Result<usize, Error> {
        let mut taken = 0;
        let mut found = [ptr::null_mut(); TAKE];
        let limit = into.bytes() + bytes;
        while taken < rows && into.bytes() < limit {
            let want = (rows - taken).min(TAKE);
            let got = self.poll(&mut found[..want]);
            taken += self.keep(&found[..got], into)?;
            if got < want {
                break;
            }
        }
        Ok(taken)
    }

    /// What is there, at most as much as `found` has room for.
    fn poll(&self, found: &mut [*mut rd::rd_kafka_message_t]) -> usize {
        let queue = self.queue.as_ptr();
        if !self.client.context().takes_singly {
            // SAFETY: the array has room for as many pointers.
            let got = unsafe {
                rd::rd_kafka_consume_batch_queue(queue, 0, found.as_mut_ptr(), found.len())
            };
            return usize::try_from(got).unwrap_or(0);
        }
        // In a batch librdkafka counts the end of a partition as a record: the position is then behind
        // the end, and from there a rebalance goes to where a group without offsets starts. One at a
        // time it does not.
        for (got, place) in found.iter_mut().enumerate() {
            // SAFETY: the queue is live; null says that it is empty.
            *place = unsafe { rd::rd_kafka_consume_queue(queue, 0) };
            if place.is_null() {
                return got;
            }
        }
        found.len()
    }

    fn keep(
        &self,
        found: &[*mut rd::rd_kafka_message_t],
        into: &mut Messages,
    ) -> Result<usize, Error> {
        let mut kept = 0;
        let mut error = None;
        for &message in found {
            let Some(message) = ptr::NonNull::new(message) else { continue };
            // SAFETY: valid until destroyed.
            let code = unsafe { message.as_ref() }.err;
            if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                into.push(message);
                self.at_end.store(false, Ordering::Relaxed);
                kept += 1;
                continue;
            }
            let code = RDKafkaErrorCode::from(code);
            if code == RDKafkaErrorCode::PartitionEOF {
                self.at_end.store(true, Ordering::Relaxed);
            } else {
                error.get_or_insert_with(|| failed_code("fetching records", code));
            }
            // SAFETY: ours, destroyed once.
            unsafe { rd::rd_kafka_message_destroy(message.as_ptr()) };
        }
        error.map_or(Ok(kept), Err)
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        let polled = &self.client.context().polled;
        let mut queues = polled.queues.lock();
        if let Some(split) = queues.get_mut(&self.tp) {
            let is_newest = split.last().is_some_and(|one| Arc::ptr_eq(one, &self.arrived));
            split.retain(|one| !Arc::ptr_eq(one, &self.arrived));
            // The one before goes on being read.
            if is_newest {
                set_wake(self.queue, split.last());
            }
        }
        queues.retain(|_, split| !split.is_empty());
        // SAFETY: the callback is off, or another's, before the Notify behind it goes; destroyed once.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) };
        drop(queues);
        polled.gone.notify_all();
    }
}
