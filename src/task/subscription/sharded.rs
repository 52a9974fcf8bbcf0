//! The operators of one window: one, or one a shard, each with the rows of its own keys.
//!
//! # Guarantees
//!
//! * What comes out does not depend on the number of shards, apart from the order of the results: every
//!   group of a window is in one shard, because its key has the column that rows are divided by.
//! * Shards run at the same time where there are enough rows to pay for their threads.

use crate::{
    engine::shard::shard,
    error::{Error, Result},
    state::{Store, Writes},
    window::{
        operator::{Cause, Operator, Out},
        spec::WindowSpec,
    },
};
use arrow::array::RecordBatch;

/// Below it a thread costs more than it brings.
const PARALLEL_ROWS: usize = 4_096;

/// How rows are divided inside a partition.
#[derive(Clone, Debug)]
pub struct Shards {
    /// Column whose value chooses the shard.
    pub column: String,
    /// How many there are.
    pub count: usize,
}

/// See the module.
pub(super) struct Operators {
    all: Vec<Operator>,
    column: Option<String>,
}

impl Operators {
    /// Operators without rows. A persistent window has one, so that its state does not depend on the
    /// number of shards.
    pub(super) fn new(spec: &WindowSpec, shards: Option<&Shards>) -> Result<Self> {
        let count = shards.map_or(1, |shards| shards.count.max(1));
        let count = if spec.persistent { 1 } else { count };
        let max_open = spec.max_open.map(|most| most.div_ceil(count));
        let spec = WindowSpec { max_open, ..spec.clone() };
        let one = || -> Result<Operator> {
            let operator = Operator::new(&spec)?;
            Ok(if spec.idle_close { operator.closing_idle() } else { operator })
        };
        let all = (0..count).map(|_| one()).collect::<Result<_>>()?;
        Ok(Self { all, column: shards.map(|shards| shards.column.clone()) })
    }

    /// Takes rows in; what came out, in the order of the shards.
    pub(super) fn update(&mut self, feeds: &[&RecordBatch]) -> Result<Vec<Out>> {
        let mut parts: Vec<Vec<RecordBatch>> = vec![Vec::new(); self.all.len()];
        let mut count = 0;
        for rows in feeds {
            count += rows.num_rows();
            match &self.column {
                None => parts[0].push((*rows).clone()),
                Some(column) => {
                    let divided = shard(rows, column, parts.len())?;
                    parts.iter_mut().zip(divided).for_each(|(part, rows)| part.extend(rows));
                }
            }
        }
        let takes = |operator: &mut Operator, rows: &[RecordBatch]| -> Result<Vec<Out>> {
            rows.iter().map(|rows| operator.update(rows)).collect()
        };
        let works = self.all.iter_mut().zip(&parts);
        let outs: Vec<Result<Vec<Out>>> = if count < PARALLEL_ROWS || self.column.is_none() {
            works.map(|(operator, rows)| takes(operator, rows)).collect()
        } else {
            std::thread::scope(|scope| {
                let running: Vec<_> = works
                    .map(|(operator, rows)| scope.spawn(move || takes(operator, rows)))
                    .collect();
                running
                    .into_iter()
                    .map(|one| one.join().unwrap_or_else(|_| Err(broken())))
                    .collect()
            })
        };
        Ok(outs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Moves the watermark of all.
    pub(super) fn advance(&mut self, watermark_ms: i64, cause: Cause) -> Result<Vec<Out>> {
        self.all.iter_mut().map(|operator| operator.advance(watermark_ms, cause)).collect()
    }

    pub(super) fn changes(&mut self, writes: &mut Writes) -> Result<()> {
        self.all.iter_mut().try_for_each(|operator| operator.changes(writes))
    }

    pub(super) fn restore(&mut self, store: &dyn Store) -> Result<()> {
        self.all.iter_mut().try_for_each(|operator| operator.restore(store))
    }

    /// The earliest time that an open window needs rows from.
    pub(super) fn held_since(&mut self) -> Option<i64> {
        self.all.iter_mut().filter_map(|one| one.held_since()).min()
    }

    pub(super) fn open_windows(&self) -> usize {
        self.all.iter().map(Operator::open_windows).sum()
    }

    pub(super) fn late_rows(&self) -> u64 {
        self.all.iter().map(Operator::late_rows).sum()
    }
}

fn broken() -> Error {
    Error::Compute("a window panicked; restart the worker to read on".into())
}

#[cfg(test)]
#[path = "sharded/tests.rs"]
mod tests;
