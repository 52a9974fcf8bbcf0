//! Who may talk to a broker: encryption, certificates, users and passwords.
//!
//! # Guarantees
//!
//! * No password, key or proof is in a log, an error or a `Debug` output.
//! * Passwords and proofs are compared in a time that does not depend on where they differ.
//!
//! # Not here
//!
//! The requests of a client that authenticates ([`crate::broker::wire`]); what a user may do: every
//! user may do everything.

mod plain;
mod scram;
mod secret;
mod session;
mod tls;
mod users;

pub use secret::Secret;
pub use tls::Tls;
pub(crate) use {
    plain::PlainLogin,
    scram::{ClientFirst, Credential, Exchange, ScramHash},
    session::{Ask, NoHandshake, Session},
    tls::Encryption,
    users::Users,
};

use std::collections::BTreeMap;

/// How clients may talk to a broker. The default is in clear text, without authentication.
#[derive(Clone, Debug)]
pub struct Security {
    /// Encryption; without it, everything goes in clear text.
    pub tls: Option<Tls>,
    /// Names and passwords. With at least one, clients must authenticate.
    pub users: BTreeMap<String, Secret>,
    /// How they may do it.
    pub mechanisms: Vec<Mechanism>,
}

impl Default for Security {
    fn default() -> Self {
        let mechanisms = Mechanism::ALL.to_vec();
        Self { tls: None, users: BTreeMap::new(), mechanisms }
    }
}

impl Security {
    /// True if clients must authenticate with a name and a password.
    pub(crate) fn wants_users(&self) -> bool {
        !self.users.is_empty()
    }
}

/// A way to authenticate with a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// The password itself is sent.
    Plain,
    /// A proof of the password is sent, over SHA-256.
    ScramSha256,
    /// A proof of the password is sent, over SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// As clients call it, `SCRAM-SHA-256` say.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}
