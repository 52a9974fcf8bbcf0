//! Start and stop, and what happens to all connections at once.

use super::{
    connection::{self, Ends},
    nodes::Nodes,
};
use crate::{
    error::{Error, Result},
    faults::{Action, Rule, Rules, Target, api_name, refusal},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

/// How long a stop waits for its threads.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Shared {
    /// What goes wrong on purpose.
    pub(super) rules: Rules,
    /// Listeners of nodes.
    pub(super) nodes: Nodes,
    open: Mutex<Open>,
}

/// The connections that carry frames.
#[derive(Default)]
struct Open {
    connections: HashMap<u64, Arc<Ends>>,
    next: u64,
    /// None may be opened.
    is_cut: bool,
}

impl Shared {
    /// Notes a connection; none, and a reset, if there may be no connections.
    fn begin(&self, ends: Ends) -> Option<(u64, Arc<Ends>)> {
        let mut open = self.open.lock();
        if open.is_cut {
            ends.reset();
            return None;
        }
        let (id, ends) = (open.next, Arc::new(ends));
        open.next += 1;
        open.connections.insert(id, Arc::clone(&ends));
        Some((id, ends))
    }

    fn end(&self, id: u64) {
        self.open.lock().connections.remove(&id);
    }
}

/// A proxy in front of a Kafka cluster that lets things go wrong on purpose.
///
/// It has two threads of its own; [`FaultProxy::close`] and dropping it end them.
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: String,
    runtime: Mutex<Option<Runtime>>,
}

impl FaultProxy {
    /// Listens for clients of the cluster at `upstream`, `host:port` of one node or of several with
    /// commas between. A cluster that is not there yet is no error.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for addresses that cannot be, [`Error::Io`] if there is no free port.
    pub fn start(upstream: &str) -> Result<Self> {
        let upstreams = addresses(upstream)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("turbine-proxy")
            .enable_all()
            .build()
            .map_err(|e| Error::io("proxy cannot start its threads", &e))?;
        let open = Mutex::default();
        let shared = Arc::new(Shared { rules: Rules::default(), nodes: Nodes::default(), open });
        let mut listening = Vec::new();
        for upstream in upstreams {
            let address = shared
                .nodes
                .listener(upstream, runtime.handle(), &Arc::downgrade(&shared))
                .map_err(|e| Error::io("proxy cannot listen", &e))?;
            listening.push(address.to_string());
        }
        let address = listening.join(",");
        Ok(Self { shared, address, runtime: Mutex::new(Some(runtime)) })
    }

    /// `host:port` to give to clients; of several nodes all, with commas between.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What goes wrong on purpose.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.shared.rules
    }

    /// From now on, something goes wrong with some requests or responses.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for requests that cannot be answered with an error.
    pub fn add_fault(
        &self,
        target: Target,
        action: Action,
        times: Option<u64>,
    ) -> Result<Arc<Rule>> {
        if let (Some(api), Action::Fail(_)) = (target.api, action)
            && !refusal::can_refuse(api)
        {
            let name = api_name(api);
            return Err(Error::Config(format!("{name} cannot be answered with an error")));
        }
        Ok(self.shared.rules.add(target, action, times))
    }

    /// Number of connections that clients have through the proxy.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.open.lock().connections.len()
    }

    /// Resets all connections; clients may connect again.
    pub fn reset(&self) {
        for ends in self.shared.open.lock().connections.values() {
            ends.reset();
        }
    }

    /// Resets all connections, and every one that clients try to make, until [`FaultProxy::restore`].
    /// For the cluster its clients are gone as if killed, for them the cluster is.
    pub fn cut(&self) {
        let mut open = self.shared.open.lock();
        open.is_cut = true;
        for ends in open.connections.values() {
            ends.reset();
        }
    }

    /// Clients may connect again.
    pub fn restore(&self) {
        self.shared.open.lock().is_cut = false;
    }

    /// True between [`FaultProxy::cut`] and [`FaultProxy::restore`].
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.shared.open.lock().is_cut
    }

    /// Ends the proxy with all its connections; a second call does nothing.
    pub fn close(&self) {
        let Some(runtime) = self.runtime.lock().take() else { return };
        self.cut();
        // A runtime may not be ended from inside another one: this works wherever it is called.
        let ended = std::thread::spawn(move || runtime.shutdown_timeout(STOP_TIMEOUT)).join();
        if ended.is_err() {
            tracing::error!("the proxy's threads did not end cleanly");
        }
        self.shared.open.lock().connections.clear();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.close();
    }
}

/// The addresses of a list with commas.
fn addresses(upstream: &str) -> Result<Vec<&str>> {
    let all: Vec<&str> = upstream.split(',').map(str::trim).collect();
    for address in &all {
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            let message = format!("{address:?} is no address: give host:port, as localhost:9092");
            return Err(Error::Config(message));
        }
    }
    Ok(all)
}

/// Accepts clients of one node, until the proxy is gone.
pub(super) async fn accept(shared: Weak<Shared>, listener: TcpListener, upstream: String) {
    loop {
        let accepted = listener.accept().await;
        let Some(shared) = shared.upgrade() else { return };
        match accepted {
            Ok((client, _)) => {
                tokio::spawn(serve(shared, client, upstream.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "proxy cannot accept a connection");
                // Most often the process is out of file descriptors: wait for some to come back.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, client: TcpStream, upstream: String) {
    let node = if shared.open.lock().is_cut { None } else { reach(&upstream).await };
    let Some(node) = node else {
        // Closed without a linger, it is reset.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), node.set_nodelay(true));
    let Some((id, ends)) = shared.begin(Ends::new(client, node)) else { return };
    connection::carry(&shared, &ends).await;
    shared.end(id);
}

async fn reach(upstream: &str) -> Option<TcpStream> {
    TcpStream::connect(upstream)
        .await
        .inspect_err(|error| tracing::debug!(upstream, %error, "proxy cannot reach the node"))
        .ok()
}
