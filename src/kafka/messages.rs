//! Fetched records, read in place in the client library's memory.

use super::consumer::ConsumerHandle;
use crate::types::{Header, Records};
use rdkafka::bindings as rd;
use std::{ffi::CStr, ptr, slice, sync::Arc};

/// Records, of each partition consecutive ones. Dropping it gives the memory back to the client library.
#[derive(Default)]
pub struct Messages {
    raw: Vec<ptr::NonNull<rd::rd_kafka_message_t>>,
    bytes: usize,
    /// The client whose memory this is; destroyed after the records.
    client: Option<Arc<ConsumerHandle>>,
}

// SAFETY: a message is plain memory with one owner; librdkafka lets any thread read and destroy it.
unsafe impl Send for Messages {}
// SAFETY: shared access only reads; nothing in librdkafka changes a message that the application holds.
unsafe impl Sync for Messages {}

impl Messages {
    /// Takes ownership of `message`, which must come from a consume call and carry no error.
    pub(crate) fn push(&mut self, message: ptr::NonNull<rd::rd_kafka_message_t>) {
        // SAFETY: the pointer is valid until destroyed, which only our Drop does.
        let m = unsafe { message.as_ref() };
        self.bytes += m.len + m.key_len;
        self.raw.push(message);
    }

    /// Keeps `client` for as long as its records live.
    pub(super) fn keep_alive(&mut self, client: &Arc<ConsumerHandle>) {
        self.client.get_or_insert_with(|| Arc::clone(client));
    }

    /// Payload and key bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves all of `other` behind these.
    pub fn append(&mut self, other: &mut Self) {
        if let Some(client) = &other.client {
            self.keep_alive(client);
        }
        self.raw.append(&mut other.raw);
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Takes the records from offset `offset` on out.
    pub fn split_off(&mut self, offset: i64) -> Self {
        let at = self.raw.partition_point(|message| {
            // SAFETY: as in `push`.
            unsafe { message.as_ref() }.offset < offset
        });
        let mut rest = Self::default();
        rest.client.clone_from(&self.client);
        self.raw.drain(at..).for_each(|message| rest.push(message));
        self.bytes -= rest.bytes;
        rest
    }

    /// Partition of record `i`.
    #[must_use]
    pub fn partition(&self, i: usize) -> i32 {
        self.get(i).partition
    }

    fn get(&self, i: usize) -> &rd::rd_kafka_message_t {
        // SAFETY: as in `push`.
        unsafe { self.raw[i].as_ref() }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for message in self.raw.drain(..) {
            // SAFETY: we own each message and destroy it once.
            unsafe { rd::rd_kafka_message_destroy(message.as_ptr()) };
        }
    }
}

impl Records for Messages {
    fn len(&self) -> usize {
        self.raw.len()
    }

    fn value(&self, i: usize) -> Option<&[u8]> {
        let m = self.get(i);
        // SAFETY: librdkafka says payload is null or `len` readable bytes.
        (!m.payload.is_null()).then(|| unsafe { slice::from_raw_parts(m.payload.cast(), m.len) })
    }

    fn key(&self, i: usize) -> Option<&[u8]> {
        let m = self.get(i);
        // SAFETY: as in `value`.
        (!m.key.is_null()).then(|| unsafe { slice::from_raw_parts(m.key.cast(), m.key_len) })
    }

    fn offset(&self, i: usize) -> i64 {
        self.get(i).offset
    }

    fn timestamp_ms(&self, i: usize) -> i64 {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads two fields of a valid message.
        unsafe { rd::rd_kafka_message_timestamp(self.get(i), &raw mut kind) }
    }

    fn headers(&self, i: usize) -> Vec<Header> {
        let mut list = ptr::null_mut();
        // SAFETY: parses the headers lazily into memory that the message owns. The parse writes a
        // cache field of the message: callers never ask for headers of one message from two threads.
        let found = unsafe { rd::rd_kafka_message_headers(self.get(i), &raw mut list) };
        if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Vec::new();
        }
        let mut headers = Vec::new();
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        for index in 0.. {
            // SAFETY: index by index until librdkafka says there is no more; pointers live as the message.
            let next = unsafe {
                rd::rd_kafka_header_get_all(
                    list,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                )
            };
            if next != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: a header name is a C string, its value null or `size` bytes.
            headers.push(unsafe {
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                let value = (!value.is_null())
                    .then(|| slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
                (name, value)
            });
        }
        headers
    }
}
