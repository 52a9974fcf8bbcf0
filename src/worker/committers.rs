//! How the cuts of agents are made durable.
//!
//! * At least once: what agents sent is acknowledged, then the changelogs have what changed, then the store
//!   has it together with the offset. The group's offset follows when its time comes; a restart reads from
//!   the offset in the store.
//! * Exactly once: all of that, and the group's offset, in one transaction.

use super::{
    cuts::{Committer, Committing, Failed, Stopped},
    epochs::Epochs,
};
use crate::{
    clock::Clock,
    config::TableConfig,
    error::{Act, Error, Result},
    failpoints::failpoint,
    kafka::{answer::Answer, flight::Flight, producer::Producer},
    state::{Delta, Mark, Store},
    task::{
        changelog::{Changelog, LogRecord, Noting, Written},
        commit::{Commit, CommitLog, Ledger, Logged, Output},
        cut::Sealed,
        tables::space,
    },
    types::TopicPartition,
    worker::positions::InputSpace,
};
use std::{sync::Arc, time::Duration};

/// Longest wait for one step of a commit before it is told of and tried again.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// How often room for a record is looked for.
const FULL_POLL: Duration = Duration::from_millis(5);

/// What writes the changelogs of `tables` for the task of `tp`; how far they are in its store is noted by `noting`.
pub(super) fn changelog(
    tables: &[TableConfig],
    tp: &TopicPartition,
    noting: &Arc<Noting>,
) -> Changelog {
    let topics = tables.iter().enumerate();
    let topics = topics.map(|(index, table)| (space(index), Arc::from(table.changelog.as_str())));
    Changelog::keys(topics.collect(), Arc::clone(&tp.topic), tp.partition)
        .with_inputs(InputSpace::space(tables.len()))
        .noting(Arc::clone(noting))
}

/// The same, for a transaction.
pub(super) fn log_records(
    tables: &[TableConfig],
    tp: &TopicPartition,
    noting: &Arc<Noting>,
) -> Option<Box<dyn CommitLog>> {
    (!tables.is_empty()).then(|| Box::new(changelog(tables, tp, noting)) as _)
}

/// See the module.
pub(super) struct AtLeastOnce {
    pub(super) store: Arc<dyn Store>,
    pub(super) changelog: Changelog,
    pub(super) inputs: InputSpace,
    pub(super) epochs: Arc<Epochs>,
    pub(super) producer: Arc<Producer>,
}

impl Committer for AtLeastOnce {
    fn commit<'a>(&'a self, cut: &'a Sealed) -> Committing<'a> {
        Box::pin(async move {
            let mut delta = self.inputs.with_positions(cut);
            let hash = self.changelog.owner();
            let mark = Mark { next: cut.next, token: 0, hash, log: -1 };
            self.settle().await?;
            failpoint!("tables::sent");
            let written = self.write_changelog(&delta, cut.from, &mark).await?;
            failpoint!("tables::logged");
            if let Some((space, writes)) = self.changelog.note(&written) {
                delta.push(space, writes);
            }
            let store = Arc::clone(&self.store);
            blocking(move || store.commit(&delta, mark)).await?;
            failpoint!("tables::stored");
            Ok(())
        })
    }
}

impl AtLeastOnce {
    async fn settle(&self) -> Result<()> {
        let epochs = Arc::clone(&self.epochs);
        blocking(move || epochs.settle(STEP_LIMIT)).await
    }

    /// Done when the records are acknowledged; where they are.
    async fn write_changelog(&self, delta: &Delta, from: i64, mark: &Mark) -> Result<Vec<Written>> {
        let records = self.changelog.records(delta, from, mark)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (landed, landing) = tokio::sync::oneshot::channel();
        let flight = Flight::new(move |result| {
            // Nobody listens any more once the partition is gone.
            let _ = landed.send(result);
        });
        let sent = self.send(records, &flight).await;
        flight.seal();
        let landed = landing.await.map_err(|_| Error::Stopped)?;
        let logged = sent?;
        landed.map(|()| logged.written())
    }

    async fn send(&self, records: Vec<LogRecord>, flight: &Arc<Flight>) -> Result<Logged> {
        let mut logged = Logged::default();
        for record in records {
            let topic = Arc::clone(&record.topic);
            let record = Output::from(record);
            let answer = Arc::new(Answer::default());
            self.producer.reserve().await;
            while let Err(error) = record.send(&self.producer, flight, Some(Arc::clone(&answer))) {
                // The client library counts more than we do.
                if error.act() != Act::Retry {
                    return Err(error);
                }
                tokio::time::sleep(FULL_POLL).await;
            }
            logged.add(&topic, answer);
        }
        Ok(logged)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Stopped))
}

/// See the module.
pub(super) struct ExactlyOnce {
    pub(super) ledger: Arc<Ledger>,
    pub(super) inputs: InputSpace,
    pub(super) clock: Clock,
}

impl Committer for ExactlyOnce {
    fn commit<'a>(&'a self, cut: &'a Sealed) -> Committing<'a> {
        let commit = Commit {
            from: cut.from,
            next: cut.next,
            inputs: self.inputs.each(cut),
            delta: self.inputs.with_positions(cut),
            outputs: std::mem::take(&mut *cut.sent.lock()).into(),
            point: None,
            time_ms: self.clock.now_ms(),
        };
        Box::pin(async move {
            self.ledger.commit(commit).await.map_err(|ended| Failed::Stopped(Stopped::Exact(ended)))
        })
    }

    fn close(&self, in_order: bool) {
        if in_order {
            self.ledger.close(STEP_LIMIT);
        } else {
            self.ledger.abandon();
        }
    }
}
