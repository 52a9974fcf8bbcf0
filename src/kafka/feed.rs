//! All partitions of one topic from their beginnings on, without an end, outside of groups.
//!
//! # Guarantees
//!
//! * Records of one partition come in their order; only what is committed comes.
//! * [`Feed::is_restored`] is true once everything was read that was there at the beginning. Records that
//!   compaction or aborted transactions have removed are not waited for.
//! * Where a log has lost its beginning in the meantime, reading goes on at its oldest record. Where it ends in
//!   front of what was read, it is another one: it is read from its beginning, and [`Feed::begun_anew`] says so.
//!
//! # Not here
//!
//! A topic that was made anew, and is as long already as what was read of the old one: nobody sees that.

use super::{
    consumer::{ConsumerHandle, alone},
    failed, failed_code,
    log_reader::{Logs, consume},
    messages::Messages,
};
use crate::{
    error::{Act, Error, Result},
    types::{Records as _, TopicPartition},
};
use rdkafka::{
    Offset, TopicPartitionList, bindings as rd, consumer::Consumer as _, types::RDKafkaErrorCode,
};
use std::{ptr, sync::Arc, time::Duration};

/// Most records of one call.
const MOST: usize = 4096;

/// Takes partition, key and value of a record.
pub type Each<'a> = dyn FnMut(usize, Option<&[u8]>, Option<&[u8]>) -> Result<()> + 'a;

/// How far one partition was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Everything in front of it was read.
    pub position: i64,
    /// End of the partition, as far as it is known.
    pub end: i64,
}

/// See the module.
pub struct Feed {
    topic: Arc<str>,
    client: Arc<ConsumerHandle>,
    queue: ptr::NonNull<rd::rd_kafka_queue_t>,
    places: Vec<Place>,
    /// Ends at the beginning.
    first_ends: Vec<i64>,
    begun_anew: Vec<usize>,
}

// SAFETY: librdkafka queues are locked inside; any thread may poll.
unsafe impl Send for Feed {}

impl Logs {
    /// Begins to read `partitions` partitions of `topic`.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when the topic does not exist or no broker answers in time.
    pub fn feed(&self, topic: &Arc<str>, partitions: i32) -> Result<Feed> {
        let bounds = (0..partitions)
            .map(|partition| self.bounds(&TopicPartition::new(Arc::clone(topic), partition)))
            .collect::<Result<Vec<_>>>()?;
        let client = alone(&self.reader_settings())?;
        // SAFETY: a live consumer; the queue is given back when the feed is dropped.
        let queue = unsafe { rd::rd_kafka_queue_get_consumer(client.client().native_ptr()) };
        let queue = ptr::NonNull::new(queue)
            .ok_or_else(|| Error::Config("a client without a group cannot read a topic".into()))?;
        let places = bounds.iter().map(|b| Place { position: b.start, end: b.end }).collect();
        let first_ends = bounds.iter().map(|b| b.end).collect();
        let (topic, begun_anew) = (Arc::clone(topic), Vec::new());
        let feed = Feed { topic, client, queue, places, first_ends, begun_anew };
        feed.assign()?;
        Ok(feed)
    }
}

impl Feed {
    /// Partition by partition.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Was everything read that was there at the beginning?
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.places.iter().zip(&self.first_ends).all(|(place, end)| place.position >= *end)
    }

    /// Partitions whose log is another one since the last call: what was read of them is gone.
    pub fn begun_anew(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.begun_anew)
    }

    /// Calls `each` with partition, key and value of the next records; waits for `timeout`. How many came.
    ///
    /// # Errors
    ///
    /// What the broker refuses for good, or what `each` returns. With [`Act::Retry`] the same call may succeed
    /// later.
    pub fn read(&mut self, timeout: Duration, each: &mut Each<'_>) -> Result<usize> {
        let mut records = Messages::default();
        records.keep_alive(&self.client);
        let mut error = None;
        for message in consume(self.queue, MOST, timeout) {
            // SAFETY: valid until destroyed, by `records` or here.
            let (code, offset, partition) = unsafe {
                (message.as_ref().err, message.as_ref().offset, message.as_ref().partition)
            };
            let place = usize::try_from(partition).ok().and_then(|at| self.places.get_mut(at));
            match (RDKafkaErrorCode::from(code), place) {
                (RDKafkaErrorCode::NoError, Some(place)) => {
                    place.position = place.position.max(offset + 1);
                    place.end = place.end.max(offset + 1);
                    records.push(message);
                    continue;
                }
                // Everything in front of it was read, or is not there for readers.
                (RDKafkaErrorCode::PartitionEOF, Some(place)) => {
                    place.position = place.position.max(offset);
                    place.end = place.position;
                }
                (code, _) => {
                    error.get_or_insert(code);
                }
            }
            // SAFETY: ours, destroyed once.
            unsafe { rd::rd_kafka_message_destroy(message.as_ptr()) };
        }
        for i in 0..records.len() {
            let partition = usize::try_from(records.partition(i)).unwrap_or(0);
            each(partition, records.key(i), records.value(i))?;
        }
        error.map_or(Ok(()), |code| self.look_into(code))?;
        Ok(records.len())
    }

    fn look_into(&mut self, code: RDKafkaErrorCode) -> Result<()> {
        use RDKafkaErrorCode as C;
        match code {
            // The client has stopped reading a partition: its position is outside of the log.
            C::AutoOffsetReset | C::LogTruncation | C::OffsetOutOfRange => self.find_again(),
            code => match failed_code(format!("reading {}", self.topic), code) {
                Error::Kafka { act: Act::Retry, .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    fn find_again(&mut self) -> Result<()> {
        for (index, place) in self.places.iter_mut().enumerate() {
            let partition = i32::try_from(index).unwrap_or(i32::MAX);
            let (start, end) = self
                .client
                .fetch_watermarks(&self.topic, partition, super::log_reader::BOUNDS_TIMEOUT)
                .map_err(|e| failed(format!("asking where {} begins and ends", self.topic), &e))?;
            let is_another = end < place.position;
            if is_another {
                self.begun_anew.push(index);
                self.first_ends[index] = end;
            }
            let position = if is_another { start } else { place.position.max(start) };
            *place = Place { position, end };
        }
        self.assign()
    }

    fn assign(&self) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(self.places.len());
        let added = (0..).zip(&self.places).try_for_each(|(partition, place)| {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(place.position))
        });
        added
            .and_then(|()| self.client.assign(&list))
            .map_err(|e| failed(format!("beginning to read {}", self.topic), &e))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // SAFETY: obtained once by us.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}
