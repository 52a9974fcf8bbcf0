//! What commits write to changelogs.

use super::{Outbound, Output};
use crate::{
    error::Result,
    state::{Delta, Mark, Space, Writes},
    task::changelog::{Changelog, LogRecord, Written},
};

/// Makes the records of a changelog, commit by commit.
pub trait CommitLog: Send + Sync {
    /// Those of changes that lead from offset `from` to `mark`. It is asked for each attempt, because each
    /// has a token of its own.
    ///
    /// # Errors
    ///
    /// Changes that have no form.
    fn records(&self, delta: &Delta, from: i64, mark: &Mark) -> Result<Vec<Output>>;

    /// The commit that was asked for last took effect.
    fn settled(&self);

    /// What goes into the store besides, with a commit whose records are `written`.
    fn note(&self, written: &[Written]) -> Option<(Space, Writes)>;
}

impl CommitLog for Changelog {
    fn records(&self, delta: &Delta, from: i64, mark: &Mark) -> Result<Vec<Output>> {
        let records = Self::records(self, delta, from, mark)?;
        Ok(records.into_iter().map(Output::from).collect())
    }

    fn settled(&self) {
        Self::settled(self);
    }

    fn note(&self, written: &[Written]) -> Option<(Space, Writes)> {
        Self::note(self, written)
    }
}

impl From<LogRecord> for Output {
    fn from(record: LogRecord) -> Self {
        let LogRecord { topic, partition, key, value, headers } = record;
        let record = Outbound {
            key: key.map(Into::into),
            value: value.map(Into::into),
            partition: Some(partition),
            timestamp_ms: None,
            headers,
        };
        Self::Record { topic, record, told: None }
    }
}
