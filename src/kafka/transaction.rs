//! Transactions of a producer with a transactional id.
//!
//! # Guarantees
//!
//! * Every call waits for the coordinator and says in one word what is to be done next: [`Refusal`].
//! * [`Producer::is_suspicious`] is true whenever a request of a transaction may still be on its way when
//!   its call has returned: a broker of before Kafka's KIP-890 would count it into the next one.
//!
//! # Not here
//!
//! What to do about a refusal (`engine::commit`). All calls block: none is for a thread that serves others.

use super::{
    consumer::{GroupConsumer, GroupOffset},
    failed_code,
    offsets::to_list,
    producer::Producer,
};
use crate::error::Error;
use rdkafka::{bindings as rd, error::IsError, types::RDKafkaErrorCode};
use std::{
    ffi::CStr,
    ptr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// A call that takes longer has met something out of the ordinary.
const SLOW: Duration = Duration::from_secs(2);
/// How long the client library is left alone with a beginning, the first time and at most.
const FIRST_PATIENCE: Duration = Duration::from_millis(10);
const MOST_PATIENCE: Duration = Duration::from_millis(80);
/// Waits as long as the transaction may live.
const UNTIL_TIMEOUT_MS: i32 = -1;

/// What is to be done about a call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Make the same call again.
    Retry,
    /// Abort the transaction.
    Abort,
    /// Drop the producer; what became of the transaction is not known.
    Drop,
    /// Drop the producer: another one with its transactional id has begun.
    Fenced,
    /// None: the cluster refuses transactions, or this client.
    Never,
}

/// A call that did not succeed.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What to do.
    pub remedy: Remedy,
    /// Why.
    pub error: Error,
}

/// Who commits: a member of a group as it was at one moment.
pub struct GroupMetadata(ptr::NonNull<rd::rd_kafka_consumer_group_metadata_t>);

// SAFETY: a plain value that nobody changes.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { rd::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
}

impl GroupConsumer {
    /// The member as it is now; none while the client closes. Asks nobody outside the process.
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: a live consumer; the value is ours.
        let found = unsafe { rd::rd_kafka_consumer_group_metadata(self.native()) };
        ptr::NonNull::new(found).map(GroupMetadata)
    }
}

impl Producer {
    /// Shuts every other producer with this transactional id out, and waits until its last transaction
    /// is settled, at most `timeout`. May be called again if it was to be retried.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn init(&self, timeout: Duration) -> Result<(), Refusal> {
        // By itself the client library asks for the coordinator again, and asks again one that is not done with the
        // last transaction, after half a second; at once when it is called.
        let deadline = Instant::now() + timeout;
        let mut patience = FIRST_PATIENCE;
        loop {
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            let answer = self.init_within(patience.min(left));
            let is_open = answer.as_ref().is_err_and(|refusal| refusal.remedy == Remedy::Retry);
            if !is_open || left <= patience {
                return answer;
            }
            std::thread::sleep(patience.saturating_sub(began.elapsed()));
            patience = (patience * 2).min(MOST_PATIENCE);
        }
    }

    fn init_within(&self, timeout: Duration) -> Result<(), Refusal> {
        let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: a live handle; the same of all calls below.
        self.call("fencing former owners", || unsafe {
            rd::rd_kafka_init_transactions(self.rk.as_ptr(), ms)
        })
    }

    /// Begins a transaction; waits for nobody. Its records go out with [`Producer::hasten`].
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn begin(&self) -> Result<(), Refusal> {
        self.shared.disturbed.store(false, Ordering::Release);
        self.shared.calm();
        self.shared.spread.learn();
        self.call("beginning a transaction", || unsafe {
            rd::rd_kafka_begin_transaction(self.rk.as_ptr())
        })
    }

    /// Puts `offsets` of the group of `member` into the transaction. To be called once every record of
    /// the transaction is acknowledged.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn send_offsets(
        &self,
        offsets: &[GroupOffset],
        member: &GroupMetadata,
    ) -> Result<(), Refusal> {
        let list = to_list(offsets).map_err(|error| Refusal { remedy: Remedy::Abort, error })?;
        self.call("adding offsets to a transaction", || unsafe {
            rd::rd_kafka_send_offsets_to_transaction(
                self.rk.as_ptr(),
                list.ptr(),
                member.0.as_ptr(),
                UNTIL_TIMEOUT_MS,
            )
        })
    }

    /// Commits the transaction.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; with [`Remedy::Drop`] it may be committed or not.
    pub fn commit(&self) -> Result<(), Refusal> {
        self.call("committing a transaction", || unsafe {
            rd::rd_kafka_commit_transaction(self.rk.as_ptr(), UNTIL_TIMEOUT_MS)
        })
    }

    /// Takes everything of the transaction back; records without an answer get one.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn abort(&self) -> Result<(), Refusal> {
        self.call("aborting a transaction", || unsafe {
            rd::rd_kafka_abort_transaction(self.rk.as_ptr(), UNTIL_TIMEOUT_MS)
        })
    }

    /// What to do about an error that ended the producer; none while it is of use.
    #[must_use]
    pub fn is_over(&self) -> Option<Remedy> {
        let mut text = [0; 8];
        // SAFETY: a live handle and room for the text, which is cut.
        let code =
            unsafe { rd::rd_kafka_fatal_error(self.rk.as_ptr(), text.as_mut_ptr(), text.len()) };
        code.is_error().then(|| remedy(code.into(), true, false, false))
    }

    /// May something of this transaction still be on its way? Also says so when its caller has seen it
    /// otherwise: see [`Producer::suspect`].
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.shared.disturbed.load(Ordering::Acquire)
    }

    /// Did the coordinator refuse the transaction for a while, because it was not done with the last one? Asked
    /// once for each transaction.
    #[must_use]
    pub fn was_early(&self) -> bool {
        self.shared.early.swap(false, Ordering::AcqRel)
    }

    /// Makes the transaction suspicious.
    pub fn suspect(&self) {
        self.shared.disturbed.store(true, Ordering::Release);
    }

    fn call(
        &self,
        what: &str,
        ask: impl FnOnce() -> *mut rd::rd_kafka_error_t,
    ) -> Result<(), Refusal> {
        let began = Instant::now();
        let error = ask();
        if began.elapsed() > SLOW {
            self.suspect();
        }
        let Some(error) = ptr::NonNull::new(error) else { return Ok(()) };
        self.suspect();
        Err(refusal(what, error))
    }
}

/// Reads an error of librdkafka, and gives it back.
fn refusal(what: &str, error: ptr::NonNull<rd::rd_kafka_error_t>) -> Refusal {
    let error = error.as_ptr();
    // SAFETY: a live error, destroyed once, after the last look at its text.
    let (code, text, is_fatal, is_retriable, needs_abort) = unsafe {
        let code = RDKafkaErrorCode::from(rd::rd_kafka_error_code(error));
        let text = CStr::from_ptr(rd::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        let is_fatal = rd::rd_kafka_error_is_fatal(error) != 0;
        let is_retriable = rd::rd_kafka_error_is_retriable(error) != 0;
        let needs_abort = rd::rd_kafka_error_txn_requires_abort(error) != 0;
        rd::rd_kafka_error_destroy(error);
        (code, text, is_fatal, is_retriable, needs_abort)
    };
    let mut ours = failed_code(what, code);
    if let Error::Kafka { message, .. } = &mut ours {
        *message = text;
    }
    Refusal { remedy: remedy(code, is_fatal, is_retriable, needs_abort), error: ours }
}

fn remedy(code: RDKafkaErrorCode, is_fatal: bool, is_retriable: bool, needs_abort: bool) -> Remedy {
    use RDKafkaErrorCode as C;
    match code {
        C::Fenced | C::ProducerFenced | C::InvalidProducerEpoch => Remedy::Fenced,
        C::TransactionalIdAuthorizationFailed
        | C::ClusterAuthorizationFailed
        | C::GroupAuthorizationFailed
        | C::TopicAuthorizationFailed
        | C::SaslAuthenticationFailed
        | C::UnsupportedVersion
        | C::UnsupportedFeature => Remedy::Never,
        _ if is_fatal => Remedy::Drop,
        _ if needs_abort => Remedy::Abort,
        _ if is_retriable => Remedy::Retry,
        _ => Remedy::Drop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as C;

    /// An error that says several things is taken at its worst; one that says nothing is not trusted.
    #[test]
    fn the_worst_word_counts() {
        assert_eq!(remedy(C::Fenced, true, false, false), Remedy::Fenced);
        assert_eq!(remedy(C::ProducerFenced, false, false, true), Remedy::Fenced);
        assert_eq!(remedy(C::Fatal, true, true, true), Remedy::Drop);
        assert_eq!(remedy(C::UnknownMemberId, false, true, true), Remedy::Abort);
        assert_eq!(remedy(C::OperationTimedOut, false, true, false), Remedy::Retry);
        assert_eq!(remedy(C::State, false, false, false), Remedy::Drop);
    }
}
