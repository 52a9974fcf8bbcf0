//! Notices when a loop of a task ends by a panic.

use super::status::Status;
use std::sync::Arc;
use tokio::{runtime::Handle, task::JoinHandle};

/// Lets `part` of a task end; if it ends by a panic, the task fails instead of standing still.
pub fn watch<T: Send + Sync + 'static>(
    runtime: &Handle,
    task: Arc<T>,
    part: JoinHandle<()>,
    status: fn(&T) -> &Status,
) {
    runtime.spawn(async move {
        if let Err(error) = part.await
            && error.is_panic()
        {
            status(&task).fail(&format!(
                "an internal error ({error}). Nothing is lost: restart the worker to read on"
            ));
        }
    });
}
