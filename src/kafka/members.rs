//! Who is in a group, of the classic protocol or of the newer one (KIP-848): librdkafka asks for the one, then for
//! the other. The crate rdkafka has only a call that knows the classic one.

use rdkafka::{bindings as rd, types::RDKafkaErrorCode as Code};
use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr::{self, NonNull},
    slice,
    time::Duration,
};

/// How much longer than the request the wait for its answer is, so that librdkafka's own error comes first.
const PATIENCE_MS: c_int = 1_000;

/// Something of librdkafka's that is given back at the end.
struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    fn new(made: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, Code> {
        NonNull::new(made).map(|made| Self(made, destroy)).ok_or(Code::Fail)
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was made for us, and nobody else gives it back.
        unsafe { (self.1)(self.0.as_ptr()) }
    }
}

/// Members of `group`, each as `client at host`; none of a group that does not exist.
///
/// # Safety
///
/// `client` is a client that lives over the call.
pub(super) unsafe fn of_group(
    client: *mut rd::rd_kafka_t,
    group: &str,
    timeout: Duration,
) -> Result<Vec<String>, Code> {
    let name = CString::new(group).map_err(|_| Code::InvalidGroupId)?;
    let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX - PATIENCE_MS);
    let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: the client lives; name, options and queue live over the calls that are given them; what is read
    // of the event is copied before it is given back.
    unsafe {
        let options = rd::rd_kafka_AdminOptions_new(client, operation);
        let options = Owned::new(options, rd::rd_kafka_AdminOptions_destroy)?;
        rd::rd_kafka_AdminOptions_set_request_timeout(
            options.0.as_ptr(),
            timeout_ms,
            ptr::null_mut(),
            0,
        );
        let queue = Owned::new(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy)?;
        let mut names = [name.as_ptr()];
        rd::rd_kafka_DescribeConsumerGroups(
            client,
            names.as_mut_ptr(),
            names.len(),
            options.0.as_ptr(),
            queue.0.as_ptr(),
        );
        let event = rd::rd_kafka_queue_poll(queue.0.as_ptr(), timeout_ms + PATIENCE_MS);
        let event = NonNull::new(event).ok_or(Code::OperationTimedOut)?;
        let event = Owned(event, rd::rd_kafka_event_destroy);
        read(event.0)
    }
}

/// Members of all groups that an event has.
unsafe fn read(event: NonNull<rd::rd_kafka_event_t>) -> Result<Vec<String>, Code> {
    // SAFETY: the event lives over the call, and so does what belongs to it.
    unsafe {
        refused(rd::rd_kafka_event_error(event.as_ptr()))?;
        let result = rd::rd_kafka_event_DescribeConsumerGroups_result(event.as_ptr());
        if result.is_null() {
            return Err(Code::Fail);
        }
        let mut count = 0;
        let groups = rd::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let mut found = Vec::new();
        for &group in slice::from_raw_parts(groups, count) {
            match refused(rd::rd_kafka_error_code(rd::rd_kafka_ConsumerGroupDescription_error(
                group,
            ))) {
                Ok(()) => {}
                Err(Code::GroupIdNotFound) => continue,
                Err(code) => return Err(code),
            }
            for number in 0..rd::rd_kafka_ConsumerGroupDescription_member_count(group) {
                let member = rd::rd_kafka_ConsumerGroupDescription_member(group, number);
                let client = text(rd::rd_kafka_MemberDescription_client_id(member));
                let host = text(rd::rd_kafka_MemberDescription_host(member));
                found.push(format!("{client} at {host}"));
            }
        }
        Ok(found)
    }
}

fn refused(code: rd::rd_kafka_resp_err_t) -> Result<(), Code> {
    match Code::from(code) {
        Code::NoError => Ok(()),
        code => Err(code),
    }
}

/// # Safety
///
/// `chars` is null or a text that lives over the call.
unsafe fn text(chars: *const c_char) -> String {
    if chars.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(chars) }.to_string_lossy().into_owned()
}
