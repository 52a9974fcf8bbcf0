//! Requests to a registry: several addresses, repetitions, one deadline.

use crate::{
    config::RegistryConfig,
    error::{Act, Error, Result},
};
use reqwest::{Certificate, Client, Identity, Method, StatusCode, Url};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// What Confluent's API speaks.
const JSON: &str = "application/vnd.schemaregistry.v1+json";
/// Longest time for one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Wait before the first repetition; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Longest body of an answer that is read; a schema is far smaller.
const MOST_BODY_BYTES: usize = 16 << 20;

/// An answer that counts.
pub(super) enum Answer {
    /// As asked for.
    Ok(Value),
    /// There is no such thing; the sentence of the registry.
    Missing(String),
    /// The registry does not want what it was given.
    Refused(String),
}

/// How one try went wrong.
enum Trouble {
    /// Another try may go well.
    Passing(String),
    /// It will not.
    Lasting(String),
}

/// Talks HTTP to a registry.
pub(super) struct Http {
    client: Client,
    urls: Vec<Url>,
    /// The address that answered last.
    current: AtomicUsize,
    config: RegistryConfig,
}

impl Http {
    pub(super) fn new(config: &RegistryConfig) -> Result<Self> {
        let mut urls = Vec::new();
        for text in &config.urls {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            urls.push(url.ok_or_else(|| {
                Error::Config(format!(
                    "schema_registry: {text:?} is not an address: write http://host:8081"
                ))
            })?);
        }
        if urls.is_empty() {
            return Err(Error::Config("schema_registry has no address".into()));
        }
        let client = client(config)?;
        Ok(Self { client, urls, current: AtomicUsize::new(0), config: config.clone() })
    }

    /// The addresses, for messages.
    pub(super) fn shown(&self) -> String {
        self.urls.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// Sends a request until it is answered, or the time is up.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let deadline = Instant::now() + Duration::from_millis(self.config.timeout_ms.max(1));
        let mut wait = FIRST_WAIT;
        loop {
            let at = self.current.load(Ordering::Relaxed) % self.urls.len();
            let limit = REQUEST_LIMIT.min(deadline.saturating_duration_since(Instant::now()));
            let trouble = match self.once(&self.urls[at], &method, path, body, limit).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Lasting(message)) => {
                    return Err(Error::Registry { message, act: Act::Stop });
                }
                Err(Trouble::Passing(message)) => message,
            };
            self.current.store(at + 1, Ordering::Relaxed);
            let pause = jittered(wait);
            if Instant::now() + pause >= deadline {
                let message = format!(
                    "{trouble}; tried for {} s. Is it running, and is schema_registry its address?",
                    self.config.timeout_ms as f64 / 1_000.0
                );
                return Err(Error::Registry { message, act: Act::Retry });
            }
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn once(
        &self,
        base: &Url,
        method: &Method,
        path: &[&str],
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, Trouble> {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let what = format!("schema registry {}: {method} {}", shown(base), url.path());
        let mut request = self.client.request(method.clone(), url).timeout(limit);
        request = request.header("Accept", JSON);
        if let Some(token) = &self.config.token {
            request = request.bearer_auth(token);
        } else if let Some(user) = &self.config.username {
            request = request.basic_auth(user, self.config.password.as_ref());
        }
        if let Some(body) = body {
            request = request.header("Content-Type", JSON).body(body.to_string());
        }
        let failed = |e: reqwest::Error| Trouble::Passing(format!("{what}: {}", root_cause(&e)));
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST_BODY_BYTES {
                return Err(Trouble::Lasting(format!("{what}: the answer is too long")));
            }
        }
        judge(&what, status, &bytes)
    }
}

fn judge(what: &str, status: StatusCode, body: &[u8]) -> Result<Answer, Trouble> {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let said = json.as_ref().and_then(|json| json.get("message")).and_then(Value::as_str);
    let said = said.map_or_else(|| status.to_string(), Into::into);
    match (status.as_u16(), json) {
        (200..=299, Some(json)) => Ok(Answer::Ok(json)),
        (200..=299, None) => Err(Trouble::Lasting(format!(
            "{what}: the answer is not JSON: is this the address of a schema registry?"
        ))),
        // Without the registry's own code nobody knows who answered: a proxy, or the wrong server.
        (404, Some(json)) if json["error_code"].as_u64().is_some_and(|code| code > 40_000) => {
            Ok(Answer::Missing(said))
        }
        (404, _) => Err(Trouble::Lasting(format!(
            "{what}: answered 404, and not as a schema registry does: is the address right?"
        ))),
        (401 | 403, _) => Err(Trouble::Lasting(format!(
            "{what}: answered {status}: {said}. Set schema_registry_username and \
             schema_registry_password, or schema_registry_token"
        ))),
        (408 | 429 | 500..=599, _) => Err(Trouble::Passing(format!("{what}: answered {said}"))),
        _ => Ok(Answer::Refused(format!("{what}: answered {}: {said}", status.as_u16()))),
    }
}

fn client(config: &RegistryConfig) -> Result<Client> {
    let read = |path: &String| {
        std::fs::read(path).map_err(|e| Error::Config(format!("schema registry: {path}: {e}")))
    };
    let bad = |path: &String, e: &reqwest::Error| {
        Error::Config(format!("schema registry: {path} is not PEM: {}", root_cause(e)))
    };
    let mut builder = Client::builder().user_agent("turbine").no_proxy();
    if let Some(path) = &config.ca_location {
        let pem = read(path)?;
        for certificate in Certificate::from_pem_bundle(&pem).map_err(|e| bad(path, &e))? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let (Some(path), Some(key)) = (&config.certificate_location, &config.key_location) {
        let identity = Identity::from_pkcs8_pem(&read(path)?, &read(key)?);
        builder = builder.identity(identity.map_err(|e| bad(path, &e))?);
    }
    builder.build().map_err(|e| Error::Config(format!("schema registry: {}", root_cause(&e))))
}

/// Without user and password.
fn shown(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority().rsplit('@').next().unwrap_or_default())
}

/// The innermost reason, which says more than "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Between a half and the whole of `wait`, so that workers do not ask all at once.
fn jittered(wait: Duration) -> Duration {
    let byte = uuid::Uuid::new_v4().into_bytes()[0];
    wait / 2 + (wait / 2).mul_f64(f64::from(byte) / 255.0)
}
