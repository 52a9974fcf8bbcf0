//! The writing side of a task that promises exactly once: batches become commits.
//!
//! # Guarantees
//!
//! * Batches are committed in their order, each whole; those that become ready while a commit is made go into
//!   the next one together.
//! * A batch is done when its commit took effect. What cannot be committed stops the partition in front of it.

use super::{encoding::Ready, shared::Shared};
use crate::{
    engine::halt::{Halt, Reason},
    state::Delta,
    task::commit::{Commit, Ended, Output},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout_at,
};

/// Most bytes in one commit of several batches: outputs of keys go to several partitions, of which each takes a
/// megabyte in one request. The client library sends the next one when that is confirmed, and its thread spins
/// meanwhile.
const MOST_BYTES: usize = 3_000_000;
/// With so much ready when a commit ends, batches come faster than commits: the next one rests for more of them.
/// Less is committed at once, because somebody may wait for it.
const FLOW_BYTES: usize = 1 << 18;
/// Longest such rest; shorter where commits are quicker.
const MOST_REST: Duration = Duration::from_millis(50);

/// A batch that goes into the commit in hand.
struct Batch {
    ticket: u64,
    next: i64,
    began: Instant,
    handled: Instant,
    _room: OwnedSemaphorePermit,
}

/// Commits what is ready, in the order of the batches.
pub(super) async fn commit_outputs(task: Arc<Shared>, mut inbox: mpsc::UnboundedReceiver<Ready>) {
    let mut at = task.exact.as_ref().and_then(|exact| exact.at);
    let (mut waiting, mut rested) = (Vec::new(), Instant::now());
    while fill(&mut waiting, &mut inbox).await {
        rest(&mut waiting, &mut inbox, rested).await;
        if task.replaying().is_some_and(|replaying| replaying.until().is_some()) {
            replay(&task, &mut waiting);
        }
        let count = share(waiting.iter().map(|one| one.bytes)).min(waiting.len());
        let (batches, commit) = gather(&task, waiting.drain(..count), at);
        let Some(last) = batches.last() else { continue };
        let next = last.next;
        let began = Instant::now();
        let committed = if is_nothing(&commit, at) { Ok(()) } else { make(&task, commit).await };
        rested = Instant::now() + began.elapsed().min(MOST_REST);
        match committed {
            Ok(()) => {
                at = Some(next);
                if let Some(inputs) = &task.inputs {
                    inputs.forget(next);
                }
                task.status.note_committed(next);
                batches.into_iter().for_each(|batch| done(&task, &batch));
            }
            Err(ended) => give_up(&task, &batches, &ended),
        }
    }
}

/// Adds what is ready to `waiting`, and waits until there is something; false at the end.
async fn fill(waiting: &mut Vec<Ready>, inbox: &mut mpsc::UnboundedReceiver<Ready>) -> bool {
    if waiting.is_empty() {
        waiting.extend(inbox.recv().await);
    }
    while let Ok(one) = inbox.try_recv() {
        waiting.push(one);
    }
    !waiting.is_empty()
}

/// Gives a commit more to do where it can expect more, until the partition has rested for as long as the commit before
/// took: commits then take half of the time at most, and more records share what each of them costs here and at the
/// broker.
async fn rest(
    waiting: &mut Vec<Ready>,
    inbox: &mut mpsc::UnboundedReceiver<Ready>,
    rested: Instant,
) {
    let mut bytes: usize = waiting.iter().map(|one| one.bytes).sum();
    while (FLOW_BYTES..MOST_BYTES).contains(&bytes) {
        let Ok(Some(one)) = timeout_at(rested.into(), inbox.recv()).await else { return };
        bytes += one.bytes;
        waiting.push(one);
    }
}

/// How many batches, of so many bytes each, go into the next commit.
fn share(batches: impl Iterator<Item = usize>) -> usize {
    let mut total = 0_usize;
    let fits = |&bytes: &usize| {
        total = total.saturating_add(bytes);
        total <= MOST_BYTES
    };
    batches.take_while(fits).count().max(1)
}

/// Takes those batches of `waiting` whose records the handler has only seen again, one by one.
fn replay(task: &Shared, waiting: &mut Vec<Ready>) {
    let Some(replaying) = task.replaying() else { return };
    let seen = waiting.iter().take_while(|one| replaying.has(one.next)).count();
    for one in waiting.drain(..seen).collect::<Vec<_>>() {
        let (batches, commit) = gather(task, std::iter::once(one), None);
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

/// Puts batches into one commit, up to the first that must not take effect.
fn gather(
    task: &Shared,
    waiting: impl Iterator<Item = Ready>,
    at: Option<i64>,
) -> (Vec<Batch>, Commit) {
    let mut batches: Vec<Batch> = Vec::new();
    let mut commit = Commit { from: at.unwrap_or(0), ..Commit::default() };
    for Ready { outbox, delta, ticket, next, began, handled, time_ms, room, .. } in waiting {
        if task.is_halted(ticket) {
            task.end(None);
            continue;
        }
        commit.delta.extend(delta);
        commit.outputs.append(outbox);
        (commit.next, commit.time_ms) = (next, time_ms);
        batches.push(Batch { ticket, next, began, handled, _room: room });
    }
    (batches, commit)
}

async fn make(task: &Shared, mut commit: Commit) -> Result<(), Ended> {
    let Some(exact) = &task.exact else { return Err(Ended::Gone) };
    commit.point = task.point_at(commit.next);
    if let Some(inputs) = &task.inputs {
        let unknown =
            || Halt::of(Reason::StoreFailed).because("the offsets of a commit are unknown");
        commit.inputs = inputs.of(commit.next).ok_or_else(|| Ended::Halted(unknown()))?;
    }
    commit.delta.keep_last();
    let (mut records, mut letters) = (0, 0);
    for output in &*commit.outputs {
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

/// The commit that `batch` was part of took effect.
fn done(task: &Shared, batch: &Batch) {
    let metrics = &task.status.metrics;
    metrics.produce.observe(batch.handled.elapsed().as_secs_f64());
    metrics.batch.observe(batch.began.elapsed().as_secs_f64());
    task.committed(batch.ticket);
}

fn give_up(task: &Shared, batches: &[Batch], ended: &Ended) {
    task.status.end(ended);
    if let (Some(first), false) = (batches.first(), *ended == Ended::Gone) {
        task.halt(first.ticket, &ended.to_string());
    }
    batches.iter().for_each(|_| task.end(None));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::commit::Outbox;
    use proptest::prelude::*;
    use tokio::sync::Semaphore;

    fn ready(bytes: usize) -> Ready {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("one is free");
        let (outbox, delta, now) = (Outbox::default(), Delta::default(), Instant::now());
        let (ticket, next, time_ms) = (0, 0, 0);
        Ready { outbox, delta, bytes, ticket, next, began: now, handled: now, time_ms, room }
    }

    /// How long a commit rests, and how many batches it has then, if one of `bytes` is ready and another one of
    /// them comes every 7 ms.
    async fn rested(bytes: usize, left: Duration) -> (Duration, usize) {
        let (sender, mut inbox) = mpsc::unbounded_channel();
        let feeding = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(7)).await;
                if sender.send(ready(bytes)).is_err() {
                    return;
                }
            }
        });
        let (began, mut waiting) = (tokio::time::Instant::now(), vec![ready(bytes)]);
        rest(&mut waiting, &mut inbox, (began + left).into_std()).await;
        feeding.abort();
        (began.elapsed(), waiting.len())
    }

    /// A little is committed at once, as is what fills a commit, and what comes after the rest; in between more
    /// is waited for until it is over.
    #[tokio::test(start_paused = true)]
    async fn a_commit_rests_only_for_a_flow_of_batches() {
        let ms = Duration::from_millis;
        assert_eq!(rested(FLOW_BYTES - 1, ms(20)).await, (ms(0), 1));
        assert_eq!(rested(MOST_BYTES, ms(20)).await, (ms(0), 1));
        assert_eq!(rested(FLOW_BYTES, ms(0)).await, (ms(0), 1));
        assert_eq!(rested(FLOW_BYTES, ms(20)).await, (ms(20), 3));
        assert_eq!(rested(MOST_BYTES / 3 + 1, ms(20_000)).await, (ms(14), 3));
    }

    proptest! {
        /// Whatever waits is committed after so many commits, none of which is empty; one with several batches
        /// fits into a request, and would not with the next batch.
        #[test]
        fn a_commit_is_one_batch_or_fits_into_one_request(
            mut waiting in prop::collection::vec(0..2 * MOST_BYTES, 1..40),
        ) {
            while !waiting.is_empty() {
                let count = share(waiting.iter().copied());
                let bytes: usize = waiting[..count].iter().sum();
                prop_assert!(count == 1 || bytes <= MOST_BYTES);
                prop_assert!(waiting.get(count).is_none_or(|next| bytes + next > MOST_BYTES));
                waiting.drain(..count);
            }
        }
    }
}
