//! Aggregates: many accumulators of one kind side by side, addressed by slot.
//!
//! A slot is the place of one group in one window (or pane). The window hands out slots, reuses them
//! and says for each row which slot it belongs to; an aggregate only computes.

mod batch;
mod build;
mod bytes;
mod collect;
mod count;
mod custom;
mod each;
mod exact;
mod extreme;
mod extreme_bytes;
mod flags;
mod histogram;
mod hll;
mod kll;
mod lists;
mod moments;
mod options;
mod pick;
mod quantiles;
mod sum;
mod tally;
mod tdigest;
#[cfg(test)]
mod tests;
mod types;
mod values;

pub use batch::aggregate;
pub use build::{build, output_type};
pub use custom::{Factory, register};

use crate::error::Result;
use arrow::{array::ArrayRef, datatypes::DataType};
use serde::{Deserialize, Serialize};

/// One output column of a window, or several (`multi` sketches).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateSpec {
    /// Name of the output column.
    pub output: String,
    /// `count`, `sum`, `min` ... as `turbine.aggregates` names them, in snake case.
    pub function: String,
    /// What it reads: columns or expressions, in the order of the function's parameters.
    #[serde(default)]
    pub inputs: Vec<InputSpec>,
    /// Further parameters, as `{"ddof": 1}`.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// Where an aggregate's input comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InputSpec {
    /// A column of the batch.
    Column(String),
    /// An expression over the batch, as [`crate::expr`] reads it.
    Expression(serde_json::Value),
}

/// Index of an accumulator.
pub type Slot = u32;

/// Rows of a batch on their way into accumulators.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Slot of each row; rows of one slot come in their order.
    pub slots: &'a [Slot],
    /// Row of the input arrays for each slot; none: row `i` is for slot `i` of `slots`. As long as
    /// `slots`.
    pub rows: Option<&'a [u32]>,
    /// The inputs, in the order of the specification; each has one value for each row of the batch.
    pub inputs: &'a [ArrayRef],
    /// Event time of each row of the batch, in ms since the epoch.
    pub times: &'a [i64],
}

/// Accumulators of one aggregate for many slots.
///
/// The value of a slot depends on the rows that were put into it and their order, not on how they
/// were divided into calls.
pub trait Accumulators: Send {
    /// Type of the results.
    fn data_type(&self) -> DataType;

    /// Makes room for slots below `slots`; new ones are empty.
    fn grow(&mut self, slots: usize);

    /// Empties slots, so that they can be used again.
    fn clear(&mut self, slots: &[Slot]);

    /// Takes rows in.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error`] if a result leaves its type's range; the sentence names the column.
    fn update(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Takes rows in and gives the slot's result after each of them.
    ///
    /// # Errors
    ///
    /// As [`Accumulators::update`].
    fn update_each(&mut self, rows: Rows<'_>) -> Result<ArrayRef>;

    /// True if [`Accumulators::retract`] works.
    fn can_retract(&self) -> bool {
        false
    }

    /// Takes rows out again, that were put in before, oldest first.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn retract(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Adds the content of slot `from[i]` behind the content of slot `into[i]`, for each `i` in order;
    /// the sources stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Accumulators::update`].
    fn merge(&mut self, from: &[Slot], into: &[Slot]) -> Result<()>;

    /// Results of `slots`, in their order. The slots stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Accumulators::update`].
    fn results(&self, slots: &[Slot]) -> Result<ArrayRef>;

    /// Appends the content of a slot to `out`; equal contents give equal bytes.
    fn save(&self, slot: Slot, out: &mut Vec<u8>);

    /// Replaces the content of a slot by what [`Accumulators::save`] wrote; returns the bytes behind it.
    ///
    /// # Errors
    ///
    /// If the bytes are not what `save` writes.
    fn load<'a>(&mut self, slot: Slot, bytes: &'a [u8]) -> Result<&'a [u8]>;

    /// Bytes held, roughly.
    fn memory(&self) -> usize;
}
