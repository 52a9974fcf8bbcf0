//! Between handlers and commits of a task that promises exactly once: what is to be committed next is made
//! ready while a commit is under way.
//!
//! # Guarantees
//!
//! * Batches come out in their order; what cannot be encoded stops the partition in front of it.
//! * What is ready and not committed takes at most [`ROOM_KIB`] of memory, or is one batch.

use super::{job::Outputs, shared::Shared};
use crate::{
    state::Delta,
    task::{
        commit::{Outbox, Output},
        sink::Sink,
    },
};
use std::{sync::Arc, time::Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Room for what is not committed, of one partition, in KiB: for the commit that is made, and the next one.
const ROOM_KIB: usize = 6 << 10;
/// Most that a record or a change takes on its way beside its bytes.
const EACH_BYTES: usize = 16;

/// A batch that can be committed.
pub(super) struct Ready {
    pub(super) outbox: Outbox,
    pub(super) delta: Delta,
    /// Of both, on their way.
    pub(super) bytes: usize,
    pub(super) ticket: u64,
    /// Offset behind its last record.
    pub(super) next: i64,
    pub(super) began: Instant,
    /// When its handler was done.
    pub(super) handled: Instant,
    /// The clock then, in ms since the epoch.
    pub(super) time_ms: i64,
    pub(super) room: OwnedSemaphorePermit,
}

/// Encodes and hashes what handlers completed, in the order of the batches.
pub(super) async fn encode_outputs(
    task: Arc<Shared>,
    mut sink: Sink,
    mut inbox: mpsc::UnboundedReceiver<Outputs>,
    ready: mpsc::UnboundedSender<Ready>,
) {
    let room = Arc::new(Semaphore::new(ROOM_KIB));
    while let Some(outputs) = inbox.recv().await {
        let Outputs { batches, letters, delta, ticket, next, began, handled, place } = outputs;
        if task.is_halted(ticket) {
            task.end(None);
            continue;
        }
        // What is only read again was committed.
        if task.is_repeat(next) {
            task.committed(ticket);
            continue;
        }
        let time_ms = task.clock.now_ms();
        let outbox = match sink.encode(&batches, letters, &task.status).await {
            Ok(outputs) => Outbox::from(outputs),
            Err(error) => {
                task.halt(ticket, &error.to_string());
                task.end(None);
                continue;
            }
        };
        let bytes = bytes(&outbox, &delta);
        let room = take(&room, bytes).await;
        drop(place);
        let one = Ready { outbox, delta, bytes, ticket, next, began, handled, time_ms, room };
        // Only a task that is gone does not take it, and then nobody waits for the batch.
        let _ = ready.send(one);
    }
}

fn bytes(outbox: &Outbox, delta: &Delta) -> usize {
    let count = outbox.iter().map(Output::len).sum::<usize>() + delta.len();
    let changes = usize::try_from(delta.content_bytes()).unwrap_or(usize::MAX);
    outbox.bytes().saturating_add(changes).saturating_add(count * EACH_BYTES)
}

async fn take(room: &Arc<Semaphore>, bytes: usize) -> OwnedSemaphorePermit {
    let kib = u32::try_from((bytes >> 10).min(ROOM_KIB)).expect("a few thousand");
    Arc::clone(room).acquire_many_owned(kib).await.expect("never closed")
}
