//! Where snapshots are kept, from its URL to a client.

use crate::error::{Error, Result};
use object_store::{
    ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    memory::InMemory,
    path::Path,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// Longest time of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the client itself tries a request again that failed.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
const RETRIES: usize = 4;

const SCHEMES: &str = "file:///DIRECTORY, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or memory://NAME";
/// What may stand behind the `?` of a URL.
const OPTIONS: [&str; 4] = ["endpoint", "region", "account", "allow_http"];

/// What `memory://NAME` has, as long as the process lives.
static MEMORY: LazyLock<Mutex<BTreeMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

/// A client and the folder in it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) client: Arc<dyn ObjectStore>,
    pub(super) folder: Path,
    /// For messages: the URL without options.
    pub(super) shown: String,
}

/// A URL, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    scheme: &'a str,
    /// Bucket, container or name.
    bucket: &'a str,
    path: &'a str,
    options: BTreeMap<&'a str, &'a str>,
}

impl Place {
    /// The place that `url` names; credentials come from the environment. Contacts nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: the URL cannot be used; the sentence says what to write.
    pub(super) fn open(url: &str) -> Result<Self> {
        let address = Address::parse(url)?;
        let shown = format!("{}://{}{}", address.scheme, address.bucket, address.path);
        let refused = |error: object_store::Error| {
            Error::Config(format!("checkpoint_url {shown}: {}", plain(&error)))
        };
        let folder = Path::parse(address.path.trim_matches('/'))
            .map_err(|error| Error::Config(format!("checkpoint_url {shown}: {error}")))?;
        let client: Arc<dyn ObjectStore> = match address.scheme {
            "file" => Arc::new(LocalFileSystem::new().with_fsync(true)),
            "memory" => {
                Arc::clone(MEMORY.lock().entry(address.bucket.to_owned()).or_default()) as _
            }
            "s3" => Arc::new(s3(&address).map_err(refused)?),
            "gs" => Arc::new(gcs(&address).map_err(refused)?),
            _ => Arc::new(azure(&address).map_err(refused)?),
        };
        Ok(Self { client, folder, shown })
    }
}

impl<'a> Address<'a> {
    fn parse(url: &'a str) -> Result<Self> {
        let wrong = |why: &str| Err(Error::Config(format!("checkpoint_url {why}")));
        let Some((scheme, rest)) = url.split_once("://") else {
            return wrong(&format!("has no scheme: write {SCHEMES}"));
        };
        if !["file", "s3", "gs", "az", "memory"].contains(&scheme) {
            return wrong(&format!("begins with {scheme:?}://: write {SCHEMES}"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let at = rest.find('/').unwrap_or(rest.len());
        let (bucket, path) = rest.split_at(at);
        if bucket.contains('@') || bucket.contains(':') {
            // What is wrong with it is not shown: it may be a password.
            return wrong(
                "has a user, a password or a port in it: credentials come from the environment (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY ...), another server from ?endpoint=",
            );
        }
        match (scheme, bucket.is_empty()) {
            ("file", false) => {
                return wrong(
                    "has two slashes and a directory that does not begin at the root: write file:///DIRECTORY",
                );
            }
            ("file", true) if path.trim_matches('/').is_empty() => {
                return wrong("names no directory: write file:///DIRECTORY");
            }
            ("s3" | "gs", true) => {
                return wrong(&format!("names no bucket: write {scheme}://BUCKET/PREFIX"));
            }
            ("az", true) => return wrong("names no container: write az://CONTAINER/PREFIX"),
            _ => {}
        }
        if path.split('/').any(|part| part == "." || part == "..") {
            return wrong("has . or .. in its path: write the path in full");
        }
        let options = options(scheme, query)?;
        Ok(Self { scheme, bucket, path: path.trim_end_matches('/'), options })
    }
}

fn options<'a>(scheme: &str, query: &'a str) -> Result<BTreeMap<&'a str, &'a str>> {
    let mut found = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !OPTIONS.contains(&name) || matches!(scheme, "file" | "memory") {
            let known = OPTIONS.join(", ");
            return Err(Error::Config(format!(
                "checkpoint_url has an option that is not one of {known} (for s3, gs and az): leave it out; credentials come from the environment"
            )));
        }
        found.insert(name, value);
    }
    Ok(found)
}

/// Settings of the HTTP client, on top of those of the environment.
fn client_settings(address: &Address<'_>) -> Vec<(ClientConfigKey, String)> {
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    let mut settings = vec![
        (ClientConfigKey::Timeout, seconds(REQUEST_TIMEOUT)),
        (ClientConfigKey::ConnectTimeout, seconds(CONNECT_TIMEOUT)),
    ];
    let endpoint = address.options.get("endpoint").copied().unwrap_or_default();
    let is_asked = address.options.get("allow_http").is_some_and(|value| *value == "true");
    if is_asked || endpoint.starts_with("http://") {
        settings.push((ClientConfigKey::AllowHttp, "true".into()));
    }
    settings
}

fn retries() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() }
}

fn s3(address: &Address<'_>) -> object_store::Result<impl ObjectStore> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(address.bucket);
    if let Some(endpoint) = address.options.get("endpoint") {
        builder = builder.with_endpoint(*endpoint);
    }
    if let Some(region) = address.options.get("region") {
        builder = builder.with_region(*region);
    }
    for (key, value) in client_settings(address) {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    builder.with_retry(retries()).build()
}

fn gcs(address: &Address<'_>) -> object_store::Result<impl ObjectStore> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(address.bucket);
    if let Some(endpoint) = address.options.get("endpoint") {
        builder = builder.with_base_url(endpoint);
    }
    for (key, value) in client_settings(address) {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    builder.with_retry(retries()).build()
}

fn azure(address: &Address<'_>) -> object_store::Result<impl ObjectStore> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(address.bucket);
    if let Some(account) = address.options.get("account") {
        builder = builder.with_account(*account);
    }
    if let Some(endpoint) = address.options.get("endpoint") {
        builder = builder.with_endpoint((*endpoint).to_owned());
    }
    for (key, value) in client_settings(address) {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    builder.with_retry(retries()).build()
}

/// What went wrong, on one line and without what may be a signature: the query of a URL.
pub(super) fn plain(error: &object_store::Error) -> String {
    let mut text = String::new();
    let mut is_query = false;
    for c in error.to_string().chars() {
        if c.is_whitespace() || matches!(c, '"' | ')' | '>') {
            is_query = false;
        }
        if !is_query {
            text.push(if c == '\n' { ' ' } else { c });
        }
        is_query |= c == '?';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Place::open(url).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_url_that_cannot_work_is_refused_with_the_one_to_write() {
        for (url, word) in [
            ("/var/snapshots", "has no scheme"),
            ("ftp://host/x", "begins with \"ftp\"://"),
            ("file://", "names no directory"),
            ("file://relative/x", "file:///DIRECTORY"),
            ("file:///a/../b", ". or .."),
            ("s3://", "names no bucket"),
            ("s3:///prefix", "names no bucket"),
            ("az://", "names no container"),
            ("s3://bucket/p?access_key=x", "not one of endpoint"),
            ("file:///a?endpoint=x", "not one of endpoint"),
        ] {
            let said = refusal(url);
            assert!(said.starts_with("checkpoint_url") && said.contains(word), "{url}: {said}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let said = refusal("s3://AKIA:hunter2@bucket/prefix");
        assert!(said.contains("credentials come from the environment"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("AKIA"), "{said}");
        assert!(!refusal("s3://b/p?secret_access_key=hunter2").contains("hunter2"));
    }

    #[test]
    fn a_message_has_no_query_of_a_url() {
        let source =
            "Error performing GET https://a.blob.core.windows.net/c?sig=hunter2&se=1 in 3s".into();
        let said = plain(&object_store::Error::Generic { store: "Azure", source });
        assert!(said.ends_with("https://a.blob.core.windows.net/c? in 3s"), "{said}");
    }

    #[test]
    fn every_scheme_makes_a_client() {
        for url in [
            "file:///var/lib/snapshots",
            "memory://",
            "memory://a/b",
            "s3://bucket/prefix?endpoint=http://127.0.0.1:9&region=eu-west-1&allow_http=true",
        ] {
            assert_eq!(refusal(url), "", "{url}");
        }
        let place = Place::open("s3://bucket/a/b/?region=x").unwrap();
        assert_eq!((place.folder.as_ref(), &*place.shown), ("a/b", "s3://bucket/a/b"));
    }
}
