//! Reads one partition from an offset to the end that it had when reading began, outside of any group.
//!
//! # Guarantees
//!
//! * Reading ends when the position is at that end: records that compaction removed, the markers of
//!   transactions and what was aborted have offsets and are never seen, so nothing is counted.
//! * Only what is committed comes. A transaction that is open at the beginning is waited for, as far as it is
//!   in front of the end: what stands behind its first record is not missed.
//! * A reader made by [`Logs::follow`] has no end: it waits for what is written next.
//! * Where the log has lost its beginning in the meantime, that is said ([`Read::Truncated`]) and reading goes
//!   on at the oldest record; never silently.
//!
//! # Not here
//!
//! What the records mean, and how often a read is tried while no broker answers: that is the caller's.

use super::{
    consumer::{ConsumerHandle, alone},
    failed, failed_code,
    messages::Messages,
    settings,
};
use crate::{
    error::{Act, Error, Result},
    types::{Records as _, TopicPartition},
};
use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList, bindings as rd, consumer::Consumer as _, types::RDKafkaErrorCode,
};
use std::{collections::BTreeMap, ptr, sync::Arc, time::Duration};

/// Most records taken from the client in one call.
const TAKE: usize = 4096;
/// Longest wait for the bounds of a log.
pub(super) const BOUNDS_TIMEOUT: Duration = Duration::from_secs(10);

/// Where logs are; clients for reading them are made from it.
pub struct Logs {
    brokers: String,
    user: BTreeMap<String, String>,
    group: String,
    /// It sees the end of a log behind transactions that are open.
    asker: Mutex<Option<Arc<ConsumerHandle>>>,
}

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Offset of the oldest record that is kept.
    pub start: i64,
    /// Offset of the next record, whether those in front of it are committed or not.
    pub end: i64,
}

/// What [`LogReader::read`] found.
pub enum Read {
    /// Records, in their order.
    Records(Messages),
    /// Nothing for the time given: the broker is away, or a transaction is open.
    Nothing,
    /// The records from the first offset up to the second are gone; reading goes on behind them.
    Truncated(i64, i64),
    /// The end is reached. The log was cut at its end by an election if that is in front of [`LogReader::end`].
    End,
}

/// See the module.
pub struct LogReader {
    tp: TopicPartition,
    client: Arc<ConsumerHandle>,
    queue: ptr::NonNull<rd::rd_kafka_queue_t>,
    position: i64,
    end: i64,
    skipped: Option<(i64, i64)>,
    /// What the client said behind the records that were handed out: it says so once.
    refused: Option<RDKafkaErrorCode>,
}

// SAFETY: librdkafka queues are locked inside; any thread may poll.
unsafe impl Send for LogReader {}

impl Logs {
    /// Logs of the cluster at `brokers`. `group` is only a name that the client asks for; nobody joins it.
    #[must_use]
    pub fn new(brokers: String, user: BTreeMap<String, String>, group: String) -> Self {
        Self { brokers, user, group, asker: Mutex::default() }
    }

    /// Where `tp` begins and ends now.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when the topic does not exist or no broker answers in time.
    pub fn bounds(&self, tp: &TopicPartition) -> Result<Bounds> {
        let asker = self.asker()?;
        let (start, end) = asker
            .fetch_watermarks(&tp.topic, tp.partition, BOUNDS_TIMEOUT)
            .map_err(|e| failed(format!("asking where {tp} begins and ends"), &e))?;
        Ok(Bounds { start, end })
    }

    pub(super) fn asker(&self) -> Result<Arc<ConsumerHandle>> {
        let mut asker = self.asker.lock();
        if let Some(known) = &*asker {
            return Ok(Arc::clone(known));
        }
        let mut config = settings::log_reader(&self.brokers, &self.user, &self.group);
        config.set("isolation.level", "read_uncommitted");
        let made = alone(&config)?;
        *asker = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Reads `tp` from offset `from`, or from its beginning if there is no such offset, to its end.
    ///
    /// # Errors
    ///
    /// As [`Logs::bounds`].
    pub fn read(&self, tp: &TopicPartition, from: i64) -> Result<LogReader> {
        let bounds = self.bounds(tp)?;
        let is_there = (bounds.start..=bounds.end).contains(&from);
        let position = if is_there { from } else { bounds.start };
        let skipped = (0..bounds.start).contains(&from).then_some((from, position));
        self.reader(tp, position, bounds.end, skipped)
    }

    /// Reads what is written to `tp` from now on, without an end.
    ///
    /// # Errors
    ///
    /// As [`Logs::bounds`].
    pub fn follow(&self, tp: &TopicPartition) -> Result<LogReader> {
        self.reader(tp, self.bounds(tp)?.end, i64::MAX, None)
    }

    pub(super) fn reader_settings(&self) -> rdkafka::ClientConfig {
        settings::log_reader(&self.brokers, &self.user, &self.group)
    }

    fn reader(
        &self,
        tp: &TopicPartition,
        position: i64,
        end: i64,
        skipped: Option<(i64, i64)>,
    ) -> Result<LogReader> {
        let client = alone(&self.reader_settings())?;
        // SAFETY: a live consumer; the queue is given back when the reader is dropped.
        let queue = unsafe { rd::rd_kafka_queue_get_consumer(client.client().native_ptr()) };
        let queue = ptr::NonNull::new(queue)
            .ok_or_else(|| Error::Config("a client without a group cannot read a log".into()))?;
        let tp = tp.clone();
        let reader = LogReader { tp, client, queue, position, end, skipped, refused: None };
        if position < end {
            reader.assign()?;
        }
        Ok(reader)
    }
}

impl LogReader {
    /// The next offset: everything in front of it was read.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Where reading ends.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.end
    }

    fn assign(&self) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.tp.topic, self.tp.partition, Offset::Offset(self.position))
            .and_then(|()| self.client.assign(&list))
            .map_err(|e| failed(format!("beginning to read {}", self.tp), &e))
    }

    /// The next records, at most `most`; waits for `timeout`.
    ///
    /// # Errors
    ///
    /// What the broker refuses for good, as a topic that this client may not read. With [`Act::Retry`] the
    /// same call may succeed later.
    pub fn read(&mut self, most: usize, timeout: Duration) -> Result<Read> {
        if let Some((from, to)) = self.skipped.take() {
            return Ok(Read::Truncated(from, to));
        }
        if self.position >= self.end {
            return Ok(Read::End);
        }
        if let Some(code) = self.refused.take() {
            return self.look_into(code);
        }
        let found = consume(self.queue, most, timeout);
        let mut records = Messages::default();
        records.keep_alive(&self.client);
        let error = self.keep(&found, &mut records);
        if !records.is_empty() {
            self.refused = error;
            return Ok(Read::Records(records));
        }
        match error {
            Some(code) => self.look_into(code),
            None if self.position >= self.end => Ok(Read::End),
            None => Ok(Read::Nothing),
        }
    }

    /// Keeps records in front of the end, moves the position; the first error.
    fn keep(
        &mut self,
        found: &[ptr::NonNull<rd::rd_kafka_message_t>],
        into: &mut Messages,
    ) -> Option<RDKafkaErrorCode> {
        let mut error = None;
        for &message in found {
            // SAFETY: valid until destroyed.
            let (code, offset) = unsafe { (message.as_ref().err, message.as_ref().offset) };
            let code = RDKafkaErrorCode::from(code);
            match code {
                RDKafkaErrorCode::NoError => {
                    self.position = self.position.max(offset + 1);
                    if offset < self.end {
                        into.push(message);
                        continue;
                    }
                }
                // Everything in front of it was read, or is not there for readers.
                RDKafkaErrorCode::PartitionEOF => {
                    self.position = self.position.max(offset);
                }
                code => {
                    error.get_or_insert(code);
                }
            }
            // SAFETY: ours, destroyed once.
            unsafe { rd::rd_kafka_message_destroy(message.as_ptr()) };
        }
        error
    }

    fn look_into(&mut self, code: RDKafkaErrorCode) -> Result<Read> {
        use RDKafkaErrorCode as C;
        match code {
            // The client has stopped: the position is outside of the log.
            C::AutoOffsetReset | C::LogTruncation | C::OffsetOutOfRange => self.find_again(),
            code => match failed_code(format!("reading {}", self.tp), code) {
                Error::Kafka { act: Act::Retry, .. } => Ok(Read::Nothing),
                error => Err(error),
            },
        }
    }

    fn find_again(&mut self) -> Result<Read> {
        let (start, end) = self
            .client
            .fetch_watermarks(&self.tp.topic, self.tp.partition, BOUNDS_TIMEOUT)
            .map_err(|e| failed(format!("asking where {} begins and ends", self.tp), &e))?;
        if self.position > end {
            tracing::warn!(
                target: "turbine.kafka",
                "{}: its end has moved back from {} to {end}: an election has cut what was written last",
                self.tp, self.position
            );
            if self.end == i64::MAX {
                self.position = end;
                self.assign()?;
                return Ok(Read::Nothing);
            }
            self.position = self.end;
            return Ok(Read::End);
        }
        let before = self.position;
        self.position = before.max(start);
        if self.position >= self.end {
            self.skipped = None;
        } else {
            self.assign()?;
        }
        Ok(if before < start { Read::Truncated(before, self.position) } else { Read::Nothing })
    }
}

/// What `queue` has, at most `most` messages; waits for `timeout`. Each is the caller's to destroy.
pub(super) fn consume(
    queue: ptr::NonNull<rd::rd_kafka_queue_t>,
    most: usize,
    timeout: Duration,
) -> Vec<ptr::NonNull<rd::rd_kafka_message_t>> {
    let mut found = vec![ptr::null_mut(); most.clamp(1, TAKE)];
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the queue is live; the array has room for as many pointers as it says.
    let got = unsafe {
        rd::rd_kafka_consume_batch_queue(queue.as_ptr(), ms, found.as_mut_ptr(), found.len())
    };
    found.truncate(usize::try_from(got).unwrap_or(0));
    found.into_iter().filter_map(ptr::NonNull::new).collect()
}

impl Drop for LogReader {
    fn drop(&mut self) {
        // SAFETY: obtained once by us.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}
