//! The server: one thread, from the socket to the last answer.

use super::bind::bind;
use super::connection::Bounded;
use super::guard::Guard;
use super::routes::router;
use crate::config::HttpConfig;
use crate::error::{Error, Result};
use crate::worker::view::View;
use parking_lot::Mutex;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Longest time that answers under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// A running HTTP server; it stops when dropped.
///
/// It has one thread, `turbine-http`, started here and joined by [`Server::stop`], and a few short-lived
/// ones that ask the worker.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Binds and serves `view`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the host is unknown or in reach of others without a token, or if an explicit
    /// port is taken; [`Error::Io`] if the system refuses the socket or the thread.
    pub fn start(config: &HttpConfig, view: Arc<dyn View>) -> Result<Self> {
        let bound = bind(config)?;
        let guard = Guard::new(bound.is_loopback, &config.host, config.token.as_deref());
        Self::serve(bound.listener, router(view, guard))
    }

    /// Serves `routes` on `listener`.
    pub(super) fn serve(listener: TcpListener, routes: axum::Router) -> Result<Self> {
        let address = listener.local_addr().map_err(|e| Error::io("HTTP: local address", &e))?;
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(4)
            .thread_name("turbine-http-ask")
            .build()
            .map_err(|e| Error::io("HTTP: start its runtime", &e))?;
        let listener = {
            let _entered = runtime.enter();
            listener
                .set_nonblocking(true)
                .and_then(|()| tokio::net::TcpListener::from_std(listener))
                .map_err(|e| Error::io("HTTP: listen", &e))?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("turbine-http".into())
            .spawn(move || serve(runtime, Bounded::new(listener), routes, stopped))
            .map_err(|e| Error::io("HTTP: start its thread", &e))?;
        let running = Mutex::new(Some(Running { stop, thread }));
        Ok(Self { address, running })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends what is under way, at most a second long, and closes the socket. Idempotent.
    pub fn stop(&self) {
        let Some(running) = self.running.lock().take() else { return };
        // The thread may have ended on its own; then nobody listens and nobody has to.
        let _ = running.stop.send(());
        if running.thread.join().is_err() {
            tracing::error!("HTTP: the server thread had panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Body of the thread.
fn serve(
    runtime: Runtime,
    listener: Bounded,
    routes: axum::Router,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async move {
        let (drain, draining) = oneshot::channel::<()>();
        let server = axum::serve(listener, routes).with_graceful_shutdown(async move {
            // A sender that is gone means the same as one that speaks.
            let _ = draining.await;
        });
        let served = tokio::spawn(server.into_future());
        let _ = stopped.await;
        drop(drain);
        if tokio::time::timeout(GRACE, served).await.is_err() {
            tracing::debug!("HTTP: connections were still open when the server stopped");
        }
    });
    // A question to a worker that hangs must not keep the process.
    runtime.shutdown_background();
}
