//! Where the schema registry is, and who asks it.

use serde::{Deserialize, Serialize};

/// A registry with Confluent's API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// Addresses of the same registry; the next one is asked when one does not answer.
    pub urls: Vec<String>,
    /// User of basic authentication.
    pub username: Option<String>,
    /// Their password.
    pub password: Option<String>,
    /// Bearer token, instead of a user.
    pub token: Option<String>,
    /// PEM file of certificates to trust, besides the system's.
    pub ca_location: Option<String>,
    /// PEM file of the client's certificate.
    pub certificate_location: Option<String>,
    /// PEM file of its key, in PKCS #8.
    pub key_location: Option<String>,
    /// Longest time for one answer, repetitions included, in ms.
    pub timeout_ms: u64,
}
