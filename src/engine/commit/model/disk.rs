//! What a node has on its disk.

use super::{Mutant, Row, Rows, Setup};
use crate::{
    engine::reconcile::{Local, Undecided},
    state::Mark,
};

/// A commit that is not decided, with its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    pub(super) from: i64,
    pub(super) next: i64,
    pub(super) token: u64,
    pub(super) row: Row,
}

/// Content, mark and pending commit, as the contract of stores has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Content {
    pub(super) state: Rows,
    pub(super) mark: Option<(i64, u64)>,
    pub(super) pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Disk {
    pub(super) now: Content,
    /// What a loss of power leaves.
    pub(super) synced: Content,
}

impl Disk {
    pub(super) fn prepare(&mut self, pending: Pending, is_synced: bool) {
        self.now.pending = Some(pending);
        if is_synced {
            self.synced = self.now;
        }
    }

    pub(super) fn apply(&mut self, setup: &Setup) {
        let Some(Pending { from, next, token, row }) = self.now.pending else {
            return;
        };
        let is_there = self.now.mark.is_none_or(|(at, _)| at == from);
        let is_blind = setup.mutant == Mutant::ApplyBlindly;
        if is_there || is_blind {
            self.now.state.push(row);
            self.now.mark = Some((next, token));
        }
        if !is_blind {
            self.now.pending = None;
        }
    }

    pub(super) fn discard(&mut self) {
        self.now.pending = None;
    }

    pub(super) fn lose_power(&mut self) {
        self.now = self.synced;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now == Content::default()
    }

    pub(super) fn read(&self) -> Local {
        let mark = self.now.mark.map(|(next, token)| Mark { next, token, hash: 0, log: -1 });
        let pending = self.now.pending.map(|Pending { from, next, token, .. }| Undecided {
            from,
            next,
            token,
        });
        Local { mark, pending, identity: None }
    }
}
