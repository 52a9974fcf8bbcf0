//! What happens to logs without anybody's request: old records go, and of each key the last one stays
//! where a topic is compacted.
//!
//! Whoever changes a log or the settings of a topic says when there could be something to do. A task
//! sleeps until then, and for good when there is nothing.

use super::{
    log::{Log, LogPolicy},
    memory::Memory,
    server::Shared,
    topics::{Partition, Topic},
};
use crate::clock::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Shortest time between two rounds, so that a busy log is not looked at after every batch.
const PAUSE: Duration = Duration::from_millis(100);

/// When there is something to do.
pub(crate) struct Upkeep {
    /// What the task sleeps for, in ms since the Unix epoch.
    alarm_ms: AtomicI64,
    earlier: Notify,
    clock: Clock,
    /// The memory of the logs.
    pub(crate) memory: Arc<Memory>,
}

impl Upkeep {
    /// For logs whose memory is `memory`, by the time of `clock`.
    pub(crate) fn new(memory: Arc<Memory>, clock: Clock) -> Self {
        Self { alarm_ms: AtomicI64::new(i64::MAX), earlier: Notify::new(), clock, memory }
    }

    /// There may be something to do at `due_ms`.
    pub(crate) fn note(&self, due_ms: Option<i64>) {
        if due_ms.is_some_and(|due| due < self.alarm_ms.load(SeqCst)) {
            self.look();
        }
    }

    /// `log` of `topic`, still locked, has grown or has a transaction less.
    pub(crate) fn note_change(&self, topic: &Topic, log: &Log) {
        self.note(next_due(log, &topic.policy, self.clock.now_ms()));
    }

    /// There may be something to do: other settings, other times.
    pub(crate) fn look(&self) {
        self.earlier.notify_one();
    }
}

impl Shared {
    /// `log` of `topic`, still locked, has grown or has a transaction less.
    pub(crate) fn note_change(&self, topic: &Topic, log: &Log) {
        self.upkeep.note_change(topic, log);
    }

    /// Lets old records go, everywhere.
    pub(crate) fn expire(&self) {
        let now_ms = self.config.clock.now_ms();
        for topic in self.topics.all() {
            for partition in &topic.partitions {
                if let Err(error) = partition.log.lock().expire(&topic.policy, now_ms) {
                    tracing::error!(topic = topic.name, %error, "cannot give up old records");
                }
            }
        }
    }

    /// Lets old records go and compacts, everywhere; when there is something to do again.
    fn tidy(&self) -> Option<i64> {
        let mut next: Option<i64> = None;
        for topic in self.topics.all() {
            for partition in &topic.partitions {
                next = [next, self.tidy_one(&topic, partition)].into_iter().flatten().min();
            }
        }
        next
    }

    fn tidy_one(&self, topic: &Topic, partition: &Partition) -> Option<i64> {
        let now_ms = self.config.clock.now_ms();
        let done = expire_and_compact(&topic.policy, partition, now_ms);
        if let Err(error) = done {
            // The topic may be gone. If not, the next batch brings the next attempt.
            if self.topics.by_id(topic.id).is_some() {
                tracing::error!(topic = topic.name, %error, "cannot give up old records");
            }
            return None;
        }
        next_due(&partition.log.lock(), &topic.policy, self.config.clock.now_ms())
    }
}

fn expire_and_compact(
    policy: &LogPolicy,
    partition: &Partition,
    now_ms: i64,
) -> std::io::Result<()> {
    let cleaning = {
        let mut log = partition.log.lock();
        log.expire(policy, now_ms)?;
        log.start_cleaning(policy, now_ms)
    };
    match cleaning {
        Some(cleaning) => {
            let cleaned = cleaning.run()?;
            partition.log.lock().finish_cleaning(cleaned)
        }
        None => Ok(()),
    }
}

fn next_due(log: &Log, policy: &LogPolicy, now_ms: i64) -> Option<i64> {
    [log.next_expiry_ms(policy), log.next_cleaning_ms(policy, now_ms)].into_iter().flatten().min()
}

/// Does what is due when it is due; never returns.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        // What is noted from here on is either seen by this round or wakes the next one.
        shared.upkeep.alarm_ms.store(i64::MAX, SeqCst);
        let worker = Arc::clone(&shared);
        let next = tokio::task::spawn_blocking(move || worker.tidy()).await.unwrap_or_else(|_| {
            tracing::error!("the upkeep of the logs has panicked");
            None
        });
        let clock = &shared.config.clock;
        if !clock.is_virtual() {
            tokio::time::sleep(PAUSE).await;
        }
        match next {
            Some(due_ms) => {
                shared.upkeep.alarm_ms.store(due_ms, SeqCst);
                let wait = u64::try_from(due_ms.saturating_sub(clock.now_ms())).unwrap_or(0);
                // A far end is not one that every kind of time can tell.
                let wait = Duration::from_millis(wait.min(30 * 86_400_000));
                tokio::select! {
                    () = clock.sleep(wait) => {}
                    () = shared.upkeep.earlier.notified() => {}
                }
            }
            None => shared.upkeep.earlier.notified().await,
        }
    }
}
