//! What threads of the client library would sleep through.
//!
//! Its main thread sends heartbeats between two looks at its queue, and sleeps up to a second for the next
//! entry: a member that has nothing to commit learns late of a rebalance, and everybody waits for it. Its
//! fetchers sleep likewise while all of their partitions are paused, as they are while a rebalance is told
//! of; that the pause is over wakes nobody. And it joins a second after the last time at the earliest,
//! unless it has had news of topics, where partitions that move take two joins of every member.
//!
//! # Guarantees
//!
//! * [`Nudge::serve`], called often enough, keeps heartbeats in time, makes fetchers go on after a rebalance,
//!   and lets the next one begin at once.
//! * It blocks for twice [`PATIENCE`] at most, and only after a rebalance.

use super::consumer::ConsumerHandle;
use rdkafka::{Offset, consumer::Consumer};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Default)]
pub(super) struct Nudge {
    has_rebalanced: AtomicBool,
}

impl Nudge {
    /// A rebalance was told of; the client library goes on with it.
    pub(super) fn note_rebalance(&self) {
        self.has_rebalanced.store(true, Ordering::Release);
    }

    /// Wakes whom it must.
    pub(super) fn serve(&self, client: &ConsumerHandle) {
        // Already the question wakes the main thread.
        let Ok(topics) = client.subscription() else { return };
        if self.has_rebalanced.swap(false, Ordering::AcqRel) {
            wake_fetchers(client);
            if let Some(topic) = topics.elements().first() {
                // Its arrival is what counts: the wait for the next join is over.
                let _ = client.fetch_metadata(Some(topic.topic()), PATIENCE);
            }
        }
    }
}

/// Asks each leader of an assigned partition for something: its thread wakes for the request, and once
/// more for the answer.
fn wake_fetchers(client: &ConsumerHandle) {
    let Ok(mut list) = client.assignment() else { return };
    if list.count() > 0 && list.set_all_offsets(Offset::End).is_ok() {
        // Leaders that do not answer have nothing to fetch, either.
        let _ = client.offsets_for_times(list, PATIENCE);
    }
}
