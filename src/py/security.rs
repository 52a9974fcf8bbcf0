//! Security settings of the embedded broker, from Python.

use crate::{
    broker::{Mechanism, Secret, Security, Tls},
    error::{Error, Result},
};
use pyo3::prelude::*;
use std::{collections::HashMap, path::PathBuf};

/// Where the certificate of a broker comes from.
#[derive(FromPyObject)]
pub(super) enum TlsFiles {
    /// True: it is made.
    Made(bool),
    /// Certificate, key and, if clients must show one, the certificates of their authorities.
    Verified(PathBuf, PathBuf, PathBuf),
    /// Certificate and key.
    Files(PathBuf, PathBuf),
}

/// What the keywords say.
pub(super) fn security(
    tls: Option<TlsFiles>,
    verify_clients: bool,
    users: Option<HashMap<String, String>>,
    mechanisms: Option<Vec<String>>,
) -> Result<Security> {
    let tls = match tls {
        Some(TlsFiles::Made(true)) => Some(Tls::SelfSigned { verify_clients }),
        _ if verify_clients => {
            let message = "verify_clients goes with tls=True; give files their client CA instead";
            return Err(Error::Config(message.into()));
        }
        None | Some(TlsFiles::Made(false)) => None,
        Some(TlsFiles::Files(certificate, key)) => {
            Some(Tls::Files { certificate, key, client_ca: None })
        }
        Some(TlsFiles::Verified(certificate, key, client_ca)) => {
            Some(Tls::Files { certificate, key, client_ca: Some(client_ca) })
        }
    };
    let users = users.unwrap_or_default().into_iter();
    let users = users.map(|(name, password)| (name, Secret::new(password))).collect();
    let mechanisms = match mechanisms {
        None => Mechanism::ALL.to_vec(),
        Some(names) => names.iter().map(|name| mechanism(name)).collect::<Result<_>>()?,
    };
    Ok(Security { tls, users, mechanisms })
}

fn mechanism(name: &str) -> Result<Mechanism> {
    Mechanism::find(name).ok_or_else(|| {
        let all = Mechanism::ALL.map(Mechanism::name).join(", ");
        Error::Config(format!("there is no mechanism {name:?}: give {all}"))
    })
}
