//! What a commit machine is told.

use crate::engine::{
    halt::Halt,
    horizon::Point,
    reconcile::{Local, Remote},
};

/// How a call to the broker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It did what it says.
    Ok,
    /// It did not, or not yet; the same call with the same arguments may be repeated.
    Retriable,
    /// The transaction can only be aborted now.
    Abortable,
    /// The producer cannot go on. Whether the call took effect is not known. Also: no answer in time.
    Unknown,
    /// Another producer has the transactional id, or the transaction took too long.
    Fenced,
    /// The producer is refused for good: not authorised, not supported.
    Refused,
}

/// A commit that is to be made: what the outputs and changes are, the caller keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// Offset that the last commit ended at.
    pub from: i64,
    /// Where this one ends, and how a restart reads from there.
    pub point: Point,
    /// Chained hash of every output up to there.
    pub hash: u64,
    /// The clock as the handlers of the last batch saw it, in ms since the epoch.
    pub time_ms: i64,
}

/// Something that happened.
///
/// Each effect that says so is answered by one event, in the order of the effects. After
/// [`super::Effect::DropProducer`] no answer of that producer may come any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The partition is ours.
    Boot,
    /// Answers [`super::Effect::InitProducer`].
    Initialised(Answer),
    /// Answers [`super::Effect::FetchCommitted`]: the offset as it is after every transaction is decided.
    Fetched(Remote),
    /// Answers [`super::Effect::FetchCommitted`]: it could not be read; it is tried again.
    NotFetched,
    /// Answers [`super::Effect::ReadLocal`].
    LocalState(Local),
    /// Answers [`super::Effect::CatchUp`]: the state is at `to`, and its mark says so.
    CaughtUp,
    /// Something that the machine asked of the store failed, or the state cannot be caught up: it stops.
    /// Answers any effect that touches the store.
    StoreFailed(Halt),
    /// Commit this, under this name. Only where [`super::Machine::is_ready`]; else it changes nothing.
    Submitted {
        /// What.
        proposal: Proposal,
        /// Random, not 0, never used before.
        token: u64,
    },
    /// Answers [`super::Effect::Flush`], and [`super::Effect::Begin`] and [`super::Effect::Produce`] before
    /// it: the worst of what they said.
    Flushed(Answer),
    /// Answers [`super::Effect::Prepare`]: the pending commit is durable.
    Prepared,
    /// Answers [`super::Effect::SendOffsets`].
    OffsetsSent(Answer),
    /// Answers [`super::Effect::Commit`].
    Committed(Answer),
    /// Answers [`super::Effect::Abort`].
    Aborted(Answer),
    /// Answers [`super::Effect::Apply`] and [`super::Effect::RollForward`].
    Applied,
    /// Answers [`super::Effect::Discard`].
    Discarded,
    /// Answers [`super::Effect::Backoff`].
    WaitedFor {
        /// As in [`Event::Submitted`], for the attempt that may follow.
        token: u64,
    },
    /// Answers [`super::Effect::AskOwner`].
    Owner(bool),
    /// During the transaction a request timed out or was repeated, a broker went away, a coordinator
    /// changed, or a call took longer than it should.
    Suspicious,
    /// Nothing was committed for so long that the offset might expire.
    IdleHeartbeat,
    /// The partition is being taken away. What is in flight is settled first.
    OwnershipLost,
}
