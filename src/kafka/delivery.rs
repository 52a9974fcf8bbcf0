//! What librdkafka tells the producer: acknowledgements, errors, log lines.

use super::{
    answer::{Answer, Receipt},
    failed_code,
    flight::Flight,
    raw::ticket_of,
    spread::Spread,
    stage::Flying,
    trouble::Trouble,
};
use crate::error::Error;
use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;
use rdkafka::{bindings as rd, types::RDKafkaErrorCode};
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// Level of lines for debugging.
const DEBUG: c_int = 7;
/// What a line says when a coordinator is not done with the last transaction.
const BUSY: &[u8] = b"another concurrent operation on the same transaction";

/// The parts of an opaque pointer: a flight, or (lowest bit set) a ticket.
pub(super) struct Ticket {
    pub(super) flight: Arc<Flight>,
    pub(super) answer: Arc<Answer>,
    pub(super) shared: Arc<Shared>,
    pub(super) bytes: usize,
    /// Who waits on the stage for this one and others.
    pub(super) flying: Option<Arc<Flying>>,
}

impl Ticket {
    /// The record was not taken.
    pub(super) fn refused(self, error: Error) {
        self.settled();
        // Who waits for the flight asks for the answers.
        self.answer.set(Err(error.clone()));
        self.flight.failed(error);
    }

    /// The record needs no room any more, and nobody waits for it.
    fn settled(&self) {
        self.shared.release(self.bytes);
        if let Some(flying) = &self.flying {
            flying.landed();
        }
    }
}

pub(super) struct Shared {
    pub(super) bytes: AtomicUsize,
    pub(super) limit: usize,
    pub(super) room: Notify,
    pub(super) room_lock: Mutex<()>,
    pub(super) room_changed: Condvar,
    pub(super) stopping: AtomicBool,
    pub(super) trouble: Trouble,
    /// Set by whatever may leave a request of the client on its way: see [`super::transaction`].
    pub(super) disturbed: AtomicBool,
    /// Set by a refusal of the coordinator that no call tells of.
    pub(super) early: AtomicBool,
    /// Is what is enqueued to go out, though more might come?
    pub(super) hasty: Mutex<bool>,
    pub(super) calmed: Condvar,
    pub(super) spread: Spread,
    /// Nobody has asked for its lines for debugging; some are read here.
    pub(super) is_quiet: AtomicBool,
    pub(super) acknowledged: IntCounter,
}

impl Shared {
    pub(super) fn new(limit: usize, acknowledged: IntCounter) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            limit,
            room: Notify::new(),
            room_lock: Mutex::new(()),
            room_changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            trouble: Trouble::default(),
            disturbed: AtomicBool::new(false),
            early: AtomicBool::new(false),
            hasty: Mutex::new(false),
            calmed: Condvar::new(),
            spread: Spread::default(),
            is_quiet: AtomicBool::new(false),
            acknowledged,
        }
    }

    /// From now on what is enqueued waits until somebody says that all of it is there.
    pub(super) fn calm(&self) {
        *self.hasty.lock() = false;
        self.calmed.notify_all();
    }

    /// Gives `bytes` of room back.
    pub(super) fn release(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before >= self.limit && before - bytes < self.limit {
            self.room.notify_waiters();
            let _guard = self.room_lock.lock();
            self.room_changed.notify_all();
        }
    }
}

pub(super) unsafe extern "C" fn on_delivery(
    _rk: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes a valid message, and the opaque that `new` set.
    let (message, shared) = unsafe { (&*message, &*opaque.cast::<Shared>()) };
    let ok = message.err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    if ok {
        shared.acknowledged.inc();
        shared.spread.note(message.rkt.addr(), message.partition);
    }
    let failure = || failed_code("writing a record", RDKafkaErrorCode::from(message.err));
    let opaque = message._private;
    if opaque.addr() & 1 == 0 {
        // SAFETY: an even opaque is a flight, which keeps itself alive until this answer.
        let flight = unsafe { &*opaque.cast::<Flight>() };
        if ok {
            flight.answered(1)
        } else {
            flight.failed(failure())
        }
        return;
    }
    // SAFETY: an odd opaque is a ticket that `send` gave away; this is its only answer.
    let ticket = unsafe { ticket_of(opaque) };
    ticket.settled();
    let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    let result = if ok {
        // SAFETY: reads fields of a valid message.
        let timestamp_ms = unsafe { rd::rd_kafka_message_timestamp(message, &raw mut kind) };
        Ok(Receipt { partition: message.partition, offset: message.offset, timestamp_ms })
    } else {
        Err(failure())
    };
    // First the answer: who waits for the flight looks at it then.
    ticket.answer.set(result.clone());
    match result {
        Ok(_) => ticket.flight.answered(1),
        Err(error) => ticket.flight.failed(error),
    }
}

pub(super) unsafe extern "C" fn on_error(
    _rk: *mut rd::rd_kafka_t,
    _code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes a C string and the opaque that `new` set.
    let (reason, shared) =
        unsafe { (CStr::from_ptr(reason).to_string_lossy(), &*opaque.cast::<Shared>()) };
    shared.disturbed.store(true, Ordering::Release);
    shared.trouble.note("producer", &reason);
}

pub(super) unsafe extern "C" fn on_log(
    rk: *const rd::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: librdkafka passes C strings.
    let (facility, text) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(text)) };
    // SAFETY: the opaque is what `create` set, and outlives the client; while the client is being
    // made there may be none yet.
    let shared = unsafe { rd::rd_kafka_opaque(rk).cast::<Shared>().as_ref() };
    if let Some(shared) = shared {
        let facility = facility.to_bytes();
        if level < DEBUG {
            // Lines come from the thread that has the connection, before any call can know of it; errors
            // wait in a queue.
            let is_trouble =
                matches!(facility, b"FAIL" | b"ERROR" | b"REQTMOUT" | b"FATAL" | b"TXNERR");
            shared.disturbed.fetch_or(is_trouble, Ordering::AcqRel);
            // Whoever begins waits for the last transaction, and says so if that takes long.
            if facility == b"GETPID" && has(text.to_bytes(), BUSY) {
                return;
            }
        } else {
            let is_early = facility == b"ADDPARTS" && has(text.to_bytes(), BUSY);
            shared.early.fetch_or(is_early, Ordering::AcqRel);
            if shared.is_quiet.load(Ordering::Relaxed) {
                return;
            }
        }
    }
    super::log(level, &facility.to_string_lossy(), &text.to_string_lossy());
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client library says of the code by which a coordinator asks for patience is what is looked for.
    #[test]
    fn a_busy_coordinator_is_known_by_its_words() {
        let code = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS;
        // SAFETY: a text that librdkafka has for each code.
        let text = unsafe { CStr::from_ptr(rd::rd_kafka_err2str(code)) };
        assert!(has(text.to_bytes(), BUSY), "{text:?}");
        let other = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(rd::rd_kafka_err2str(other)) };
        assert!(!has(text.to_bytes(), BUSY), "{text:?}");
    }
}
