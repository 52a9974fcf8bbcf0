//! What a commit machine wants done.

use crate::engine::{halt::Halt, receipt::Receipt};

/// Something to do. Effects are carried out in their order; [`Effect::Flush`] and [`Effect::Prepare`] may
/// run side by side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Make a producer with the transactional id of the task and initialise it; this fences every older
    /// one and settles what it left open. Answered by [`super::Event::Initialised`].
    InitProducer,
    /// Read the committed offset and its metadata with `read_committed`: wait while a transaction on it is
    /// open. Also the ends of the input partition. Answered by [`super::Event::Fetched`] or
    /// [`super::Event::NotFetched`].
    FetchCommitted,
    /// Read mark and pending commit of the store. Answered by [`super::Event::LocalState`].
    ReadLocal,
    /// Apply the pending commit as it is in the store. Answered by [`super::Event::Applied`].
    RollForward,
    /// Forget the pending commit in the store. Answered by [`super::Event::Discarded`].
    Discard,
    /// Bring the state to exactly `to`, with outputs suppressed; the mark then carries `to`, `token` and
    /// `hash`. Answered by [`super::Event::CaughtUp`] or [`super::Event::StoreFailed`].
    CatchUp {
        /// Offset the state is at; none: clear it, it begins with nothing and belongs to this input,
        /// whatever it belonged to.
        from: Option<i64>,
        /// Offset that is committed.
        to: i64,
        /// Token of the commit that ended there, 0 if it has none.
        token: u64,
        /// Hash of the outputs there, 0 if it is not known.
        hash: u64,
    },
    /// Begin a transaction.
    Begin,
    /// Produce the outputs, dead letters and changelog records of the commit in hand.
    Produce,
    /// Wait until all of them are acknowledged. Answered by [`super::Event::Flushed`].
    Flush,
    /// Make the changes of the commit in hand durable as a pending commit. Answered by
    /// [`super::Event::Prepared`].
    Prepare {
        /// Offset the store is at.
        from: i64,
        /// Offset it will be at.
        next: i64,
        /// Name of the attempt.
        token: u64,
    },
    /// Send offset and metadata into the transaction. Answered by [`super::Event::OffsetsSent`].
    SendOffsets(Receipt),
    /// Commit the transaction. Answered by [`super::Event::Committed`].
    Commit,
    /// Abort the transaction. Answered by [`super::Event::Aborted`].
    Abort,
    /// Apply the commit in hand to the store. Answered by [`super::Event::Applied`].
    Apply,
    /// The commit in hand took effect: outputs, offset and state.
    Done {
        /// Offset it ended at.
        next: i64,
    },
    /// The commit in hand, and all that handlers did behind it, is void: what they read comes again.
    Forget,
    /// Everything in front of `at` is committed and in the state; a commit may be submitted.
    Live {
        /// None: nothing was ever committed, `start_at` decides.
        at: Option<i64>,
    },
    /// Wait a while, longer each time. Answered by [`super::Event::WaitedFor`].
    Backoff {
        /// How often in a row it did not work, from 1.
        failures: u32,
    },
    /// Find out whether the partition is still ours. Answered by [`super::Event::Owner`].
    AskOwner,
    /// Close the producer without waiting for anything. An open transaction is left to its successor.
    DropProducer,
    /// Let go of the partition and of the store. Nothing follows.
    Release,
    /// Stand still and say why. Nothing follows.
    Halt(Halt),
}
