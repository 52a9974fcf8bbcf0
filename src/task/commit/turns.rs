//! How many threads may wait for the broker at a time.
//!
//! Whatever blocks runs on one pool of threads. While a broker is away everything that waits for it keeps a thread
//! until its time is over, and with as many partitions as threads nothing else would get one: not what closes a store,
//! nor what begins a partition anew. So each kind of work has its number of turns, all together less than the pool has
//! threads, and who gets none waits without one.

use std::sync::Arc;
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

/// Commits at a time, of the 512 threads of a runtime. One takes some milliseconds.
const COMMITS: usize = 256;
/// Partitions that begin at a time; each may restore its state meanwhile.
const OPENINGS: usize = 128;

/// See the module.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// So many at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// For the commits of a worker.
    #[must_use]
    pub fn for_commits() -> Self {
        Self::new(COMMITS)
    }

    /// For the partitions that a worker begins.
    #[must_use]
    pub fn for_openings() -> Self {
        Self::new(OPENINGS)
    }

    /// Does `work` on a thread that may block, when it is its turn. Work that has begun keeps its turn until it is
    /// done, also if nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// If `work` panics.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // Nobody closes it; without a turn it would be as before.
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let keeping_it = move || {
            let _turn = turn;
            work()
        };
        spawn_blocking(keeping_it).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::{Condvar, Mutex};
    use std::time::{Duration, Instant};
    use tokio::runtime::Builder;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A broker that is away until it is said to be there, and how many wait for it.
    #[derive(Default)]
    struct Broker {
        state: Mutex<(bool, usize)>,
        changed: Condvar,
    }

    impl Broker {
        fn wait(&self) {
            let mut state = self.state.lock();
            state.1 += 1;
            self.changed.notify_all();
            while !state.0 {
                assert!(!self.changed.wait_for(&mut state, LIMIT).timed_out(), "it never comes");
            }
            state.1 -= 1;
        }

        fn until_waiting(&self, count: usize) {
            let mut state = self.state.lock();
            while state.1 < count {
                assert!(
                    !self.changed.wait_for(&mut state, LIMIT).timed_out(),
                    "{count} never wait"
                );
            }
        }
    }

    #[test]
    fn who_waits_for_the_broker_leaves_threads_for_others() {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).max_blocking_threads(4).build();
        let runtime = runtime.expect("a runtime");
        let (turns, broker) = (Turns::new(3), Arc::new(Broker::default()));
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let (turns, broker) = (turns.clone(), Arc::clone(&broker));
                runtime.spawn(async move { turns.blocking(move || broker.wait()).await })
            })
            .collect();
        broker.until_waiting(3);
        let began = Instant::now();
        for n in 0..50 {
            let other = runtime.spawn_blocking(move || n);
            assert_eq!(runtime.block_on(other).expect("a thread"), n);
        }
        assert!(began.elapsed() < LIMIT);
        assert_eq!(broker.state.lock().1, 3, "and nobody else waits");
        broker.state.lock().0 = true;
        broker.changed.notify_all();
        for one in waiting {
            runtime.block_on(one).expect("spawned").expect("done");
        }
    }

    #[test]
    fn work_that_nobody_waits_for_keeps_its_turn() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.expect("a runtime");
        let (turns, broker) = (Turns::new(1), Arc::new(Broker::default()));
        let first = {
            let (turns, broker) = (turns.clone(), Arc::clone(&broker));
            runtime.spawn(async move { turns.blocking(move || broker.wait()).await })
        };
        broker.until_waiting(1);
        first.abort();
        assert!(runtime.block_on(first).is_err());
        assert_eq!(turns.0.available_permits(), 0);
        broker.state.lock().0 = true;
        broker.changed.notify_all();
        runtime.block_on(turns.blocking(|| ())).expect("its turn comes");
    }
}
