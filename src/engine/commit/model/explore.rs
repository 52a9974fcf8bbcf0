//! Breadth first through everything that can happen.

use super::{
    Answer, Effect, Event, Message, Mutant, Script, Setup, Stage, World, broker::side_of,
    world::Budget,
};
use std::collections::{HashSet, VecDeque};

/// What an exploration has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) states: usize,
    /// The first fault of each kind.
    pub(super) faults: Vec<&'static str>,
    /// Everything was committed in some state.
    pub(super) completes: bool,
    /// A state from which nothing leads on, and that is not the end.
    pub(super) stuck: Option<World>,
    /// There was more than the limit allows.
    pub(super) is_cut: bool,
}

/// What stands for a state: of ten million states, two share their hash once in 300,000 explorations.
struct Prints {
    hasher: ahash::RandomState,
    seen: HashSet<u64, ahash::RandomState>,
}

impl Prints {
    fn new() -> Self {
        let hasher = ahash::RandomState::with_seeds(11, 12, 13, 14);
        Self { seen: HashSet::with_hasher(hasher.clone()), hasher }
    }

    fn is_new(&mut self, world: &World) -> bool {
        self.seen.insert(self.hasher.hash_one(world))
    }
}

/// Visits every state that the budget reaches, up to `most` of them. Nothing is looked for behind a fault.
pub(super) fn explore(setup: &Setup, most: usize) -> Seen {
    let mut seen = Seen::default();
    let mut prints = Prints::new();
    let mut queue = VecDeque::from([World::new(setup)]);
    prints.is_new(&queue[0]);
    while let Some(world) = queue.pop_front() {
        seen.states += 1;
        if seen.states >= most {
            seen.is_cut = true;
            break;
        }
        seen.completes |= world.is_complete(setup);
        let mut next = Vec::new();
        successors(&world, setup, &mut next);
        if next.is_empty() && !world.is_complete(setup) {
            seen.stuck.get_or_insert(world);
        }
        for mut world in next {
            world.check(setup);
            match world.fault {
                Some(fault) if !seen.faults.contains(&fault) => seen.faults.push(fault),
                Some(_) => {}
                None if prints.is_new(&world) => queue.push_back(world),
                None => {}
            }
        }
    }
    seen
}

fn successors(world: &World, setup: &Setup, out: &mut Vec<World>) {
    for place in 0..world.network.len() {
        out.push(with(world, |next| deliver(next, place, setup)));
    }
    for i in 0..world.nodes.len() {
        if world.nodes[i].machine.is_some() {
            steps(world, i, setup, out);
            mishaps(world, i, setup, out);
        } else if usize::from(world.owner) == i {
            out.push(with(world, |next| {
                next.nodes[i].boot(setup);
                next.tell(i, Event::Boot, setup);
            }));
        }
        if world.left.disks > 0 && !world.nodes[i].disk.is_empty() {
            out.push(with(world, |next| {
                next.left.disks -= 1;
                next.die(i);
                next.nodes[i].disk = Default::default();
            }));
        }
    }
    if world.is_abandoned() {
        out.push(with(world, |next| {
            next.broker.init();
        }));
    }
    if world.left.moves > 0 {
        out.push(with(world, |next| {
            next.left.moves -= 1;
            next.owner = 1 - next.owner;
        }));
    }
}

fn with(world: &World, change: impl FnOnce(&mut World)) -> World {
    let mut next = world.clone();
    change(&mut next);
    next
}

/// What node `i` does next, as far as it can.
fn steps(world: &World, i: usize, setup: &Setup, out: &mut Vec<World>) {
    let node = &world.nodes[i];
    let effects: Vec<&Effect> = node.queue.iter().map(|op| op.effect()).collect();
    let unstable = setup.mutant != Mutant::ReadUncommittedBeforeInit && world.broker.is_unstable();
    match effects.first() {
        Some(Effect::FetchCommitted) if unstable => {}
        Some(Effect::Flush) => {
            out.push(with(world, |next| next.run(i, 0, setup)));
            if let Some(Effect::Prepare { .. }) = effects.get(1) {
                out.push(with(world, |next| next.run(i, 1, setup)));
            }
        }
        Some(_) => out.push(with(world, |next| next.run(i, 0, setup))),
        None => {}
    }
    if node.outbox.is_some() && effects.first() != Some(&&Effect::Flush) && is_unflushed(setup) {
        out.push(with(world, |next| {
            let _ = next.flush(i);
        }));
    }
    if setup.gives_notice && usize::from(world.owner) != i && !is_leaving(world, i) {
        out.push(with(world, |next| next.tell(i, Event::OwnershipLost, setup)));
    }
    let is_idle = node.machine.as_ref().is_some_and(|machine| machine.stage == Stage::Ready);
    if is_idle && world.left.heartbeats > 0 && effects.is_empty() {
        out.push(with(world, |next| {
            next.left.heartbeats -= 1;
            next.tell(i, Event::IdleHeartbeat, setup);
        }));
    }
}

/// Outputs travel by themselves where nobody waits for them.
fn is_unflushed(setup: &Setup) -> bool {
    setup.mutant == Mutant::NoFlush
}

fn is_leaving(world: &World, i: usize) -> bool {
    world.nodes[i].machine.as_ref().is_some_and(|machine| machine.is_leaving)
}

fn mishaps(world: &World, i: usize, setup: &Setup, out: &mut Vec<World>) {
    if world.left.crashes > 0 {
        out.push(with(world, |next| {
            next.left.crashes -= 1;
            next.die(i);
        }));
    }
    if world.left.outages > 0 {
        out.push(with(world, |next| {
            next.left.outages -= 1;
            next.die(i);
            next.nodes[i].disk.lose_power();
        }));
    }
    if world.left.timeouts > 0 {
        timeouts(world, i, setup, out);
    }
    if world.left.aborts > 0 {
        refusals(world, i, setup, out);
    }
}

/// The ways in which an answer that does not come is met.
fn timeouts(world: &World, i: usize, setup: &Setup, out: &mut Vec<World>) {
    let spent = |change: &dyn Fn(&mut World)| {
        with(world, |next| {
            next.left.timeouts -= 1;
            change(next);
        })
    };
    if let Some(is_commit) = world.nodes[i].call {
        let ended = if is_commit { Event::Committed } else { Event::Aborted };
        out.push(spent(&|next| {
            next.request(i, is_commit);
            next.tell(i, Event::Suspicious, setup);
        }));
        for answer in [Answer::Retriable, Answer::Unknown] {
            out.push(spent(&|next| {
                next.forget_answers(i);
                next.nodes[i].call = None;
                next.tell(i, ended(answer), setup);
            }));
        }
    }
    let front = world.nodes[i].queue.front().map(|op| op.effect());
    if let Some(Effect::SendOffsets(receipt)) = front {
        let (epoch, at) = (world.nodes[i].epoch, receipt.position());
        out.push(spent(&|next| {
            next.network.push(Message::Offset { epoch, at, token: receipt.token });
            next.network.sort_unstable();
            next.nodes[i].queue.pop_front();
            next.tell(i, Event::OffsetsSent(Answer::Retriable), setup);
        }));
    }
}

/// The broker can refuse outputs, offsets and, before it decides, the commit.
fn refusals(world: &World, i: usize, setup: &Setup, out: &mut Vec<World>) {
    let front = world.nodes[i].queue.front().map(|op| op.effect());
    let event = match front {
        Some(Effect::Flush) => Event::Flushed(Answer::Abortable),
        Some(Effect::SendOffsets(_)) => Event::OffsetsSent(Answer::Abortable),
        _ if world.nodes[i].call == Some(true) => Event::Committed(Answer::Abortable),
        _ => return,
    };
    out.push(with(world, |next| {
        next.left.aborts -= 1;
        next.flush(i);
        next.nodes[i].queue.pop_front();
        next.withdraw(i);
        next.tell(i, event, setup);
    }));
}

/// A request reaches the coordinator; its answer reaches whoever still waits for it.
fn deliver(world: &mut World, place: usize, setup: &Setup) {
    match world.network.remove(place) {
        Message::End { node, epoch, is_commit, is_awaited } => {
            let answer = world.broker.end(epoch, is_commit);
            let i = usize::from(node);
            if is_awaited && world.nodes[i].call.take().is_some() {
                let ended = if is_commit { Event::Committed } else { Event::Aborted };
                world.tell(i, ended(answer), setup);
            }
        }
        Message::Offset { epoch, at, token } => {
            let receipt = crate::engine::receipt::Receipt::plain(at, token);
            let _ = world.broker.send_offset(epoch, receipt, Some(side_of(at)));
        }
    }
}

impl Setup {
    /// The protocol as it is, for any handler, with state and without a changelog.
    pub(super) fn plain(script: Script, budget: Budget) -> Self {
        Self {
            script,
            budget,
            mutant: Mutant::None,
            has_store: true,
            has_changelog: false,
            accepts_gaps: false,
            is_deterministic: false,
            gives_notice: false,
        }
    }
}

/// The shortest history that leads to `fault`, or to where nothing leads on: what each node is about to
/// do, what is on its way.
pub(super) fn history(setup: &Setup, fault: Option<&str>) -> Vec<String> {
    let mut prints = Prints::new();
    let mut worlds = vec![(World::new(setup), 0)];
    let mut at = 0;
    while at < worlds.len() {
        let mut next = Vec::new();
        successors(&worlds[at].0, setup, &mut next);
        if fault.is_none() && next.is_empty() && !worlds[at].0.is_complete(setup) {
            worlds.truncate(at + 1);
            return back(&worlds);
        }
        for mut world in next {
            world.check(setup);
            if fault.is_some() && world.fault == fault {
                worlds.push((world, at));
                return back(&worlds);
            }
            if world.fault.is_none() && prints.is_new(&world) {
                worlds.push((world, at));
            }
        }
        at += 1;
    }
    Vec::new()
}

fn back(worlds: &[(World, usize)]) -> Vec<String> {
    let mut at = worlds.len() - 1;
    let mut lines = Vec::new();
    while at > 0 {
        let (world, before) = &worlds[at];
        let node = |i: usize| {
            let node = &world.nodes[i];
            let stage = node.machine.as_ref().map(|machine| &machine.stage);
            format!("{stage:?} epoch {} call {:?} {:?}", node.epoch, node.call, node.disk.now.mark)
        };
        lines.push(format!(
            "0: {} | 1: {} | on the way {:?} | {:?} {:?} | left {:?}",
            node(0),
            node(1),
            world.network,
            world.broker.tokens,
            world.broker,
            world.left
        ));
        at = *before;
    }
    lines.reverse();
    lines
}
