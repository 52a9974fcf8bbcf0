//! One commit, from its first attempt until it took effect or is void.

use super::{
    Answer, Effect, Event, Machine, Proposal, Stage,
    machine::{Again, Hand},
};
use crate::engine::{
    halt::{Halt, Reason},
    receipt::Receipt,
};

impl Machine {
    pub(super) fn on_round(&mut self, event: Event, out: &mut Vec<Effect>) {
        match (&mut self.stage, event) {
            (Stage::Ready, Event::Submitted { proposal, token }) => {
                self.submitted(proposal, token, out);
            }
            (Stage::Ready, Event::IdleHeartbeat) => self.heartbeat(out),
            (Stage::Staging { flushed, .. }, Event::Flushed(answer)) => {
                *flushed = Some(answer);
                self.staged(out);
            }
            (Stage::Staging { stored, .. }, Event::Prepared) => {
                *stored = Some(Ok(()));
                self.staged(out);
            }
            (Stage::Sending, Event::OffsetsSent(answer)) => self.sent(answer, out),
            (Stage::Committing, Event::Committed(answer)) => self.committed(answer, out),
            (Stage::Applying, Event::Applied) => self.applied(out),
            (Stage::Aborting, Event::Aborted(answer)) => self.aborted(answer, out),
            (Stage::Discarding, Event::Discarded) => self.undone(out),
            _ => {}
        }
    }

    fn submitted(&mut self, proposal: Proposal, token: u64, out: &mut Vec<Effect>) {
        let Proposal { from, point, .. } = proposal;
        if self.at.is_some_and(|at| at > from) {
            // Found while the last offset was repeated, or its producer replaced.
            return out.push(Effect::Forget);
        }
        let follows = self.at.is_none_or(|at| at == from) && point.position >= from;
        let goes_back = self.receipt.is_some_and(|last| point.offset < last.point.offset);
        if !follows || goes_back || point.offset > point.position {
            let numbers = Halt { local: Some(from), ..Halt::of(Reason::OutOfOrder) };
            return self.halt(numbers, out);
        }
        self.hand = Some(Hand { proposal, token: 0, base: self.last_token(), aborts: 0 });
        self.attempt(token, out);
    }

    /// Tries the commit in hand under a new name.
    pub(super) fn attempt(&mut self, token: u64, out: &mut Vec<Effect>) {
        let last = self.last_token();
        let Some(hand) = self.hand.as_mut() else {
            return;
        };
        if token == 0 || token == hand.token || token == last {
            let defect = Halt::of(Reason::OutOfOrder).because("a token was used twice");
            return self.halt(defect, out);
        }
        hand.token = token;
        let Proposal { from, point, .. } = hand.proposal;
        self.open(false);
        let stored = (!self.options.has_store).then_some(Ok(()));
        self.stage = Stage::Staging { flushed: None, stored };
        out.extend([Effect::Begin, Effect::Produce, Effect::Flush]);
        if self.options.has_store {
            out.push(Effect::Prepare { from, next: point.position, token });
        }
    }

    /// The same offset and the same words once more: nobody who looks for a token notices.
    fn heartbeat(&mut self, out: &mut Vec<Effect>) {
        let Some(receipt) = self.receipt else { return };
        self.open(true);
        self.stage = Stage::Sending;
        out.extend([Effect::Begin, Effect::SendOffsets(receipt)]);
    }

    fn open(&mut self, is_heartbeat: bool) {
        self.is_heartbeat = is_heartbeat;
        self.is_suspicious = false;
    }

    /// Goes on once outputs and changes are both where they have to be.
    pub(super) fn staged(&mut self, out: &mut Vec<Effect>) {
        let Stage::Staging { flushed, stored } = &mut self.stage else {
            return;
        };
        if *flushed == Some(Answer::Retriable) {
            *flushed = None;
            self.is_suspicious = true;
            return out.push(Effect::Flush);
        }
        let (Some(answer), Some(stored)) = (*flushed, stored.clone()) else {
            return;
        };
        self.doom = stored.err();
        match answer {
            Answer::Ok if self.doom.is_none() => self.send(out),
            Answer::Ok | Answer::Abortable | Answer::Retriable => self.abort(out),
            Answer::Unknown | Answer::Fenced | Answer::Refused => self.lose(answer, out),
        }
    }

    fn send(&mut self, out: &mut Vec<Effect>) {
        self.stage = Stage::Sending;
        out.extend(self.to_send().map(Effect::SendOffsets));
    }

    /// What the open transaction says beside the offset.
    fn to_send(&self) -> Option<Receipt> {
        if self.is_heartbeat {
            return self.receipt;
        }
        let Hand { proposal: Proposal { point, hash, time_ms, .. }, token, .. } = self.hand?;
        Some(Receipt { point, token, hash, time_ms, generation: self.generation })
    }

    fn sent(&mut self, answer: Answer, out: &mut Vec<Effect>) {
        match answer {
            Answer::Ok => {
                self.stage = Stage::Committing;
                out.push(Effect::Commit);
            }
            Answer::Retriable => {
                self.is_suspicious = true;
                self.send(out);
            }
            Answer::Abortable => self.abort(out),
            Answer::Unknown | Answer::Fenced | Answer::Refused => self.lose(answer, out),
        }
    }

    fn committed(&mut self, answer: Answer, out: &mut Vec<Effect>) {
        match answer {
            Answer::Ok if self.is_heartbeat => self.close(out),
            Answer::Ok if self.options.has_store => {
                self.stage = Stage::Applying;
                out.push(Effect::Apply);
            }
            Answer::Ok => self.applied(out),
            Answer::Retriable => {
                self.is_suspicious = true;
                out.push(Effect::Commit);
            }
            Answer::Abortable => self.abort(out),
            Answer::Unknown | Answer::Fenced | Answer::Refused => self.lose(answer, out),
        }
    }

    fn applied(&mut self, out: &mut Vec<Effect>) {
        self.receipt = self.to_send();
        self.done(out);
        self.close(out);
    }

    /// The commit in hand took effect.
    pub(super) fn done(&mut self, out: &mut Vec<Effect>) {
        let Some(hand) = self.hand.take() else { return };
        let next = hand.proposal.point.position;
        self.at = Some(next);
        out.push(Effect::Done { next });
    }

    /// A producer that had trouble does not abort: requests of it that are still on their way could put
    /// the offset into what the broker takes for a new transaction, and commit that. Its successor shuts
    /// them out first.
    fn abort(&mut self, out: &mut Vec<Effect>) {
        if !self.is_suspicious {
            self.stage = Stage::Aborting;
            return out.push(Effect::Abort);
        }
        if let Some(halt) = self.doom.take().or_else(|| self.refused_too_often()) {
            return self.halt(halt, out);
        }
        self.recycle(out);
    }

    /// Counts that the commit in hand was refused.
    fn refused_too_often(&mut self) -> Option<Halt> {
        let hand = self.hand.as_mut()?;
        hand.aborts += 1;
        let often = format!("{} times", hand.aborts);
        let is_too_often = hand.aborts > self.options.most_aborts;
        is_too_often.then(|| Halt::of(Reason::CommitRefused).because(often))
    }

    fn aborted(&mut self, answer: Answer, out: &mut Vec<Effect>) {
        match answer {
            Answer::Ok if self.is_heartbeat => self.close(out),
            Answer::Ok if self.doom.is_some() || !self.options.has_store => self.undone(out),
            Answer::Ok => {
                self.stage = Stage::Discarding;
                out.push(Effect::Discard);
            }
            // Once more by itself: nothing of the transaction is on its way but its end.
            Answer::Retriable => {
                self.is_suspicious = true;
                out.push(Effect::Abort);
            }
            _ => self.lose(answer, out),
        }
    }

    /// The attempt left nothing: not at the broker, not in the store.
    fn undone(&mut self, out: &mut Vec<Effect>) {
        if let Some(halt) = self.doom.take() {
            return self.halt(halt, out);
        }
        if self.is_leaving {
            return self.release(out);
        }
        let Some(hand) = self.hand.as_mut() else {
            return self.close(out);
        };
        hand.aborts += 1;
        if hand.aborts > self.options.most_aborts {
            let often = format!("{} times", hand.aborts);
            return self.halt(Halt::of(Reason::CommitRefused).because(often), out);
        }
        if self.is_suspicious {
            return self.recycle(out);
        }
        self.wait(Again::Attempt, out);
    }

    /// The producer is of no use any more. What is pending stays: the broker knows what became of it.
    fn lose(&mut self, answer: Answer, out: &mut Vec<Effect>) {
        if let Some(halt) = self.doom.take() {
            return self.halt(halt, out);
        }
        if answer == Answer::Refused {
            return self.halt(Halt::of(Reason::ProducerRefused), out);
        }
        self.recycle(out);
    }

    /// Nothing is open any more.
    fn close(&mut self, out: &mut Vec<Effect>) {
        if self.is_leaving {
            self.release(out);
        } else if self.is_suspicious {
            self.recycle(out);
        } else {
            self.ready(out);
        }
    }

    pub(super) fn ready(&mut self, out: &mut Vec<Effect>) {
        self.failures = 0;
        self.stage = Stage::Ready;
        out.push(Effect::Live { at: self.at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{commit::Options, horizon::Point, receipt::Metadata, reconcile::Remote};

    fn finds(machine: &mut Machine, committed: i64) {
        machine.on(Event::Initialised(Answer::Ok));
        let committed = Some((committed, Metadata::Empty));
        machine.on(Event::Fetched(Remote { committed, ..Remote::default() }));
    }

    /// Nothing was in hand when it was found out, so nobody was told that it is void.
    #[test]
    fn what_is_submitted_in_front_of_a_foreign_commit_is_void() {
        let mut machine = Machine::new(Options { has_store: false, most_aborts: 1 });
        machine.on(Event::Boot);
        finds(&mut machine, 10);
        machine.on(Event::IdleHeartbeat);
        machine.on(Event::OffsetsSent(Answer::Fenced));
        machine.on(Event::Owner(true));
        finds(&mut machine, 15);
        let proposal = Proposal { from: 10, point: Point::plain(12), hash: 0, time_ms: 0 };
        assert!(machine.is_ready());
        assert_eq!(machine.on(Event::Submitted { proposal, token: 1 }), [Effect::Forget]);
    }
}
