//! Entries of joins in the state of a handler: beside its own, under names that it cannot give.

use super::{BatchState, Kept};
use crate::{
    error::{Error, Result},
    join::{Entries, Latest},
    state::{
        Each, Space, Writes,
        value::{Kind, Value},
    },
    task::state::TaskState,
};
use std::sync::{Arc, Weak};

/// The entries, as long as the batch runs.
pub struct JoinState(Arc<Kept>);

impl BatchState {
    /// The entries of joins.
    ///
    /// # Errors
    ///
    /// If the batch has ended, or several handlers have the state at the same time: a join sees the rows
    /// of a partition in their order.
    pub fn joins(&self) -> Result<JoinState> {
        if self.is_shared() {
            return Err(Error::Declaration(
                "a join has all rows of a partition: leave parallelism= out of this subscription"
                    .into(),
            ));
        }
        Ok(JoinState(self.kept()?))
    }
}

impl JoinState {
    /// Those of a partition, in front of its first batch.
    pub(in crate::task::subscription) fn of(kept: &Arc<Kept>) -> Self {
        Self(Arc::clone(kept))
    }

    /// Tells the state of one partition from others.
    #[must_use]
    pub fn task(&self) -> Weak<TaskState> {
        Arc::downgrade(&self.0.state)
    }

    /// Makes changes part of the batch.
    pub fn put(&self, writes: Writes) {
        let stored =
            |value: Vec<u8>| Value { kind: Kind::Bytes, expires_ms: None, payload: &value }.write();
        let writes = writes.0.into_iter().map(|(key, value)| (key, value.map(stored)));
        self.0.state.put_many(Space::STATE, writes);
    }
}

impl Entries for JoinState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let stored = self.0.state.get(Space::STATE, key)?;
        stored.map(|stored| Ok(Value::read(&stored)?.payload.to_vec())).transpose()
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        self.0.state.scan(Space::STATE, prefix, &mut |key, stored| {
            // What cannot be read is the handler's.
            Value::read(stored).map_or(Ok(()), |value| each(key, value.payload))
        })
    }
}

impl Latest for JoinState {
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let stored = self.0.state.get_many(Space::STATE, keys)?;
        let payload = |stored: Vec<u8>| Ok(Value::read(&stored)?.payload.to_vec());
        stored.into_iter().map(|stored| stored.map(payload).transpose()).collect()
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<()> {
        self.put(Writes(vec![(key, value)]));
        Ok(())
    }
}
