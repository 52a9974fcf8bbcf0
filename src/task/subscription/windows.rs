//! The windows of one partition: who feeds them, what closes them, what is kept of them.

use super::sharded::{Operators, Shards};
use crate::{
    engine::horizon::Needed,
    error::{Error, Result},
    metrics::WindowMetrics,
    state::{Delta, Space, Store, Writes},
    window::{
        operator::Cause,
        spec::{OnLate, WindowSpec},
    },
};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Key under which the store has the watermark that the windows have reached.
const WATERMARK_KEY: &[u8] = b"\x00line/watermark";

/// Rows for the window of this index, in the order of the declaration.
pub type Feed = (usize, RecordBatch);

/// What a step of the windows gave.
#[derive(Debug, Default)]
pub struct Step {
    /// Results, each with the name of its window.
    pub results: Vec<(Arc<str>, RecordBatch)>,
    /// Late rows that are to be handed out.
    pub late: Vec<RecordBatch>,
    /// What changed, where each batch is committed.
    pub delta: Delta,
}

struct One {
    name: Arc<str>,
    operators: Operators,
    routes_late: bool,
    is_resumable: bool,
    late_before: u64,
    metrics: WindowMetrics,
}

/// The windows of one partition, in the order of their declaration.
pub struct Windows {
    all: Vec<One>,
    watermark: Option<i64>,
    /// Largest batch of results.
    most_rows: usize,
}

impl Windows {
    /// Windows without rows, divided into `shards`; `metrics` gives those of a window by its name.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a declaration contradicts itself.
    pub fn new(
        specs: &[WindowSpec],
        shards: Option<&Shards>,
        most_rows: usize,
        metrics: &dyn Fn(&str) -> WindowMetrics,
    ) -> Result<Self> {
        let one = |spec: &WindowSpec| {
            Ok(One {
                name: spec.name.as_str().into(),
                operators: Operators::new(spec, shards)?,
                routes_late: spec.on_late == OnLate::Route,
                is_resumable: spec.is_resumable(),
                late_before: 0,
                metrics: metrics(&spec.name),
            })
        };
        Ok(Self { all: specs.iter().map(one).collect::<Result<_>>()?, watermark: None, most_rows })
    }

    /// Goes on from what is in `store`; the watermark that was reached.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or was written under another declaration.
    pub fn restore(&mut self, store: &dyn Store) -> Result<Option<i64>> {
        for one in &mut self.all {
            one.operators.restore(store)?;
            one.show();
        }
        if let Some(bytes) = store.get(Space::WINDOWS, WATERMARK_KEY)? {
            let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| {
                Error::Config(
                    "the store has a watermark of another version; remove state_dir".into(),
                )
            })?;
            self.watermark = Some(i64::from_le_bytes(bytes));
        }
        Ok(self.watermark)
    }

    /// Takes rows in, then moves to `watermark`.
    ///
    /// # Errors
    ///
    /// What an operator returns, with the window's name.
    pub fn step(&mut self, feeds: &[Feed], watermark: Option<i64>, cause: Cause) -> Result<Step> {
        let mut step = Step::default();
        for (index, one) in self.all.iter_mut().enumerate() {
            let feeds = feeds.iter().filter(|(at, rows)| *at == index && rows.num_rows() > 0);
            let feeds: Vec<_> = feeds.map(|(_, rows)| rows).collect();
            let mut outs = one.operators.update(&feeds).map_err(|e| one.named(&e))?;
            if let Some(watermark) = watermark {
                outs.extend(one.operators.advance(watermark, cause).map_err(|e| one.named(&e))?);
            }
            outs.into_iter().for_each(|out| one.keep(out, self.most_rows, &mut step));
            one.show();
        }
        self.watermark = self.watermark.max(watermark);
        Ok(step)
    }

    /// True if a restart can make some of them again by reading rows once more.
    #[must_use]
    pub fn are_resumable(&self) -> bool {
        self.all.iter().any(|one| one.is_resumable)
    }

    /// What those hold that a restart can make again.
    pub fn needed(&mut self) -> Needed {
        let resumable = self.all.iter_mut().filter(|one| one.is_resumable);
        let since = resumable.filter_map(|one| one.operators.held_since()).min();
        since.map_or(Needed::Nothing, Needed::Since)
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.all.iter().map(|one| one.name.to_string()).collect()
    }

    /// Windows that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.all.iter().map(|one| one.operators.open_windows()).sum()
    }

    /// What has changed since the last call.
    ///
    /// # Errors
    ///
    /// If a content has no form in bytes.
    pub fn changes(&mut self) -> Result<Writes> {
        let mut writes = Writes::default();
        for one in &mut self.all {
            one.operators.changes(&mut writes).map_err(|e| one.named(&e))?;
        }
        if let Some(watermark) = self.watermark {
            writes.0.push((WATERMARK_KEY.to_vec(), Some(watermark.to_le_bytes().to_vec())));
        }
        Ok(writes)
    }
}

impl One {
    fn named(&self, error: &Error) -> Error {
        Error::Config(format!("window {}: {error}", self.name))
    }

    fn keep(&self, out: crate::window::operator::Out, most_rows: usize, step: &mut Step) {
        for batch in out.results {
            for start in (0..batch.num_rows()).step_by(most_rows) {
                let rows = most_rows.min(batch.num_rows() - start);
                step.results.push((Arc::clone(&self.name), batch.slice(start, rows)));
            }
        }
        step.late.extend(out.late.filter(|late| late.num_rows() > 0));
    }

    fn show(&mut self) {
        let late = self.operators.late_rows();
        let metric =
            if self.routes_late { &self.metrics.late_routed } else { &self.metrics.late_dropped };
        metric.inc_by(late - self.late_before);
        self.late_before = late;
        self.metrics.open.set(i64::try_from(self.operators.open_windows()).unwrap_or(i64::MAX));
    }
}
