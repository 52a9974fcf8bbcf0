//! Tables by HTTP: pages, keys, freshness, refusals.

use super::{guard::Guard, routes::router};
use crate::{
    error::{Error, Result},
    state::{Delta, Mark, MemoryStore, Space, SpaceName, Store, TaskName, Writes, inspect::Opened},
    task::restore::Seen,
    worker::view::{AssignmentView, Health, SnapshotsView, View},
};
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

const TOKEN: &str = "0123456789abcdef";

/// A worker with table `counts`: partition 1 runs, partition 2 is being restored.
struct Shop(Vec<Opened>);

impl Shop {
    fn view() -> Arc<dyn View> {
        let opened = |partition: i32, keys: &[&str]| {
            let store = MemoryStore::default();
            let value = |key: &&str| (key.as_bytes().to_vec(), Some(b"{\"n\":1}".to_vec()));
            let mark = Mark { next: 40, token: 0, hash: 0, log: -1 };
            let delta = Delta(vec![(Space(0), Writes(keys.iter().map(value).collect()))]);
            store.commit(&delta, mark).unwrap();
            let (owner, topic) = ("shop".into(), "orders".into());
            Opened {
                task: TaskName { owner, topic, partition, partitions: 4 },
                spaces: vec![SpaceName::by_key("counts")],
                store: Arc::new(store),
            }
        };
        Arc::new(Self(vec![opened(1, &["ada", "a/b c"]), opened(2, &["bob", "bea"])]))
    }
}

/// How far partition 2 is.
fn seen() -> Seen {
    let doing = "reading shop-counts-changelog[2]".into();
    Seen { doing, keys: 2, bytes: 40, percent: 25, keys_per_s: 1 }
}

impl View for Shop {
    fn app_id(&self) -> String {
        "shop".into()
    }
    fn health(&self) -> Health {
        Health::default()
    }
    fn ready(&self) -> Health {
        Health::default()
    }
    fn assignments(&self) -> Vec<AssignmentView> {
        let one = |partition, state| AssignmentView {
            name: "count".into(),
            group: "shop".into(),
            topic: "orders".into(),
            partition,
            state,
            committed: None,
            position: None,
            end: Some(100),
            in_flight: 0,
            error: None,
            halt: None,
            restoring: (state == "restoring").then(seen),
        };
        vec![one(1, "running"), one(2, "restoring")]
    }
    fn snapshots(&self) -> SnapshotsView {
        SnapshotsView::default()
    }
    fn take_snapshots(&self) -> Result<SnapshotsView> {
        Err(Error::Stopped)
    }
    fn metrics(&self) -> String {
        String::new()
    }
    fn stores(&self) -> Vec<Opened> {
        self.0.clone()
    }
}

async fn get(path: &str, token: Option<&str>) -> (StatusCode, Value) {
    let router = router(Shop::view(), Guard::new(true, "127.0.0.1", Some(TOKEN)));
    let mut request = Request::get(path).header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn ok(path: &str) -> Value {
    let (status, answer) = get(path, Some(TOKEN)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

#[tokio::test]
async fn the_list_says_how_fresh_each_partition_is() {
    let answer = ok("/tables").await;
    let partition = |partition: i32, state: &str| json!({"topic": "orders", "partition": partition, "position": 40, "end": 100, "lag": 60, "state": state});
    let mut expected = [partition(1, "running"), partition(2, "restoring")];
    expected[1]["restoring"] = json!({
        "doing": "reading shop-counts-changelog[2]", "keys": 2, "bytes": 40, "percent": 25, "keys_per_s": 1,
    });
    assert_eq!(answer, json!({"tables": [{"name": "counts", "partitions": expected}]}));
}

#[tokio::test]
async fn rows_come_by_page() {
    let first = ok("/tables/counts?limit=3").await;
    let keys = |page: &Value| -> Vec<Value> {
        page["rows"].as_array().unwrap().iter().map(|row| row["key"].clone()).collect()
    };
    assert_eq!(keys(&first), ["a/b c", "ada", "bea"]);
    assert_eq!(first["rows"][0]["value"], json!({"n": 1}));
    let second =
        ok(&format!("/tables/counts?limit=3&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((keys(&second), &second["next"]), (vec![json!("bob")], &Value::Null));
    assert_eq!(keys(&ok("/tables/counts?partition=2&prefix=be").await), ["bea"]);
    assert_eq!(keys(&ok("/tables/counts?prefix=a%2Fb+").await), ["a/b c"]);
}

#[tokio::test]
async fn one_key_comes_with_its_partition() {
    for path in ["/tables/counts/bob", "/tables/counts/bob?partition=2"] {
        let answer = ok(path).await;
        assert_eq!(
            answer["rows"][0],
            json!({"key": "bob", "value": {"n": 1}, "topic": "orders", "partition": 2})
        );
    }
    assert_eq!(ok("/tables/counts/a%2Fb%20c").await["rows"][0]["partition"], 1);
    let (status, answer) = get("/tables/counts/zoe", Some(TOKEN)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(answer["error"].as_str().unwrap().contains("no key \"zoe\""));
    assert_eq!(answer["partitions"][1]["state"], "restoring");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_with_the_way_out() {
    for (path, status, part) in [
        ("/tables/nothing", 404, "GET /tables lists"),
        ("/tables/counts?limit=many", 400, "whole number"),
        ("/tables/counts?color=red", 400, "this route takes prefix"),
        ("/tables/counts?after=here", 400, "the page before"),
    ] {
        let (found, answer) = get(path, Some(TOKEN)).await;
        assert_eq!(found.as_u16(), status, "{path}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{path}: {answer}");
    }
}

#[tokio::test]
async fn tables_ask_for_the_token() {
    for path in ["/tables", "/tables/counts", "/tables/counts/ada"] {
        assert_eq!(get(path, None).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
}
