//! What threads of the client library would sleep through.
//!
//! Its main thread sends heartbeats between two looks at its queue, and sleeps up to a second for the next
//! entry: a member that has nothing to commit learns late of a rebalance, and everybody waits for it. Its
//! fetchers sleep likewise while all of their partitions are paused, as they are while a rebalance is told
//! of; that the pause is over wakes nobody, and no more does a partition that is released. And it joins a second after the last time at the earliest,
//! unless it has had news of topics, where partitions that move take two joins of every member.
//!
//! # Guarantees
//!
//! * [`Nudge::serve`], called often enough, keeps heartbeats in time, makes fetchers go on after a rebalance,
//!   and lets the next one begin at once.
//! * It blocks for twice [`PATIENCE`] at most, and only after a rebalance.
//! * [`wake_fetcher`] makes the fetcher of one partition look at it, and hardly blocks.

use super::consumer::ConsumerHandle;
use crate::types::TopicPartition;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// Wait for an answer that nobody needs: the question is on its way by then.
const NO_PATIENCE: Duration = Duration::from_millis(1);

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

/// Makes the fetcher of `tp` look whether it may fetch, once the client has done what it was told before.
pub(super) fn wake_fetcher(client: &ConsumerHandle, tp: &TopicPartition) {
    // The main thread answers in turn: behind this, it has seen to the partition.
    if client.subscription().is_ok() {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&tp.topic, tp.partition);
        // The answer may come late: a broker has a connection's requests wait behind a fetch without records.
        ask_for_ends(client, list, NO_PATIENCE);
    }
}

/// Makes the fetchers of all partitions look whether they may fetch.
fn wake_fetchers(client: &ConsumerHandle) {
    if let Ok(list) = client.assignment()
        && list.count() > 0
    {
        ask_for_ends(client, list, PATIENCE);
    }
}

/// Asks each leader of a partition for something: its thread wakes for the request, and once more for the
/// answer.
fn ask_for_ends(client: &ConsumerHandle, mut list: TopicPartitionList, patience: Duration) {
    if list.set_all_offsets(Offset::End).is_ok() {
        // Leaders that do not answer have nothing to fetch, either.
        let _ = client.offsets_for_times(list, patience);
    }
}
