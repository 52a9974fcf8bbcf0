//! The routes: one table, from which the router, the index and the access rules are made.

use super::guard::{self, Guard};
use super::tables;
use crate::worker::view::{Health, View};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Longest time that a worker may take to say how it is.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Largest request body.
const BODY_BYTES: usize = 1 << 20;

/// Who may read a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody: load balancers have no token.
    Open,
    /// Who has the token, where there is one.
    Token,
}

/// What is said of a worker.
type Answer = fn(&dyn View) -> Response;

/// One route.
struct Route {
    path: &'static str,
    about: &'static str,
    access: Access,
    answer: Answer,
}

const ROUTES: &[Route] = &[
    Route { path: "/", about: "this list", access: Access::Token, answer: index },
    Route {
        path: "/health",
        about: "200 if every task is well and the broker in reach, else 503 with reasons",
        access: Access::Open,
        answer: |view| verdict(&view.health()),
    },
    Route {
        path: "/ready",
        about: "200 once every group has its assignment, else 503 with reasons",
        access: Access::Open,
        answer: |view| verdict(&view.ready()),
    },
    Route {
        path: "/metrics",
        about: "Prometheus text format",
        access: Access::Token,
        answer: metrics,
    },
    Route {
        path: "/snapshots",
        about: "the newest snapshot of every partition; POST asks for new ones",
        access: Access::Token,
        answer: |view| Json(view.snapshots()).into_response(),
    },
    Route {
        path: "/assignments",
        about: "every partition of this worker: state, offsets, lag",
        access: Access::Token,
        answer: |view| Json(view.assignments()).into_response(),
    },
];

/// What a POST to a path does.
const ACTIONS: &[(&str, Answer)] = &[("/snapshots", take_snapshots)];

/// Who may read `path`; an unknown path is as closed as a known one.
pub(super) fn access(path: &str) -> Access {
    ROUTES.iter().find(|route| route.path == path).map_or(Access::Token, |route| route.access)
}

/// All routes behind `guard`.
pub(super) fn router(view: Arc<dyn View>, guard: Guard) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let answer = route.answer;
        router = router.route(
            route.path,
            get(move |State(view): State<Arc<dyn View>>| ask(view, answer, PATIENCE)),
        );
    }
    for (path, act) in ACTIONS {
        let act = *act;
        let act = move |State(view): State<Arc<dyn View>>, headers: HeaderMap| async move {
            match guard::foreign_page(&headers) {
                Some(refusal) => refusal,
                None => ask(view, act, PATIENCE).await,
            }
        };
        router = router.route(path, post(act));
    }
    router
        .merge(tables::router())
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::map_response(harden))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .with_state(view)
}

/// Asks on a thread of its own: the worker may hold a lock, the server goes on.
pub(super) async fn ask(
    view: Arc<dyn View>,
    answer: impl Fn(&dyn View) -> Response + Send + 'static,
    patience: Duration,
) -> Response {
    let asked = tokio::task::spawn_blocking(move || answer(view.as_ref()));
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => failure(StatusCode::INTERNAL_SERVER_ERROR, "the worker failed to answer"),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "the worker did not answer in time"),
    }
}

/// The same shape as [`verdict`], so that a reader of `/health` needs only one.
fn failure(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "status": "unavailable", "reasons": [reason] }))).into_response()
}

async fn unknown() -> Response {
    let why = "no such route; GET / lists them";
    (StatusCode::NOT_FOUND, Json(json!({ "error": why }))).into_response()
}

/// Nobody keeps an answer, and no browser takes it for a page.
async fn harden(mut response: Response) -> Response {
    const FIXED: [(HeaderName, HeaderValue); 2] = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    response.headers_mut().extend(FIXED);
    response
}

fn index(view: &dyn View) -> Response {
    let routes = ROUTES.iter().map(|route| (route.path, route.about));
    let routes: serde_json::Map<_, _> = routes
        .chain(tables::ABOUT.iter().copied())
        .map(|(path, about)| (path.to_owned(), about.into()))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({ "app": view.app_id(), "turbine": version, "routes": routes })).into_response()
}

fn verdict(health: &Health) -> Response {
    let (status, word) = match (&health.reasons[..], &health.troubles[..]) {
        ([], []) => (StatusCode::OK, "ok"),
        // Whoever restarts what is not well would help nobody: the work is done.
        ([], _) => (StatusCode::OK, "degraded"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let reasons: Vec<&String> = health.reasons.iter().chain(&health.troubles).collect();
    (status, Json(json!({ "status": word, "reasons": reasons }))).into_response()
}

fn take_snapshots(view: &dyn View) -> Response {
    match view.take_snapshots() {
        Ok(asked) => (StatusCode::ACCEPTED, Json(asked)).into_response(),
        Err(error) => {
            (StatusCode::CONFLICT, Json(json!({ "error": error.to_string() }))).into_response()
        }
    }
}

fn metrics(view: &dyn View) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], view.metrics()).into_response()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
