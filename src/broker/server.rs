//! The running broker: its listener, its threads, its end.

use super::{
    config::BrokerConfig,
    faults::{Fate, Faults, RequestHead},
    groups::Groups,
    log::SyncWork,
    producer_ids::ProducerIds,
    storage::{Directory, Held, Storage},
    topic_config::TopicConfig,
    topics::Topics,
    wire,
};
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::{net::TcpListener, sync::Arc, time::Duration};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// How long a stop waits for requests that are being served.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that data waits to be brought to stable storage.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Everything that connections share.
pub(crate) struct Shared {
    /// Settings.
    pub(crate) config: BrokerConfig,
    /// Host that clients are told.
    pub(crate) host: String,
    /// Port that is listened on.
    pub(crate) port: u16,
    /// Id of the cluster.
    pub(crate) cluster_id: String,
    /// Topics and their logs.
    pub(crate) topics: Topics,
    /// Consumer groups.
    pub(crate) groups: Groups,
    /// Ids for producers.
    pub(crate) producer_ids: ProducerIds,
    /// Where notes are kept.
    pub(crate) storage: Arc<Storage>,
    /// What tests do to requests.
    pub(crate) faults: Faults,
}

impl Shared {
    /// The state of the cluster, with what an earlier broker has left in the data directory.
    pub(crate) fn open(config: BrokerConfig, port: u16) -> Result<Self> {
        let (storage, held) = match &config.data_dir {
            None => (Storage::Memory, Held::default()),
            Some(path) => {
                let directory = Directory::open(path)?;
                let held = directory.held();
                (Storage::Directory(Box::new(directory)), held)
            }
        };
        let storage = Arc::new(storage);
        let topics = Topics::new(Arc::clone(&storage), config.retention_bytes);
        if let Storage::Directory(directory) = &*storage {
            for topic in held.topics.into_values() {
                let mut logs = Vec::new();
                for partition in 0..topic.partitions {
                    let mut log = directory.open_log(topic.id, partition)?;
                    if let Some(start) = held.starts.get(&(topic.id, partition)) {
                        log.delete_before(*start)
                            .map_err(|e| Error::io(format!("log of topic {}", topic.name), &e))?;
                    }
                    logs.push(log);
                }
                let config = TopicConfig::new(topic.config)
                    .map_err(|message| Error::Config(format!("topic {}: {message}", topic.name)))?;
                topics.restore(topic.name, topic.id, config, logs);
            }
        }
        let groups = Groups::new(
            Arc::clone(&storage),
            Duration::from_millis(config.initial_rebalance_delay_ms),
            config.clock.clone(),
        );
        for (group, commits) in held.commits {
            let offsets =
                commits.into_iter().map(|((topic, n), committed)| (topic, n, Some(committed)));
            groups.restore(&group, offsets.collect());
        }
        Ok(Self {
            host: config.host.clone(),
            config,
            port,
            cluster_id: held
                .cluster
                .map_or_else(|| Uuid::new_v4().simple().to_string(), |(id, _)| id),
            topics,
            groups,
            producer_ids: ProducerIds::new(Arc::clone(&storage), held.producer_ids_below),
            storage,
            faults: Faults::default(),
        })
    }

    /// Brings everything that was written to stable storage.
    fn sync(&self) {
        let mut work: Vec<SyncWork> = self.storage.take_unsynced().into_iter().collect();
        for topic in self.topics.all() {
            work.extend(topic.partitions.iter().filter_map(|p| p.log.lock().take_unsynced()));
        }
        for work in work {
            if let Err(error) = work() {
                tracing::error!(%error, "cannot sync the data directory");
            }
        }
    }
}

async fn run_sync(shared: Arc<Shared>) {
    loop {
        shared.storage.wait_for_writes().await;
        tokio::time::sleep(SYNC_INTERVAL).await;
        let shared = Arc::clone(&shared);
        if tokio::task::spawn_blocking(move || shared.sync()).await.is_err() {
            tracing::error!("syncing the data directory has panicked");
        }
    }
}

/// A Kafka broker inside this process.
///
/// It has two threads of its own; [`Broker::stop`] and dropping it end them.
pub struct Broker {
    shared: Arc<Shared>,
    runtime: Mutex<Option<Runtime>>,
}

impl Broker {
    /// Binds, reads what an earlier broker left in the data directory, and serves.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for settings that cannot be, [`Error::Io`] if the address is taken or the
    /// data directory cannot be used.
    pub fn start(config: BrokerConfig) -> Result<Self> {
        check(&config)?;
        let wanted = format!("{}:{}", config.host, config.port);
        let failed = |e: &std::io::Error| Error::io(format!("broker cannot listen on {wanted}"), e);
        let listener =
            TcpListener::bind((config.host.as_str(), config.port)).map_err(|e| failed(&e))?;
        listener.set_nonblocking(true).map_err(|e| failed(&e))?;
        let port = listener.local_addr().map_err(|e| failed(&e))?.port();
        let shared = Arc::new(Shared::open(config, port)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("turbine-broker")
            .enable_all()
            .build()
            .map_err(|e| Error::io("broker cannot start its threads", &e))?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(|e| failed(&e))?
        };
        runtime.spawn(accept(Arc::clone(&shared), listener));
        let clock = Arc::clone(&shared);
        runtime.spawn(async move { clock.groups.run_clock().await });
        runtime.spawn(run_sync(Arc::clone(&shared)));
        tracing::info!(address = %format!("{}:{port}", shared.host), "broker listens");
        Ok(Self { shared, runtime: Mutex::new(Some(runtime)) })
    }

    /// `host:port` to give to clients.
    #[must_use]
    pub fn address(&self) -> String {
        let Shared { host, port, .. } = &*self.shared;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Lets `decide` spoil requests, for tests.
    #[doc(hidden)]
    pub fn set_faults(&self, decide: impl Fn(RequestHead<'_>) -> Fate + Send + Sync + 'static) {
        self.shared.faults.set(Arc::new(decide));
    }

    /// Takes members out of a consumer group at once, as if their sessions had ended: those with this
    /// member id, group instance id or `client.id`. Returns how many.
    ///
    /// For a member that is connected but does not move, as a paused process: no clock makes it look
    /// dead on its own.
    pub fn expire_member(&self, group: &str, member: &str) -> usize {
        self.shared.groups.expel(group, member)
    }

    /// Makes all members of a consumer group, or of every group, give up their partitions and share
    /// them anew. Returns how many groups had members.
    pub fn rebalance(&self, group: Option<&str>) -> usize {
        self.shared.groups.start_over(group)
    }

    /// Closes every connection and the logs; a second call does nothing.
    pub fn stop(&self) {
        let Some(runtime) = self.runtime.lock().take() else { return };
        // A runtime may not be ended from inside another one: this works wherever it is called.
        let ended = std::thread::spawn(move || runtime.shutdown_timeout(STOP_TIMEOUT)).join();
        if ended.is_err() {
            tracing::error!("the broker's threads did not end cleanly");
        }
        self.shared.sync();
        self.shared.storage.close();
        tracing::info!(address = %self.address(), "broker has stopped");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn check(config: &BrokerConfig) -> Result<()> {
    let most = super::topics::MAX_PARTITIONS;
    if !(1..=most).contains(&config.default_partitions) {
        let got = config.default_partitions;
        return Err(Error::Config(format!("default_partitions is {got}: give 1 to {most}")));
    }
    if config.host.is_empty() {
        return Err(Error::Config("host is empty: give an address, as 127.0.0.1".into()));
    }
    Ok(())
}

async fn accept(shared: Arc<Shared>, listener: tokio::net::TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                tokio::spawn(wire::serve(Arc::clone(&shared), socket, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Most often the process is out of file descriptors: wait for some to come back.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
