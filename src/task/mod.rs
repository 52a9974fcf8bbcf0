//! A task runs the line for one assigned partition, from top to bottom:
//!
//! ```text
//! poll -> decode -> process (Python) -> produce -> commit
//! ```
//!
//! * [`subscription`]: batches, decoded to Arrow.
//! * [`agent`]: events, decoded when the agent asks for them.
//! * [`status`]: the state machine both share; [`shelf`]: where Python picks work up.
//!
//! # Guarantees
//!
//! * Rows of one partition are processed in offset order, one batch at a time.
//! * The committed offset moves only after every output of the batch is acknowledged.
//! * A crash between any two steps repeats the batch; it never skips one.
//! * What a task holds in memory is bounded by bytes, whatever arrives.
//!
//! # Not here
//!
//! Which partitions run in this process, and when offsets go to the broker: see [`crate::worker`].

pub mod agent;
pub mod cursor;
pub mod dead_letter;
pub mod shelf;
pub mod sink;
pub mod status;
pub mod subscription;

use crate::types::{Records, TopicPartition};
use status::Status;
use std::sync::Arc;
use tokio::{runtime::Handle, task::JoinHandle};

/// Why `records` cannot follow what was handed out up to offset `end`, if they cannot.
///
/// Offsets only grow, unless somebody deleted the topic and made it anew, or brokers lost a part of
/// it; then the client library goes back to the start by itself.
fn order_broken(records: &dyn Records, end: Option<i64>, tp: &TopicPartition) -> Option<String> {
    let mut least = end.unwrap_or(0);
    for i in 0..records.len() {
        let offset = records.offset(i);
        if offset < least {
            return Some(format!(
                "{tp} begins anew: offset {offset} came where {least} was due. The topic was deleted and made again, \
                 or its brokers lost records. Restart the worker to read what is there now"
            ));
        }
        least = offset + 1;
    }
    None
}

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
