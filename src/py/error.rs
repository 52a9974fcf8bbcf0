//! The one place where a Rust error becomes a Python exception.

use crate::error::{Act, Error};
use pyo3::{PyErr, exceptions::PyOSError, import_exception};

import_exception!(turbine.exceptions, BrokerUnavailable);
import_exception!(turbine.exceptions, ComputeError);
import_exception!(turbine.exceptions, ConfigError);
import_exception!(turbine.exceptions, DeclarationError);
import_exception!(turbine.exceptions, DecodeError);
import_exception!(turbine.exceptions, EncodeError);
import_exception!(turbine.exceptions, KafkaError);
import_exception!(turbine.exceptions, RegistryError);
import_exception!(turbine.exceptions, SendError);
import_exception!(turbine.exceptions, StateError);
import_exception!(turbine.exceptions, WorkerStopped);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Config(text) => ConfigError::new_err(text),
            Error::Declaration(text) => DeclarationError::new_err(text),
            Error::Compute(_) => ComputeError::new_err(message),
            Error::Kafka { act: Act::Retry, .. } => BrokerUnavailable::new_err(message),
            Error::Kafka { .. } => KafkaError::new_err(message),
            Error::Decode { .. } => DecodeError::new_err(message),
            Error::Registry { .. } => RegistryError::new_err(message),
            Error::Encode(_) => EncodeError::new_err(message),
            Error::Io { .. } => PyOSError::new_err(message),
            Error::State(_) => StateError::new_err(message),
            Error::Stopped => WorkerStopped::new_err(message),
        } // no `_` arm: a new variant must not compile until it is mapped
    }
}

/// The exception of a record that could not be sent.
pub(super) fn send_error(error: &Error) -> PyErr {
    SendError::new_err(error.to_string())
}

/// The exception of a front end that asks a stopped worker for work.
pub(super) fn stopped() -> PyErr {
    Error::Stopped.into()
}
