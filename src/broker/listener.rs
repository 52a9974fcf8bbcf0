//! The listener of a node, which closes and opens with the node.
//!
//! # Guarantees
//!
//! * A closed listener refuses connections, and those that it had accepted are told to end.
//! * It keeps its port: nobody else gets it in between, and it opens again where it was.

use parking_lot::Mutex;
use std::{future::poll_fn, io, net::SocketAddr, task::Poll};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port, open or closed.
pub(super) struct Listener {
    address: SocketAddr,
    state: Mutex<State>,
}

enum State {
    /// Accepts; the sender goes with the listener, and that is what ends its connections.
    Open(TcpListener, watch::Sender<()>),
    /// Holds the port, if the system lets it, without listening.
    Closed(Option<TcpSocket>),
}

/// Tells when the listener of a connection has closed.
#[derive(Clone)]
pub(super) struct Closing(watch::Receiver<()>);

impl Closing {
    /// Returns once the listener is closed.
    pub(super) async fn closed(&mut self) {
        // Nothing is ever sent: the change is that the sender has gone.
        let _ = self.0.changed().await;
    }
}

impl Listener {
    /// Takes over a socket that listens; inside a runtime.
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let open = State::Open(TcpListener::from_std(listener)?, watch::Sender::new(()));
        Ok(Self { address, state: Mutex::new(open) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection; `None` once it is closed.
    pub(super) async fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr, Closing)>> {
        let mut closing = match &*self.state.lock() {
            State::Open(_, open) => Closing(open.subscribe()),
            State::Closed(_) => return None,
        };
        let accepted = poll_fn(|cx| match &*self.state.lock() {
            State::Open(listener, _) => listener.poll_accept(cx).map(Some),
            State::Closed(_) => Poll::Ready(None),
        });
        let for_connection = closing.clone();
        tokio::select! {
            biased;
            () = closing.closed() => None,
            accepted = accepted => {
                let with_closing = |(socket, peer)| (socket, peer, for_connection);
                Some(accepted?.map(with_closing))
            }
        }
    }

    /// Refuses connections from now on, and lets those there are end; false if it did already.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state.lock();
        if matches!(*state, State::Closed(_)) {
            return false;
        }
        // The port is free for a moment: a socket cannot bind where another one listens.
        *state = State::Closed(None);
        match hold(self.address) {
            Ok(socket) => *state = State::Closed(Some(socket)),
            Err(error) => tracing::debug!(%error, "cannot hold the port of a node that is down"),
        }
        true
    }

    /// Closes for good and lets the port go.
    pub(super) fn end(&self) {
        *self.state.lock() = State::Closed(None);
    }

    /// Listens again, inside a runtime; false if it did already.
    pub(super) fn open(&self) -> io::Result<bool> {
        let mut state = self.state.lock();
        let State::Closed(held) = &mut *state else { return Ok(false) };
        let socket = match held.take() {
            Some(socket) => socket,
            None => hold(self.address)?,
        };
        *state = State::Open(socket.listen(BACKLOG)?, watch::Sender::new(()));
        Ok(true)
    }
}

fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections that have just ended would keep the port otherwise.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_closed_listener_refuses_keeps_its_port_and_opens_there_again() {
        let listener = Listener::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let address = listener.address();
        for _ in 0..3 {
            let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            let (mut client, (socket, _, mut closing)) =
                (client.unwrap(), accepted.unwrap().unwrap());
            assert!(listener.close());
            assert!(!listener.close(), "closed already");
            closing.closed().await;
            drop(socket);
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
            assert!(listener.accept().await.is_none());
            let refused = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert!(listener.open().unwrap());
            assert!(!listener.open().unwrap(), "open already");
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_connection_learns_that_the_listener_closes() {
        let listener = Listener::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let (accepted, closed) = tokio::join!(listener.accept(), async { listener.close() });
        assert!(closed && accepted.is_none());
    }
}
