//! What closes the gap between the state of a task and what is committed.

use crate::engine::{halt::Halt, receipt::Receipt};

/// Brings the state of a task to what is committed.
pub trait CatchUp: Send {
    /// Brings it from offset `from` (none: from nothing) to exactly `to`: offset, token and hash of its mark there;
    /// `beside` is what stands beside the committed offset. Blocks.
    ///
    /// # Errors
    ///
    /// Why that is not possible; the partition stands still then.
    fn catch_up(
        &mut self,
        from: Option<i64>,
        to: (i64, u64, u64),
        beside: Option<&Receipt>,
    ) -> Result<(), Halt>;
}

/// For tasks that keep nothing.
pub struct NothingToCatchUp;

impl CatchUp for NothingToCatchUp {
    fn catch_up(
        &mut self,
        _: Option<i64>,
        _: (i64, u64, u64),
        _: Option<&Receipt>,
    ) -> Result<(), Halt> {
        Ok(())
    }
}
