//! The routes without a socket, and the server with one.

use super::super::server::Server;
use super::*;
use crate::config::HttpConfig;
use crate::{
    error::{Error, Result},
    worker::view::{AssignmentView, SnapshotsView},
};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use tower::ServiceExt;

const TOKEN: &str = "0123456789abcdef";

/// A worker with `reasons` not to be well.
#[derive(Default)]
struct Fake {
    reasons: Vec<String>,
    troubles: Vec<String>,
}

impl Fake {
    fn well() -> Arc<dyn View> {
        Arc::new(Self::default())
    }

    fn ill(reason: &str) -> Arc<dyn View> {
        Arc::new(Self { reasons: vec![reason.into()], ..Self::default() })
    }

    fn troubled(trouble: &str) -> Arc<dyn View> {
        Arc::new(Self { troubles: vec![trouble.into()], ..Self::default() })
    }
}

impl View for Fake {
    fn app_id(&self) -> String {
        "orders".into()
    }
    fn health(&self) -> Health {
        Health { reasons: self.reasons.clone(), troubles: self.troubles.clone() }
    }
    fn ready(&self) -> Health {
        self.health()
    }
    fn snapshots(&self) -> SnapshotsView {
        SnapshotsView { url: Some("memory://x".into()), tasks: Vec::new() }
    }
    fn take_snapshots(&self) -> Result<SnapshotsView> {
        match self.troubles.first() {
            Some(trouble) => Err(Error::Config(trouble.clone())),
            None => Ok(self.snapshots()),
        }
    }
    fn assignments(&self) -> Vec<AssignmentView> {
        vec![AssignmentView {
            name: "echo".into(),
            group: "orders-echo".into(),
            topic: "in".into(),
            partition: 3,
            state: "running",
            committed: Some(7),
            position: Some(9),
            end: Some(10),
            in_flight: 2,
            error: None,
            halt: None,
            restoring: None,
        }]
    }
    fn metrics(&self) -> String {
        "turbine_records_in_total 5\n".into()
    }
}

/// Status and JSON body of `GET path` with `headers`.
async fn get_with(router: Router, path: &str, headers: &[(&str, &str)]) -> (StatusCode, Response) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status(), response)
}

async fn json_of(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn local(view: Arc<dyn View>, token: Option<&str>) -> Router {
    router(view, Guard::new(true, "127.0.0.1", token))
}

const HOST: (&str, &str) = ("host", "localhost:8400");

#[tokio::test]
async fn health_and_ready_are_200_when_all_is_well() {
    for path in ["/health", "/ready"] {
        let (status, response) = get_with(local(Fake::well(), None), path, &[HOST]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(json_of(response).await, json!({ "status": "ok", "reasons": [] }));
    }
}

#[tokio::test]
async fn health_and_ready_are_503_with_reasons_otherwise() {
    for path in ["/health", "/ready"] {
        let (status, response) =
            get_with(local(Fake::ill("broker lost"), None), path, &[HOST]).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(json_of(response).await["reasons"], json!(["broker lost"]));
    }
}

#[tokio::test]
async fn health_is_200_and_degraded_while_the_work_is_done() {
    let (status, response) =
        get_with(local(Fake::troubled("no snapshot"), None), "/health", &[HOST]).await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({ "status": "degraded", "reasons": ["no snapshot"] });
    assert_eq!(json_of(response).await, expected);
}

async fn post(view: Arc<dyn View>, token: Option<&str>, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = Request::post("/snapshots").header(HOST.0, HOST.1);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    local(view, token).oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn a_snapshot_is_asked_for_by_whoever_may() {
    let bearer = format!("Bearer {TOKEN}");
    let with_token = [("authorization", bearer.as_str())];
    assert_eq!(post(Fake::well(), None, &[]).await, StatusCode::ACCEPTED);
    assert_eq!(post(Fake::well(), Some(TOKEN), &with_token).await, StatusCode::ACCEPTED);
    assert_eq!(post(Fake::well(), Some(TOKEN), &[]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(post(Fake::troubled("set checkpoint_url"), None, &[]).await, StatusCode::CONFLICT);
    let from_a_page = [("origin", "https://evil.example")];
    assert_eq!(post(Fake::well(), None, &from_a_page).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn assignments_name_offsets_and_state() {
    let (status, response) = get_with(local(Fake::well(), None), "/assignments", &[HOST]).await;
    assert_eq!(status, StatusCode::OK);
    let first = &json_of(response).await[0];
    assert_eq!((&first["partition"], &first["committed"]), (&json!(3), &json!(7)));
    assert_eq!(first["state"], "running");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let (status, response) = get_with(local(Fake::well(), None), "/metrics", &[HOST]).await;
    assert_eq!(status, StatusCode::OK);
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_string();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert_eq!(body, "turbine_records_in_total 5\n");
}

#[tokio::test]
async fn the_index_names_every_route() {
    let (_, response) = get_with(local(Fake::well(), None), "/", &[HOST]).await;
    let index = json_of(response).await;
    assert_eq!(index["app"], "orders");
    for route in ROUTES {
        assert_eq!(index["routes"][route.path], route.about);
    }
}

#[tokio::test]
async fn only_health_and_ready_are_open_when_there_is_a_token() {
    for route in ROUTES {
        let (status, _) = get_with(local(Fake::well(), Some(TOKEN)), route.path, &[HOST]).await;
        let expected = if ["/health", "/ready"].contains(&route.path) {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        assert_eq!(status, expected, "{}", route.path);
    }
    let (status, response) =
        get_with(local(Fake::well(), Some(TOKEN)), "/nothing-here", &[HOST]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
}

#[tokio::test]
async fn the_right_token_opens_and_a_wrong_one_does_not() {
    let good = format!("Bearer {TOKEN}");
    let lower = format!("bearer {TOKEN}");
    for value in [good.as_str(), lower.as_str()] {
        let headers = [HOST, ("authorization", value)];
        let (status, _) = get_with(local(Fake::well(), Some(TOKEN)), "/metrics", &headers).await;
        assert_eq!(status, StatusCode::OK, "{value}");
    }
    for value in ["Bearer", "Bearer ", "Bearer 0123456789abcdeX", "Basic 0123456789abcdef", TOKEN] {
        let headers = [HOST, ("authorization", value)];
        let (status, _) = get_with(local(Fake::well(), Some(TOKEN)), "/metrics", &headers).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{value}");
    }
}

#[tokio::test]
async fn loopback_answers_loopback_names_only() {
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8400", "[::1]:8400", "[::1]"] {
        let (status, _) = get_with(local(Fake::well(), None), "/", &[("host", host)]).await;
        assert_eq!(status, StatusCode::OK, "{host}");
    }
    for host in
        ["evil.example", "evil.example:8400", "localhost.evil.example", "127.0.0.1.evil", ""]
    {
        let (status, _) = get_with(local(Fake::well(), None), "/", &[("host", host)]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{host}");
    }
    let (status, _) = get_with(local(Fake::well(), None), "/health", &[]).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "no name at all");
    let (status, _) = get_with(local(Fake::well(), None), "http://evil.example/", &[HOST]).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the name in the request line counts, too");
    let twice = [HOST, ("host", "evil.example")];
    let (status, _) = get_with(local(Fake::well(), None), "/", &twice).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "two names");
}

#[tokio::test]
async fn beyond_loopback_every_name_is_fine() {
    let open = router(Fake::well(), Guard::new(false, "0.0.0.0", Some(TOKEN)));
    let (status, _) = get_with(open, "/health", &[("host", "worker-3.cluster")]).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_allows_another_origin() {
    let headers = [HOST, ("origin", "http://evil.example")];
    for route in ROUTES {
        let (_, response) = get_with(local(Fake::well(), None), route.path, &headers).await;
        let cors =
            response.headers().keys().find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(cors, None, "{}", route.path);
    }
}

#[tokio::test]
async fn other_methods_and_other_paths_are_refused() {
    let post = Request::post("/health").header("host", "localhost").body(Body::empty()).unwrap();
    let response = local(Fake::well(), None).oneshot(post).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let (status, _) = get_with(local(Fake::well(), None), "/healthz", &[HOST]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_worker_that_hangs_is_503_within_the_patience() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let hang = move |_: &dyn View| {
        // Ends once the test lets go of its side.
        let _ = held.lock().recv();
        StatusCode::OK.into_response()
    };
    let response = ask(Fake::well(), hang, Duration::from_millis(50)).await;
    drop(release);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(response).await["reasons"], json!(["the worker did not answer in time"]));
}

#[tokio::test]
async fn a_worker_that_panics_is_500_and_the_server_goes_on() {
    let response = ask(Fake::well(), |_| panic!("a bug"), PATIENCE).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn the_guard_never_shows_its_token() {
    let guard = Guard::new(true, "127.0.0.1", Some(TOKEN));
    assert!(!format!("{guard:?}").contains(TOKEN));
}

/// What the server at `server` says to a raw HTTP request.
fn raw(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn any_port() -> HttpConfig {
    HttpConfig { host: "127.0.0.1".into(), port: 0, port_is_explicit: true, token: None }
}

#[test]
fn a_real_server_answers_on_its_socket_and_stops() {
    let server = Server::start(&any_port(), Fake::well()).unwrap();
    assert!(raw(&server, "/health").starts_with("HTTP/1.1 200 OK"));
    assert!(raw(&server, "/metrics").ends_with("turbine_records_in_total 5\n"));
    let address = server.address();
    server.stop();
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_stop_does_not_wait_for_an_idle_client() {
    let server = Server::start(&any_port(), Fake::well()).unwrap();
    let _idle = TcpStream::connect(server.address()).unwrap();
    let start = std::time::Instant::now();
    drop(server);
    assert!(start.elapsed() < GRACE_LIMIT);
}

/// Well above the server's grace, well below the patience of an idle connection.
const GRACE_LIMIT: Duration = Duration::from_secs(5);

#[test]
fn two_servers_on_the_default_port_both_run() {
    let first = Server::start(&any_port(), Fake::well()).unwrap();
    let wanted = first.address().port();
    let config = HttpConfig { port: wanted, port_is_explicit: false, ..any_port() };
    let second = Server::start(&config, Fake::ill("x")).unwrap();
    assert_ne!(second.address().port(), wanted);
    assert!(raw(&first, "/ready").contains("200 OK"));
    assert!(raw(&second, "/ready").contains("503"));
}
