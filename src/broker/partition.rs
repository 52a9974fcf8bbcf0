//! One partition: its log, who leads it, and who waits for new records.

use super::{cluster::Replicas, log::Log};
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::sync::Arc;
use tokio::sync::Notify;

/// One partition.
pub(crate) struct Partition {
    /// Its log.
    pub(crate) log: Mutex<Log>,
    /// Changed only by who holds the log.
    replicas: RwLock<Replicas>,
    waiting: Mutex<Vec<Arc<Notify>>>,
}

impl Partition {
    /// A partition whose leader goes on in the epoch that `replicas` say.
    pub(super) fn new(mut log: Log, replicas: Replicas) -> Arc<Self> {
        log.start_epoch(replicas.epoch());
        let (log, replicas) = (Mutex::new(log), RwLock::new(replicas));
        Arc::new(Self { log, replicas, waiting: Mutex::default() })
    }

    /// The log, if `node` leads the partition; it does as long as the log is held.
    pub(crate) fn log_of_leader(&self, node: i32) -> Option<MutexGuard<'_, Log>> {
        let log = self.log.lock();
        let leads = self.replicas.read().leader() == Some(node);
        leads.then_some(log)
    }

    /// The log, if `node` leads the partition or follows its leader.
    pub(crate) fn log_of_replica(&self, node: i32) -> Option<MutexGuard<'_, Log>> {
        let log = self.log.lock();
        let follows = self.replicas.read().is_follower(node);
        follows.then_some(log)
    }

    /// Who holds the partition and who leads it. Take no lock of a log while you have this.
    pub(crate) fn replicas(&self) -> RwLockReadGuard<'_, Replicas> {
        self.replicas.read()
    }

    /// Lets `change` choose another leader; its epoch, if it did.
    pub(super) fn lead<R>(&self, change: impl FnOnce(&mut Replicas) -> R) -> (R, Option<i32>) {
        let mut log = self.log.lock();
        let mut replicas = self.replicas.write();
        let before = replicas.epoch();
        let result = change(&mut replicas);
        let epoch = replicas.epoch();
        if epoch == before {
            return (result, None);
        }
        if replicas.leader().is_some() {
            log.start_epoch(epoch);
        }
        drop((log, replicas));
        self.wake();
        (result, Some(epoch))
    }

    /// Tells those who wait that something has changed.
    pub(crate) fn wake(&self) {
        for waiting in self.waiting.lock().iter() {
            waiting.notify_one();
        }
    }
}

/// Waits for changes of partitions; stops waiting when dropped.
pub(crate) struct Waiter {
    notify: Arc<Notify>,
    partitions: Vec<Arc<Partition>>,
}

impl Waiter {
    /// From here on, no change of `partitions` is missed.
    pub(crate) fn new(partitions: Vec<Arc<Partition>>) -> Self {
        let notify = Arc::new(Notify::new());
        for partition in &partitions {
            partition.waiting.lock().push(Arc::clone(&notify));
        }
        Self { notify, partitions }
    }

    /// Returns after a change.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.waiting.lock().retain(|other| !Arc::ptr_eq(other, &self.notify));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::MemoryStore;

    fn partition() -> Arc<Partition> {
        let live = [1, 2].into();
        let replicas = Replicas::new(vec![1, 2], &live, 0);
        Partition::new(Log::new(Box::new(MemoryStore::default())), replicas)
    }

    #[test]
    fn only_the_leader_gets_the_log_and_a_new_one_starts_an_epoch() {
        let partition = partition();
        assert!(partition.log_of_leader(1).is_some() && partition.log_of_leader(2).is_none());
        assert!(partition.log_of_replica(2).is_some() && partition.log_of_replica(3).is_none());
        let (changed, epoch) = partition.lead(|replicas| replicas.settle(&[2].into(), false));
        assert_eq!((changed, epoch), (true, Some(1)));
        assert!(partition.log_of_leader(1).is_none() && partition.log_of_replica(1).is_none());
        assert_eq!(partition.log_of_leader(2).unwrap().leader_epoch(), 1);
        assert_eq!(partition.lead(|replicas| replicas.settle(&[2].into(), false)), (false, None));
    }

    #[tokio::test]
    async fn a_change_between_looking_and_waiting_is_not_missed() {
        let partition = partition();
        let waiter = Waiter::new(vec![Arc::clone(&partition)]);
        partition.wake();
        waiter.changed().await;
        drop(waiter);
        assert!(partition.waiting.lock().is_empty());
    }
}
