//! Frames of the protocol on a socket.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable},
};
use std::io;
use tokio::net::TcpStream;

/// Bytes that are read at a time, and reserved before a frame has shown that it is longer.
const READ_BYTES: usize = 64 << 10;
/// Bytes of the length in front of a frame.
pub(super) const LENGTH_BYTES: usize = 4;

/// Takes frames off a socket.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

impl Frames {
    /// The next frame with its length in front; none at the end of the stream.
    pub(super) async fn next(&mut self, socket: &TcpStream) -> io::Result<Option<Bytes>> {
        let inbox = &mut self.0;
        let mut wanted = LENGTH_BYTES;
        loop {
            if let Some(length) = inbox.first_chunk::<LENGTH_BYTES>() {
                let length = i32::from_be_bytes(*length);
                let length = usize::try_from(length).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes"))
                })?;
                wanted = LENGTH_BYTES + length;
                if inbox.len() >= wanted {
                    return Ok(Some(inbox.split_to(wanted).freeze()));
                }
            }
            // Memory follows the bytes that have come, not the length that was announced.
            inbox.reserve((wanted - inbox.len()).min(READ_BYTES.max(inbox.len())).max(READ_BYTES));
            socket.readable().await?;
            match socket.try_read_buf(inbox) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Writes all of `bytes`.
pub(super) async fn write_all(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The header of a request, as far as the proxy looks at it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    /// Kind of the request; none if this crate does not know it.
    pub(super) api: Option<ApiKey>,
    /// Its version.
    pub(super) version: i16,
    /// What its response will say too.
    pub(super) correlation_id: i32,
    /// `client.id` of the client; empty if it has none.
    pub(super) client_id: String,
}

impl RequestHead {
    /// Reads it from a frame; none if the frame is too short for one.
    pub(super) fn parse(frame: &Bytes) -> Option<Self> {
        let mut rest = &frame[LENGTH_BYTES..];
        let (number, version) = (rest.try_get_i16().ok()?, rest.try_get_i16().ok()?);
        let correlation_id = rest.try_get_i32().ok()?;
        let client_id = string(&mut rest)?.unwrap_or_default();
        Some(Self { api: ApiKey::try_from(number).ok(), version, correlation_id, client_id })
    }
}

/// A string with its length in two bytes; the inner none is no string.
fn string(rest: &mut &[u8]) -> Option<Option<String>> {
    let Ok(length) = usize::try_from(rest.try_get_i16().ok()?) else { return Some(None) };
    let bytes = rest.get(..length)?;
    *rest = &rest[length..];
    Some(Some(String::from_utf8_lossy(bytes).into_owned()))
}

/// The body of a request whose kind is known.
pub(super) fn body(frame: &Bytes, api: ApiKey, version: i16) -> Option<Bytes> {
    let mut rest = frame.slice(LENGTH_BYTES..);
    RequestHeader::decode(&mut rest, api.request_header_version(version)).ok()?;
    Some(rest)
}

/// The frame of a response with this body.
pub(super) fn response(api: ApiKey, head: &RequestHead, body: &[u8]) -> Result<Bytes, String> {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(head.correlation_id)
        .encode(&mut frame, api.response_header_version(head.version))
        .map_err(|e| format!("{e:#}"))?;
    frame.put_slice(body);
    let length = i32::try_from(frame.len() - LENGTH_BYTES).map_err(|e| e.to_string())?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// True for a produce request that gets no response.
pub(super) fn is_without_response(frame: &Bytes, head: &RequestHead) -> bool {
    /// First version in which strings have their length, plus one, in as few bytes as will do.
    const COMPACT: i16 = 9;
    let acks = || {
        let mut rest = body(frame, ApiKey::Produce, head.version)?;
        let length = if head.version < COMPACT {
            usize::try_from(rest.try_get_i16().ok()?).unwrap_or(0)
        } else {
            small_number(&mut rest)?.saturating_sub(1)
        };
        if rest.len() < length {
            return None;
        }
        rest.advance(length);
        rest.try_get_i16().ok()
    };
    head.api == Some(ApiKey::Produce) && acks() == Some(0)
}

/// A number of seven bits a byte, the lowest first.
fn small_number(rest: &mut Bytes) -> Option<usize> {
    let mut number = 0;
    for shift in (0..28).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
