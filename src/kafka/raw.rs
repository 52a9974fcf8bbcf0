//! Calls into librdkafka that enqueue records.

use super::{
    delivery::Ticket,
    flight::Flight,
    outgoing::{Outgoing, Rows},
};
use crate::types::Header;
use rdkafka::{bindings as rd, types::RDKafkaErrorCode};
use std::{
    ffi::{CString, c_int, c_void},
    marker::PhantomData,
    ops::Range,
    ptr,
    sync::Arc,
};

/// Lets the key choose the partition (librdkafka's `RD_KAFKA_PARTITION_UA`).
const ANY_PARTITION: i32 = -1;

/// A topic that a client writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic(pub(super) ptr::NonNull<rd::rd_kafka_topic_t>);
// SAFETY: a topic handle may be used from any thread and lives as long as the producer.
unsafe impl Send for Topic {}

/// One record with everything it may have.
pub(super) struct Full<'a> {
    pub(super) value: (*mut c_void, usize),
    pub(super) key: (*mut c_void, usize),
    pub(super) partition: Option<i32>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) headers: &'a [Header],
    pub(super) opaque: *mut c_void,
    pub(super) flags: c_int,
}

/// Rows `which` as librdkafka takes them, in `raw`; they point into `rows`.
pub(super) fn raw_rows(
    raw: &mut Vec<rd::rd_kafka_message_t>,
    rows: &Rows,
    which: Range<usize>,
    flight: &Arc<Flight>,
) {
    let mut start = which.start.checked_sub(1).map_or(0, |before| rows.ends[before]);
    let opaque = Arc::as_ptr(flight).cast_mut().cast();
    let row = |i: usize| {
        let key = rows.keys.get(i).copied().flatten().map(|(a, b)| &rows.key_bytes[a..b]);
        let end = rows.ends[i];
        let value = &rows.bytes[start..end];
        start = end;
        let (payload, len) = parts(Some(value));
        let (key, key_len) = parts(key);
        rd::rd_kafka_message_t {
            err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: ANY_PARTITION,
            payload,
            len,
            key,
            key_len,
            offset: 0,
            _private: opaque,
        }
    };
    raw.clear();
    raw.extend(which.map(row));
}

/// Enqueues plain rows; those that are refused have an error afterwards.
pub(super) fn produce_batch(topic: Topic, raw: &mut [rd::rd_kafka_message_t]) {
    // Blocking applies only where a user's own queue limits are below ours; the producer's thread
    // makes room meanwhile.
    let flags = rd::RD_KAFKA_MSG_F_BLOCK;
    // SAFETY: payloads are kept by the flight until each record is answered, keys are copied by
    // librdkafka during the call, the opaque is a flight that keeps itself alive.
    unsafe {
        rd::rd_kafka_produce_batch(
            topic.0.as_ptr(),
            ANY_PARTITION,
            flags,
            raw.as_mut_ptr(),
            c_int::try_from(raw.len()).expect("a batch has far fewer rows"),
        );
    }
}

/// A record of a batch that librdkafka copies; its ticket says who is told of it.
#[repr(transparent)]
pub(super) struct Raw<'a>(rd::rd_kafka_message_t, PhantomData<&'a [u8]>);

impl<'a> Raw<'a> {
    pub(super) fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>, ticket: Box<Ticket>) -> Self {
        let ((payload, len), (key, key_len)) = (parts(value), parts(key));
        let message = rd::rd_kafka_message_t {
            err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: ANY_PARTITION,
            payload,
            len,
            key,
            key_len,
            offset: 0,
            _private: opaque_of(ticket),
        };
        Self(message, PhantomData)
    }

    /// After [`produce_copied`]: the ticket, if librdkafka did not take it, and why.
    pub(super) fn refused(self) -> Option<(Box<Ticket>, RDKafkaErrorCode)> {
        if self.0.err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: made by `new`, and librdkafka has refused the record.
        let ticket = unsafe { ticket_of(self.0._private) };
        Some((ticket, RDKafkaErrorCode::from(self.0.err)))
    }
}

/// A ticket as librdkafka carries it; the lowest bit tells it from a flight.
pub(super) fn opaque_of(ticket: Box<Ticket>) -> *mut c_void {
    Box::into_raw(ticket).map_addr(|a| a | 1).cast()
}

/// # Safety
///
/// `opaque` is one of [`opaque_of`] and is used for the last time.
pub(super) unsafe fn ticket_of(opaque: *mut c_void) -> Box<Ticket> {
    // SAFETY: the caller says so.
    unsafe { Box::from_raw(opaque.map_addr(|a| a & !1).cast()) }
}

/// Enqueues records, whose bytes librdkafka copies; it waits for nothing.
pub(super) fn produce_copied(topic: Topic, raw: &mut [Raw<'_>]) {
    let count = c_int::try_from(raw.len()).expect("a stage has far fewer records");
    let (flags, messages) = (rd::RD_KAFKA_MSG_F_COPY, raw.as_mut_ptr().cast());
    // SAFETY: a `Raw` is a message; every key and value lives over the call, each opaque is a ticket that
    // librdkafka owns from now on if it takes the record.
    unsafe {
        rd::rd_kafka_produce_batch(topic.0.as_ptr(), ANY_PARTITION, flags, messages, count);
    }
}

pub(super) fn parts(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()))
}

pub(super) fn last_error() -> RDKafkaErrorCode {
    // SAFETY: reads a thread-local of librdkafka.
    RDKafkaErrorCode::from(unsafe { rd::rd_kafka_last_error() })
}

pub(super) fn enqueue(
    topic: Topic,
    record: &Outgoing<'_>,
    opaque: *mut c_void,
) -> Result<(), RDKafkaErrorCode> {
    let (value, value_len) = parts(record.value);
    let (key, key_len) = parts(record.key);
    // SAFETY: librdkafka copies key and value during the call.
    let failed = unsafe {
        rd::rd_kafka_produce(
            topic.0.as_ptr(),
            record.partition.unwrap_or(ANY_PARTITION),
            rd::RD_KAFKA_MSG_F_COPY,
            value,
            value_len,
            key,
            key_len,
            opaque,
        )
    };
    if failed == 0 { Ok(()) } else { Err(last_error()) }
}

/// Enqueues one record with everything it may have.
pub(super) fn produce_full(
    rk: ptr::NonNull<rd::rd_kafka_t>,
    topic: Topic,
    full: &Full<'_>,
) -> Result<(), rd::rd_kafka_resp_err_t> {
    type Part = rd::rd_kafka_vu_s__bindgen_ty_1;
    type Memory = rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1;
    use rd::rd_kafka_vtype_t as V;
    let part = |vtype, u| rd::rd_kafka_vu_t { vtype, u };
    let memory = |(ptr, size)| Part { mem: Memory { ptr, size } };
    let mut parts = vec![
        part(V::RD_KAFKA_VTYPE_RKT, Part { rkt: topic.0.as_ptr() }),
        part(V::RD_KAFKA_VTYPE_PARTITION, Part { i32_: full.partition.unwrap_or(ANY_PARTITION) }),
        part(V::RD_KAFKA_VTYPE_VALUE, memory(full.value)),
        part(V::RD_KAFKA_VTYPE_KEY, memory(full.key)),
        part(V::RD_KAFKA_VTYPE_OPAQUE, Part { ptr: full.opaque }),
        part(V::RD_KAFKA_VTYPE_MSGFLAGS, Part { i: full.flags }),
        part(V::RD_KAFKA_VTYPE_TIMESTAMP, Part { i64_: full.timestamp_ms.unwrap_or(0) }),
    ];
    let names: Vec<CString> = full
        .headers
        .iter()
        .map(|(name, _)| CString::new(name.as_str()).unwrap_or_default())
        .collect();
    for (name, (_, value)) in names.iter().zip(full.headers) {
        let (val, size) = value.as_ref().map_or((ptr::null(), 0), |v| {
            (v.as_ptr().cast(), isize::try_from(v.len()).unwrap_or(isize::MAX))
        });
        let header =
            rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 { name: name.as_ptr(), val, size };
        parts.push(part(V::RD_KAFKA_VTYPE_HEADER, Part { header }));
    }
    // SAFETY: every pointer lives over the call; librdkafka copies headers and keys, and the
    // value too unless a flight keeps it.
    unsafe {
        let error = rd::rd_kafka_produceva(rk.as_ptr(), parts.as_ptr(), parts.len());
        if error.is_null() {
            return Ok(());
        }
        let code = rd::rd_kafka_error_code(error);
        rd::rd_kafka_error_destroy(error);
        Err(code)
    }
}
