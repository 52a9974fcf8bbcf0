//! Partitions that are assigned and not read yet.
//!
//! # Guarantees
//!
//! * From a partition that begins held, or is held again, nothing arrives before [`GroupConsumer::release`].
//! * After it, the first record that arrives is the first one at or behind the offset released at.
//! * Whoever holds or releases a partition says whether it is still theirs; that is asked, and done, in one step with
//!   assignments. So nobody who comes late touches a partition that was assigned anew meanwhile.

use super::{
    consumer::GroupConsumer, failed, failed_code, nudge::wake_fetcher, offsets::begin_at,
    queue::PartitionQueue,
};
use crate::{config::StartAt, error::Result, types::TopicPartition};
use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList, bindings as rd, consumer::Consumer, error::IsError,
    types::RDKafkaErrorCode,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Longest wait for a partition to be ready for a seek: the rebalance that brought it may still run.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
const SEEK_POLL: Duration = Duration::from_millis(5);
/// Pause before a broker is asked again where a partition begins.
const START_PAUSE: Duration = Duration::from_millis(100);

/// Where a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this offset.
    At(i64),
    /// Nowhere, until it is released.
    Held,
}

/// The partitions that are held.
#[derive(Default)]
pub(super) struct Held(Mutex<BTreeSet<TopicPartition>>);

impl Held {
    /// Applies `starts` to an assignment that is about to be made.
    pub(super) fn begin(
        &self,
        rk: *mut rd::rd_kafka_t,
        list: &TopicPartitionList,
        starts: &[(TopicPartition, Begin)],
    ) {
        let mut held = self.0.lock();
        for tp in super::offsets::names(list) {
            let start = starts.iter().find(|(one, _)| *one == tp).map(|(_, begin)| *begin);
            match start {
                Some(Begin::Held) => {
                    // An offset that nobody has to be asked for; it is never fetched.
                    begin_at(list, &tp, 0);
                    set_paused(rk, &tp, true);
                    held.insert(tp);
                }
                other => {
                    if let Some(Begin::At(offset)) = other {
                        begin_at(list, &tp, offset);
                    }
                    // librdkafka remembers it over a revocation.
                    if held.remove(&tp) {
                        set_paused(rk, &tp, false);
                    }
                }
            }
        }
    }
}

impl GroupConsumer {
    /// Holds a partition that is read, and gives its queue to another reader; none if the one before is
    /// still at it after `patience`, or the partition `is_theirs` no more. Blocks.
    pub fn hold_again(
        &self,
        tp: &TopicPartition,
        patience: Duration,
        is_theirs: &dyn Fn() -> bool,
    ) -> Option<PartitionQueue> {
        let mut held = self.held().0.lock();
        if !is_theirs() {
            return None;
        }
        set_paused(self.native(), tp, true);
        held.insert(tp.clone());
        drop(held);
        let handle = self.handle();
        if !handle.context().polled.wait_for_none(tp, patience) {
            return None;
        }
        PartitionQueue::split(handle, &tp.topic, tp.partition)
    }

    /// Lets records of a held partition come, from `offset` on; without one from where a group without
    /// offsets starts. Blocks until the client has turned to it; does nothing once it `is_theirs` no more.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Kafka`] if the client does not answer.
    pub fn release(
        &self,
        tp: &TopicPartition,
        offset: Option<i64>,
        is_theirs: &dyn Fn() -> bool,
    ) -> Result<()> {
        let Some(at) = offset.or_else(|| self.start(tp, is_theirs)) else { return Ok(()) };
        let deadline = Instant::now() + SEEK_TIMEOUT;
        loop {
            let mut held = self.held().0.lock();
            if !is_theirs() {
                return Ok(());
            }
            let Err(code) = self.seek(tp, at)? else {
                held.remove(tp);
                set_paused(self.native(), tp, false);
                drop(held);
                wake_fetcher(self.handle(), tp);
                return Ok(());
            };
            drop(held);
            let is_early = matches!(code, RDKafkaErrorCode::State | RDKafkaErrorCode::InProgress);
            if !is_early || Instant::now() > deadline {
                return Err(failed_code(format!("beginning to read {tp}"), code));
            }
            std::thread::sleep(SEEK_POLL);
        }
    }

    /// Where a group without offsets starts; none once the partition `is_theirs` no more. Blocks until a broker says.
    ///
    /// The client could be told to find that out by itself. But it drops the answer if anything else happens to the
    /// partition meanwhile, asks again half a second later, and then goes where that answer says although it was
    /// told of another offset since.
    fn start(&self, tp: &TopicPartition, is_theirs: &dyn Fn() -> bool) -> Option<i64> {
        while is_theirs() {
            if let Some((first, end)) = self.log(tp) {
                return Some(if self.start_at() == StartAt::Earliest { first } else { end });
            }
            tracing::warn!(target: "turbine.kafka", "{tp}: no broker says where it begins; trying again");
            std::thread::sleep(START_PAUSE);
        }
        None
    }

    fn seek(&self, tp: &TopicPartition, at: i64) -> Result<Result<(), RDKafkaErrorCode>> {
        let what = || format!("beginning to read {tp}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(at))
            .map_err(|e| failed(what(), &e))?;
        let ms = i32::try_from(SEEK_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: a live consumer and a live list; the error is ours and destroyed once.
        let code = unsafe {
            let error = rd::rd_kafka_seek_partitions(self.native(), list.ptr(), ms);
            let code = rd::rd_kafka_error_code(error);
            rd::rd_kafka_error_destroy(error);
            code
        };
        if code.is_error() {
            return Ok(Err(code.into()));
        }
        let each = list.elements();
        let found = each
            .first()
            .map_or(Ok(()), rdkafka::topic_partition_list::TopicPartitionListElem::error);
        Ok(found.map_err(|e| e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)))
    }
}

fn set_paused(rk: *mut rd::rd_kafka_t, tp: &TopicPartition, pause: bool) {
    let mut list = TopicPartitionList::new();
    list.add_partition(&tp.topic, tp.partition);
    // SAFETY: a live consumer and a live list. A partition that the client does not know has nothing to
    // pause.
    unsafe {
        if pause {
            rd::rd_kafka_pause_partitions(rk, list.ptr());
        } else {
            rd::rd_kafka_resume_partitions(rk, list.ptr());
        }
    }
}
