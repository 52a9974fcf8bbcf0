//! Accepted connections, bounded in number and in patience.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Most connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 256;
/// Longest silence on a connection.
pub(super) const IDLE: Duration = Duration::from_secs(15);
/// Longest life of a connection, so that one that trickles bytes ends, too.
pub(super) const LIFE: Duration = Duration::from_secs(300);

/// A listener that hands out [`Connection`]s.
pub(super) struct Bounded {
    inner: TcpListener,
    slots: Arc<Semaphore>,
}

impl Bounded {
    /// Accepts from `inner`.
    pub(super) fn new(inner: TcpListener) -> Self {
        Self { inner, slots: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        // axum's own listener knows which errors pass and waits after those that do not.
        let (stream, from) = Listener::accept(&mut self.inner).await;
        (Connection::new(stream, slot), from)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A TCP connection that fails once it was silent for [`IDLE`] or alive for [`LIFE`].
pub(super) struct Connection {
    stream: TcpStream,
    end: Instant,
    timer: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, slot: OwnedSemaphorePermit) -> Self {
        let timer = Box::pin(sleep(IDLE));
        Self { stream, end: Instant::now() + LIFE, timer, _slot: slot }
    }

    /// `done` if the stream got on, an error if it was patient for too long.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if Instant::now() >= self.end {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if done.is_ready() {
            let until = (Instant::now() + IDLE).min(self.end);
            self.timer.as_mut().reset(until);
            return done;
        }
        self.timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.bounded(cx, done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut bounded = Bounded::new(listener);
        (bounded.accept().await.0, client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_ends() {
        let (mut server, _client) = pair().await;
        let err = server.read_u8().await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_trickles_ends_at_the_end_of_its_life() {
        let (mut server, mut client) = pair().await;
        let start = Instant::now();
        let err = loop {
            client.write_all(b"x").await.unwrap();
            if let Err(err) = server.read_u8().await {
                break err;
            }
            tokio::time::advance(IDLE / 2).await;
            if start.elapsed() > LIFE * 2 {
                panic!("the connection outlived its life");
            }
        };
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= LIFE);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_a_slot() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded { inner: listener, slots: Arc::new(Semaphore::new(1)) };
        let _clients = (TcpStream::connect(address).await, TcpStream::connect(address).await);
        let first = bounded.accept().await;
        let second = tokio::time::timeout(Duration::from_millis(50), bounded.accept()).await;
        assert!(second.is_err());
        drop(first);
        bounded.accept().await;
    }
}
