//! Every error of the core, and who must act on it.

use std::fmt;

/// Shorthand used throughout the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The same call may succeed later; nobody has to do anything.
    Retry,
    /// Another process owns the work now; this one lets go of it.
    Fence,
    /// The worker cannot go on; an operator has to look.
    Stop,
    /// The caller passed something wrong; the message says what to pass instead.
    Caller,
}

/// An error of the core.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A setting or declaration is wrong.
    #[error("{0}")]
    Config(String),
    /// An expression, a window or an aggregate cannot work with the columns there are.
    #[error("{0}")]
    Declaration(String),
    /// A value of a row cannot be computed and the policy is `fail`.
    #[error("cannot compute: {0}")]
    Compute(String),
    /// Kafka, or the client library, refused or failed.
    #[error("kafka: {what}: {message} ({code})")]
    Kafka {
        /// What was being done.
        what: String,
        /// librdkafka's name of the code, as `UNKNOWN_TOPIC_OR_PART`.
        code: String,
        /// librdkafka's sentence.
        message: String,
        /// Who acts.
        act: Act,
    },
    /// A record could not be decoded and the policy is `fail`.
    #[error("{at}: cannot decode the record: {message}")]
    Decode {
        /// Which record.
        at: RecordAt,
        /// What is wrong with it.
        message: String,
    },
    /// A schema registry did not answer, or does not have what is needed.
    #[error("{message}")]
    Registry {
        /// Address, what was asked, what came back, the next step.
        message: String,
        /// Who acts.
        act: Act,
    },
    /// A batch could not be encoded.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// An operating-system call failed.
    #[error("{what}: {message}")]
    Io {
        /// What was being done, with the path or address.
        what: String,
        /// The system's sentence.
        message: String,
    },
    /// State cannot be read or written, or is not what was written.
    #[error("{0}")]
    State(String),
    /// The worker has been asked to stop.
    #[error("the worker is stopped")]
    Stopped,
}

impl Error {
    /// Who must act on this error.
    #[must_use]
    pub fn act(&self) -> Act {
        match self {
            Self::Config(_) | Self::Declaration(_) | Self::Compute(_) | Self::Encode(_) => {
                Act::Caller
            }
            Self::Kafka { act, .. } | Self::Registry { act, .. } => *act,
            Self::Decode { .. } | Self::Io { .. } | Self::State(_) | Self::Stopped => Act::Stop,
        }
    }

    /// An [`Error::Io`] with the system's sentence.
    pub fn io(what: impl Into<String>, err: &std::io::Error) -> Self {
        Self::Io { what: what.into(), message: err.to_string() }
    }
}

/// Names one record: topic, partition, offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordAt {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

impl fmt::Display for RecordAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}
