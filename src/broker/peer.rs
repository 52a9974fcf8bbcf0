//! The far end of a connection, and whether it is still there.

use crate::clock::Clock;
use parking_lot::Mutex;
use std::{
    io::ErrorKind,
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
};

/// A client's connection, as those see it who only want to know if it is open.
///
/// It is asked when a session ends on a clock that a test moves: real time has hardly passed then,
/// so a client that is connected could not have sent the heartbeats of that time.
#[derive(Debug, Default)]
pub(crate) struct Peer(Mutex<Option<TcpStream>>);

impl Peer {
    /// Watches a socket; with the time of this machine nobody asks, so nothing is watched.
    pub(crate) fn new(socket: &impl AsFd, clock: &Clock) -> Self {
        let watched = clock.is_virtual().then(|| duplicate(socket.as_fd())).flatten();
        Self(Mutex::new(watched))
    }

    /// True unless either side has closed the connection. A close of the client counts from the
    /// moment it arrives, even if nobody has read it yet.
    pub(crate) fn is_connected(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|socket| match socket.peek(&mut [0]) {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        })
    }

    /// The broker has closed the connection.
    pub(crate) fn close(&self) {
        self.0.lock().take();
    }
}

/// The same socket again; both share that reading does not block.
fn duplicate(socket: BorrowedFd<'_>) -> Option<TcpStream> {
    match socket.try_clone_to_owned() {
        Ok(owned) => Some(owned.into()),
        Err(error) => {
            tracing::warn!(%error, "cannot watch a connection: its client counts as gone");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A client's socket and the watched end of the broker.
    fn connected(clock: &Clock) -> (TcpStream, TcpStream, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let peer = Peer::new(&accepted, clock);
        (client, accepted, peer)
    }

    fn wait_until(what: impl Fn() -> bool) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !what() {
            assert!(std::time::Instant::now() < end, "in vain");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_close_of_the_client_is_seen_without_reading() {
        let (client, _accepted, peer) = connected(&Clock::standing_at(0));
        assert!(peer.is_connected());
        drop(client);
        wait_until(|| !peer.is_connected());
    }

    #[test]
    fn a_closed_connection_is_closed_for_the_client_too() {
        use std::io::Read;
        let (mut client, accepted, peer) = connected(&Clock::standing_at(0));
        drop(accepted);
        peer.close();
        assert!(!peer.is_connected());
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "the watcher holds nothing open");
    }

    #[test]
    fn nothing_is_watched_with_the_time_of_this_machine() {
        let (_client, _accepted, peer) = connected(&Clock::system());
        assert!(!peer.is_connected());
    }
}
