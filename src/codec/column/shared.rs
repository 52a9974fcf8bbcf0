//! The schema of a stream without a model: learned by all its partitions together, only ever
//! widened.

use super::merge_fields;
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use parking_lot::Mutex;
use prometheus::IntCounter;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What is known about the records of one subscription.
///
/// The first batch settles the schema. From then on a new field, or a value that needs a wider
/// type, widens it: that is counted, logged with old and new types, and every partition has it from
/// its next batch on.
pub struct SharedSchema {
    name: String,
    widened: Option<IntCounter>,
    version: AtomicU64,
    state: Mutex<State>,
}

struct State {
    schema: SchemaRef,
    is_established: bool,
}

impl SharedSchema {
    /// Nothing known yet; `name` appears in the log, `widened` counts changes after the first
    /// batch.
    #[must_use]
    pub fn new(name: impl Into<String>, widened: IntCounter) -> Self {
        Self { name: name.into(), widened: Some(widened), ..Self::unnamed() }
    }

    /// For looking at a sample: nothing is logged or counted.
    pub(in crate::codec) fn unnamed() -> Self {
        let state = State { schema: Arc::new(Schema::empty()), is_established: false };
        Self {
            name: String::new(),
            widened: None,
            version: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    /// Rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The schema and its version.
    #[must_use]
    pub fn current(&self) -> (u64, SchemaRef) {
        let state = self.state.lock();
        (self.version(), Arc::clone(&state.schema))
    }

    /// The first batch is over: changes are news from now on.
    pub(in crate::codec) fn establish(&self) {
        let mut state = self.state.lock();
        if !state.is_established && !state.schema.fields().is_empty() {
            state.is_established = true;
            if self.widened.is_some() {
                tracing::info!(
                    stream = %self.name,
                    "inferred the schema {}",
                    difference(&Fields::empty(), state.schema.fields())
                );
            }
        }
    }

    /// Makes room for records with the fields `found`; `Err` says what they contradict.
    pub(in crate::codec) fn widen(&self, found: &Fields) -> Result<(), String> {
        let mut state = self.state.lock();
        let wider = merge_fields(state.schema.fields(), found)?;
        if wider == *state.schema.fields() {
            return Ok(());
        }
        if let (true, Some(counter)) = (state.is_established, &self.widened) {
            counter.inc();
            tracing::warn!(
                stream = %self.name,
                "widened the inferred schema: {}",
                difference(state.schema.fields(), &wider)
            );
        }
        state.schema = Arc::new(Schema::new(wider));
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// `name: old -> new` and `name: new` for what differs.
fn difference(old: &Fields, new: &Fields) -> String {
    let mut parts = Vec::new();
    collect(old, new, "", &mut parts);
    parts.join(", ")
}

fn collect(old: &Fields, new: &Fields, prefix: &str, parts: &mut Vec<String>) {
    for field in new {
        let name = format!("{prefix}{}", field.name());
        match old.iter().find(|f| f.name() == field.name()).map(|f| f.data_type()) {
            Some(known) if known == field.data_type() => {}
            Some(DataType::Struct(known)) => {
                if let DataType::Struct(wider) = field.data_type() {
                    collect(known, wider, &format!("{name}."), parts);
                }
            }
            Some(known) => parts.push(format!("{name}: {known} -> {}", field.data_type())),
            None => parts.push(format!("{name}: {}", field.data_type())),
        }
    }
}
