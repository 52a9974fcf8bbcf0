//! The broker: one transactional id, one output partition, one group.
//!
//! The task has two inputs. Commits move them by turns, and what the machine calls the offset is the sum of
//! both: see [`crate::engine::inputs`].

use super::{Answer, Row, Rows};
use crate::engine::receipt::Receipt;

/// A request on its way, whose answer nobody waits for any more unless it is `awaited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Message {
    /// `EndTxn`.
    End { node: u8, epoch: u8, is_commit: bool, is_awaited: bool },
    /// `TxnOffsetCommit` that was repeated meanwhile.
    Offset { epoch: u8, at: i64, token: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Transaction {
    outputs: Rows,
    offset: Option<Receipt>,
    /// Offset of the second input.
    side: Option<i64>,
}

/// The share that the second input has of a position.
pub(super) fn side_of(position: i64) -> i64 {
    position / 2
}

/// How the last transaction of the current epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
enum Ended {
    #[default]
    Never,
    Committed,
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Broker {
    pub(super) epoch: u8,
    pub(super) outputs: Rows,
    /// Tokens of the commits that the outputs came with.
    pub(super) tokens: [u64; 5],
    pub(super) committed: Option<Receipt>,
    /// What is committed of the second input.
    pub(super) side: i64,
    open: Option<Transaction>,
    ended: Ended,
}

impl Broker {
    /// Fences older producers and aborts what they left open.
    pub(super) fn init(&mut self) -> u8 {
        self.epoch += 1;
        self.open = None;
        self.ended = Ended::Never;
        self.epoch
    }

    /// True while the committed offset may still change by itself.
    pub(super) fn is_unstable(&self) -> bool {
        self.open.is_some_and(|open| open.offset.is_some())
    }

    pub(super) fn produce(&mut self, epoch: u8, row: Row) -> Answer {
        self.in_transaction(epoch, |open| open.outputs.push(row))
    }

    pub(super) fn send_offset(&mut self, epoch: u8, receipt: Receipt, side: Option<i64>) -> Answer {
        self.in_transaction(epoch, |open| {
            open.offset = Some(receipt);
            open.side = side;
        })
    }

    fn in_transaction(&mut self, epoch: u8, change: impl FnOnce(&mut Transaction)) -> Answer {
        if epoch != self.epoch {
            return Answer::Fenced;
        }
        change(self.open.get_or_insert_default());
        Answer::Ok
    }

    /// Decides whatever is open, as a coordinator of version 1 does.
    pub(super) fn end(&mut self, epoch: u8, is_commit: bool) -> Answer {
        if epoch != self.epoch {
            return Answer::Fenced;
        }
        let Some(open) = self.open.take() else {
            return self.repeated(is_commit);
        };
        self.ended = if is_commit { Ended::Committed } else { Ended::Aborted };
        if is_commit {
            let token = open.offset.map_or(0, |receipt| receipt.token);
            open.outputs.iter().for_each(|row| {
                if let Some(free) = self.tokens.get_mut(usize::from(self.outputs.len)) {
                    *free = token;
                }
                self.outputs.push(row);
            });
            self.committed = open.offset.or(self.committed);
            self.side = open.side.unwrap_or(self.side);
        }
        Answer::Ok
    }

    fn repeated(&self, is_commit: bool) -> Answer {
        match (self.ended, is_commit) {
            (Ended::Committed, true) | (Ended::Aborted | Ended::Never, false) => Answer::Ok,
            _ => Answer::Unknown,
        }
    }
}
