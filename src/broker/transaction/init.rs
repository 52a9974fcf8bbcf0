//! A producer becomes the owner of a transactional id.

use super::state::{NO_EPOCH, Owner, State, Transaction};
use kafka_protocol::ResponseError;

/// Epochs from here on are not given to producers: the last one is left for fencing.
const EXHAUSTED: i16 = i16::MAX - 1;

/// What a producer asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Init {
    /// How long its transactions may be open, in ms.
    pub(crate) timeout_ms: i32,
    /// Who it believes to be, if it goes on after an error.
    pub(crate) expected: Option<Owner>,
}

/// What is to be done for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Initialized {
    /// It owns the id.
    Owner(Box<Transaction>),
    /// The open transaction of its predecessor must be aborted first; then it asks again.
    AbortFirst,
    /// The epochs of the producer id are used up: it needs another one.
    NeedsProducerId,
}

impl Transaction {
    /// What is to be done for a producer that wants to own this id.
    pub(super) fn init(&self, init: Init, now_ms: i64) -> Result<Initialized, ResponseError> {
        if init.expected.is_some_and(|expected| !self.may_be(expected)) {
            return Err(ResponseError::ProducerFenced);
        }
        match self.state {
            State::PrepareCommit | State::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            // Even for a zombie, which is fenced when it asks again: so does Kafka.
            State::Ongoing => Ok(Initialized::AbortFirst),
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                let is_last = init.expected.is_none_or(|expected| expected.epoch == self.epoch);
                if self.epoch >= EXHAUSTED && is_last {
                    return Ok(Initialized::NeedsProducerId);
                }
                let owned = self.bumped(init, now_ms)?;
                Ok(Initialized::Owner(Box::new(owned)))
            }
        }
    }

    /// Whether a producer may be the owner or its predecessor; the epoch is looked at later.
    fn may_be(&self, expected: Owner) -> bool {
        self.epoch == NO_EPOCH
            || expected.producer_id == self.producer_id
            // It may not have heard the answer that gave it another id.
            || (expected.producer_id == self.last_producer_id && expected.epoch >= EXHAUSTED)
    }

    /// The same with the next epoch, or as it is for an owner that did not hear of its epoch.
    fn bumped(&self, init: Init, now_ms: i64) -> Result<Self, ResponseError> {
        let (epoch, last_epoch) = match init.expected {
            None => (self.epoch + 1, NO_EPOCH),
            Some(expected) if self.epoch == NO_EPOCH || expected.epoch == self.epoch => {
                (self.epoch + 1, self.epoch)
            }
            Some(expected) if expected.epoch == self.last_epoch => (self.epoch, self.last_epoch),
            Some(_) => return Err(ResponseError::ProducerFenced),
        };
        let mut next = self.owned(init, now_ms);
        (next.epoch, next.last_epoch) = (epoch, last_epoch);
        next.last_producer_id = self.producer_id;
        Ok(next)
    }

    /// The same with a producer id that nobody has had.
    pub(super) fn renamed(&self, producer_id: i64, init: Init, now_ms: i64) -> Self {
        let mut next = self.owned(init, now_ms);
        next.producer_id = producer_id;
        next.epoch = 0;
        next.last_producer_id = self.producer_id;
        next.last_epoch = if init.expected.is_some() { self.epoch } else { NO_EPOCH };
        next
    }

    fn owned(&self, init: Init, now_ms: i64) -> Self {
        let mut next = self.clone();
        next.state = State::Empty;
        next.timeout_ms = init.timeout_ms;
        next.started_ms = None;
        next.updated_ms = now_ms;
        next
    }
}
