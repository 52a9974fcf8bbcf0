//! One connection: frames in, one after the other, and their responses in the same order.

use super::{Context, api, refusal, sasl};
use crate::{
    broker::{
        peer::Peer,
        security::{Ask, Encryption, Session},
        server::Shared,
    },
    faults::Ending,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use std::{fmt, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_openssl::SslStream;

/// Bytes that are read at a time, and reserved before a frame has shown that it is longer.
const READ_BYTES: usize = 64 << 10;

/// How long a client may take to agree on encryption.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

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
    let serving = async {
        socket.set_nodelay(true)?;
        match &broker.encryption {
            None => run(&broker, node, socket, address, &watched.0).await,
            Some(encryption) => {
                let socket = encrypted(encryption, socket).await?;
                run(&broker, node, socket, address, &watched.0).await
            }
        }
    };
    match serving.await {
        Ok(()) => tracing::debug!(peer = %address, "client has gone"),
        Err(Fault::Io(error)) => tracing::debug!(peer = %address, %error, "connection lost"),
        Err(fault @ Fault::Wanted) => {
            tracing::debug!(peer = %address, reason = %fault, "connection closed");
        }
        Err(fault) => tracing::warn!(peer = %address, reason = %fault, "connection closed"),
    }
}

/// Agrees with the client on how to encrypt.
async fn encrypted(
    encryption: &Encryption,
    socket: TcpStream,
) -> Result<SslStream<TcpStream>, Fault> {
    let failed = |reason: &dyn fmt::Display| Fault::malformed(format!("no TLS: {reason}"));
    let connection = encryption.connection().map_err(|e| failed(&e))?;
    let mut socket = SslStream::new(connection, socket).map_err(|e| failed(&e))?;
    match timeout(HANDSHAKE_TIMEOUT, Pin::new(&mut socket).accept()).await {
        Ok(Ok(())) => Ok(socket),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&"the client is silent")),
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
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    peer: &Arc<Peer>,
) -> Result<(), Fault> {
    let session = Mutex::new(Session::new(broker.config.security.wants_users()));
    let client_host = format!("/{}", address.ip());
    let mut inbox = BytesMut::new();
    let mut out = BytesMut::new();
    loop {
        let mut max_bytes = broker.config.max_request_bytes;
        if !session.lock().admits(Ask::Other) {
            max_bytes = max_bytes.min(sasl::MAX_BYTES);
        }
        let Some(frame) = next_frame(&mut socket, &mut inbox, max_bytes).await? else {
            return Ok(());
        };
        out.clear();
        let context = Context {
            broker,
            node,
            version: 0,
            client_id: "",
            client_host: &client_host,
            peer,
            session: &session,
        };
        answer(context, frame, &mut out).await?;
        if !out.is_empty() {
            socket.write_all(&out).await?;
        }
        if out.capacity() > KEPT_BYTES {
            out = BytesMut::new();
        }
        if session.lock().has_failed() {
            return Err(Fault::malformed("the client could not authenticate"));
        }
    }
}

/// Serves a frame; what `context` says of the request is filled in here.
async fn answer(context: Context<'_>, frame: Bytes, out: &mut BytesMut) -> Result<(), Fault> {
    if context.session.lock().takes_bare_token() {
        return bare_token(&context, &frame, out);
    }
    let request = api::Request::parse(frame)?;
    if !context.session.lock().admits(sasl::ask(request.key)) {
        return Err(Fault::malformed(format!(
            "{:?} of a client that has not authenticated",
            request.key
        )));
    }
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

/// Serves a token that has no header, as clients of the first handshake send them.
fn bare_token(context: &Context<'_>, token: &[u8], out: &mut BytesMut) -> Result<(), Fault> {
    match context.session.lock().token(token, &context.broker.users) {
        Some(Ok(answer)) => {
            out.put_i32(answer.len() as i32);
            out.put_slice(&answer);
            Ok(())
        }
        _ => Err(Fault::malformed("the client could not authenticate")),
    }
}

/// The next frame; `None` if the client has closed the connection between two frames.
async fn next_frame(
    socket: &mut (impl AsyncRead + Unpin),
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
