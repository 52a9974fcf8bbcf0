//! Which cluster and which topic an answer is about: names can be given again, ids are not.

use super::{admin::Admin, failed_code, log_reader::Logs};
use crate::error::{Error, Result};
use rdkafka::{bindings as rd, consumer::Consumer as _, types::RDKafkaErrorCode};
use std::{
    ffi::{CStr, CString, c_char},
    ptr,
    time::Duration,
};

/// Longest wait for a broker.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a broker says of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicIdentity {
    /// Id of the cluster; none if the broker gives it none.
    pub cluster: Option<String>,
    /// Id of the topic, in base 64; none from brokers before 2.8.
    pub topic: Option<String>,
}

impl Logs {
    /// Which topic `topic` is now.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] when the topic does not exist or no broker answers in time.
    pub fn identity(&self, topic: &str) -> Result<TopicIdentity> {
        let asker = self.asker()?;
        identity(asker.client().native_ptr(), topic, TIMEOUT)
    }
}

impl Admin {
    /// Which topic `topic` is now.
    ///
    /// # Errors
    ///
    /// As [`Logs::identity`].
    pub fn identity(&self, topic: &str, timeout: Duration) -> Result<TopicIdentity> {
        identity(self.client.client().native_ptr(), topic, timeout)
    }
}

fn identity(rk: *mut rd::rd_kafka_t, topic: &str, timeout: Duration) -> Result<TopicIdentity> {
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let topic = topic_id(rk, topic, ms)?;
    // SAFETY: a live client; the string is ours and freed by the client's allocator, once.
    let cluster = unsafe {
        let found = rd::rd_kafka_clusterid(rk, ms);
        let cluster = text(found);
        if !found.is_null() {
            rd::rd_kafka_mem_free(rk, found.cast());
        }
        cluster
    };
    Ok(TopicIdentity { cluster, topic })
}

/// Frees what librdkafka gave out.
struct Freed<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Freed<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: made by librdkafka for us, freed once by the function that belongs to it.
            unsafe { (self.1)(self.0) };
        }
    }
}

fn topic_id(rk: *mut rd::rd_kafka_t, topic: &str, timeout_ms: i32) -> Result<Option<String>> {
    let what = || format!("asking which topic {topic} is");
    let name = CString::new(topic).map_err(|e| Error::Config(format!("{}: {e}", what())))?;
    let mut names = [name.as_ptr()];
    // SAFETY: a live client, an array of one C string; everything made here is freed behind its last use, in
    // the opposite order of these lines.
    unsafe {
        let queue = Freed(rd::rd_kafka_queue_new(rk), rd::rd_kafka_queue_destroy);
        let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options =
            Freed(rd::rd_kafka_AdminOptions_new(rk, kind), rd::rd_kafka_AdminOptions_destroy);
        let mut words: [c_char; 256] = [0; 256];
        rd::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            timeout_ms,
            words.as_mut_ptr(),
            words.len(),
        );
        let topics = Freed(
            rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            rd::rd_kafka_TopicCollection_destroy,
        );
        rd::rd_kafka_DescribeTopics(rk, topics.0, options.0, queue.0);
        // The client gives up by itself, a little earlier.
        let event = Freed(
            rd::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(1_000)),
            rd::rd_kafka_event_destroy,
        );
        if event.0.is_null() {
            return Err(failed_code(what(), RDKafkaErrorCode::OperationTimedOut));
        }
        described(event.0).map_err(|code| failed_code(what(), code))
    }
}

/// # Safety
///
/// `event` is the answer to one topic; what it holds is read before it is freed.
unsafe fn described(event: *mut rd::rd_kafka_event_t) -> Result<Option<String>, RDKafkaErrorCode> {
    const NONE: rd::rd_kafka_resp_err_t = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: the event lives over these calls, and so does what it holds.
    unsafe {
        let code = rd::rd_kafka_event_error(event);
        if code != NONE {
            return Err(code.into());
        }
        let mut count = 0;
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        let found = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if found.is_null() || count == 0 {
            return Err(RDKafkaErrorCode::UnknownTopic);
        }
        let error = rd::rd_kafka_TopicDescription_error(*found);
        let code = if error.is_null() { NONE } else { rd::rd_kafka_error_code(error) };
        if code != NONE {
            return Err(code.into());
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(*found);
        let is_nil = id.is_null()
            || (
                rd::rd_kafka_Uuid_most_significant_bits(id),
                rd::rd_kafka_Uuid_least_significant_bits(id),
            ) == (0, 0);
        Ok(if is_nil { None } else { text(rd::rd_kafka_Uuid_base64str(id)) })
    }
}

/// # Safety
///
/// A C string, or nothing.
unsafe fn text(at: *const c_char) -> Option<String> {
    // SAFETY: checked for null; the caller vouches for the rest.
    (!ptr::eq(at, ptr::null()))
        .then(|| unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned())
        .filter(|text| !text.is_empty())
}
