//! Waiting for what a format asks of a schema registry.
//!
//! A registry that does not answer makes no record bad: the partition waits in front of it, says so
//! in its status, and asks again.

use super::status::{State, Status};
use crate::{
    codec::Ready,
    error::{Act, Error, Result},
};
use std::time::Duration;
use tokio::sync::Notify;

/// Wait before a registry is asked again, on top of the client's own repetitions.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until `ask` has nothing to ask any more; false if the task has left the state `last`
/// meanwhile.
///
/// # Errors
///
/// An error that asking again does not mend.
pub(super) async fn until_ready(
    status: &Status,
    stopping: &Notify,
    last: State,
    mut ask: impl FnMut() -> Result<Option<Ready>>,
) -> Result<bool> {
    while let Some(ready) = ask()? {
        match ready.await {
            Ok(()) => break,
            Err(error) if error.act() == Act::Retry => {
                status.wait_for(&error.to_string());
                if !goes_on(status, last) {
                    return Ok(false);
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = stopping.notified() => {}
                }
                if !goes_on(status, last) {
                    return Ok(false);
                }
            }
            Err(error) => {
                status.wait_no_more();
                return Err(stop(error));
            }
        }
    }
    status.wait_no_more();
    Ok(true)
}

/// Is the task in the state `last`, or before it?
fn goes_on(status: &Status, last: State) -> bool {
    status.state() == last || status.state().may_become(last)
}

fn stop(error: Error) -> Error {
    match error {
        Error::Registry { message, act } => {
            let message = format!("{message}. Nothing is lost: the partition waits");
            Error::Registry { message, act }
        }
        other => other,
    }
}
