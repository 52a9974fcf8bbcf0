//! Who may ask: the name a request was sent to, and its token.

use super::routes::{Access, access};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The names that a browser on this machine may use.
const LOOPBACK_NAMES: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// What a server asks of every request.
#[derive(Clone)]
pub(super) struct Guard {
    /// Accepted names; none: every name.
    hosts: Option<Arc<[String]>>,
    token: Option<Arc<str>>,
}

impl fmt::Debug for Guard {
    /// Leaves the token out, so that it never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard for a loopback bind under the name `host`, or for one that others reach.
    pub(super) fn new(is_loopback: bool, host: &str, token: Option<&str>) -> Self {
        let hosts = is_loopback.then(|| {
            let bound = if host.contains(':') && !host.starts_with('[') {
                format!("[{host}]")
            } else {
                host.to_ascii_lowercase()
            };
            LOOPBACK_NAMES.iter().map(ToString::to_string).chain([bound]).collect()
        });
        Self { hosts, token: token.map(Into::into) }
    }

    fn knows_host(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let Some(hosts) = &self.hosts else { return true };
        let knows = |authority: &str| {
            let name = without_port(authority).to_ascii_lowercase();
            hosts.contains(&name)
        };
        let mut sent = headers.get_all(header::HOST).iter();
        let only = match (sent.next(), sent.next()) {
            (Some(host), None) => host.to_str().is_ok_and(knows),
            _ => false,
        };
        only && uri.authority().is_none_or(|authority| knows(authority.as_str()))
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, given) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| given.trim())
        });
        given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
    }
}

/// `authority` up to its port; an IPv6 address keeps its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// Lets a request through, or answers 403 for a foreign name and 401 without the token.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if !guard.knows_host(request.headers(), request.uri()) {
        let why =
            "this worker answers requests for localhost only; a proxy has to set the Host header";
        return refuse(StatusCode::FORBIDDEN, why);
    }
    let is_open = access(request.uri().path()) == Access::Open;
    if !is_open && !guard.knows_token(request.headers()) {
        let why = "send the header 'Authorization: Bearer TOKEN'";
        let mut response = refuse(StatusCode::UNAUTHORIZED, why);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    next.run(request).await
}

/// The answer to a browser that acts for a page: no page of a worker does.
pub(super) fn foreign_page(headers: &HeaderMap) -> Option<Response> {
    let why = "requests that change something are not taken from pages of a browser";
    headers.contains_key(header::ORIGIN).then(|| refuse(StatusCode::FORBIDDEN, why))
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(json!({ "error": why }))).into_response()
}
