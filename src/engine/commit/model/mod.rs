//! Every history of two nodes that run the product's [`Machine`], within a budget of mishaps.
//!
//! One partition, of two inputs, is worked off by two nodes; who owns it moves. The broker has the rules of
//! transactions as librdkafka meets them: a commit may arrive late, after its answer was given up, and
//! decides whatever transaction of its epoch is then open. A crash loses memory, a loss of power also
//! what was not synced, a lost disk everything. Each step is one thing that the outside can see; what
//! only a node itself could see happens together with it.
//!
//! What is checked in every state, see [`World::fault`]: outputs once and in order (I1), a state that is
//! that of a prefix of the outputs (I2), an offset that moves with the outputs and never back (I3), no
//! node that takes a partition back without asking (I4), changes that take effect together (I5),
//! nobody who halts or waits for ever (I9).
//!
//! Not in it: several partitions, a coordinator that loses its log, snapshots, the bytes themselves.

mod broker;
mod disk;
mod explore;
mod mutant;
mod node;
mod random;
mod tests;
mod world;

pub(super) use super::{Answer, Effect, Event, Machine, Options, Proposal, Stage};
use broker::{Broker, Message};
use disk::Disk;
use mutant::Mutant;
use node::Node;
use world::{Setup, World};

/// What one commit puts out and into the state: which step of the script, by which run of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Row {
    step: u8,
    nonce: u16,
}

/// Rows in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Rows {
    len: u8,
    rows: [Option<Row>; 5],
}

impl Rows {
    fn push(&mut self, row: Row) {
        if let Some(free) = self.rows.get_mut(usize::from(self.len)) {
            *free = Some(row);
        }
        self.len += 1;
    }

    fn iter(&self) -> impl Iterator<Item = Row> {
        self.rows.into_iter().flatten()
    }
}

/// The commits of the whole run: offsets that each one begins and ends at. The second of the long script
/// reads nothing, as that of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Script(&'static [(i64, i64)]);

impl Script {
    const TWO: Self = Self(&[(0, 1), (1, 2)]);
    const THREE: Self = Self(&[(0, 1), (1, 2), (2, 3)]);
    const TIMER: Self = Self(&[(0, 1), (1, 1), (1, 2)]);

    /// Offset behind so many commits; more than there are is nowhere.
    fn offset(self, commits: u8) -> Option<i64> {
        let last = usize::from(commits).checked_sub(1)?;
        Some(self.0.get(last).map_or(i64::MAX, |(_, next)| *next))
    }

    fn len(self) -> u8 {
        u8::try_from(self.0.len()).expect("a short script")
    }
}
