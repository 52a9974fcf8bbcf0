//! Aggregates from outside the core: whoever can make their accumulators says so under a name.

use super::{Accumulators, AggregateSpec, each::Refused};
use crate::error::Result;
use arrow::datatypes::DataType;
use parking_lot::RwLock;
use std::{collections::BTreeMap, sync::Arc};

/// Makes the accumulators of one aggregate.
pub trait Factory: Send + Sync {
    /// Accumulators for inputs of the types `inputs`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Declaration`] if it does not take such inputs.
    fn build(&self, spec: &AggregateSpec, inputs: &[DataType]) -> Result<Box<dyn Accumulators>>;
}

static FACTORIES: RwLock<BTreeMap<String, Arc<dyn Factory>>> = RwLock::new(BTreeMap::new());

/// Makes `custom` aggregates with the option `name` as `factory` says, in this process.
pub fn register(name: &str, factory: Arc<dyn Factory>) {
    FACTORIES.write().insert(name.to_string(), factory);
}

/// The factory of that name.
pub(super) fn factory(name: &str) -> Result<Arc<dyn Factory>, Refused> {
    let found = FACTORIES.read().get(name).cloned();
    found.ok_or_else(|| format!("this process has no custom aggregate {name}; declare it first"))
}
