//! The schema registry of the embedded broker, on a port of its own.

use super::server::Server;
use crate::{
    error::{Error, Result},
    registry::Schemas,
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What Confluent's API speaks.
const JSON: &str = "application/vnd.schemaregistry.v1+json";
/// Largest request body.
const BODY_BYTES: usize = 4 << 20;

/// A registry that serves; it stops when dropped.
pub struct RegistryServer {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    schemas: Schemas,
    /// Values of the header of those that may ask; none: everybody may.
    authorization: Option<Vec<String>>,
    is_down: AtomicBool,
}

impl RegistryServer {
    /// Serves `schemas` on `host:port`; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses the socket or the thread.
    pub fn start(
        host: &str,
        port: u16,
        schemas: Schemas,
        authorization: Option<Vec<String>>,
    ) -> Result<Self> {
        let listener = TcpListener::bind((host, port))
            .map_err(|e| Error::io(format!("schema registry: listen on {host}:{port}"), &e))?;
        let shared = Arc::new(Shared { schemas, authorization, is_down: AtomicBool::new(false) });
        let routes = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .with_state(Arc::clone(&shared));
        Ok(Self { server: Server::serve(listener, routes)?, shared })
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// From now on every request is answered with 503, or served again.
    pub fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::Release);
    }

    /// Ends it. Idempotent.
    pub fn stop(&self) {
        self.server.stop();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if shared.is_down.load(Ordering::Acquire) {
        return reply(503, &json!({ "error_code": 50301, "message": "the registry is down" }));
    }
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let may_ask = |known: &Vec<String>| known.iter().any(|known| shown == Some(known));
    if !shared.authorization.as_ref().is_none_or(may_ask) {
        return reply(401, &json!({ "error_code": 401, "message": "wrong user or password" }));
    }
    let parts: Vec<String> =
        uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let path: Vec<&str> = parts.iter().map(String::as_str).collect();
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let (status, answer) = shared.schemas.answer(method.as_str(), &path, body.as_ref());
    reply(status, &answer)
}

fn reply(status: u16, answer: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, JSON)], answer.to_string()).into_response()
}

/// A part of a path without its percent signs.
pub(super) fn decoded(part: &str) -> String {
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &behind[2..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
