//! The machine: what it remembers, and who of its parts takes an event.

use super::{Answer, Effect, Event, Proposal};
use crate::engine::{
    halt::{Halt, Reason},
    receipt::Receipt,
    reconcile::{Remote, Then},
};

/// What a task is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// False: there is no state; what to do at a start is decided by the committed offset alone.
    pub has_store: bool,
    /// How often the same commit may be aborted by the broker before the task stands still.
    pub most_aborts: u32,
}

/// Where the machine is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before [`Event::Boot`].
    Off,
    /// Is the partition still ours?
    Asking,
    /// A producer is being initialised.
    Initialising,
    /// The committed offset is being read.
    Fetching,
    /// The store is being read.
    Reading(Box<Remote>),
    /// The pending commit of the store is being applied; then the state is at this offset.
    RollingForward(i64),
    /// The pending commit of the store is being forgotten; then this.
    Clearing(Box<Then>),
    /// The state is being brought to this offset.
    CatchingUp(i64),
    /// After a while: again.
    Waiting(Again),
    /// Nothing is open.
    Ready,
    /// Outputs are on their way to the broker, changes on their way to the disk.
    Staging {
        /// How the outputs fared.
        flushed: Option<Answer>,
        /// How the changes fared.
        stored: Option<Result<(), Halt>>,
    },
    /// The offset is on its way into the transaction.
    Sending,
    /// The transaction is being committed.
    Committing,
    /// The store is being brought up to the commit.
    Applying,
    /// The transaction is being aborted.
    Aborting,
    /// The pending commit of the aborted transaction is being forgotten.
    Discarding,
    /// The partition is not ours any more.
    Released,
    /// Somebody has to decide.
    Halted,
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Again {
    /// A new producer.
    Init,
    /// Reading the committed offset.
    Fetch,
    /// The commit in hand.
    Attempt,
}

/// A commit that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hand {
    pub(super) proposal: Proposal,
    /// Name of the attempt.
    pub(super) token: u64,
    /// Token of the commit that it builds on.
    pub(super) base: u64,
    /// How often it was aborted.
    pub(super) aborts: u32,
}

/// See [`super`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    pub(super) options: Options,
    pub(super) stage: Stage,
    /// Everything in front of it is committed and in the state; none before the first commit.
    pub(super) at: Option<i64>,
    /// What stands beside the committed offset.
    pub(super) receipt: Option<Receipt>,
    pub(super) generation: u32,
    pub(super) hand: Option<Hand>,
    /// The open transaction only repeats the last offset.
    pub(super) is_heartbeat: bool,
    pub(super) is_suspicious: bool,
    pub(super) is_leaving: bool,
    /// Why the open transaction must not be tried again.
    pub(super) doom: Option<Halt>,
    /// How often in a row something had to be tried again.
    pub(super) failures: u32,
}

impl Machine {
    /// One that waits for [`Event::Boot`].
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            stage: Stage::Off,
            at: None,
            receipt: None,
            generation: 0,
            hand: None,
            is_heartbeat: false,
            is_suspicious: false,
            is_leaving: false,
            doom: None,
            failures: 0,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// May a commit be submitted?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// True once nothing will follow.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Released | Stage::Halted)
    }

    /// Offset in front of which everything is committed and in the state.
    #[must_use]
    pub fn at(&self) -> Option<i64> {
        self.at
    }

    /// What stands beside the committed offset.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// Takes what happened; says what is to be done, in its order.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Boot if self.stage == Stage::Off => self.initialise(&mut out),
            Event::Boot => {}
            Event::Suspicious => self.is_suspicious |= self.is_in_transaction(),
            Event::OwnershipLost => self.leave(&mut out),
            Event::WaitedFor { token } => self.again(token, &mut out),
            Event::StoreFailed(halt) => self.store_failed(halt, &mut out),
            Event::Initialised(_)
            | Event::Fetched(_)
            | Event::NotFetched
            | Event::LocalState(_)
            | Event::CaughtUp
            | Event::Owner(_) => self.on_boot(event, &mut out),
            Event::Applied | Event::Discarded if self.is_booting() => self.on_boot(event, &mut out),
            _ => self.on_round(event, &mut out),
        }
        out
    }

    fn is_booting(&self) -> bool {
        matches!(self.stage, Stage::RollingForward(_) | Stage::Clearing(_))
    }

    fn is_in_transaction(&self) -> bool {
        use Stage::{Aborting, Applying, Committing, Discarding, Sending, Staging};
        matches!(
            self.stage,
            Staging { .. } | Sending | Committing | Applying | Aborting | Discarding
        )
    }

    /// What is in flight is settled first, unless it is only read or waited for.
    fn leave(&mut self, out: &mut Vec<Effect>) {
        self.is_leaving = true;
        if self.stage == Stage::Off {
            self.stage = Stage::Released;
            out.push(Effect::Release);
        } else if !self.is_over() && !self.is_in_transaction() && !self.is_booting() {
            self.release(out);
        }
    }

    fn again(&mut self, token: u64, out: &mut Vec<Effect>) {
        match self.stage {
            Stage::Waiting(Again::Init) => self.ask(out),
            Stage::Waiting(Again::Fetch) => self.fetch(out),
            Stage::Waiting(Again::Attempt) => self.attempt(token, out),
            _ => {}
        }
    }

    fn store_failed(&mut self, halt: Halt, out: &mut Vec<Effect>) {
        match &mut self.stage {
            Stage::Staging { stored, .. } if stored.is_none() => {
                *stored = Some(Err(halt));
                self.staged(out);
            }
            Stage::Applying => self.halt(Halt { reason: Reason::NotApplied, ..halt }, out),
            Stage::Reading(_)
            | Stage::RollingForward(_)
            | Stage::Clearing(_)
            | Stage::CatchingUp(_)
            | Stage::Discarding => self.halt(halt, out),
            _ => {}
        }
    }

    /// Lets go of everything; a commit in hand is void, what is pending in the store stays.
    pub(super) fn release(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::DropProducer);
        self.forget(out);
        self.stage = Stage::Released;
        out.push(Effect::Release);
    }

    pub(super) fn halt(&mut self, halt: Halt, out: &mut Vec<Effect>) {
        out.push(Effect::DropProducer);
        self.stage = Stage::Halted;
        let local = halt.local.or(self.at);
        let committed = halt.committed.or(self.receipt.map(|receipt| receipt.position()));
        out.push(Effect::Halt(Halt { local, committed, ..halt }));
    }

    pub(super) fn forget(&mut self, out: &mut Vec<Effect>) {
        if self.hand.take().is_some() {
            out.push(Effect::Forget);
        }
    }

    pub(super) fn wait(&mut self, again: Again, out: &mut Vec<Effect>) {
        self.failures = self.failures.saturating_add(1);
        self.stage = Stage::Waiting(again);
        out.push(Effect::Backoff { failures: self.failures });
    }

    /// The producer cannot be trusted, or cannot go on: another one, if the partition is still ours.
    pub(super) fn recycle(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::DropProducer);
        self.is_suspicious = false;
        self.ask(out);
    }

    pub(super) fn ask(&mut self, out: &mut Vec<Effect>) {
        self.stage = Stage::Asking;
        out.push(Effect::AskOwner);
    }
}
