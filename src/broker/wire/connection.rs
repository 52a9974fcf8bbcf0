//! One connection: frames in, one after the other, and their responses in the same order.

use super::{Context, api, refusal};
use crate::{
    broker::{peer::Peer, server::Shared},
    faults::Ending,
};
use bytes::{Buf, Bytes, BytesMut};
use std::{fmt, io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Bytes that are read at a time, and reserved before a frame has shown that it is longer.
const READ_BYTES: usize = 64 << 10;

/// A larger buffer is not kept for the next response.
const KEPT_BYTES: usize = 1 << 20;

/// Why a connection is closed by the broker.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client sent something that is not the protocol.
    Malformed(String),
    /// The socket failed.
    Io(io::Error),
    /// A rule says so.
    Wanted,
}

impl Fault {
    /// The client sent something that is not the protocol.
    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed(reason.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "{reason}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Wanted => write!(f, "a test wants it closed"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Serves a client at node `node` until it goes, or does something that cannot be answered.
pub(crate) async fn serve(broker: Arc<Shared>, node: i32, socket: TcpStream, address: SocketAddr) {
    let watched = Watched(Arc::new(Peer::new(&socket, &broker.config.clock)));
    match run(&broker, node, socket, address, &watched.0).await {
        Ok(()) => tracing::debug!(peer = %address, "client has gone"),
        Err(Fault::Io(error)) => tracing::debug!(peer = %address, %error, "connection lost"),
        Err(fault @ Fault::Wanted) => {
            tracing::debug!(peer = %address, reason = %fault, "connection closed");
        }
        Err(fault) => tracing::warn!(peer = %address, reason = %fault, "connection closed"),
    }
}

/// Whatever ends the task of the connection, the peer is told.
struct Watched(Arc<Peer>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn run(
    broker: &Shared,
    node: i32,
    mut socket: TcpStream,
    address: SocketAddr,
    peer: &Arc<Peer>,
) -> Result<(), Fault> {
    socket.set_nodelay(true)?;
    let client_host = format!("/{}", address.ip());
    let mut inbox = BytesMut::new();
    let mut out = BytesMut::new();
    while let Some(frame) =
        next_frame(&mut socket, &mut inbox, broker.config.max_request_bytes).await?
    {
        out.clear();
        let context =
            Context { broker, node, version: 0, client_id: "", client_host: &client_host, peer };
        answer(context, frame, &mut out).await?;
        if !out.is_empty() {
            socket.write_all(&out).await?;
        }
        if out.capacity() > KEPT_BYTES {
            out = BytesMut::new();
        }
    }
    Ok(())
}

/// Serves a frame; what `context` says of the request is filled in here.
async fn answer(context: Context<'_>, frame: Bytes, out: &mut BytesMut) -> Result<(), Fault> {
    let request = api::Request::parse(frame)?;
    let (version, client_id) = (request.version, request.client_id.clone());
    let context = Context { version, client_id: &client_id, ..context };
    let verdict = refusal::judge(context.broker, &request);
    verdict.stage.held().await;
    if !verdict.stage.delay.is_zero() {
        context.broker.config.clock.sleep(verdict.stage.delay).await;
    }
    match verdict.ending {
        None => api::answer(&context, request, out).await,
        Some((Ending::Disconnect, _)) => Err(Fault::Wanted),
        Some((Ending::DropResponse, _)) => {
            api::answer(&context, request, out).await?;
            Err(Fault::Wanted)
        }
        Some((Ending::Fail(code), rule)) => {
            if refusal::refuse(&context, &request, code, out)? {
                return Ok(());
            }
            rule.give_back();
            api::answer(&context, request, out).await
        }
    }
}

/// The next frame; `None` if the client has closed the connection between two frames.
async fn next_frame(
    socket: &mut TcpStream,
    inbox: &mut BytesMut,
    max_bytes: usize,
) -> Result<Option<Bytes>, Fault> {
    const LENGTH_BYTES: usize = 4;
    let mut wanted = LENGTH_BYTES;
    loop {
        if let Some(length) = inbox.first_chunk::<LENGTH_BYTES>() {
            let length = i32::from_be_bytes(*length);
            match usize::try_from(length) {
                Ok(bytes) if bytes <= max_bytes => wanted = LENGTH_BYTES + bytes,
                _ => {
                    return Err(Fault::malformed(format!(
                        "a request of {length} bytes; this broker reads at most {max_bytes}"
                    )));
                }
            }
            if inbox.len() >= wanted {
                inbox.advance(LENGTH_BYTES);
                return Ok(Some(inbox.split_to(wanted - LENGTH_BYTES).freeze()));
            }
        }
        // Memory follows the bytes that have come, not the length that was announced.
        inbox.reserve((wanted - inbox.len()).min(READ_BYTES.max(inbox.len())).max(READ_BYTES));
        if socket.read_buf(inbox).await? == 0 {
            return match inbox.len() {
                0 => Ok(None),
                got => {
                    Err(Fault::malformed(format!("the client went after {got} bytes of {wanted}")))
                }
            };
        }
    }
}
