//! Defects of the protocol, seeded one at a time between the machine and the world.

use super::{Answer, Effect, Event, Node};
use crate::engine::receipt::Receipt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mutant {
    /// The protocol as it is.
    None,
    /// The pending commit is written after the transaction instead of before.
    PrepareAfterCommit,
    /// There is no pending commit at all.
    NoPrepare,
    /// Whatever is pending is applied at the start.
    AlwaysRollForward,
    /// Whatever is pending is forgotten at the start.
    AlwaysDiscard,
    /// The committed offset is read before older producers are fenced.
    ReadBeforeInit,
    /// The same, and an open transaction is not waited for.
    ReadUncommittedBeforeInit,
    /// The pending commit is not synced.
    NoSync,
    /// An attempt is named by the offset it ends at.
    TokenOfOffset,
    /// A producer is kept although requests of it are still on their way.
    KeepSuspicious,
    /// A producer aborts although requests of it are still on their way.
    AbortSuspicious,
    /// Offsets are sent before the outputs are acknowledged.
    NoFlush,
    /// The state is changed before the transaction is committed.
    ApplyBeforeCommit,
    /// Applying takes two writes, and nobody looks whether it was done.
    ApplyBlindly,
    /// The offset is committed without its receipt.
    NoReceipt,
    /// The offset of the second input is not in the transaction.
    SideApart,
    /// The offset of the second input is not committed.
    SideLeftOut,
    /// A fenced producer is replaced without asking for the owner.
    NoAsking,
    /// When the fate of a commit is not known, its pending half is thrown away.
    DiscardWhenUnknown,
    /// When the fate of a commit is not known, it is taken for a success.
    UnknownIsOk,
    /// When the fate of a commit is not known, it is taken for an abort.
    UnknownIsAborted,
    /// An aborted transaction is not aborted, only tried again.
    NoAbort,
    /// A heartbeat has a token of its own.
    HeartbeatWithToken,
    /// Being fenced while committing is taken for a success.
    FencedIsOk,
}

impl Mutant {
    /// What the machine is told instead.
    pub(super) fn event(self, event: Event) -> Option<Event> {
        use Answer::{Abortable, Fenced, Ok, Unknown};
        Some(match (self, event) {
            (Self::KeepSuspicious, Event::Suspicious) => return None,
            (Self::NoAsking, Event::Owner(_)) => Event::Owner(true),
            (Self::UnknownIsOk, Event::Committed(Unknown)) => Event::Committed(Ok),
            (Self::UnknownIsAborted, Event::Committed(Unknown)) => Event::Committed(Abortable),
            (Self::FencedIsOk, Event::Committed(Fenced)) => Event::Committed(Ok),
            (_, event) => event,
        })
    }

    /// What is done instead, and what the machine is told at once.
    pub(super) fn effects(self, effects: Vec<Effect>, node: &mut Node) -> Vec<Event> {
        let mut told = Vec::new();
        for effect in effects {
            self.effect(effect, node, &mut told);
        }
        told
    }

    fn effect(self, effect: Effect, node: &mut Node, told: &mut Vec<Event>) {
        let (mut before, mut instead) = (None, None);
        match (self, &effect) {
            (Self::PrepareAfterCommit | Self::NoPrepare, Effect::Prepare { .. }) => {
                node.late = (self == Self::PrepareAfterCommit).then(|| effect.clone());
                instead = Some(Event::Prepared);
            }
            (Self::PrepareAfterCommit, Effect::Apply) => before = node.late.take(),
            (Self::ApplyBeforeCommit, Effect::Prepare { .. }) => {
                node.queue.push_back(Op::Quiet(effect.clone()));
                node.queue.push_back(Op::Quiet(Effect::Apply));
                instead = Some(Event::Prepared);
            }
            (Self::ApplyBeforeCommit, Effect::Apply) => instead = Some(Event::Applied),
            (Self::ReadBeforeInit | Self::ReadUncommittedBeforeInit, Effect::InitProducer) => {
                before = Some(Effect::FetchCommitted)
            }
            (Self::NoFlush, Effect::Flush) => instead = Some(Event::Flushed(Answer::Ok)),
            (Self::NoAbort, Effect::Abort) => instead = Some(Event::Aborted(Answer::Ok)),
            (Self::DiscardWhenUnknown, Effect::AskOwner) => before = Some(Effect::Discard),
            _ => {}
        }
        node.queue.extend(before.map(Op::Quiet));
        match instead {
            Some(event) => told.push(event),
            None => node.queue.push_back(Op::Do(effect)),
        }
    }

    /// The name that goes to the disk.
    pub(super) fn token(self, token: u64, next: i64) -> u64 {
        match self {
            Self::TokenOfOffset => next.unsigned_abs() + 1_000,
            _ => token,
        }
    }

    /// The receipt that goes to the broker.
    pub(super) fn receipt(self, receipt: Receipt, is_heartbeat: bool) -> Receipt {
        let token = match self {
            Self::HeartbeatWithToken if is_heartbeat => receipt.token + 7,
            Self::NoReceipt => 0,
            _ if is_heartbeat => receipt.token,
            _ => self.token(receipt.token, receipt.position()),
        };
        Receipt { token, ..receipt }
    }
}

/// Something a node is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Op {
    /// And then tell the machine.
    Do(Effect),
    /// Behind its back.
    Quiet(Effect),
}

impl Op {
    pub(super) fn effect(&self) -> &Effect {
        match self {
            Self::Do(effect) | Self::Quiet(effect) => effect,
        }
    }
}
