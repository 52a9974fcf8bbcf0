//! Which listener stands for which node.

use super::{rewrite::Places, server::Shared};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Weak},
};
use tokio::runtime::Handle;
use uuid::Uuid;

/// Listeners by the `host:port` of the node that they stand for.
#[derive(Default)]
pub(super) struct Nodes {
    listeners: Mutex<HashMap<String, SocketAddr>>,
    topics: Mutex<HashMap<Uuid, String>>,
}

impl Nodes {
    /// Name of the topic with this id, if a response has told it.
    pub(super) fn topic(&self, id: Uuid) -> Option<String> {
        self.topics.lock().get(&id).cloned()
    }

    /// Address of the listener for the node at `upstream`, which is opened if there is none.
    pub(super) fn listener(
        &self,
        upstream: &str,
        runtime: &Handle,
        shared: &Weak<Shared>,
    ) -> io::Result<SocketAddr> {
        let mut listeners = self.listeners.lock();
        if let Some(address) = listeners.get(upstream) {
            return Ok(*address);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(super::server::accept(shared.clone(), listener, upstream.to_owned()));
        listeners.insert(upstream.to_owned(), address);
        tracing::debug!(%address, upstream, "proxy listens");
        Ok(address)
    }
}

impl Places for Arc<Shared> {
    fn local(&self, host: &str, port: u16) -> Result<(String, u16), String> {
        let upstream =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let address = self
            .nodes
            .listener(&upstream, &Handle::current(), &Arc::downgrade(self))
            .map_err(|e| format!("no listener for {upstream}: {e}"))?;
        Ok((address.ip().to_string(), address.port()))
    }

    fn learn(&self, id: Uuid, name: &str) {
        let mut topics = self.nodes.topics.lock();
        if topics.get(&id).is_none_or(|known| known != name) {
            topics.insert(id, name.to_owned());
        }
    }
}
