//! The idempotent producer of a process.
//!
//! # Guarantees
//!
//! * Records to one partition arrive in the order of the calls, each once, however often the
//!   client library retries.
//! * A record belongs to one [`Flight`] and is answered once: acknowledged by all in-sync
//!   replicas, or failed.
//! * Records without an answer hold at most about `buffer_bytes` of memory: [`Producer::reserve`]
//!   waits until there is room.

use super::{
    answer::Answer,
    delivery::{Shared, Ticket, on_delivery, on_error, on_log},
    failed, failed_code,
    flight::Flight,
    outgoing::{Load, Outgoing},
    raw::{Full, Topic, enqueue, last_error, opaque_of, parts, produce_full, ticket_of},
    settings,
    stage::{Stage, Which},
};
use crate::error::{Error, Result};
use parking_lot::Mutex;
use prometheus::IntCounter;
use rdkafka::{bindings as rd, config::ClientConfig, types::RDKafkaErrorCode};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What the client library keeps for a record beside its bytes, about.
pub(super) const RECORD_OVERHEAD: usize = 200;
/// The client library's own limit of a request, less than what a broker takes.
const REQUEST_BYTES: usize = 1_000_000;
/// Larger records go to the client library at once, which says at once that one is too large.
const MOST_STAGED: usize = 64 << 10;
/// How often room for what was sent is looked for at the end.
pub(super) const FULL_POLL: Duration = Duration::from_millis(5);
/// Longest time that the thread of answers looks at nothing else.
const POLL_MS: c_int = 100;

/// See the module.
pub struct Producer {
    pub(super) rk: ptr::NonNull<rd::rd_kafka_t>,
    topics: Mutex<HashMap<String, Topic, ahash::RandomState>>,
    pub(super) shared: Arc<Shared>,
    epoch: Mutex<Arc<Flight>>,
    /// Where records wait that are sent one by one; those of a transaction need none.
    pub(super) stage: Option<Arc<Stage>>,
    /// Most bytes that leave in one request to a partition.
    request_bytes: usize,
    /// Most of a transaction that is enqueued at a time.
    most_held: Load,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

// SAFETY: a librdkafka handle may be used from any thread.
unsafe impl Send for Producer {}
// SAFETY: as above; our own fields are locked.
unsafe impl Sync for Producer {}

impl Producer {
    /// Creates the client; it connects in the background. `acknowledged` counts its records.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a setting that librdkafka refuses.
    pub fn new(
        brokers: &str,
        user: &BTreeMap<String, String>,
        buffer_bytes: usize,
        acknowledged: IntCounter,
    ) -> Result<Arc<Self>> {
        settings::check(user)?;
        let config = settings::producer(brokers, user, buffer_bytes);
        Self::create(&config, buffer_bytes, acknowledged, Some(Stage::new()))
    }

    /// A producer whose records take effect with the transactions of `id` only; see
    /// [`super::transaction`]. It needs [`Producer::init`] first.
    ///
    /// # Errors
    ///
    /// As [`Producer::new`].
    pub fn transactional(
        brokers: &str,
        user: &BTreeMap<String, String>,
        id: &str,
        buffer_bytes: usize,
        acknowledged: IntCounter,
    ) -> Result<Arc<Self>> {
        settings::check(user)?;
        let config = settings::transactional(brokers, user, id, buffer_bytes);
        let producer = Self::create(&config, buffer_bytes, acknowledged, None)?;
        producer.shared.is_quiet.store(!user.contains_key("debug"), Ordering::Relaxed);
        Ok(producer)
    }

    fn create(
        config: &ClientConfig,
        buffer_bytes: usize,
        acknowledged: IntCounter,
        stage: Option<Arc<Stage>>,
    ) -> Result<Arc<Self>> {
        let native =
            config.create_native_config().map_err(|e| failed("creating a producer", &e))?;
        let shared = Arc::new(Shared::new(buffer_bytes, acknowledged));
        let mut reason = [0 as c_char; 512];
        // SAFETY: the configuration is ours until rd_kafka_new takes it over (only on success);
        // the opaque lives as long as the client (Drop destroys the client first).
        let rk = unsafe {
            rd::rd_kafka_conf_set_opaque(native.ptr(), Arc::as_ptr(&shared).cast_mut().cast());
            rd::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(on_delivery));
            rd::rd_kafka_conf_set_error_cb(native.ptr(), Some(on_error));
            rd::rd_kafka_conf_set_log_cb(native.ptr(), Some(on_log));
            let kind = rd::rd_kafka_type_t::RD_KAFKA_PRODUCER;
            rd::rd_kafka_new(kind, native.ptr(), reason.as_mut_ptr(), reason.len())
        };
        let Some(rk) = ptr::NonNull::new(rk) else {
            // SAFETY: librdkafka wrote a C string.
            let reason = unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy();
            return Err(Error::Config(format!("kafka producer: {reason}")));
        };
        std::mem::forget(native);
        let producer = Arc::new(Self {
            rk,
            topics: Mutex::default(),
            shared: Arc::clone(&shared),
            epoch: Mutex::new(Flight::new(|_| ())),
            stage: stage.clone(),
            request_bytes: setting(config, "batch.size").unwrap_or(REQUEST_BYTES),
            most_held: most_held(config),
            threads: Mutex::default(),
        });
        let handle = PollHandle(rk);
        let answers = Arc::clone(&shared);
        producer.spawn("turbine-producer", move || poll_until_stopped(&handle, &answers))?;
        if let Some(stage) = stage {
            producer.spawn("turbine-stage", move || stage.run(&shared))?;
        }
        Ok(producer)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.lock().push(thread.map_err(|e| Error::io("starting the producer", &e))?);
        Ok(())
    }

    /// The client's last general error (all brokers down, authentication ...), if younger than `age`.
    pub fn trouble(&self, age: Duration) -> Option<String> {
        self.shared.trouble.within(age)
    }

    /// Waits until there is room for another batch.
    pub async fn reserve(&self) {
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }

    /// Is there room for another record?
    pub fn has_room(&self) -> bool {
        self.shared.bytes.load(Ordering::Acquire) < self.shared.limit
    }

    /// Blocks until there is room, at most `timeout`.
    pub fn wait_room(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut guard = self.shared.room_lock.lock();
        while !self.has_room() {
            if self.shared.room_changed.wait_until(&mut guard, deadline).timed_out() {
                return self.has_room();
            }
        }
        true
    }

    pub(super) fn topic(&self, name: &str) -> Result<Topic> {
        let mut topics = self.topics.lock();
        if let Some(topic) = topics.get(name) {
            return Ok(*topic);
        }
        let text = CString::new(name).map_err(|_| Error::Config("topic name with NUL".into()))?;
        // SAFETY: a live handle and a C string; null settings mean the client's defaults.
        let topic =
            unsafe { rd::rd_kafka_topic_new(self.rk.as_ptr(), text.as_ptr(), ptr::null_mut()) };
        let topic = Topic(ptr::NonNull::new(topic).ok_or_else(|| {
            failed_code(format!("opening topic {name} for writing"), last_error())
        })?);
        topics.insert(name.into(), topic);
        Ok(topic)
    }

    /// Enqueues one record, in `flight` or else in the current epoch. With `answer`, its sender
    /// learns what became of it.
    ///
    /// # Errors
    ///
    /// At once, with nothing enqueued: the record is too large, or the topic's name is wrong.
    pub fn send(
        &self,
        topic: &str,
        record: &Outgoing<'_>,
        flight: Option<&Arc<Flight>>,
        answer: Option<Arc<Answer>>,
    ) -> Result<()> {
        let handle = self.topic(topic)?;
        let flight = self.board(flight);
        let size = |b: Option<&[u8]>| b.map_or(0, <[u8]>::len);
        let bytes = size(record.key) + size(record.value) + RECORD_OVERHEAD;
        let ticket = Box::new(Ticket {
            flight: Arc::clone(&flight),
            answer: answer.unwrap_or_default(),
            shared: Arc::clone(&self.shared),
            bytes,
            flying: None,
        });
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        let is_plain = record.headers.is_empty() && record.timestamp_ms.is_none();
        let sent = match &self.stage {
            Some(stage) if is_plain && record.partition.is_none() && bytes <= MOST_STAGED => {
                stage.push(handle, topic, record, ticket);
                return Ok(());
            }
            Some(stage) => self.overtake_nobody(stage, handle, record, ticket),
            None => self.enqueue(handle, record, ticket),
        };
        sent.map_err(|code| {
            self.shared.release(bytes);
            flight.answered(1);
            failed_code(format!("sending to topic {topic}"), code)
        })
    }

    /// Enqueues a record behind those of its topic that wait on the stage.
    fn overtake_nobody(
        &self,
        stage: &Stage,
        topic: Topic,
        record: &Outgoing<'_>,
        ticket: Box<Ticket>,
    ) -> Result<(), RDKafkaErrorCode> {
        let mut sent = Err(RDKafkaErrorCode::QueueFull);
        stage.drain(Which::Of(topic), || sent = self.enqueue(topic, record, ticket));
        sent
    }

    fn enqueue(
        &self,
        topic: Topic,
        record: &Outgoing<'_>,
        ticket: Box<Ticket>,
    ) -> Result<(), RDKafkaErrorCode> {
        let opaque = opaque_of(ticket);
        let sent = if record.headers.is_empty() && record.timestamp_ms.is_none() {
            enqueue(topic, record, opaque)
        } else {
            self.enqueue_full(topic, record, opaque)
        };
        if sent.is_err() {
            // SAFETY: librdkafka refused the record, so the ticket is still ours alone.
            drop(unsafe { ticket_of(opaque) });
        }
        sent
    }

    fn enqueue_full(
        &self,
        topic: Topic,
        record: &Outgoing<'_>,
        opaque: *mut c_void,
    ) -> Result<(), RDKafkaErrorCode> {
        let full = Full {
            value: parts(record.value),
            key: parts(record.key),
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
            headers: record.headers,
            opaque,
            flags: rd::RD_KAFKA_MSG_F_COPY,
        };
        produce_full(self.rk, topic, &full).map_err(RDKafkaErrorCode::from)
    }

    /// Takes one record aboard `flight`, or of the current epoch: under its lock, so that no record
    /// comes aboard a sealed one.
    fn board(&self, flight: Option<&Arc<Flight>>) -> Arc<Flight> {
        let epoch = self.epoch.lock();
        let flight = flight.unwrap_or(&epoch);
        flight.board(1);
        Arc::clone(flight)
    }

    /// Seals the current epoch, the flight of all records sent one by one, and begins another;
    /// `on_landed` runs when all records of the old one are answered. Turn one epoch at a time.
    pub fn turn_epoch(&self, on_landed: impl FnOnce(Result<()>) + Send + 'static) {
        let next = Flight::new(|_| ());
        let old = std::mem::replace(&mut *self.epoch.lock(), next);
        old.then(on_landed);
        old.seal();
    }

    /// As much of a transaction as leaves at once: one request to each partition. While that is on its way what else is
    /// there waits, and the client library's thread polls without a pause.
    #[must_use]
    pub fn load(&self) -> Load {
        let bytes = self.shared.spread.over_all(self.request_bytes);
        Load { bytes: bytes.min(self.most_held.bytes), ..self.most_held }
    }

    /// Everything of a transaction that is to go together is enqueued: it goes out now, see [`settings::transactional`].
    pub fn hasten(&self) {
        *self.shared.hasty.lock() = true;
        // SAFETY: a live handle; the queue is ours until it is given back.
        unsafe {
            let queue = rd::rd_kafka_queue_get_main(self.rk.as_ptr());
            rd::rd_kafka_queue_yield(queue);
            rd::rd_kafka_queue_destroy(queue);
        }
    }

    /// Blocks until what is enqueued waits again, which is as soon as what went out is answered.
    pub fn calm(&self) {
        let mut hasty = self.shared.hasty.lock();
        while *hasty && !self.shared.stopping.load(Ordering::Acquire) {
            self.shared.calmed.wait_for(&mut hasty, FULL_POLL);
        }
    }

    /// Blocks until every record is answered, at most `timeout`; the number that is not.
    pub fn flush(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        let stage = self.stage.as_ref();
        while stage.is_some_and(|stage| !stage.drain(Which::All, || ()))
            && Instant::now() < deadline
        {
            std::thread::sleep(FULL_POLL);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let ms = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: a live handle.
        let unanswered = unsafe {
            rd::rd_kafka_flush(self.rk.as_ptr(), ms);
            usize::try_from(rd::rd_kafka_outq_len(self.rk.as_ptr())).unwrap_or(0)
        };
        unanswered + stage.map_or(0, |stage| stage.len())
    }

    /// Ends the producer's threads, and with them answers, except during [`Producer::flush`]. Idempotent.
    pub fn close(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(stage) = &self.stage {
            stage.wake();
        }
        for thread in self.threads.lock().drain(..) {
            // One that panicked has nothing left to do.
            let _ = thread.join();
        }
    }

    /// Drops what is not acknowledged; each of its records is answered with a failure.
    pub fn purge(&self) {
        if let Some(stage) = &self.stage {
            stage.purge();
        }
        // SAFETY: a live handle.
        unsafe {
            rd::rd_kafka_purge(
                self.rk.as_ptr(),
                rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT,
            )
        };
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.close();
        // Everybody who waits for an answer gets one.
        self.purge();
        self.flush(Duration::from_secs(1));
        for (_, topic) in self.topics.lock().drain() {
            // SAFETY: opened once by us.
            unsafe { rd::rd_kafka_topic_destroy(topic.0.as_ptr()) };
        }
        // SAFETY: the last use of the handle; callbacks end before it returns.
        unsafe { rd::rd_kafka_destroy(self.rk.as_ptr()) };
        self.epoch.lock().seal();
    }
}

/// Half of what the queue of a client with `config` takes.
fn most_held(config: &ClientConfig) -> Load {
    let half = |name| setting(config, name).unwrap_or(0) / 2;
    let kib = half("queue.buffering.max.kbytes");
    Load { bytes: kib.saturating_mul(1024), records: half("queue.buffering.max.messages") }
}

fn setting(config: &ClientConfig, name: &str) -> Option<usize> {
    config.get(name)?.trim().parse().ok()
}

struct PollHandle(ptr::NonNull<rd::rd_kafka_t>);
// SAFETY: as for Producer; the producer joins this thread before it destroys the handle.
unsafe impl Send for PollHandle {}

fn poll_until_stopped(handle: &PollHandle, shared: &Shared) {
    let rk = handle.0.as_ptr();
    while !shared.stopping.load(Ordering::Acquire) {
        // SAFETY: live until the producer has joined this thread.
        unsafe {
            if !*shared.hasty.lock() {
                rd::rd_kafka_poll(rk, POLL_MS);
                continue;
            }
            // A flush polls as well; if another thread flushed, each would wait for answers that the other one has.
            rd::rd_kafka_flush(rk, POLL_MS);
            if rd::rd_kafka_outq_len(rk) == 0 {
                shared.calm();
            }
        }
    }
}
