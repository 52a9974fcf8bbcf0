//! The schema registry for development and tests, for Python.

use super::detached::Detached;
use crate::{http::registry::RegistryServer, registry::Schemas};
use pyo3::prelude::*;
use std::{collections::HashMap, path::PathBuf, sync::Arc};

/// A schema registry with Confluent's API inside this process.
#[pyclass(frozen, module = "turbine._native")]
pub struct SchemaRegistry(Detached<RegistryServer>);

/// Whether a broker starts a registry: by a port, or by True for any free one.
#[derive(FromPyObject)]
pub(super) enum RegistryPort {
    Wanted(bool),
    Port(u16),
}

impl RegistryPort {
    /// Starts the registry that is wanted, if one is.
    pub(super) fn start(
        py: Python<'_>,
        wanted: Option<Self>,
        host: &str,
        data_dir: Option<PathBuf>,
    ) -> PyResult<Option<Py<SchemaRegistry>>> {
        let port = match wanted {
            None | Some(Self::Wanted(false)) => return Ok(None),
            Some(Self::Wanted(true)) => 0,
            Some(Self::Port(port)) => port,
        };
        Py::new(py, SchemaRegistry::new(py, host.to_owned(), port, data_dir, None)?).map(Some)
    }
}

#[pymethods]
impl SchemaRegistry {
    #[new]
    #[pyo3(signature = (*, host = String::from("127.0.0.1"), port = 0, data_dir = None, users = None), text_signature = "(*, host='127.0.0.1', port=0, data_dir=None, users=None)")]
    fn new(
        py: Python<'_>,
        host: String,
        port: u16,
        data_dir: Option<PathBuf>,
        users: Option<HashMap<String, String>>,
    ) -> PyResult<Self> {
        let basic = |(user, password): (String, String)| {
            let pair = openssl::base64::encode_block(format!("{user}:{password}").as_bytes());
            format!("Basic {pair}")
        };
        let users = users.map(|users| users.into_iter().map(basic).collect());
        let server = py.detach(|| {
            let file = data_dir.map(|directory| directory.join("schema-registry.json"));
            RegistryServer::start(&host, port, Schemas::new(file)?, users)
        })?;
        Ok(Self(Detached::new(Arc::new(server))))
    }

    /// `http://host:port`.
    #[getter]
    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// From now on every request is answered with 503, or served again.
    #[pyo3(signature = (is_down, /))]
    fn set_down(&self, is_down: bool) {
        self.0.set_down(is_down);
    }

    /// Ends it. Idempotent.
    pub(super) fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}
