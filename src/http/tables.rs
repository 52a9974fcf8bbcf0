//! Tables and state of handlers over HTTP: what is here, rows by page, one key.
//!
//! Also while a partition is being restored: then with what is known by then, and how fresh that is.

use super::{
    registry::decoded,
    routes::{PATIENCE, ask},
};
use crate::{
    error::{Error, Result},
    join::inspect::OfJoins,
    state::inspect::{self, Asked, Meaning, Part},
    worker::view::{AssignmentView, View},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest time that one answer looks for rows.
const LOOKING: Duration = Duration::from_secs(2);
/// Rows of a page that asks for no number.
const ROWS: usize = 100;

/// For the list of all routes.
pub(super) const ABOUT: &[(&str, &str)] = &[
    ("/tables", "tables and state of handlers: partitions that are here, and how fresh they are"),
    ("/tables/{table}", "rows by page; ?prefix= ?scope= ?partition= ?limit= ?after="),
    ("/tables/{table}/{key}", "one key, where it is here; ?scope= ?partition="),
];

type Shown = State<Arc<dyn View>>;

pub(super) fn router() -> Router<Arc<dyn View>> {
    Router::new()
        .route("/tables", get(|State(view): Shown| ask(view, list, PATIENCE)))
        .route(
            "/tables/{table}",
            get(|State(view): Shown, Path(table): Path<String>, uri: Uri| {
                ask(view, move |view| answer(rows(view, &table, &uri)), PATIENCE)
            }),
        )
        .route(
            "/tables/{table}/{*key}",
            get(|State(view): Shown, Path((table, key)): Path<(String, String)>, uri: Uri| {
                ask(view, move |view| answer(one(view, &table, &key, &uri)), PATIENCE)
            }),
        )
}

/// What is not found, or cannot be answered.
enum Refused {
    Missing(Value),
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn answer(answer: Result<Value, Refused>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(Refused::Missing(why)) => (StatusCode::NOT_FOUND, Json(why)).into_response(),
        Err(Refused::Failed(error)) => {
            let status = match error {
                Error::Config(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, Json(json!({ "error": error.to_string() }))).into_response()
        }
    }
}

fn list(view: &dyn View) -> Response {
    let parts = parts(view);
    let assigned = read(view);
    let mut tables: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for part in &parts {
        tables.entry(&part.table).or_default().push(fresh(part, &assigned));
    }
    let tables = tables
        .into_iter()
        .map(|(name, partitions)| json!({ "name": name, "partitions": partitions }));
    Json(json!({ "tables": tables.collect::<Vec<_>>() })).into_response()
}

fn rows(view: &dyn View, table: &str, uri: &Uri) -> Result<Value, Refused> {
    let query = Query::read(uri, &["prefix", "scope", "partition", "limit", "after"])?;
    let parts = parts_of(view, table)?;
    let asked = Asked {
        prefix: query.text("prefix").unwrap_or_default(),
        scope: query.text("scope"),
        partition: query.number("partition")?,
        after: query.text("after"),
        limit: query.number("limit")?.unwrap_or(ROWS),
        until: Instant::now() + LOOKING,
    };
    let page = inspect::page(&parts, &asked)?;
    let partitions = freshness(view, &parts, asked.partition);
    Ok(json!({ "table": table, "rows": page.rows, "next": page.next, "partitions": partitions }))
}

fn one(view: &dyn View, table: &str, key: &str, uri: &Uri) -> Result<Value, Refused> {
    let query = Query::read(uri, &["scope", "partition"])?;
    let (scope, partition) = (query.text("scope"), query.number("partition")?);
    let parts = parts_of(view, table)?;
    let mut rows = Vec::new();
    for part in parts.iter().filter(|part| partition.is_none_or(|p| p == part.task.partition)) {
        rows.extend(part.find(key, scope.as_deref())?);
    }
    let partitions = freshness(view, &parts, partition);
    if rows.is_empty() {
        let why = format!("table {table} has no key {key:?} in the partitions of this worker");
        return Err(Refused::Missing(json!({ "error": why, "partitions": partitions })));
    }
    Ok(json!({ "table": table, "rows": rows, "partitions": partitions }))
}

/// The tables of the worker, with what is known of the entries of joins.
fn parts(view: &dyn View) -> Vec<Part> {
    let joins: Arc<dyn Meaning> = Arc::new(OfJoins);
    inspect::parts(&view.stores()).into_iter().map(|part| part.meaning(&joins)).collect()
}

fn parts_of(view: &dyn View, table: &str) -> Result<Vec<Part>, Refused> {
    let mut parts = parts(view);
    let known: Vec<String> = parts.iter().map(|part| part.table.clone()).collect();
    parts.retain(|part| part.table == table);
    if parts.is_empty() {
        let why = format!("this worker has no table {table}; GET /tables lists what it has");
        let mut known = known;
        known.dedup();
        return Err(Refused::Missing(json!({ "error": why, "tables": known })));
    }
    Ok(parts)
}

fn freshness(view: &dyn View, parts: &[Part], partition: Option<i32>) -> Vec<Value> {
    let assigned = read(view);
    let wanted = parts.iter().filter(|part| partition.is_none_or(|p| p == part.task.partition));
    wanted.map(|part| fresh(part, &assigned)).collect()
}

/// Every partition that is read, in a group or outside of it.
fn read(view: &dyn View) -> Vec<AssignmentView> {
    let mut all = view.assignments();
    all.extend(view.followed());
    all
}

/// What has been seen of a partition, and what is still to come.
fn fresh(part: &Part, assigned: &[AssignmentView]) -> Value {
    let task = &part.task;
    let owner = assigned.iter().find(|one| {
        one.topic == task.topic
            && one.partition == task.partition
            && (one.name == task.owner || one.group == task.owner)
    });
    let (position, error) = match part.mark() {
        Ok(mark) => (mark.map(|mark| mark.next), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let end = owner.and_then(|one| one.end);
    let lag = end.zip(position).map(|(end, position)| (end - position).max(0));
    let mut fresh = json!({
        "topic": task.topic, "partition": task.partition, "position": position, "end": end, "lag": lag,
        "state": owner.map_or("revoked", |one| one.state),
    });
    if let Some(seen) = owner.and_then(|one| one.restoring.as_ref()) {
        fresh["restoring"] = json!(seen);
    }
    if let Some(error) = error.or_else(|| owner.and_then(|one| one.error.clone())) {
        fresh["error"] = error.into();
    }
    fresh
}

/// What stands behind the question mark.
struct Query(BTreeMap<String, String>);

impl Query {
    fn read(uri: &Uri, known: &[&str]) -> Result<Self> {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                let known = known.join(", ");
                return Err(Error::Config(format!("{name}: this route takes {known}")));
            }
            Ok((name.to_owned(), decoded(&value.replace('+', " "))))
        };
        pairs.map(pair).collect::<Result<_>>().map(Self)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let wrong = |_| Error::Config(format!("{name}={text}: give a whole number"));
        text.parse().map(Some).map_err(wrong)
    }
}
