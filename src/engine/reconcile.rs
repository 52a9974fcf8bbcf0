//! What a task does at its start, from what its store has and what the broker has.
//!
//! # Guarantees
//!
//! * Total: every combination has a decision, and none is a guess. What no crash can produce halts.
//! * Idempotent: whoever crashes while it carries the decision out, and asks again, ends at the same place.
//! * A pending commit is rolled forward only if the committed offset carries its token and the store is
//!   where it begins. In every other case forgetting it is right: the store without it is the state of
//!   a prefix of what is committed.

use super::{
    halt::{Halt, Reason},
    identity::Identity,
    receipt::Metadata,
};
use crate::state::{Mark, Pending};
use std::cmp::Ordering::{Equal, Greater, Less};

/// A pending commit without its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Undecided {
    /// Offset the store has to be at.
    pub from: i64,
    /// Offset it would be at.
    pub next: i64,
    /// Token of the attempt.
    pub token: u64,
}

impl From<&Pending> for Undecided {
    fn from(pending: &Pending) -> Self {
        Self { from: pending.from, next: pending.mark.next, token: pending.mark.token }
    }
}

/// What the store of the task has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// What its content has seen.
    pub mark: Option<Mark>,
    /// The commit that is not decided.
    pub pending: Option<Undecided>,
    /// The input it was written for; none if that was not noted.
    pub identity: Option<Identity>,
}

/// What the broker has, read after the producer was initialised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Committed offset and what stands beside it.
    pub committed: Option<(i64, Metadata)>,
    /// First offset of the input partition, and the one behind its last; none if it is not known.
    pub log: Option<(i64, i64)>,
    /// The cluster and the topic; the generation is not looked at.
    pub identity: Identity,
}

impl Remote {
    /// The first record whose results are not committed.
    #[must_use]
    pub fn position(&self) -> Option<i64> {
        let (offset, metadata) = self.committed.as_ref()?;
        Some(metadata.receipt().map_or(*offset, |receipt| receipt.position()))
    }

    fn token(&self) -> u64 {
        self.committed.as_ref().map_or(0, |(_, metadata)| metadata.token())
    }
}

/// What becomes of the pending commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Undo {
    /// There is none, or nobody may touch it.
    Leave,
    /// It took effect at the broker: make it take effect here.
    RollForward,
    /// It did not: forget it.
    Discard,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// Nothing was ever committed and nothing is stored: begin where `start_at` says.
    Fresh,
    /// State and committed offset agree: go on at this offset.
    Live(i64),
    /// Nothing is committed as far as this offset, but the state's word counts: go on there.
    Adopt(i64),
    /// Bring the state from `from` (none: from nothing, after clearing it) to exactly `to`.
    CatchUp {
        /// Offset the state is at.
        from: Option<i64>,
        /// Offset that is committed.
        to: i64,
        /// Token of the commit that ended there, 0 if it has none.
        token: u64,
        /// The hash of the outputs there, 0 if it is not known.
        hash: u64,
    },
    /// Stand still.
    Halt(Halt),
}

/// See [`reconcile`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// First this.
    pub pending: Undo,
    /// Then this.
    pub then: Then,
}

/// Decides how a task with a store begins.
#[must_use]
pub fn reconcile(local: &Local, remote: &Remote) -> Decision {
    if let Some(halt) = refuse(local, remote) {
        return Decision { pending: Undo::Leave, then: Then::Halt(halt) };
    }
    let decision = match (local.mark, remote.position()) {
        (None, None) => settle(local, Then::Fresh),
        (Some(mark), None) => without_offset(local, mark, remote),
        (None, Some(to)) => without_state(local, to, remote),
        (Some(mark), Some(to)) => with_both(local, mark, to, remote),
    };
    match decision.then {
        Then::Halt(halt) => {
            Decision { pending: Undo::Leave, then: Then::Halt(with_numbers(halt, local, remote)) }
        }
        _ => decision,
    }
}

/// What forbids to look any further.
fn refuse(local: &Local, remote: &Remote) -> Option<Halt> {
    let reason = another_input(local, remote)
        .or_else(|| foreign_word(remote))
        .or_else(|| lost_input(remote))?;
    Some(with_numbers(Halt::of(reason), local, remote))
}

fn another_input(local: &Local, remote: &Remote) -> Option<Reason> {
    if local.mark.is_none() && local.pending.is_none() {
        return None;
    }
    local.identity.as_ref()?.refuses(&remote.identity)
}

fn foreign_word(remote: &Remote) -> Option<Reason> {
    match remote.committed.as_ref()?.1 {
        Metadata::Newer => Some(Reason::NewerMetadata),
        Metadata::Foreign => Some(Reason::ForeignOffsets),
        Metadata::Empty | Metadata::Receipt(_) => None,
    }
}

/// Records that were never read are gone. An empty log proves nothing: what is gone may have been read,
/// or have been nothing but the marks of transactions.
fn lost_input(remote: &Remote) -> Option<Reason> {
    let ((offset, _), (start, end)) = (remote.committed.as_ref()?, remote.log?);
    if *offset > end {
        return Some(Reason::LogTruncated);
    }
    (*offset < start && start < end).then_some(Reason::InputTruncated)
}

fn without_offset(local: &Local, mark: Mark, remote: &Remote) -> Decision {
    // Whether a commit behind an earlier one took effect cannot be told without the offset.
    let is_open = local.pending.is_some() && mark.token != 0;
    let is_readable = remote.log.is_some_and(|(start, end)| (start..=end).contains(&mark.next));
    if is_open || !is_readable {
        return halt(Reason::OffsetsLost);
    }
    settle(local, Then::Adopt(mark.next))
}

fn without_state(local: &Local, to: i64, remote: &Remote) -> Decision {
    if is_committed(local, remote) && !is_of_another_generation(local, remote) {
        return Decision { pending: Undo::RollForward, then: Then::Live(to) };
    }
    settle(local, catch_up(None, to, remote))
}

fn with_both(local: &Local, mark: Mark, to: i64, remote: &Remote) -> Decision {
    if is_of_another_generation(local, remote) {
        return settle(local, catch_up(None, to, remote));
    }
    if is_committed(local, remote) {
        return Decision { pending: Undo::RollForward, then: Then::Live(to) };
    }
    let (ours, theirs) = (mark.token, remote.token());
    match mark.next.cmp(&to) {
        Equal if ours == theirs || ours == 0 || theirs == 0 => settle(local, Then::Live(to)),
        // Commits that read nothing, as those of timers, share their offset: some of them are missing.
        Equal => settle(local, catch_up(Some(to), to, remote)),
        // The state was made by transactions, and whoever committed this offset had none.
        Less if theirs == 0 && ours != 0 => halt(Reason::ForeignOffsets),
        Less => settle(local, catch_up(Some(mark.next), to, remote)),
        // Written at least once: outputs first, then the state, the offset some time later.
        Greater if ours == 0 => settle(local, Then::Adopt(mark.next)),
        Greater => halt(Reason::StateAhead),
    }
}

/// Did the pending commit take effect at the broker, as its last one, and does it fit here?
fn is_committed(local: &Local, remote: &Remote) -> bool {
    local.pending.is_some_and(|pending| {
        pending.token != 0
            && pending.token == remote.token()
            && remote.position() == Some(pending.next)
            && local.mark.is_none_or(|mark| mark.next == pending.from)
    })
}

fn is_of_another_generation(local: &Local, remote: &Remote) -> bool {
    let committed = remote.committed.as_ref().and_then(|(_, metadata)| metadata.receipt());
    match (&local.identity, committed) {
        (Some(known), Some(receipt)) => known.generation != receipt.generation,
        _ => false,
    }
}

fn catch_up(from: Option<i64>, to: i64, remote: &Remote) -> Then {
    let committed = remote.committed.as_ref().and_then(|(_, metadata)| metadata.receipt());
    Then::CatchUp { from, to, token: remote.token(), hash: committed.map_or(0, |one| one.hash) }
}

fn settle(local: &Local, then: Then) -> Decision {
    let pending = if local.pending.is_some() { Undo::Discard } else { Undo::Leave };
    Decision { pending, then }
}

fn halt(reason: Reason) -> Decision {
    Decision { pending: Undo::Leave, then: Then::Halt(Halt::of(reason)) }
}

fn with_numbers(halt: Halt, local: &Local, remote: &Remote) -> Halt {
    let local = local.mark.map(|mark| mark.next);
    Halt { local, committed: remote.position(), log: remote.log, ..halt }
}

#[cfg(test)]
pub(in crate::engine) mod tests;
