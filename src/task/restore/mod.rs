//! Brings the state of a task back from where it was written: commits of a subscription, keys of a table.
//!
//! # Guarantees
//!
//! * A commit changes the state only if the state is where the commit begins: nothing is applied twice, and
//!   where one is missing that is known ([`Tail::missed`]).
//! * Reading ends at the end that the log had when reading began; see [`crate::kafka::log_reader`].
//! * What was restored is in the store together with its mark. A table that was restored in part has no mark.
//!
//! # Not here
//!
//! Which of store, snapshot and log comes first, and what is done about a gap: see `worker::opening`.

mod catch_up;
mod deltas;
mod keys;
mod ladder;
mod progress;
mod tables;

pub use catch_up::{GapPolicy, Recover, Replay};
pub use deltas::{Tail, deltas};
pub use keys::{Table, Tables, Written, are_overtaken, keys};
pub use ladder::{Goal, Log, Snapshots, Sources, bring_back};
pub use progress::{Progress, Seen};
pub use tables::known_places;

use crate::{
    error::{Error, Result},
    kafka::log_reader::{LogReader, Logs, Read},
    kafka::messages::Messages,
    state::Store,
    types::TopicPartition,
};
use std::time::Duration;

/// Longest wait for records before the task is asked whether it is still wanted.
const WAIT: Duration = Duration::from_millis(100);
/// Records taken at once.
const MOST_RECORDS: usize = 4096;
/// Bytes that go to the store together.
const MOST_BYTES: usize = 4 << 20;

/// What every restore needs.
pub struct Restore<'a> {
    /// Where the logs are.
    pub logs: &'a Logs,
    /// Where the state goes.
    pub store: &'a dyn Store,
    /// Who is told how far it is.
    pub progress: &'a Progress,
    /// Is the state still wanted?
    pub is_wanted: &'a dyn Fn() -> bool,
}

impl Restore<'_> {
    /// Calls `each` with what `tp` has from offset `from` to its end, and whether something in front of it is
    /// gone; the position at the end.
    fn read(
        &self,
        tp: &TopicPartition,
        from: i64,
        each: &mut dyn FnMut(Part<'_>) -> Result<()>,
    ) -> Result<i64> {
        let mut reader = self.logs.read(tp, from)?;
        self.progress.begin(tp, reader.position(), reader.end());
        loop {
            if !(self.is_wanted)() {
                return Err(Error::Stopped);
            }
            match self.next(&mut reader)? {
                Read::Records(records) => {
                    each(Part::Records(&records))?;
                    self.progress.note(&records, reader.position());
                }
                Read::Truncated(from, to) => each(Part::Truncated(from, to))?,
                Read::Nothing => self.progress.wait(),
                Read::End => {
                    self.progress.reach(reader.position());
                    return Ok(reader.position());
                }
            }
        }
    }

    fn next(&self, reader: &mut LogReader) -> Result<Read> {
        reader.read(MOST_RECORDS, WAIT)
    }
}

/// What a log gave.
enum Part<'a> {
    Records(&'a Messages),
    Truncated(i64, i64),
}
