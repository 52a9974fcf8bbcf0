//! What happens to rows whose value cannot be computed, and how many there were.

use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use std::cell::Cell;

/// What happens to a row whose value cannot be computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnComputeError {
    /// Its value is null, and it is counted.
    #[default]
    Null,
    /// The evaluation fails.
    Fail,
}

thread_local! {
    // An evaluation stays on its thread, and the traits in between have no room for a parameter.
    static POLICY: Cell<OnComputeError> = const { Cell::new(OnComputeError::Null) };
    static FAILED: Cell<u64> = const { Cell::new(0) };
}

/// Puts the policy and the count of an evaluation around this one back, also after a panic.
struct Restore(OnComputeError, u64);

impl Drop for Restore {
    fn drop(&mut self) {
        POLICY.set(self.0);
        FAILED.set(self.1);
    }
}

/// Runs `evaluate` under `policy`; its result, and how many values could not be computed.
pub(super) fn counted<T>(policy: OnComputeError, evaluate: impl FnOnce() -> T) -> (T, u64) {
    let _restore = Restore(POLICY.replace(policy), FAILED.replace(0));
    let result = evaluate();
    (result, FAILED.get())
}

/// Notes `rows` values that cannot be computed.
///
/// # Errors
///
/// `why`, if the policy is to fail.
pub(super) fn failed(rows: usize, why: impl FnOnce() -> String) -> Result<(), ArrowError> {
    if rows > 0 && POLICY.get() == OnComputeError::Fail {
        return Err(ArrowError::ComputeError(why()));
    }
    FAILED.set(FAILED.get() + rows as u64);
    Ok(())
}

/// True if the first value that cannot be computed fails the evaluation.
pub(super) fn is_strict() -> bool {
    POLICY.get() == OnComputeError::Fail
}
