//! The running broker: its listener, its threads, its end.

use super::{
    cluster::Cluster,
    config::BrokerConfig,
    groups::Groups,
    listener::Listener,
    log::SyncWork,
    memory::Memory,
    producer_ids::ProducerIds,
    security::{Encryption, Users},
    storage::{Directory, Held, Storage},
    topic_config::TopicConfig,
    topics::Topics,
    transactions::{Surroundings, Transactions},
    upkeep::{self, Upkeep},
    wire,
};
use crate::{
    error::{Error, Result},
    faults::Rules,
};
use parking_lot::Mutex;
use std::{io, net::TcpListener, sync::Arc, time::Duration};
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
    /// Id of the cluster.
    pub(crate) cluster_id: String,
    /// Its nodes.
    pub(crate) cluster: Arc<Cluster>,
    /// Topics and their logs.
    pub(crate) topics: Arc<Topics>,
    /// Consumer groups.
    pub(crate) groups: Arc<Groups>,
    /// Ids for producers.
    pub(crate) producer_ids: Arc<ProducerIds>,
    /// Transactions.
    pub(crate) transactions: Transactions,
    /// What happens to logs in time.
    pub(crate) upkeep: Arc<Upkeep>,
    /// What encrypts connections, if anything does.
    pub(crate) encryption: Option<Encryption>,
    /// Who may authenticate.
    pub(crate) users: Users,
    /// Where notes are kept.
    pub(crate) storage: Arc<Storage>,
    /// What tests do to requests.
    pub(crate) faults: Rules,
}

impl Shared {
    /// The state of the cluster whose nodes listen on `ports`, with what an earlier broker has left
    /// in the data directory.
    pub(crate) fn open(config: BrokerConfig, ports: &[u16]) -> Result<Self> {
        let cluster = Arc::new(Cluster::new(config.told(ports)?));
        let hosts = [&*config.host, config.advertised()?.0];
        let encryption = config.security.tls.as_ref();
        let encryption = encryption.map(|tls| Encryption::new(tls, &hosts)).transpose()?;
        let users = Users::new(&config.security)?;
        let (storage, held) = match &config.data_dir {
            None => (Storage::Memory, Held::default()),
            Some(path) => {
                let directory = Directory::open(path)?;
                let held = directory.held();
                (Storage::Directory(Box::new(directory)), held)
            }
        };
        let storage = Arc::new(storage);
        let memory = Arc::new(Memory::new(config.memory_bytes));
        let topics =
            Topics::new(Arc::clone(&storage), config.retention_bytes, Arc::clone(&cluster))
                .in_memory(&memory);
        if let Storage::Directory(directory) = &*storage {
            for topic in held.topics.into_values() {
                let mut replicas = topic.replicas.into_iter();
                let mut partitions = Vec::new();
                for partition in 0..topic.partitions {
                    let mut log = directory.open_log(topic.id, partition)?;
                    if let Some(start) = held.starts.get(&(topic.id, partition)) {
                        log.delete_before(*start)
                            .map_err(|e| Error::io(format!("log of topic {}", topic.name), &e))?;
                    }
                    let epoch = held.epochs.get(&(topic.id, partition)).copied();
                    partitions.push((
                        log,
                        replicas.next().unwrap_or_default(),
                        epoch.unwrap_or_default(),
                    ));
                }
                let config = TopicConfig::new(topic.config)
                    .map_err(|message| Error::Config(format!("topic {}: {message}", topic.name)))?;
                topics.restore(topic.name, topic.id, config, partitions);
            }
        }
        let groups = Groups::new(Arc::clone(&storage), Arc::clone(&cluster), &config);
        for (group, commits) in held.commits {
            let offsets =
                commits.into_iter().map(|((topic, n), committed)| (topic, n, Some(committed)));
            groups.restore(&group, offsets.collect());
        }
        groups.restore_members(held.groups);
        let (topics, groups) = (Arc::new(topics), Arc::new(groups));
        let producer_ids =
            Arc::new(ProducerIds::new(Arc::clone(&storage), held.producer_ids_below));
        let upkeep = Arc::new(Upkeep::new(memory, config.clock.clone()));
        let around = Surroundings {
            upkeep: Arc::clone(&upkeep),
            topics: Arc::clone(&topics),
            groups: Arc::clone(&groups),
            producer_ids: Arc::clone(&producer_ids),
            storage: Arc::clone(&storage),
            clock: config.clock.clone(),
        };
        let transactions = Transactions::open(around, held.transactions);
        Ok(Self {
            config,
            cluster,
            encryption,
            users,
            cluster_id: held
                .cluster
                .map_or_else(|| Uuid::new_v4().simple().to_string(), |(id, _)| id),
            topics,
            groups,
            upkeep,
            producer_ids,
            transactions,
            storage,
            faults: Rules::default(),
        })
    }

    /// A node has gone or come: leaders and coordinators move.
    fn set_live(&self, node: i32, is_live: bool) {
        if let Some(live) = self.groups.move_coordinators(|nodes| nodes.set_live(node, is_live)) {
            self.topics.settle(&live);
        }
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
    /// The nodes' listeners, of node 1 first.
    listeners: Vec<Arc<Listener>>,
    /// Held while nodes go down or come up, too.
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
        config.check()?;
        let sockets = config
            .ports(config.port)?
            .into_iter()
            .map(|port| bind(&config.host, port))
            .collect::<Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("turbine-broker")
            .enable_all()
            .build()
            .map_err(|e| Error::io("broker cannot start its threads", &e))?;
        let inside = runtime.enter();
        let listeners = sockets
            .into_iter()
            .map(|socket| Listener::new(socket).map(Arc::new))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|e| Error::io("broker cannot listen", &e))?;
        let ports: Vec<u16> = listeners.iter().map(|l| l.address().port()).collect();
        let shared = Arc::new(Shared::open(config, &ports)?);
        // Before a client can see what is too old.
        shared.expire();
        for (node, listener) in (1..).zip(&listeners) {
            runtime.spawn(accept(Arc::clone(&shared), node, Arc::clone(listener)));
        }
        let clock = Arc::clone(&shared);
        runtime.spawn(async move { clock.groups.run_clock().await });
        let clock = Arc::clone(&shared);
        runtime.spawn(async move { clock.transactions.run_clock().await });
        runtime.spawn(upkeep::run(Arc::clone(&shared)));
        runtime.spawn(run_sync(Arc::clone(&shared)));
        drop(inside);
        let broker = Self { shared, listeners, runtime: Mutex::new(Some(runtime)) };
        tracing::info!(address = %broker.address(), "broker listens");
        Ok(broker)
    }

    /// `host:port` to give to clients; of several nodes all, with commas between.
    #[must_use]
    pub fn address(&self) -> String {
        self.addresses().join(",")
    }

    /// `host:port` of every node, of node 1 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let host = &self.shared.config.host;
        let ports = self.listeners.iter().map(|listener| listener.address().port());
        if host.contains(':') {
            ports.map(|port| format!("[{host}]:{port}")).collect()
        } else {
            ports.map(|port| format!("{host}:{port}")).collect()
        }
    }

    /// Certificate, in PEM, of the authority that clients have to trust; only of certificates that
    /// were made at the start ([`crate::broker::Tls::SelfSigned`]).
    #[must_use]
    pub fn ca_certificate(&self) -> Option<&str> {
        Some(&self.shared.encryption.as_ref()?.made.as_ref()?.ca)
    }

    /// Certificate and key, in PEM, that a client may show; only where they were made at the start
    /// because clients must.
    #[must_use]
    pub fn client_certificate(&self) -> Option<(&str, &str)> {
        let (certificate, key) = self.shared.encryption.as_ref()?.made.as_ref()?.client.as_ref()?;
        Some((certificate, key))
    }

    /// Takes a node down, as if its process were killed: it refuses connections, and those it has
    /// end. Leaders and coordinators move to other nodes as far as there are live replicas in sync.
    /// A node that is down already stays so.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no such node.
    pub fn down(&self, node: i32) -> Result<()> {
        let listener = self.listener(node)?;
        let runtime = self.runtime.lock();
        if runtime.is_some() && listener.close() {
            self.shared.set_live(node, false);
            tracing::info!(node, "node is down");
        }
        Ok(())
    }

    /// Brings a node back where it was. Its replicas are in sync at once; it leads what nobody led
    /// for want of it. What has moved stays where it is until a client asks for the preferred
    /// leaders (`ElectLeaders`), as on a Kafka that has not balanced its leaders yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no such node, [`Error::Io`] if its port cannot be listened on.
    pub fn up(&self, node: i32) -> Result<()> {
        let listener = self.listener(node)?;
        let runtime = self.runtime.lock();
        let Some(running) = &*runtime else { return Ok(()) };
        let _inside = running.enter();
        let address = listener.address();
        let failed = |e| Error::io(format!("node {node} cannot listen on {address}"), &e);
        if listener.open().map_err(failed)? {
            self.shared.set_live(node, true);
            running.spawn(accept(Arc::clone(&self.shared), node, Arc::clone(listener)));
            tracing::info!(node, "node is up");
        }
        Ok(())
    }

    fn listener(&self, node: i32) -> Result<&Arc<Listener>> {
        let at = usize::try_from(node).ok().and_then(|node| node.checked_sub(1));
        at.and_then(|at| self.listeners.get(at)).ok_or_else(|| {
            let nodes = self.listeners.len();
            Error::Config(format!("there is no node {node}: nodes are 1 to {nodes}"))
        })
    }

    /// What connections share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What goes wrong on purpose.
    #[must_use]
    pub fn faults(&self) -> &Rules {
        &self.shared.faults
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
        self.listeners.iter().for_each(|listener| listener.end());
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

fn bind(host: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port))
        .map_err(|e| Error::io(format!("broker cannot listen on {host}:{port}"), &e))
}

async fn accept(shared: Arc<Shared>, node: i32, listener: Arc<Listener>) {
    while let Some(accepted) = listener.accept().await {
        match accepted {
            Ok((socket, peer, mut closing)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        () = closing.closed() => tracing::debug!(%peer, node, "node went down"),
                        () = wire::serve(shared, node, socket, peer) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Most often the process is out of file descriptors: wait for some to come back.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
