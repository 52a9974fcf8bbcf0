//! A text that nobody is to see.

use openssl::{memcmp, sha::sha256};
use std::fmt;

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a password.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// True if `other` is the same.
    pub(super) fn is(&self, other: &[u8]) -> bool {
        // Of equal length, so that nothing is learned of that either.
        memcmp::eq(&sha256(self.0.as_bytes()), &sha256(other))
    }

    /// What it is.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
