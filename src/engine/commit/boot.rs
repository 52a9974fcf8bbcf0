//! From a new producer to the first commit: who is behind whom, and what closes the gap.

use super::{
    Answer, Effect, Event, Machine, Stage,
    machine::{Again, Hand},
};
use crate::engine::{
    halt::{Halt, Reason},
    receipt::{Metadata, Receipt},
    reconcile::{Decision, Local, Remote, Then, Undo, reconcile},
};

impl Machine {
    pub(super) fn initialise(&mut self, out: &mut Vec<Effect>) {
        self.stage = Stage::Initialising;
        out.push(Effect::InitProducer);
    }

    pub(super) fn fetch(&mut self, out: &mut Vec<Effect>) {
        self.stage = Stage::Fetching;
        out.push(Effect::FetchCommitted);
    }

    pub(super) fn on_boot(&mut self, event: Event, out: &mut Vec<Effect>) {
        match (std::mem::replace(&mut self.stage, Stage::Off), event) {
            (Stage::Asking, Event::Owner(true)) => self.initialise(out),
            (Stage::Asking, Event::Owner(false)) => self.release(out),
            (Stage::Initialising, Event::Initialised(answer)) => self.initialised(answer, out),
            (Stage::Fetching, Event::NotFetched) => self.wait(Again::Fetch, out),
            (Stage::Fetching, Event::Fetched(remote)) => self.fetched(remote, out),
            (Stage::Reading(remote), Event::LocalState(local)) => {
                self.compare(&local, &remote, out)
            }
            (Stage::RollingForward(to), Event::Applied) => self.live(Some(to), out),
            (Stage::Clearing(then), Event::Discarded) => self.follow(*then, out),
            (Stage::CatchingUp(to), Event::CaughtUp) => self.live(Some(to), out),
            (stage, _) => self.stage = stage,
        }
    }

    fn initialised(&mut self, answer: Answer, out: &mut Vec<Effect>) {
        match answer {
            Answer::Ok => self.fetch(out),
            Answer::Refused => self.halt(Halt::of(Reason::ProducerRefused), out),
            // Fenced as well: who initialises at the same time is asked about before the next try.
            Answer::Retriable | Answer::Abortable | Answer::Unknown | Answer::Fenced => {
                out.push(Effect::DropProducer);
                self.wait(Again::Init, out);
            }
        }
    }

    fn fetched(&mut self, remote: Remote, out: &mut Vec<Effect>) {
        let beside = remote.committed.map(|(offset, metadata)| match metadata {
            Metadata::Receipt(receipt) => receipt,
            Metadata::Empty | Metadata::Newer | Metadata::Foreign => Receipt::plain(offset, 0),
        });
        self.receipt = beside;
        self.generation = beside.map_or(self.generation, |receipt| receipt.generation);
        if self.options.has_store {
            self.stage = Stage::Reading(Box::new(remote));
            out.push(Effect::ReadLocal);
        } else {
            self.without_state(&remote, out);
        }
    }

    /// Outputs and offset alone: the offset is right by itself, as long as it does not move back.
    fn without_state(&mut self, remote: &Remote, out: &mut Vec<Effect>) {
        let position = remote.position();
        let refused = match remote.committed {
            Some((_, Metadata::Newer)) => Some(Reason::NewerMetadata),
            _ if position.is_some_and(|to| self.at.is_some_and(|at| to < at)) => {
                Some(Reason::StateAhead)
            }
            _ => None,
        };
        match refused {
            Some(reason) => self.halt(Halt { log: remote.log, ..Halt::of(reason) }, out),
            None => self.live(position.or(self.at), out),
        }
    }

    fn compare(&mut self, local: &Local, remote: &Remote, out: &mut Vec<Effect>) {
        if remote.committed.is_none() {
            let known = local.identity.as_ref().map(|identity| identity.generation);
            self.generation = known.unwrap_or(self.generation);
        }
        let Decision { pending, then } = reconcile(local, remote);
        match (pending, then) {
            (Undo::RollForward, Then::Live(to)) => {
                self.stage = Stage::RollingForward(to);
                out.push(Effect::RollForward);
            }
            (Undo::Discard, then) => {
                self.stage = Stage::Clearing(Box::new(then));
                out.push(Effect::Discard);
            }
            (Undo::Leave | Undo::RollForward, then) => self.follow(then, out),
        }
    }

    fn follow(&mut self, then: Then, out: &mut Vec<Effect>) {
        match then {
            Then::Fresh => self.live(None, out),
            Then::Live(at) | Then::Adopt(at) => self.live(Some(at), out),
            Then::CatchUp { from, to, token, hash } => {
                self.forget(out);
                self.stage = Stage::CatchingUp(to);
                out.push(Effect::CatchUp { from, to, token, hash });
            }
            Then::Halt(halt) => self.halt(halt, out),
        }
    }

    /// State and broker agree; what is in hand took effect, or can be tried again, or is void.
    fn live(&mut self, at: Option<i64>, out: &mut Vec<Effect>) {
        self.at = at;
        if self.hand.is_some_and(|hand| self.has_taken_effect(hand)) {
            self.done(out);
        } else if self.hand.is_some_and(|hand| !self.is_next(hand)) {
            self.forget(out);
        }
        if self.is_leaving {
            return self.release(out);
        }
        match self.hand {
            Some(_) => self.wait(Again::Attempt, out),
            None => self.ready(out),
        }
    }

    /// Does it still build on the last commit? Commits that read nothing share their offset with others.
    fn is_next(&self, hand: Hand) -> bool {
        self.at.is_none_or(|at| at == hand.proposal.from) && hand.base == self.last_token()
    }

    /// Token of the last commit, 0 if it has none.
    pub(super) fn last_token(&self) -> u64 {
        self.receipt.map_or(0, |receipt| receipt.token)
    }

    fn has_taken_effect(&self, hand: Hand) -> bool {
        let is_last = self.receipt.is_some_and(|receipt| receipt.token == hand.token);
        is_last && self.at == Some(hand.proposal.point.position)
    }
}
