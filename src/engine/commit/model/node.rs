//! One process: the machine, and what only it knows.

use super::{Answer, Disk, Effect, Event, Machine, Mutant, Options, Row, Setup, mutant::Op};
use crate::engine::receipt::Receipt;
use std::collections::VecDeque;

/// The commit in hand, as its driver keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) row: Row,
    pub(super) from: i64,
    pub(super) next: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Node {
    /// None while the process is down.
    pub(super) machine: Option<Box<Machine>>,
    pub(super) queue: VecDeque<Op>,
    pub(super) batch: Option<Batch>,
    /// Of the producer.
    pub(super) epoch: u8,
    /// What was drawn since the producer was initialised.
    drawn: u8,
    /// An output that was handed to the producer and is not at the broker.
    pub(super) outbox: Option<Row>,
    /// Waits for the answer of an `EndTxn`.
    pub(super) call: Option<bool>,
    /// Was told that the partition is another's.
    pub(super) is_stranger: bool,
    /// Of mutants: an effect that is put off, and an offset that was read too early.
    pub(super) late: Option<Effect>,
    pub(super) early: Option<Option<Receipt>>,
    pub(super) disk: Disk,
}

impl Node {
    pub(super) fn boot(&mut self, setup: &Setup) {
        let options = Options { has_store: setup.has_store, most_aborts: 9 };
        self.machine = Some(Box::new(Machine::new(options)));
    }

    /// The process is gone, the disk stays.
    pub(super) fn die(&mut self) {
        *self = Self { disk: self.disk, ..Self::default() };
    }

    /// A number that is nowhere else: the epoch is nobody else's.
    pub(super) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        u64::from(self.epoch) * 64 + u64::from(self.drawn)
    }

    pub(super) fn fence_others(&mut self, epoch: u8) {
        self.epoch = epoch;
        self.drawn = 0;
    }

    /// Hands an event to the machine, and what follows from it to the queue.
    pub(super) fn tell(&mut self, event: Event, mutant: Mutant) {
        let Some(event) = mutant.event(event) else {
            return;
        };
        let Some(mut machine) = self.machine.take() else {
            return;
        };
        let was_suspicious = machine.is_suspicious;
        let is_blind = mutant == Mutant::AbortSuspicious && is_refusal(&event);
        machine.is_suspicious &= !is_blind;
        let effects = machine.on(event);
        machine.is_suspicious |= is_blind && was_suspicious;
        if mutant == Mutant::KeepSuspicious {
            machine.is_suspicious = false;
        }
        self.machine = Some(machine);
        for event in mutant.effects(effects, self) {
            self.tell(event, mutant);
        }
    }

    pub(super) fn is_heartbeat(&self) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.is_heartbeat)
    }
}

/// Is it the end of an attempt?
fn is_refusal(event: &Event) -> bool {
    use Event::{Committed, Flushed, OffsetsSent};
    matches!(
        event,
        Flushed(Answer::Abortable) | OffsetsSent(Answer::Abortable) | Committed(Answer::Abortable)
    )
}
