//! The world: what there is, what can happen next, and what must never be seen.

use super::{
    Answer, Broker, Effect, Event, Message, Mutant, Node, Proposal, Row, Script, broker::side_of,
    disk::Pending, mutant::Op, node::Batch,
};
use crate::engine::{
    horizon::Point,
    identity::Identity,
    receipt::{Metadata, Receipt},
    reconcile::Remote,
};

/// How many mishaps there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Budget {
    /// A process dies, its disk stays as it was.
    pub(super) crashes: u8,
    /// A machine loses power: what was not synced is gone.
    pub(super) outages: u8,
    /// The partition goes to the other node; the first one does not know.
    pub(super) moves: u8,
    /// A disk is lost.
    pub(super) disks: u8,
    /// A request gets no answer in time: it is repeated behind the machine's back, or the machine is
    /// told to, or that the fate is not known. It stays on its way.
    pub(super) timeouts: u8,
    /// The broker refuses a step: the transaction has to be aborted.
    pub(super) aborts: u8,
    /// An idle partition commits its offset again.
    pub(super) heartbeats: u8,
}

/// What does not change during an exploration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) script: Script,
    pub(super) budget: Budget,
    pub(super) mutant: Mutant,
    pub(super) has_store: bool,
    /// Deltas are in the transaction; else the handler sees records of a gap again.
    pub(super) has_changelog: bool,
    /// A gap is left as it is.
    pub(super) accepts_gaps: bool,
    /// A handler gives the same for the same input.
    pub(super) is_deterministic: bool,
    /// Whoever loses the partition may be told.
    pub(super) gives_notice: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) nodes: [Node; 2],
    pub(super) owner: u8,
    pub(super) network: Vec<Message>,
    pub(super) left: Budget,
    /// What must not be.
    pub(super) fault: Option<&'static str>,
}

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            broker: Broker::default(),
            nodes: Default::default(),
            owner: 0,
            network: Vec::new(),
            left: setup.budget,
            fault: None,
        }
    }

    /// Everything is committed and some node has the state.
    pub(super) fn is_complete(&self, setup: &Setup) -> bool {
        let is_idle = |node: &Node| node.machine.as_ref().is_some_and(|one| one.is_ready());
        self.broker.outputs.len == setup.script.len()
            && is_idle(&self.nodes[usize::from(self.owner)])
    }

    /// Carries out what is at the front of the queue of node `i`, or what stands at `at` in it.
    pub(super) fn run(&mut self, i: usize, at: usize, setup: &Setup) {
        let Some(op) = self.nodes[i].queue.remove(at) else {
            return;
        };
        let event = self.effect(i, op.effect(), setup);
        match (op, event) {
            (Op::Do(_), Some(event)) => self.tell(i, event, setup),
            (Op::Quiet(_), Some(Event::Fetched(_))) => {
                self.nodes[i].early = Some(self.broker.committed);
            }
            _ => {}
        }
        self.settle(i, setup);
    }

    /// Does somebody wait for a transaction whose producer is gone? Then the coordinator ends it, after
    /// its timeout.
    pub(super) fn is_abandoned(&self) -> bool {
        let waits = |node: &Node| {
            node.queue.front().is_some_and(|op| *op.effect() == Effect::FetchCommitted)
        };
        let has_it = |node: &Node| node.machine.is_some() && node.epoch == self.broker.epoch;
        self.broker.is_unstable() && self.nodes.iter().any(waits) && !self.nodes.iter().any(has_it)
    }

    pub(super) fn tell(&mut self, i: usize, event: Event, setup: &Setup) {
        self.nodes[i].tell(event, setup.mutant);
        self.settle(i, setup);
    }

    /// Does at once what nobody else can see.
    fn settle(&mut self, i: usize, setup: &Setup) {
        while let Some(op) = self.nodes[i].queue.front() {
            if !is_private(op.effect()) {
                return;
            }
            let Some(op) = self.nodes[i].queue.pop_front() else {
                return;
            };
            if let Some(event) = self.effect(i, op.effect(), setup) {
                self.nodes[i].tell(event, setup.mutant);
            }
        }
    }

    fn effect(&mut self, i: usize, effect: &Effect, setup: &Setup) -> Option<Event> {
        match effect {
            Effect::InitProducer => Some(self.init(i)),
            Effect::FetchCommitted => Some(Event::Fetched(self.remote(i))),
            Effect::AskOwner => {
                self.nodes[i].is_stranger = usize::from(self.owner) != i;
                Some(Event::Owner(!self.nodes[i].is_stranger))
            }
            Effect::Flush => Some(Event::Flushed(self.flush(i))),
            Effect::SendOffsets(receipt) => Some(Event::OffsetsSent(self.send(i, *receipt, setup))),
            Effect::Commit | Effect::Abort => self.end(i, *effect == Effect::Commit),
            Effect::Release | Effect::Halt(_) => self.stop(i, effect),
            Effect::Live { at } => self.work(i, *at, setup),
            Effect::Produce => {
                self.nodes[i].outbox = self.nodes[i].batch.map(|batch| batch.row);
                None
            }
            Effect::Done { .. } | Effect::Forget => {
                self.nodes[i].batch = None;
                None
            }
            Effect::DropProducer => {
                self.nodes[i].call = None;
                self.nodes[i].outbox = None;
                self.forget_answers(i);
                None
            }
            Effect::Backoff { .. } => Some(Event::WaitedFor { token: self.nodes[i].draw() }),
            Effect::Begin => None,
            _ => self.disk_effect(i, effect, setup),
        }
    }

    fn disk_effect(&mut self, i: usize, effect: &Effect, setup: &Setup) -> Option<Event> {
        match effect {
            Effect::ReadLocal => {
                self.meddle(i, setup);
                let mut local = self.nodes[i].disk.read();
                if let (Mutant::ApplyBlindly, Some(pending), Some(mark)) =
                    (setup.mutant, &mut local.pending, local.mark)
                {
                    pending.from = mark.next;
                }
                Some(Event::LocalState(local))
            }
            Effect::Prepare { from, next, token } => {
                let row = self.nodes[i].batch?.row;
                let token = setup.mutant.token(*token, *next);
                let pending = Pending { from: *from, next: *next, token, row };
                self.nodes[i].disk.prepare(pending, setup.mutant != Mutant::NoSync);
                Some(Event::Prepared)
            }
            Effect::Apply | Effect::RollForward => {
                self.apply(i, setup);
                Some(Event::Applied)
            }
            Effect::Discard => {
                self.nodes[i].disk.discard();
                Some(Event::Discarded)
            }
            Effect::CatchUp { to, token, .. } => {
                self.catch_up(i, (*to, *token), setup);
                Some(Event::CaughtUp)
            }
            _ => None,
        }
    }

    /// What two of the mutants do to a pending commit before they look at it.
    fn meddle(&mut self, i: usize, setup: &Setup) {
        match setup.mutant {
            Mutant::AlwaysRollForward => self.nodes[i].disk.apply(setup),
            Mutant::AlwaysDiscard => self.nodes[i].disk.discard(),
            _ => {}
        }
    }

    /// Brings the store to the commit in hand. Without a pending commit, as in one of the mutants, the
    /// change is only in memory.
    fn apply(&mut self, i: usize, setup: &Setup) {
        let node = &mut self.nodes[i];
        if let (Mutant::NoPrepare, Some(Batch { row, from, next })) = (setup.mutant, node.batch) {
            let token = node.machine.as_ref().and_then(|one| one.hand).map_or(0, |one| one.token);
            node.disk.now.pending = Some(Pending { from, next, token, row });
        }
        node.disk.apply(setup);
    }

    fn init(&mut self, i: usize) -> Event {
        if self.nodes[i].is_stranger {
            self.fault = Some("I4 a stranger fenced the owner");
        }
        let epoch = self.broker.init();
        self.nodes[i].fence_others(epoch);
        Event::Initialised(Answer::Ok)
    }

    fn remote(&mut self, i: usize) -> Remote {
        let early = self.nodes[i].early.take();
        let committed = early.unwrap_or(self.broker.committed).map(|one| {
            let side = early.map_or(self.broker.side, |_| side_of(one.position()));
            let at = one.position() - side_of(one.position()) + side;
            let is_its = at == one.position();
            (at, if is_its { Metadata::Receipt(one) } else { Metadata::Foreign })
        });
        Remote { committed, log: Some((0, 99)), identity: Identity::default() }
    }

    /// Lets the output through that the producer still has.
    pub(super) fn flush(&mut self, i: usize) -> Answer {
        let epoch = self.nodes[i].epoch;
        match self.nodes[i].outbox.take() {
            Some(row) => self.broker.produce(epoch, row),
            None => Answer::Ok,
        }
    }

    fn send(&mut self, i: usize, receipt: Receipt, setup: &Setup) -> Answer {
        let receipt = setup.mutant.receipt(receipt, self.nodes[i].is_heartbeat());
        let goes_back =
            self.broker.committed.is_some_and(|one| one.position() > receipt.position());
        let side = side_of(receipt.position());
        if setup.mutant == Mutant::SideApart {
            self.broker.side = side;
        }
        let is_sent = !matches!(setup.mutant, Mutant::SideApart | Mutant::SideLeftOut);
        let answer = self.broker.send_offset(self.nodes[i].epoch, receipt, is_sent.then_some(side));
        if goes_back && answer == Answer::Ok {
            self.fault = Some("I3 the offset moves back");
        }
        answer
    }

    fn end(&mut self, i: usize, is_commit: bool) -> Option<Event> {
        self.nodes[i].call = Some(is_commit);
        self.request(i, is_commit);
        None
    }

    /// Sends an `EndTxn`; nobody waits for the answers of earlier ones.
    pub(super) fn request(&mut self, i: usize, is_commit: bool) {
        self.forget_answers(i);
        let (node, epoch) = (u8::try_from(i).unwrap_or(0), self.nodes[i].epoch);
        self.network.push(Message::End { node, epoch, is_commit, is_awaited: true });
        self.network.sort_unstable();
    }

    pub(super) fn forget_answers(&mut self, i: usize) {
        for message in &mut self.network {
            if let Message::End { node, is_awaited, .. } = message {
                *is_awaited &= usize::from(*node) != i;
            }
        }
        self.network.sort_unstable();
    }

    /// The request in hand was answered without being carried out.
    pub(super) fn withdraw(&mut self, i: usize) {
        let is_it = |one: &Message| match one {
            Message::End { node, is_awaited, .. } => *is_awaited && usize::from(*node) == i,
            Message::Offset { .. } => false,
        };
        if self.nodes[i].call.take().is_some() {
            self.network.retain(|one| !is_it(one));
        }
    }

    fn stop(&mut self, i: usize, effect: &Effect) -> Option<Event> {
        if let Effect::Halt(_) = effect {
            self.fault = Some("I9 a partition halts");
        }
        self.die(i);
        None
    }

    pub(super) fn die(&mut self, i: usize) {
        self.forget_answers(i);
        self.nodes[i].die();
    }

    /// The state is brought to offset and token, as the changelog or the handler gives it.
    fn catch_up(&mut self, i: usize, to: (i64, u64), setup: &Setup) {
        let from = self.nodes[i].disk.now.state.len;
        let until = self.commits_up_to(to, setup).unwrap_or(from);
        let is_there = self.nodes[i].disk.now.mark.is_some_and(|(next, _)| next == to.0);
        if is_there && until <= from {
            self.fault = Some("I9 a partition halts");
        }
        let missing: Vec<Row> = self.broker.outputs.iter().skip(from.into()).collect();
        let again = self.nodes[i].draw();
        let nonce = if setup.is_deterministic { 0 } else { u16::try_from(again).unwrap_or(0) };
        for row in missing.into_iter().take(until.saturating_sub(from).into()) {
            let row = if setup.has_changelog { row } else { Row { nonce, ..row } };
            if !setup.accepts_gaps {
                self.nodes[i].disk.now.state.push(row);
            }
        }
        self.nodes[i].disk.now.mark = Some(to);
    }

    /// How many commits lead to an offset and a token; without such a token, to the offset.
    fn commits_up_to(&self, (to, token): (i64, u64), setup: &Setup) -> Option<u8> {
        let ends = |n: &u8| setup.script.offset(*n).unwrap_or(0) == to;
        let all = || (0..=self.broker.outputs.len).rev().filter(ends);
        let named = |n: &u8| n.checked_sub(1).map(|n| self.broker.tokens[usize::from(n)]);
        all().find(|n| named(n) == Some(token)).or_else(|| all().next())
    }

    /// The handler takes the next step of the script, as its state says.
    fn work(&mut self, i: usize, at: Option<i64>, setup: &Setup) -> Option<Event> {
        let done = if setup.has_store {
            self.nodes[i].disk.now.state.len
        } else {
            self.broker.outputs.len
        };
        let has_gaps = setup.accepts_gaps;
        let done = if has_gaps { u8::try_from(at.unwrap_or(0)).unwrap_or(0) } else { done };
        if setup.has_store {
            self.check_live(i, at, done, setup);
        }
        let &(from, next) = setup.script.0.get(usize::from(done))?;
        let drawn = self.nodes[i].draw();
        let nonce = if setup.is_deterministic { 0 } else { u16::try_from(drawn).unwrap_or(0) };
        let row = Row { step: done, nonce };
        self.nodes[i].batch = Some(Batch { row, from, next });
        let proposal = Proposal { from, point: Point::plain(next), hash: 0, time_ms: 0 };
        Some(Event::Submitted { proposal, token: self.nodes[i].draw() })
    }

    fn check_live(&mut self, i: usize, at: Option<i64>, done: u8, setup: &Setup) {
        let mark = self.nodes[i].disk.now.mark.map(|(next, _)| next);
        if mark != at || (mark.is_some() && setup.script.offset(done) != at) {
            self.fault = Some("I2 live at an offset that the state is not at");
        } else if done > self.broker.outputs.len {
            self.fault = Some("I2 live ahead of what is committed");
        }
    }

    /// Looks for what must not be, wherever it is.
    pub(super) fn check(&mut self, setup: &Setup) {
        let wrong = self.wrong_output(setup);
        let wrong =
            wrong.or_else(|| self.nodes.iter().find_map(|node| self.wrong_state(node, setup)));
        self.fault = self.fault.or(wrong);
    }

    fn wrong_output(&self, setup: &Setup) -> Option<&'static str> {
        let outputs = &self.broker.outputs;
        for (place, row) in outputs.iter().enumerate() {
            match usize::from(row.step).cmp(&place) {
                std::cmp::Ordering::Less => return Some("I1 an output twice"),
                std::cmp::Ordering::Greater => return Some("I1 an output is lost"),
                std::cmp::Ordering::Equal => {}
            }
        }
        let position = self.broker.committed.map(|receipt| receipt.position());
        let is_torn = position != setup.script.offset(outputs.len);
        is_torn.then_some("I1 offset and outputs do not belong together")
    }

    fn wrong_state(&self, node: &Node, setup: &Setup) -> Option<&'static str> {
        if !setup.has_store {
            return None;
        }
        let state = &node.disk.now.state;
        let mark = node.disk.now.mark.map(|(next, _)| next);
        if mark.is_some() && mark > setup.script.offset(state.len) {
            return Some("I2 a gap in the state");
        }
        if mark < setup.script.offset(state.len) || state.len > setup.script.len() {
            return Some("I2 the state has something twice");
        }
        if state.len > self.broker.outputs.len {
            return Some("I2 the state is ahead of what is committed");
        }
        let differs = state.iter().zip(self.broker.outputs.iter()).any(|(a, b)| a != b);
        differs.then_some("I2 the state is not that of the outputs")
    }
}

/// Can nobody but the node itself tell whether it was done?
fn is_private(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::ReadLocal
            | Effect::Begin
            | Effect::Commit
            | Effect::Abort
            | Effect::Produce
            | Effect::Done { .. }
            | Effect::Forget
            | Effect::Live { .. }
            | Effect::Backoff { .. }
            | Effect::DropProducer
            | Effect::Release
            | Effect::Halt(_)
    )
}
