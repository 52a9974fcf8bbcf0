//! A client of schema registries with Confluent's API.
//!
//! Guarantees:
//!
//! - What an id means never changes, so it is asked for once.
//! - A registry that does not answer is an error to try again after; an id that it does not know is
//!   not. So a registry that is down makes no record bad.
//! - Nothing is registered unless that was allowed.
//!
//! Source: Confluent's "Schema Registry API Reference", and its wire format.
//!
//! Not here: what schemas say (see [`super::avro`]).

mod client;
mod writer;

pub use writer::{Registered, Registration};

use super::{avro::Schema, rows::Ready};
use crate::{
    config::{RegistryConfig, Strategy, Subject},
    error::{Act, Error, Result},
};
use ahash::AHashMap;
use client::{Answer, Http};
use parking_lot::Mutex;
use prometheus::IntCounter;
use reqwest::Method;
use serde_json::Value;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// How long an id stays unknown before it is asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Most schemas that one refers to, through others as well.
const MOST_REFERENCES: usize = 64;

/// A schema that a registry has.
#[derive(Debug)]
pub struct RegistrySchema {
    /// Its id.
    pub id: u32,
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// Name and text of what it refers to; what others need comes first.
    pub references: Vec<(String, String)>,
    avro: OnceLock<Result<Arc<Schema>, String>>,
}

impl RegistrySchema {
    /// The same, read as Avro; `Err` says why it cannot be.
    pub(in crate::codec) fn avro(&self) -> Result<Arc<Schema>, String> {
        let read = || {
            if self.kind != "AVRO" {
                return Err(format!("schema {} is {}, not Avro", self.id, self.kind));
            }
            let others: Vec<String> =
                self.references.iter().map(|(_, text)| text.clone()).collect();
            Schema::with_references(&self.text, &others)
                .map(Arc::new)
                .map_err(|why| format!("schema {} cannot be used: {why}", self.id))
        };
        self.avro.get_or_init(read).clone()
    }
}

#[derive(Clone)]
enum Known {
    Schema(Arc<RegistrySchema>),
    Unknown { since: Instant, why: String },
}

/// Counters of a registry's client.
#[derive(Clone, Debug)]
pub struct RegistryMetrics {
    /// Questions that were answered.
    pub answered: IntCounter,
    /// Questions that were not, with all their repetitions.
    pub failed: IntCounter,
}

/// A registry, and what it has answered; one for each process.
pub struct Registry {
    http: Http,
    metrics: RegistryMetrics,
    ids: Mutex<AHashMap<u32, Known>>,
    /// One question about ids at a time, so that partitions do not all ask the same.
    asking: tokio::sync::Mutex<()>,
    /// What was registered or looked up for writing.
    written: Mutex<AHashMap<Registration, Registered>>,
}

impl Registry {
    /// A client that has not asked anything yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an address that is none, or a file that cannot be read.
    pub fn new(config: &RegistryConfig, metrics: RegistryMetrics) -> Result<Self> {
        Ok(Self {
            http: Http::new(config)?,
            metrics,
            ids: Mutex::default(),
            asking: tokio::sync::Mutex::new(()),
            written: Mutex::default(),
        })
    }

    /// The error of a declaration that needs a registry where there is none.
    #[must_use]
    pub fn needed(format: &str) -> Error {
        Error::Config(format!(
            "value_format=\"{format}\" needs a schema registry: set \
             schema_registry=\"http://host:8081\" (TURBINE_SCHEMA_REGISTRY), or choose a framing \
             without one"
        ))
    }

    /// What is known of an id; `Err` if the registry does not have it, none before it was asked.
    pub fn known(&self, id: u32) -> Option<Result<Arc<RegistrySchema>, String>> {
        match self.ids.lock().get(&id)? {
            Known::Schema(schema) => Some(Ok(Arc::clone(schema))),
            Known::Unknown { why, .. } => Some(Err(why.clone())),
        }
    }

    /// Must the registry be asked for `id`? Its answer that there is none holds for a while only.
    #[must_use]
    pub fn lacks(&self, id: u32) -> bool {
        match self.ids.lock().get(&id) {
            Some(Known::Schema(_)) => false,
            Some(Known::Unknown { since, .. }) => since.elapsed() > UNKNOWN_FOR,
            None => true,
        }
    }

    /// Asks for `ids`; afterwards all of them are known, as schemas or as none.
    #[must_use]
    pub fn fetch(self: Arc<Self>, ids: Vec<u32>) -> Ready {
        Box::pin(async move {
            let _alone = self.asking.lock().await;
            for id in ids {
                if self.lacks(id) {
                    let known = self.schema(id).await?;
                    self.ids.lock().insert(id, known);
                }
            }
            Ok(())
        })
    }

    async fn schema(&self, id: u32) -> Result<Known> {
        Ok(match self.get(&["schemas", "ids", &id.to_string()]).await? {
            Answer::Ok(json) => Known::Schema(Arc::new(self.read(id, &json).await?)),
            Answer::Missing(said) | Answer::Refused(said) => Known::Unknown {
                since: Instant::now(),
                why: format!(
                    "the schema registry {} does not have the schema with id {id} ({said})",
                    self.http.shown()
                ),
            },
        })
    }

    /// The schema in an answer, with everything that it refers to.
    async fn read(&self, id: u32, json: &Value) -> Result<RegistrySchema> {
        let text = json.get("schema").and_then(Value::as_str);
        let text = text.ok_or_else(|| strange(&self.http, "an answer without a schema"))?;
        let kind = json.get("schemaType").and_then(Value::as_str).unwrap_or("AVRO");
        let references = self.references(json).await?;
        let (kind, text) = (kind.into(), text.into());
        Ok(RegistrySchema { id, kind, text, references, avro: OnceLock::new() })
    }

    async fn references(&self, json: &Value) -> Result<Vec<(String, String)>> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut open = names_of(json);
        while let Some((name, subject, version)) = open.pop() {
            if found.len() >= MOST_REFERENCES {
                return Err(strange(&self.http, "a schema that refers to too many others"));
            }
            let path = ["subjects", &subject, "versions", &version.to_string()];
            let Answer::Ok(json) = self.get(&path).await? else {
                let what = format!("no version {version} of {subject}, which a schema refers to");
                return Err(strange(&self.http, &what));
            };
            let text = json.get("schema").and_then(Value::as_str).unwrap_or_default();
            found.retain(|(known, _)| *known != name);
            found.push((name, text.into()));
            open.extend(names_of(&json));
        }
        // What was found last is needed by what was found before.
        found.reverse();
        Ok(found)
    }

    async fn get(&self, path: &[&str]) -> Result<Answer> {
        self.ask(Method::GET, path, None).await
    }

    async fn ask(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<Answer> {
        let answer = self.http.ask(method, path, body).await;
        let metrics = &self.metrics;
        if answer.is_ok() {
            metrics.answered.inc()
        } else {
            metrics.failed.inc()
        }
        answer
    }
}

fn names_of(json: &Value) -> Vec<(String, String, i64)> {
    let one = |reference: &Value| {
        let text = |key| reference.get(key).and_then(Value::as_str).map(String::from);
        Some((text("name")?, text("subject")?, reference.get("version")?.as_i64()?))
    };
    json.get("references").and_then(Value::as_array).into_iter().flatten().filter_map(one).collect()
}

fn strange(http: &Http, what: &str) -> Error {
    Error::Registry { message: format!("schema registry {}: {what}", http.shown()), act: Act::Stop }
}

/// Under which name the schemas of a topic are kept; `record` is the full name of the record.
///
/// # Errors
///
/// [`Error::Config`] for a strategy that needs the name of the record where there is none.
pub fn subject_name(
    subject: &Subject,
    topic: &str,
    is_key: bool,
    record: Option<&str>,
) -> Result<String> {
    if let Some(name) = &subject.subject {
        return Ok(name.clone());
    }
    let record = || {
        record.ok_or_else(|| {
            Error::Config(
                "a subject that is named after the record needs the record: add schema= or subject="
                    .into(),
            )
        })
    };
    Ok(match subject.strategy {
        Strategy::Topic => format!("{topic}-{}", if is_key { "key" } else { "value" }),
        Strategy::Record => record()?.into(),
        Strategy::TopicRecord => format!("{topic}-{}", record()?),
    })
}
