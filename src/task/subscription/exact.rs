//! The writing side of a task that promises exactly once: batches become commits.
//!
//! # Guarantees
//!
//! * Batches are committed in their order, each whole; those that wait while a commit is made go into the
//!   next one together.
//! * A batch is done when its commit took effect. What cannot be committed stops the partition in front of it.

use super::{job::Outputs, shared::Shared};
use crate::{
    state::Delta,
    task::{
        commit::{Commit, Ended, Output},
        sink::Sink,
    },
};
use std::{sync::Arc, time::Instant};
use tokio::sync::mpsc;

/// Most batches in one commit.
const MOST_BATCHES: usize = 64;

/// A batch that goes into the commit in hand.
struct Batch {
    ticket: u64,
    next: i64,
    began: Instant,
    _place: tokio::sync::OwnedSemaphorePermit,
}

/// Commits what handlers completed, in the order of the batches.
pub(super) async fn commit_outputs(
    task: Arc<Shared>,
    mut sink: Sink,
    mut inbox: mpsc::UnboundedReceiver<Outputs>,
) {
    let mut at = task.exact.as_ref().and_then(|exact| exact.at);
    let mut waiting = Vec::new();
    while inbox.recv_many(&mut waiting, MOST_BATCHES).await > 0 {
        if task.replaying().is_some_and(|replaying| replaying.until().is_some()) {
            replay(&task, &mut sink, &mut waiting).await;
        }
        let began = Instant::now();
        let (batches, commit) = gather(&task, &mut sink, waiting.drain(..), at).await;
        let Some(last) = batches.last() else { continue };
        let next = last.next;
        let committed = if is_nothing(&commit, at) { Ok(()) } else { make(&task, commit).await };
        task.status.metrics.produce.observe(began.elapsed().as_secs_f64());
        match committed {
            Ok(()) => {
                at = Some(next);
                task.status.note_committed(next);
                for batch in batches {
                    task.status.metrics.batch.observe(batch.began.elapsed().as_secs_f64());
                    task.committed(batch.ticket);
                }
            }
            Err(ended) => give_up(&task, &batches, &ended),
        }
    }
}

/// Takes those batches of `waiting` whose records the handler has only seen again, one by one.
async fn replay(task: &Shared, sink: &mut Sink, waiting: &mut Vec<Outputs>) {
    let Some(replaying) = task.replaying() else { return };
    let seen = waiting.iter().take_while(|one| replaying.has(one.next)).count();
    for one in waiting.drain(..seen).collect::<Vec<_>>() {
        let (batches, commit) = gather(task, sink, std::iter::once(one), None).await;
        let Some(batch) = batches.first() else { continue };
        match replaying.take(&commit) {
            Ok(()) => task.committed(batch.ticket),
            Err(halt) => give_up(task, &batches, &Ended::Halted(halt)),
        }
    }
    // Its last records may be gone: what comes behind them ends it.
    if let Some(first) = waiting.first()
        && let Err(halt) = replaying.end(&Delta::default())
    {
        task.halt(first.ticket, &Ended::Halted(halt).to_string());
    }
}

/// Would the commit change nothing?
fn is_nothing(commit: &Commit, at: Option<i64>) -> bool {
    commit.outputs.is_empty() && commit.delta.is_empty() && at == Some(commit.next)
}

/// Encodes batches into one commit, up to the first that cannot be.
async fn gather(
    task: &Shared,
    sink: &mut Sink,
    waiting: impl Iterator<Item = Outputs>,
    at: Option<i64>,
) -> (Vec<Batch>, Commit) {
    let mut batches: Vec<Batch> = Vec::new();
    let mut commit =
        Commit { from: at.unwrap_or(0), time_ms: task.clock.now_ms(), ..Commit::default() };
    for Outputs { batches: rows, letters, delta, ticket, next, began, place } in waiting {
        if task.is_halted(ticket) {
            task.end(None);
            continue;
        }
        // What is only read again was committed.
        if task.is_repeat(next) {
            task.committed(ticket);
            continue;
        }
        match sink.encode(&rows, letters, &task.status).await {
            Ok(outputs) => {
                add(&mut commit, delta, outputs, next);
                batches.push(Batch { ticket, next, began, _place: place });
            }
            Err(error) => {
                task.halt(ticket, &error.to_string());
                task.end(None);
            }
        }
    }
    (batches, commit)
}

fn add(commit: &mut Commit, delta: Delta, outputs: Vec<Output>, next: i64) {
    commit.delta.extend(delta);
    commit.outputs.extend(outputs);
    commit.next = next;
}

async fn make(task: &Shared, mut commit: Commit) -> Result<(), Ended> {
    let Some(exact) = &task.exact else { return Err(Ended::Gone) };
    commit.point = task.point_at(commit.next);
    let (mut records, mut letters) = (0, 0);
    for output in &commit.outputs {
        match output {
            Output::Rows { .. } => records += output.len() as u64,
            Output::Record { .. } => letters += 1,
        }
    }
    exact.ledger.commit(commit).await?;
    task.status.metrics.records_out.inc_by(records);
    task.status.metrics.dead_letters.inc_by(letters);
    Ok(())
}

fn give_up(task: &Shared, batches: &[Batch], ended: &Ended) {
    task.status.end(ended);
    if let (Some(first), false) = (batches.first(), *ended == Ended::Gone) {
        task.halt(first.ticket, &ended.to_string());
    }
    batches.iter().for_each(|_| task.end(None));
}
